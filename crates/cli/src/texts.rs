//! Texts of help in English and Chinese.

use crate::definition::Command;
use crate::language::Language;

/// Words that frame help.
#[derive(Debug)]
pub struct Headings {
    /// Before a usage line.
    pub usage: &'static str,
    /// Stands for any subcommand.
    pub subcommand: &'static str,
    /// Stands for arguments and options.
    pub rest: &'static str,
    /// Above the subcommands.
    pub subcommands: &'static str,
    /// Above the options.
    pub options: &'static str,
    /// How to learn more; `{}` is the command.
    pub more: &'static str,
}

/// The words that frame help.
pub fn headings(language: Language) -> Headings {
    match language {
        Language::English => Headings {
            usage: "Usage",
            subcommand: "SUBCOMMAND",
            rest: "ARGUMENTS] [OPTIONS",
            subcommands: "Subcommands",
            options: "Options",
            more: "'{} help SUBCOMMAND' explains one of them.",
        },
        Language::Chinese => Headings {
            usage: "用法",
            subcommand: "子命令",
            rest: "参数] [选项",
            subcommands: "子命令",
            options: "选项",
            more: "使用“{} help 子命令”查看单个子命令的说明。",
        },
    }
}

/// What a subcommand does. A text of its own family beats the common one; `{}` is the object's noun.
pub fn subcommand_about(command: &Command, name: &str, language: Language) -> String {
    let own = format!("{} {name}", command.name);
    let found = SUBCOMMANDS
        .iter()
        .find(|(key, ..)| *key == own)
        .or_else(|| SUBCOMMANDS.iter().find(|(key, ..)| *key == name));
    found.map_or_else(String::new, |(_, en, zh)| {
        language
            .pick((en, zh))
            .replace("{}", language.pick(command.kind.noun()))
    })
}

/// What an option means.
pub fn option_about(long: &str, language: Language) -> &'static str {
    OPTIONS
        .iter()
        .find(|(name, ..)| *name == long)
        .map_or("", |(_, en, zh)| language.pick((en, zh)))
}

