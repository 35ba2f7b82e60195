//! What can be asked of the world.

use std::sync::Arc;

use plerion_lifecycle::{Event, Recover};
use plerion_model::autostart::DomainEnd;
use plerion_model::showback::Showback;
use plerion_model::{Id, Kind, Seconds};
use plerion_template::Template;

use crate::acl::AclCommand;
use crate::auth::Caller;
use crate::backupjob::BackupJobCommand;
use crate::change::{ImageSnapshot, IntentKey, IntentResult};
use crate::cluster::Member;
use crate::document::DocumentCommand;
use crate::hook::HookCommand;
use crate::hook_fire::ApiCall;
use crate::host::{HostReport, HostStatus};
use crate::host_failure::FailureCommand;
use crate::image::ImageSpec;
use crate::marketplace::MarketCommand;
use crate::quota::QuotaCommand;
use crate::sched_action::SchedCommand;
use crate::secgroup::SecgroupCommand;
use crate::user_external::ExternalCommand;
use crate::vdc::VdcCommand;
use crate::vm_autostart::AutostartCommand;
use crate::vm_backup::VmBackupCommand;
use crate::vm_device_command::VmDeviceCommand;
use crate::vm_exec::GuestCommand;
use crate::vm_migrate::Migration;
use crate::vmgroup::VmGroupCommand;
use crate::vmtemplate_images::TemplateImagesCommand;
use crate::vnet::VnetCommand;
use crate::vntemplate::VnTemplateCommand;
use crate::vrouter::VrouterCommand;

