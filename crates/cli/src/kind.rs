//! The kinds of objects the commands are about, and how the interface calls them.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Virtual machine.
    Vm,
    /// Host.
    Host,
    /// Cluster.
    Cluster,
    /// Image.
    Image,
    /// Datastore.
    Datastore,
    /// Virtual network.
    Vnet,
    /// VM template.
    Template,
    /// User.
    User,
    /// Group.
    Group,
    /// Security group.
    Secgroup,
    /// VM group.
    VmGroup,
    /// Network template.
    VnTemplate,
    /// Virtual router.
    Vrouter,
    /// Marketplace.
    Market,
    /// Appliance of a marketplace.
    MarketApp,
    /// Virtual data centre.
    Vdc,
    /// Backup job.
    BackupJob,
    /// Hook.
    Hook,
    /// Zone.
    Zone,
    /// Access rule.
    Acl,
}

impl Kind {
    /// The middle of the method names: `one.<prefix>.info`.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Vm => "vm",
            Kind::Host => "host",
            Kind::Cluster => "cluster",
            Kind::Image => "image",
            Kind::Datastore => "datastore",
            Kind::Vnet => "vn",
            Kind::Template => "template",
            Kind::User => "user",
            Kind::Group => "group",
            Kind::Secgroup => "secgroup",
            Kind::VmGroup => "vmgroup",
            Kind::VnTemplate => "vntemplate",
            Kind::Vrouter => "vrouter",
            Kind::Market => "market",
            Kind::MarketApp => "marketapp",
            Kind::Vdc => "vdc",
            Kind::BackupJob => "backupjob",
            Kind::Hook => "hook",
            Kind::Zone => "zone",
            Kind::Acl => "acl",
        }
    }

    /// The name of one object's XML element; messages use it, too.
    pub fn element(self) -> &'static str {
        match self {
            Kind::Vm => "VM",
            Kind::Host => "HOST",
            Kind::Cluster => "CLUSTER",
            Kind::Image => "IMAGE",
            Kind::Datastore => "DATASTORE",
            Kind::Vnet => "VNET",
            Kind::Template => "VMTEMPLATE",
            Kind::User => "USER",
            Kind::Group => "GROUP",
            Kind::Secgroup => "SECURITY_GROUP",
            Kind::VmGroup => "VM_GROUP",
            Kind::VnTemplate => "VNTEMPLATE",
            Kind::Vrouter => "VROUTER",
            Kind::Market => "MARKETPLACE",
            Kind::MarketApp => "MARKETPLACEAPP",
            Kind::Vdc => "VDC",
            Kind::BackupJob => "BACKUPJOB",
            Kind::Hook => "HOOK",
            Kind::Zone => "ZONE",
            Kind::Acl => "ACL",
        }
    }

    /// How a person calls one of them, in English and Chinese.
    pub fn noun(self) -> (&'static str, &'static str) {
        match self {
            Kind::Vm => ("virtual machine", "虚拟机"),
            Kind::Host => ("host", "主机"),
            Kind::Cluster => ("cluster", "集群"),
            Kind::Image => ("image", "镜像"),
            Kind::Datastore => ("datastore", "数据存储"),
            Kind::Vnet => ("virtual network", "虚拟网络"),
            Kind::Template => ("template", "模板"),
            Kind::User => ("user", "用户"),
            Kind::Group => ("group", "组"),
            Kind::Secgroup => ("security group", "安全组"),
            Kind::VmGroup => ("VM group", "虚拟机组"),
            Kind::VnTemplate => ("network template", "网络模板"),
            Kind::Vrouter => ("virtual router", "虚拟路由器"),
            Kind::Market => ("marketplace", "应用市场"),
            Kind::MarketApp => ("appliance", "应用"),
            Kind::Vdc => ("virtual data centre", "虚拟数据中心"),
            Kind::BackupJob => ("backup job", "备份任务"),
            Kind::Hook => ("hook", "hook"),
            Kind::Zone => ("zone", "区域"),
            Kind::Acl => ("access rule", "访问规则"),
        }
    }

    /// Whether the pool takes a filter and comes in pages.
    pub fn is_paged(self) -> bool {
        matches!(
            self,
            Kind::Vm
                | Kind::Image
                | Kind::Vnet
                | Kind::Template
                | Kind::Secgroup
                | Kind::VmGroup
                | Kind::VnTemplate
                | Kind::BackupJob
                | Kind::MarketApp
                | Kind::Vrouter
        )
    }

    /// The method `name` of this kind, for instance `one.vm.info`.
    pub fn method(self, name: &str) -> String {
        format!("one.{}.{name}", self.prefix())
    }

    /// The method that lists all objects of this kind.
    pub fn pool_method(self) -> String {
        match self {
            Kind::Acl => "one.acl.info".to_owned(),
            _ => format!("one.{}pool.info", self.prefix()),
        }
    }
}