type Row = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const SUBCOMMANDS: &[Row] = &[
    (
        "onevntemplate instantiate",
        "Makes networks of a network template",
        "用网络模板创建虚拟网络",
    ),
    (
        "onevrouter instantiate",
        "Makes VMs of a virtual router",
        "创建虚拟路由器的虚拟机",
    ),
    (
        "onevrouter nic-attach",
        "Adds a NIC to a virtual router",
        "为虚拟路由器添加网卡",
    ),
    (
        "onevrouter nic-detach",
        "Takes a NIC out of a virtual router",
        "从虚拟路由器移除网卡",
    ),
    ("role-add", "Adds a role to a VM group", "为虚拟机组添加角色"),
    ("role-delete", "Takes a role out of a VM group", "从虚拟机组删除角色"),
    ("role-update", "Changes a role of a VM group", "修改虚拟机组的角色"),
    ("create", "Creates a {}", "创建{}"),
    ("delete", "Deletes the {}", "删除{}"),
    ("update", "Changes the template of the {}: from a file, standard input or an editor", "修改{}的模板：来自文件、标准输入或编辑器"),
    ("rename", "Gives the {} another name", "重命名{}"),
    ("chown", "Gives the {} another owner, and group if one is named", "更改{}的所有者（可同时更改组）"),
    ("chgrp", "Gives the {} another group", "更改{}的组"),
    ("chmod", "Sets the permissions of the {} (owner, group, other; 4 use, 2 manage, 1 admin)", "设置{}的权限（所有者、组、其他；4 使用，2 管理，1 管理员）"),
    ("list", "Lists what there is. The filter is a (all), m (mine), g (mine and my groups'), G (my primary group's), or a user", "列出{}。过滤标志：a 全部，m 自己的，g 自己与所在组的，G 主要组的，或用户"),
    ("top", "Lists again and again", "持续刷新列表"),
    ("show", "Shows one {}", "显示一个{}的详细信息"),
    ("lock", "Forbids changes of the {}, or its use", "锁定{}"),
    ("unlock", "Takes the lock of the {} away", "解除{}的锁定"),
    ("enable", "Enables the {}", "启用{}"),
    ("disable", "Disables the {}", "禁用{}"),
    ("clone", "Makes a copy of the {} under another name", "以新名称复制{}"),
    ("orphans", "Lists ids of objects no template uses", "列出没有被任何模板使用的对象编号"),
    ("quota", "Sets the quotas of one {}", "设置一个{}的配额"),
    ("batchquota", "Sets the quotas of several at once", "批量设置配额"),
    ("defaultquota", "Sets the quotas that hold where an object has none of its own", "设置默认配额"),
    ("onevm create", "Creates a VM from a file, standard input or options", "根据文件、标准输入或选项创建虚拟机"),
    ("onevm deploy", "Starts the VM on a host, and in a datastore if one is named", "在指定主机（及数据存储）上启动虚拟机"),
    ("onevm migrate", "Moves the VM to another host", "把虚拟机迁移到另一台主机"),
    ("onevm hold", "Keeps the VM from being placed", "暂缓调度虚拟机"),
    ("onevm release", "Lets a held VM be placed", "恢复被暂缓虚拟机的调度"),
    ("onevm terminate", "Ends the VM and frees all it has", "终止虚拟机并释放其资源"),
    ("onevm undeploy", "Switches the VM off and takes it from its host", "关闭虚拟机并将其撤离主机"),
    ("onevm poweroff", "Switches the VM off; it stays on its host", "关闭虚拟机，保留在主机上"),
    ("onevm reboot", "Restarts the guest", "重启虚拟机"),
    ("onevm stop", "Saves the VM and takes it from its host", "保存虚拟机状态并撤离主机"),
    ("onevm suspend", "Saves the VM; it stays on its host", "挂起虚拟机，保留在主机上"),
    ("onevm resume", "Starts a VM that was stopped, suspended or switched off", "恢复已停止、挂起或关闭的虚拟机"),
    ("onevm resched", "Marks the VM to be placed anew", "标记虚拟机重新调度"),
    ("onevm unresched", "Takes that mark away", "取消重新调度标记"),
    ("onevm recover", "Gets a stuck VM going again", "恢复卡住的虚拟机"),
    ("onevm wait", "Waits until the VM is in a state (RUNNING unless --state says otherwise)", "等待虚拟机进入某个状态（默认 RUNNING）"),
    ("onevm resize", "Changes CPU and memory", "调整 CPU 与内存"),
    ("onevm updateconf", "Changes the parts of the template that the next boot reads", "修改下次启动时读取的配置"),
    ("onevm disk-attach", "Adds a disk", "添加磁盘"),
    ("onevm disk-detach", "Takes a disk away", "移除磁盘"),
    ("onevm disk-resize", "Makes a disk larger", "扩大磁盘"),
    ("onevm disk-saveas", "Saves a disk as a new image", "把磁盘另存为新镜像"),
    ("onevm disk-snapshot-create", "Takes a snapshot of a disk", "创建磁盘快照"),
    ("onevm disk-snapshot-revert", "Sets a disk back to a snapshot", "将磁盘还原到快照"),
    ("onevm disk-snapshot-delete", "Deletes a snapshot of a disk", "删除磁盘快照"),
    ("onevm disk-snapshot-rename", "Renames a snapshot of a disk", "重命名磁盘快照"),
    ("onevm disk-snapshot-list", "Lists the snapshots of a disk", "列出磁盘快照"),
    ("onevm nic-attach", "Adds a NIC", "添加网卡"),
    ("onevm nic-detach", "Takes a NIC away", "移除网卡"),
    ("onevm nic-update", "Changes a NIC", "修改网卡"),
    ("onevm sg-attach", "Adds a security group to a NIC", "为网卡添加安全组"),
    ("onevm sg-detach", "Takes a security group from a NIC", "从网卡移除安全组"),
    ("onevm pci-attach", "Adds a PCI device", "添加 PCI 设备"),
    ("onevm pci-detach", "Takes a PCI device away", "移除 PCI 设备"),
    ("onevm snapshot-create", "Takes a snapshot of the whole VM", "创建虚拟机快照"),
    ("onevm snapshot-revert", "Sets the VM back to a snapshot", "将虚拟机还原到快照"),
    ("onevm snapshot-delete", "Deletes a snapshot of the VM", "删除虚拟机快照"),
    ("onevm snapshot-list", "Lists the snapshots of the VM", "列出虚拟机快照"),
    ("onevm backup", "Makes a backup", "备份虚拟机"),
    ("onevm backup-cancel", "Ends a backup that is being made", "取消正在进行的备份"),
    ("onevm backupmode", "Sets how backups are made: full or increment", "设置备份方式：full 或 increment"),
    ("onevm restore", "Restores disks from a backup", "从备份恢复磁盘"),
    ("onevm exec", "Runs a command inside the guest", "在客户机内执行命令"),
    ("onevm ssh", "Logs in to the guest by SSH, or runs --cmd there", "通过 SSH 登录客户机，或用 --cmd 在其中执行命令"),
    (
        "onevm port-forward",
        "Prints which ports of the host lead to the guest",
        "显示主机的哪些端口通往客户机",
    ),
    (
        "onevm vnc",
        "Shows the VM's screen in a VNC viewer, through an SSH tunnel to its host",
        "经由到主机的 SSH 隧道，在 VNC 查看器中显示虚拟机屏幕",
    ),
    (
        "onevm spice",
        "Shows the VM's screen in a SPICE viewer, through an SSH tunnel to its host",
        "经由到主机的 SSH 隧道，在 SPICE 查看器中显示虚拟机屏幕",
    ),
    (
        "onevm console",
        "Opens the VM's serial console on this terminal; Ctrl+] leaves it",
        "在本终端打开虚拟机的串行控制台；按 Ctrl+] 退出",
    ),
    ("onevm exec-retry", "Runs the last command again", "重新执行上一条命令"),
    ("onevm exec-cancel", "Ends the command that is running", "取消正在执行的命令"),
    ("onevm sched-delete", "Deletes a scheduled action", "删除计划任务"),
    ("onevm sched-update", "Changes a scheduled action", "修改计划任务"),
    ("onevm delete-chart", "Deletes a scheduled action of a charter", "删除租期中的计划任务"),
    ("onevm update-chart", "Changes a scheduled action of a charter", "修改租期中的计划任务"),
    ("onevm vmgroup-add", "Puts the VM into a role of a VM group", "把虚拟机加入虚拟机组的角色"),
    ("onevm vmgroup-del", "Takes the VM out of its VM group", "把虚拟机移出虚拟机组"),
    ("oneimage restore", "Makes images and a template of a backup", "由备份生成镜像和模板"),
    ("onebackupjob backup", "Backs its VMs up, or plans that", "执行备份，或加入计划"),
    ("onebackupjob cancel", "Ends the run", "取消执行"),
    ("onebackupjob retry", "Tries the VMs again that could not be backed up", "重试备份失败的虚拟机"),
    ("onebackupjob priority", "Sets the priority", "设置优先级"),
    ("onebackupjob sched-delete", "Deletes a scheduled action", "删除计划任务"),
    ("onebackupjob sched-update", "Changes a scheduled action", "修改计划任务"),
    ("onehost offline", "Takes the host out of service altogether", "将主机置为离线"),
    ("onehost sync", "Sends the probes of your own to the hosts again", "重新把自己的探针送到主机"),
    ("onehost flush", "Disables the host and has its VMs moved elsewhere", "禁用主机并迁走其虚拟机"),
    ("onecluster addhost", "Adds a host", "加入主机"),
    ("onecluster delhost", "Takes a host out", "移出主机"),
    ("onecluster adddatastore", "Adds a datastore", "加入数据存储"),
    ("onecluster deldatastore", "Takes a datastore out", "移出数据存储"),
    ("onecluster addvnet", "Adds a virtual network", "加入虚拟网络"),
    ("onecluster delvnet", "Takes a virtual network out", "移出虚拟网络"),
    ("onevdc addgroup", "Adds a group", "加入用户组"),
    ("onevdc delgroup", "Takes a group out", "移出用户组"),
    ("onevdc addcluster", "Adds a cluster of a zone, or ALL", "加入区域中的集群，或 ALL"),
    ("onevdc delcluster", "Takes a cluster of a zone out, or ALL", "移出区域中的集群，或 ALL"),
    ("onevdc addhost", "Adds a host of a zone, or ALL", "加入区域中的主机，或 ALL"),
    ("onevdc delhost", "Takes a host of a zone out, or ALL", "移出区域中的主机，或 ALL"),
    ("onevdc adddatastore", "Adds a datastore of a zone, or ALL", "加入区域中的数据存储，或 ALL"),
    ("onevdc deldatastore", "Takes a datastore of a zone out, or ALL", "移出区域中的数据存储，或 ALL"),
    ("onevdc addvnet", "Adds a virtual network of a zone, or ALL", "加入区域中的虚拟网络，或 ALL"),
    ("onevdc delvnet", "Takes a virtual network of a zone out, or ALL", "移出区域中的虚拟网络，或 ALL"),
    ("onecluster optimize", "Asks for a plan that places the VMs better", "生成优化放置计划"),
    ("onecluster planexecute", "Carries that plan out", "执行优化计划"),
    ("onecluster plandelete", "Throws that plan away", "删除优化计划"),
    ("oneimage create", "Creates an image from a file or options", "根据文件或选项创建镜像"),
    ("oneimage persistent", "Keeps what VMs write to the image", "设为持久镜像"),
    ("oneimage nonpersistent", "Gives each VM a copy of its own", "设为非持久镜像"),
    ("oneimage chtype", "Changes the type of the image", "更改镜像类型"),
    ("oneimage snapshot-delete", "Deletes a snapshot of the image", "删除镜像快照"),
    ("oneimage snapshot-revert", "Sets the image back to a snapshot", "将镜像还原到快照"),
    ("oneimage snapshot-flatten", "Merges the snapshots up to one into the image", "合并镜像快照"),
    ("onevnet addar", "Adds an address range", "添加地址段"),
    ("onevnet rmar", "Deletes an address range", "删除地址段"),
    ("onevnet free", "Gives a reserved address range back", "归还保留的地址段"),
    ("onevnet updatear", "Changes an address range", "修改地址段"),
    ("onevnet hold", "Keeps an address from being given to VMs", "保留一个地址不分配"),
    ("onevnet release", "Lets a held address be given to VMs", "释放被保留的地址"),
    ("onevnet reserve", "Makes a network of some addresses of this one, or adds them to one made so", "从网络中预留一批地址"),
    ("onevnet recover", "Gets a stuck network going again", "恢复卡住的网络"),
    ("onesecgroup commit", "Has the VMs follow the rules", "让虚拟机应用最新规则"),
    ("onetemplate create", "Creates a template from a file, standard input or options", "根据文件、标准输入或选项创建模板"),
    ("onetemplate instantiate", "Makes a VM of the template", "用模板创建虚拟机"),
    ("oneuser passwd", "Gives the user another password", "修改用户密码"),
    ("oneuser chauth", "Changes how the user proves identity", "更改认证方式"),
    ("oneuser chgrp", "Changes the primary group", "更改主要组"),
    ("oneuser addgroup", "Adds the user to a group", "加入次要组"),
    ("oneuser delgroup", "Takes the user out of a group", "移出次要组"),
    ("oneuser umask", "Sets which permissions new objects of the user lack", "设置新建对象的权限掩码"),
    ("oneuser login", "Gets a token that stands for the password for a while", "获取限时登录令牌"),
    ("oneuser token-create", "Gets a token that stands for the password for a while", "创建限时登录令牌"),
    ("oneuser key", "Shows the public key as it is stored for the user of a private one", "显示为私钥所有者保存的公钥"),
    ("oneuser token-set", "Puts a token that is still good into a file, and prints what makes a shell use it", "把有效令牌写入文件，并输出供 shell 使用的语句"),
    ("oneuser token-delete", "Makes a token invalid", "删除令牌"),
    ("oneuser token-delete-all", "Makes all tokens of a user invalid", "删除用户的所有令牌"),
    ("oneuser encode", "Writes name and password so that they can stand in an address", "把用户名和密码转写为可用于地址的形式"),
    ("oneuser passwdsearch", "Lists the users of a driver for whom that text is stored", "列出某认证驱动下保存有该文本的用户"),
    ("onegroup addadmin", "Makes a user an administrator of the group", "设为组管理员"),
    ("onegroup deladmin", "Takes that right away", "取消组管理员"),
    ("onegroup vlan", "Sets which VLANs the group may use", "设置组可用的 VLAN"),
    ("oneacct ", "Lists the stays of VMs on hosts: what they had there, and from when to when", "列出虚拟机在主机上的使用记录：资源与起止时间"),
    ("onehook create", "Makes a hook", "创建 hook"),
    ("onehook retry", "Runs an execution again", "重新执行一次"),
    ("onehook log", "Lists executions of hooks, the newest first", "列出 hook 的执行记录，最新的在前"),
    ("oneshowback list", "Lists what VMs cost in each month", "列出虚拟机每月费用"),
    ("oneshowback calculate", "Calculates what VMs cost, from a first month to a last one", "计算指定月份范围内的虚拟机费用"),
    ("oneacl create", "Creates a rule, for instance \"#5 VM/* USE+MANAGE\"", "创建访问规则，例如 \"#5 VM/* USE+MANAGE\""),
];