/// A command.
#[derive(Clone, Debug)]
pub enum Command {
    /// `one.*.update`.
    Update {
        /// Kind.
        kind: Kind,
        /// Object.
        id: Id,
        /// New attributes.
        template: Template,
        /// Whether they are added to the old ones.
        append: bool,
    },
    /// `one.*.rename`.
    Rename {
        /// Kind.
        kind: Kind,
        /// Object.
        id: Id,
        /// New name.
        name: String,
    },
    /// `one.*.chmod`.
    Chmod {
        /// Kind.
        kind: Kind,
        /// Object.
        id: Id,
        /// 1 sets, 0 clears, -1 keeps.
        bits: [i32; 9],
    },
    /// `one.*.chown`; -1 keeps.
    Chown {
        /// Kind.
        kind: Kind,
        /// Object.
        id: Id,
        /// New owner.
        uid: Id,
        /// New group.
        gid: Id,
    },
    /// `one.*.delete`.
    Delete {
        /// Kind.
        kind: Kind,
        /// Object.
        id: Id,
    },
    /// `one.*.lock` (level 1 to 3) and `one.*.unlock` (0).
    Lock {
        /// Kind.
        kind: Kind,
        /// Object.
        id: Id,
        /// Level.
        level: i32,
        /// Refuse if it is locked already.
        test: bool,
    },
    /// `one.user.allocate`.
    UserAllocate {
        /// Name.
        name: String,
        /// Password in the form in which it is stored.
        password: String,
        /// Authentication driver.
        driver: String,
        /// Groups, the primary one first.
        groups: Vec<Id>,
    },
    /// `one.user.passwd`.
    UserPasswd {
        /// User.
        id: Id,
        /// Password in the form in which it is stored.
        password: String,
    },
    /// `one.user.chgrp`.
    UserChgrp {
        /// User.
        id: Id,
        /// New primary group.
        gid: Id,
    },
    /// `one.user.addgroup` and `one.user.delgroup`.
    UserGroup {
        /// User.
        id: Id,
        /// Group.
        gid: Id,
        /// Add or remove.
        add: bool,
    },
    /// `one.user.chauth`.
    UserChauth {
        /// User.
        id: Id,
        /// Authentication driver; empty keeps it.
        driver: String,
        /// Password in the form in which it is stored; empty keeps it.
        password: String,
    },
    /// `one.zone.enable`.
    ZoneEnable {
        /// Zone.
        id: Id,
        /// Whether it may be changed.
        enable: bool,
    },
    /// `one.user.enable`.
    UserEnable {
        /// User.
        id: Id,
        /// Whether it may log in.
        enable: bool,
    },
    /// `one.user.login`.
    UserLogin {
        /// User name.
        name: String,
        /// Hash of the token.
        hash: String,
        /// Seconds it holds; 0 deletes, -1 for ever.
        valid: i64,
        /// Group it is limited to; -1 none.
        egid: Id,
        /// Whether the call named a token.
        named: bool,
    },
    /// What an authentication driver says of a user.
    External(ExternalCommand),
    /// `one.group.allocate`.
    GroupAllocate {
        /// Name.
        name: String,
    },
    /// `one.cluster.allocate`.
    ClusterAllocate {
        /// Name.
        name: String,
    },
    /// `one.cluster.add*` and `del*`.
    ClusterMember {
        /// Cluster.
        id: Id,
        /// Member.
        member: Member,
        /// Add or remove.
        add: bool,
    },
    /// `one.host.allocate`.
    HostAllocate {
        /// Name.
        name: String,
        /// Monitoring driver.
        im_mad: String,
        /// Hypervisor driver.
        vm_mad: String,
        /// Cluster; -1 the default one.
        cluster: Id,
    },
    /// `one.host.status`.
    HostSetStatus {
        /// Host.
        id: Id,
        /// What is wanted.
        status: HostStatus,
    },
    /// The link to a host reports.
    HostReported {
        /// Host.
        id: Id,
        /// What.
        report: HostReport,
    },
    /// `one.datastore.allocate`.
    DatastoreAllocate {
        /// Attributes.
        template: Template,
        /// Cluster; -1 the default one.
        cluster: Id,
    },
    /// `one.datastore.enable`.
    DatastoreEnable {
        /// Datastore.
        id: Id,
        /// Whether VMs may be placed on it.
        enable: bool,
    },
    /// On access control rules.
    Acl(AclCommand),
    /// `one.group.addadmin` and `one.group.deladmin`.
    GroupAdmin {
        /// Group.
        id: Id,
        /// User.
        uid: Id,
        /// Add or remove.
        add: bool,
    },
    /// `one.group.vlan`.
    GroupVlan {
        /// Group.
        id: Id,
        /// `RULE=[ID=…, SCOPE=…]`, which replace those there are.
        template: Template,
    },
    /// On quotas.
    Quota(QuotaCommand),
    /// On documents.
    Document(DocumentCommand),
    /// `one.vmpool.calculateshowback`: what some VMs cost in some months.
    ShowbackPut {
        /// The costs.
        rows: Vec<Showback>,
    },
    /// `one.image.allocate`.
    ImageAllocate {
        /// Attributes.
        template: Template,
        /// Datastore.
        datastore: Id,
        /// What was found out about its source.
        spec: ImageSpec,
    },
    /// `one.image.enable`.
    ImageEnable {
        /// Image.
        id: Id,
        /// Whether it may be used.
        enable: bool,
    },
    /// `one.image.persistent`.
    ImagePersistent {
        /// Image.
        id: Id,
        /// Whether VMs write to it.
        persistent: bool,
    },
    /// `one.image.chtype`.
    ImageChtype {
        /// Image.
        id: Id,
        /// New type.
        kind: String,
    },
    /// `one.image.clone`.
    ImageClone {
        /// Image.
        id: Id,
        /// Name of the copy.
        name: String,
        /// Datastore; -1 the same.
        datastore: Id,
    },
    /// `one.image.snapshotdelete`, `snapshotrevert` and `snapshotflatten`.
    ImageSnapshot {
        /// Image.
        id: Id,
        /// What becomes of which snapshot.
        work: ImageSnapshot,
    },
    /// `one.image.restore`.
    ImageRestore {
        /// Backup image.
        id: Id,
        /// Image datastore.
        datastore: Id,
        /// NAME, NO_IP, NO_NIC, INCREMENT_ID, DISK_ID.
        options: Template,
    },
    /// `one.vn.allocate`.
    VnetAllocate {
        /// Attributes.
        template: Template,
        /// Cluster; -1 the default one.
        cluster: Id,
    },
    /// `one.vn.add_ar`.
    VnetAddRange {
        /// Network.
        id: Id,
        /// `AR=[…]`.
        template: Template,
    },
    /// `one.vn.rm_ar`.
    VnetRemoveRange {
        /// Network.
        id: Id,
        /// Range.
        range: Id,
        /// Even with leases in use.
        force: bool,
    },
    /// `one.vn.hold` and `one.vn.release`.
    VnetHold {
        /// Network.
        id: Id,
        /// `LEASES=[…]`.
        template: Template,
        /// Hold or release.
        hold: bool,
    },
    /// On networks.
    Vnet(VnetCommand),
    /// On network templates.
    VnTemplate(VnTemplateCommand),
    /// On security groups.
    Secgroup(SecgroupCommand),
    /// On virtual routers.
    Vrouter(VrouterCommand),
    /// On VDCs.
    Vdc(VdcCommand),
    /// On VM groups.
    VmGroup(VmGroupCommand),
    /// `one.secgroup.allocate`.
    SecgroupAllocate {
        /// Attributes.
        template: Template,
    },
    /// `one.template.allocate`.
    TemplateAllocate {
        /// Attributes.
        template: Template,
    },
    /// `one.template.clone`.
    TemplateClone {
        /// Template.
        id: Id,
        /// Name of the copy.
        name: String,
    },
    /// On a VM template and the images of its disks.
    TemplateImages(TemplateImagesCommand),
    /// `one.template.instantiate`.
    TemplateInstantiate {
        /// Template.
        id: Id,
        /// Name of the VM; empty for one made of the template's.
        name: String,
        /// On hold.
        hold: bool,
        /// Attributes to merge.
        extra: Template,
        /// Of a copy of the template and its images, which keep what the VM writes.
        persistent: bool,
    },
    /// `one.vm.allocate`.
    VmAllocate {
        /// Attributes.
        template: Template,
        /// On hold.
        hold: bool,
    },
    /// `one.vm.deploy`, also what the scheduler does.
    VmDeploy {
        /// VM.
        id: Id,
        /// Host.
        host: Id,
        /// Whether the host must have room.
        enforce: bool,
        /// System datastore; -1 the one used last, or the first that fits.
        datastore: Id,
    },
    /// `one.vm.migrate`, also what the scheduler does with VMs marked for it.
    VmMigrate {
        /// VM.
        id: Id,
        /// Where to and how.
        migration: Migration,
    },
    /// `one.vm.resize`.
    VmResize {
        /// VM.
        id: Id,
        /// CPU, VCPU and MEMORY; 0 keeps.
        template: Template,
        /// Whether the host must have room.
        enforce: bool,
    },
    /// `one.vm.updateconf`.
    VmUpdateConf {
        /// VM.
        id: Id,
        /// New attributes.
        template: Template,
        /// Whether they are added to the old ones.
        append: bool,
    },
    /// Changes of a VM's devices.
    VmDevice {
        /// VM.
        id: Id,
        /// What.
        command: VmDeviceCommand,
    },
    /// `one.vm.exec`, `retryexec` and `cancelexec`.
    VmExec {
        /// VM.
        id: Id,
        /// What.
        command: GuestCommand,
    },
    /// Backups of a VM.
    VmBackup {
        /// VM.
        id: Id,
        /// What.
        command: VmBackupCommand,
    },
    /// `one.vm.action`.
    VmAction {
        /// VM.
        id: Id,
        /// Name of the action, as called.
        name: String,
        /// The action.
        event: Event,
    },
    /// On hooks and their executions.
    Hook(HookCommand),
    /// A command by a call that hooks name: they are run whatever comes of it.
    Called {
        /// The call.
        call: Arc<ApiCall>,
        /// What it asks for.
        command: Box<Self>,
    },
    /// On marketplaces and their appliances.
    Market(MarketCommand),
    /// On backup jobs.
    BackupJob(BackupJobCommand),
    /// On scheduled actions.
    Sched(SchedCommand),
    /// A scheduled action is due. It is done in the name of its object's owner, unless it has been done, changed or
    /// deleted since.
    SchedDue {
        /// Scheduled action.
        id: Id,
        /// When it was to be done.
        time: Seconds,
    },
    /// `one.vm.recover`.
    VmRecover {
        /// VM.
        id: Id,
        /// How.
        recover: Recover,
    },
    /// The scheduler says why a VM waits. Written to the VM only when it differs.
    VmPlacementRefused {
        /// VM.
        id: Id,
        /// Reason, in a line.
        message: String,
        /// Host, code of the reason, reason: for programs that want to know.
        verdicts: Vec<(Id, String, String)>,
    },
    /// An intent ended.
    IntentEnded {
        /// Which.
        key: IntentKey,
        /// How.
        result: IntentResult,
    },
    /// A domain was seen.
    DomainSeen {
        /// Host it was seen on.
        host: Id,
        /// VM.
        vm: Id,
        /// How it has ended; `None` where it runs.
        end: Option<DomainEnd>,
    },
    /// On VMs that are to start again by themselves.
    Autostart(AutostartCommand),
    /// On hosts that do not answer and their VMs.
    Failure(FailureCommand),
}

impl Command {
    /// Whether somebody asks for it, so that it can be refused. The others say what has happened.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        if let Self::Called { command, .. } = self {
            return command.is_asked_for();
        }
        !matches!(
            self,
            Self::HostReported { .. }
                | Self::VmPlacementRefused { .. }
                | Self::IntentEnded { .. }
                | Self::DomainSeen { .. }
                | Self::Autostart(_)
                | Self::Failure(_)
                | Self::SchedDue { .. }
                | Self::Hook(HookCommand::Begun { .. } | HookCommand::Ended { .. })
        )
    }
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Id of the object it was about.
    Id(Id),
    /// A text.
    Text(String),
    /// Nothing to say (commands from within).
    Nothing,
}

/// Who gives a command: a user through the API, or the system itself.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who.
    pub caller: Caller,
    /// What.
    pub command: Command,
}