#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    ("nic-id", "The NIC to go to, by its number", "按编号指定所用网卡"),
    ("ssh-options", "Options handed to ssh", "传给 ssh 的选项"),
    ("cmd", "A command to run instead of a shell", "要执行的命令（代替交互 shell）"),
    ("float", "Gives the NIC a floating address", "为网卡分配浮动地址"),
    ("verbose", "Says what was done to each object", "显示对每个对象的操作"),
    ("help", "Shows this help", "显示帮助"),
    ("version", "Shows the version", "显示版本"),
    ("user", "Name of the user who calls", "调用者用户名"),
    ("password", "Password or token of that user", "密码或令牌"),
    ("endpoint", "Where the server is, like http://localhost:2633/RPC2", "服务地址，如 http://localhost:2633/RPC2"),
    ("adjust", "Columns that grow to their longest text", "按内容自动加宽的列"),
    ("csv", "Comma separated values", "输出 CSV"),
    ("csv-del", "What separates the values instead of a comma", "CSV 分隔符"),
    ("delay", "Lists again every so many seconds", "每隔若干秒刷新"),
    ("describe", "Explains the columns", "说明各列"),
    ("expand", "Columns that take the room that is left, with their shares", "占用剩余宽度的列及比例"),
    ("extended", "With all there is to know", "包含全部信息"),
    ("filter", "Rows whose columns hold, like STAT=runn or CPU>0", "按列过滤，如 STAT=runn 或 CPU>0"),
    ("json", "JSON", "输出 JSON"),
    ("xml", "XML", "输出 XML"),
    ("yaml", "YAML", "输出 YAML"),
    ("kilobytes", "Sizes in KiB, without unit", "以 KiB 显示大小"),
    ("list", "Columns to show", "要显示的列"),
    ("no-expand", "No column takes the room that is left", "不扩展列宽"),
    ("no-header", "Without the line of names", "不显示表头"),
    ("no-pager", "Not page by page", "不分页"),
    ("numeric", "Ids of users and groups instead of names", "显示用户与组的编号"),
    ("operator", "How filters are joined: AND or OR", "过滤条件的连接：AND 或 OR"),
    ("search", "A query for the database to answer", "由数据库执行的查询"),
    ("size", "A width for a column (NAME=30), or the size of what is made", "列宽（NAME=30），或对象的大小"),
    ("decrypt", "Shows secrets in clear, where that is allowed", "以明文显示加密内容（需授权）"),
    ("all", "Everything: no attribute left out, or no use at all", "全部：不省略属性，或禁止一切操作"),
    ("append", "Adds to the template instead of replacing it", "追加到模板而不是替换"),
    ("admin", "Forbids administration", "禁止管理员级操作"),
    ("manage", "Forbids management", "禁止管理级操作"),
    ("use", "Forbids use", "禁止使用"),
    ("recursive", "Also for the images of the template", "同时作用于模板的镜像"),
    ("cluster", "Cluster it belongs to", "所属集群"),
    ("datastore", "Datastore to use", "使用的数据存储"),
    ("marketplace", "Marketplace to use", "使用的应用市场"),
    ("im", "Information driver", "监控驱动"),
    ("vm", "Hypervisor driver", "虚拟化驱动"),
    ("name", "Name of what is made", "新对象的名称"),
    ("description", "What it is for", "描述"),
    ("type", "Type of the image", "镜像类型"),
    ("persistent", "Keeps what is written", "保留写入的内容"),
    ("prefix", "Prefix of the device name: vd, sd, hd", "设备名前缀：vd、sd、hd"),
    ("target", "Device name", "设备名"),
    ("path", "File or address the content comes from", "内容来源的文件或地址"),
    ("source", "Content that is in the datastore already", "数据存储中已有的内容"),
    ("format", "Format: raw, qcow2, ...", "格式：raw、qcow2 等"),
    ("fs", "File system of an empty image", "空镜像的文件系统"),
    ("disk_type", "Kind of disk: FILE, BLOCK, RBD, ...", "磁盘类别：FILE、BLOCK、RBD 等"),
    ("no_check_capacity", "Even if the datastore lacks room", "不检查容量"),
    ("dry", "Only prints the template", "仅打印模板"),
    (
        "force",
        "Even if it is in use or there already; of a token, in place of the file that is there; of a serial console, takes it from whoever has it",
        "强制执行；对令牌表示覆盖已有文件；对串行控制台表示从当前使用者处接管",
    ),
    ("stdin_password", "The password comes from standard input", "从标准输入读取密码"),
    ("token", "How the token begins", "令牌的开头"),
    ("global", "The token for all groups that ends last", "适用于所有组且最晚失效的令牌"),
    ("resources", "What members may create, like VM+IMAGE; empty for nothing", "组成员可创建的资源，如 VM+IMAGE；留空表示没有"),
    ("extended", "Kept for scripts: lists always have all there is", "为兼容脚本保留：列表总是完整的"),
    ("backup", "Only backups", "仅备份"),
    ("no_ip", "Without the addresses of the VM", "不保留虚拟机的地址"),
    ("no_nic", "Without NICs", "不保留网卡"),
    ("vms", "Ids of VMs, in the order in which they are backed up", "虚拟机编号，按备份顺序"),
    ("mode", "How backups are made: full or increment", "备份方式：full 或 increment"),
    ("keep", "How many backups are kept", "保留的备份数"),
    ("ip", "IPv4 address", "IPv4 地址"),
    ("ip6", "IPv6 address", "IPv6 地址"),
    ("mac", "Hardware address", "MAC 地址"),
    ("ip6_global", "Global IPv6 prefix", "全局 IPv6 前缀"),
    ("ip6_ula", "Local IPv6 prefix", "本地 IPv6 前缀"),
    ("gateway", "Gateway", "网关"),
    ("netmask", "Mask of the network", "子网掩码"),
    ("vlanid", "Number of the VLAN", "VLAN 编号"),
    ("vn_mad", "Network driver", "网络驱动"),
    ("address_range", "Number of the address range", "地址段编号"),
    ("show-ar", "With the attributes of the address ranges", "显示地址段属性"),
    ("success", "As if what failed had worked; of executions, those that succeeded", "视为成功；对执行记录表示成功的执行"),
    ("failure", "As if what is pending had failed", "视为失败"),
    ("retry", "Tries what failed again", "重试失败的操作"),
    ("delete", "Deletes it", "删除"),
    ("recreate", "Deletes it and makes it anew", "删除后重建"),
    ("delete-db", "Only forgets it; nothing is done on the host", "仅从数据库删除，不操作主机"),
    ("recover", "Only VMs that could not follow", "仅针对失败的虚拟机"),
    ("driver", "Authentication driver", "认证驱动"),
    ("read-file", "The password is in the file named", "从文件读取密码"),
    ("key", "File of the private key, else ~/.ssh/id_rsa, or with a certificate X509_USER_KEY", "私钥文件，默认为 ~/.ssh/id_rsa，使用证书时为 X509_USER_KEY"),
    ("cert", "File of the certificate, else X509_USER_CERT; those of authorities may follow in it", "证书文件，默认为 X509_USER_CERT；其后可附颁发机构的证书"),
    ("sha256", "Hashes the password first", "先以 SHA-256 散列密码"),
    ("ssh", "An SSH key: of the user, or in a file; for users, authentication by it; for hosts, by way of SSH", "SSH 公钥（用户的或文件中的）；对用户表示 SSH 认证；对主机表示经由 SSH"),
    ("x509", "Authentication by certificate", "x509 证书认证"),
    ("group", "A group: of the user or token, or whose records are shown", "组：用户或令牌的组，或要显示其记录的组"),
    ("time", "Seconds the token is good; -1 for ever, 0 ends it", "令牌有效秒数；-1 永久，0 立即失效"),
    ("admin_user", "Administrator to create", "要创建的管理员"),
    ("admin_password", "Password of that administrator", "管理员密码"),
    ("admin_driver", "Authentication driver of that administrator", "管理员认证驱动"),
    ("cpu", "CPUs, may have a fraction", "CPU 份额，可为小数"),
    ("vcpu", "CPUs the guest sees", "虚拟 CPU 数"),
    ("memory", "Memory in MiB, or with g or t", "内存，单位 MiB，或带 g、t"),
    ("arch", "Architecture", "体系结构"),
    ("boot", "Devices to boot from, in order", "启动设备顺序"),
    ("disk", "Images: id or name, user[name], and :KEY=VALUE", "镜像：编号或名称、user[名称]，可加 :KEY=VALUE"),
    ("nic", "Networks: id or name, user[name], and :KEY=VALUE", "网络：编号或名称、user[名称]，可加 :KEY=VALUE"),
    ("raw", "Lines for the template, as they are", "原样加入模板的内容"),
    ("vnc", "A display by VNC; for the subcommand vnc, the viewer to start", "启用 VNC；对子命令 vnc 表示要启动的查看器"),
    ("web", "Prints an address that shows it in a browser", "输出可在浏览器中显示的地址"),
    ("vnc-password", "Password of that display", "VNC 密码"),
    ("vnc-listen", "Address that display listens on", "VNC 监听地址"),
    ("vnc-keymap", "Keyboard of that display", "VNC 键盘布局"),
    ("spice", "A display by SPICE; for the subcommand spice, the viewer to start", "启用 SPICE；对子命令 spice 表示要启动的查看器"),
    ("spice-password", "Password of that display", "SPICE 密码"),
    ("spice-listen", "Address that display listens on", "SPICE 监听地址"),
    ("spice-keymap", "Keyboard of that display", "SPICE 键盘布局"),
    ("video", "Video device", "显卡类型"),
    ("video-vram", "Memory of the video device", "显存"),
    ("video-resolution", "Resolution, like 1280x720", "分辨率，如 1280x720"),
    ("video-ats", "Address translation for the video device", "启用显卡 ATS"),
    ("video-iommu", "IOMMU for the video device", "启用显卡 IOMMU"),
    ("net_context", "Network settings for the guest", "加入网络上下文"),
    ("context", "Lines for the guest: NAME=VALUE", "上下文变量：NAME=VALUE"),
    ("files_ds", "Files from file datastores for the guest", "来自文件数据存储的文件"),
    ("init", "Scripts the guest runs at the start", "初始化脚本"),
    ("startscript", "File with a script the guest runs at the start", "启动脚本文件"),
    ("report_ready", "The guest reports when it is ready", "就绪后上报"),
    ("user-inputs", "Answers to the template's questions: NAME=VALUE", "模板问题的答案：NAME=VALUE"),
    ("as_gid", "Group the VMs run as", "以该组运行"),
    ("as_uid", "User the VMs run as", "以该用户运行"),
    ("hold", "Does not start it yet", "创建后暂缓调度"),
    ("multiple", "How many; %i in the name counts", "创建数量；名称中的 %i 为序号"),
    ("hard", "Without waiting for the guest", "强制执行，不等待客户机"),
    ("enforce", "Even if the host lacks room for it / checks the capacity", "强制检查或忽略容量"),
    ("file", "File with the template", "模板文件"),
    ("live", "While the VM runs", "热迁移"),
    ("poff", "Switched off meanwhile", "关机迁移"),
    ("poff-hard", "Cut off meanwhile", "强制关机迁移"),
    ("schedule", "When: MM/DD HH:MM, YYYY-MM-DD HH:MM, or +SECONDS after creation", "时间：MM/DD HH:MM、YYYY-MM-DD HH:MM，或创建后 +秒数"),
    ("hourly", "Again every so many hours", "每隔若干小时"),
    ("weekly", "Again on these days of the week, 0 is Sunday", "每周的哪些天，0 为周日"),
    ("monthly", "Again on these days of the month", "每月的哪些天"),
    ("yearly", "Again on these days of the year", "每年的哪些天"),
    ("end", "Until then; for actions that repeat also so many times", "截止时间；对重复操作也可为重复次数"),
    ("start", "From then on", "起始时间"),
    ("userfilter", "A user, whose records are shown", "只显示该用户的记录"),
    ("host", "A host, whose records are shown", "只显示该主机的记录"),
    ("timezone", "The time zone of times", "时间所用时区"),
    ("split", "A table for each VM", "每个虚拟机单独一个表"),
    ("xpath", "Not there: use -x and a tool for XPath", "不支持：请用 -x 并配合 XPath 工具"),
    ("state", "State to wait for", "等待的状态"),
    ("timeout", "Seconds to wait at most", "最长等待秒数"),
    ("image", "Image to attach", "要添加的镜像"),
    ("cache", "How writes are cached", "缓存方式"),
    ("discard", "How unused blocks are treated", "discard 方式"),
    ("snapshot", "Number of the snapshot to save", "要保存的快照编号"),
    ("network", "Network to attach to", "要接入的网络"),
    ("alias", "NIC to be an alias of", "作为哪块网卡的别名"),
    ("nic_name", "Name of the NIC", "网卡名称"),
    ("pci", "Address of the PCI device", "PCI 设备地址"),
    ("pci_class", "Class of the PCI device", "PCI 设备类别"),
    ("pci_device", "Device id of the PCI device", "PCI 设备编号"),
    ("pci_vendor", "Vendor id of the PCI device", "PCI 厂商编号"),
    ("reset", "Begins a new chain of increments", "重新开始增量链"),
    ("disk-id", "Only this disk", "仅此磁盘"),
    ("increment", "State of this increment", "指定增量编号"),
    ("stdin", "What the command reads", "命令的标准输入"),
    ("execution", "One execution: what it was given and said", "一次执行：参数与输出"),
    ("error", "Those that failed", "失败的执行"),
    ("hook-id", "Those of this hook", "该 hook 的执行"),
    ("since", "Those from then on", "从该时间起"),
    ("until", "Those until then", "到该时间止"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::COMMANDS;
    use crate::parse::GLOBAL_OPTIONS;

    #[test]
    fn everything_is_explained_in_both_languages() {
        for command in COMMANDS {
            for subcommand in command.subcommands {
                for language in [Language::English, Language::Chinese] {
                    let about = subcommand_about(command, subcommand.name, language);
                    assert!(
                        !about.is_empty() && !about.contains("{}"),
                        "{} {}",
                        command.name,
                        subcommand.name
                    );
                    for option in subcommand.all_options().chain(&GLOBAL_OPTIONS) {
                        assert!(
                            !option_about(option.long, language).is_empty(),
                            "--{}",
                            option.long
                        );
                    }
                }
            }
            for column in command.list.columns {
                assert!(
                    !column.about.0.is_empty() && !column.about.1.is_empty(),
                    "{}",
                    column.name
                );
            }
        }
    }

    #[test]
    fn definitions_are_sound() {
        for command in COMMANDS {
            let mut names: Vec<&str> = command.subcommands.iter().map(|entry| entry.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(count, names.len(), "{}: a subcommand twice", command.name);
            for subcommand in command.subcommands {
                let mut longs: Vec<&str> = subcommand.all_options().map(|option| option.long).collect();
                longs.sort_unstable();
                let count = longs.len();
                longs.dedup();
                assert_eq!(
                    count,
                    longs.len(),
                    "{} {}: an option twice",
                    command.name,
                    subcommand.name
                );
                let first_optional = subcommand.args.iter().position(|arg| arg.optional);
                assert!(
                    first_optional.is_none_or(|at| subcommand.args[at..].iter().all(|arg| arg.optional)),
                    "{} {}: an optional argument before a needed one",
                    command.name,
                    subcommand.name
                );
            }
            for name in command.list.shown {
                assert!(
                    command.list.columns.iter().any(|column| column.name == *name),
                    "{name}"
                );
            }
        }
    }
}
