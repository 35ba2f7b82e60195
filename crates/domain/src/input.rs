//! What a domain description is made from.

use plerion_template::Template;

/// Which accelerator runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// Hardware virtualization (`<domain type='kvm'>`).
    Kvm,
    /// QEMU's emulation, no hardware support needed (`<domain type='qemu'>`).
    Qemu,
}

/// How the system datastore keeps the context CD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextDisk {
    /// A file in the VM directory.
    #[default]
    File,
    /// A block device (`CONTEXT_DISK_TYPE=BLOCK` of the system datastore).
    Block,
}

/// What is known of the host from looking at it, other than its template.
///
/// Attributes of the templates come first; a fact that is unknown takes the value that works everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFacts<'a> {
    /// Machine hardware name, as `uname -m` prints it. Unknown: `x86_64`.
    pub architecture: Option<&'a str>,
    /// 1 or 2. Unknown: the range of CPU shares that both versions accept.
    pub cgroups_version: Option<u32>,
}

/// What the domain carries about its VM for people and tools on the host (`<one:vm>`).
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    /// Path of the system datastore's directory of this VM.
    pub system_datastore: &'a str,
    /// Name of the owner.
    pub uname: &'a str,
    /// Id of the owner.
    pub uid: i32,
    /// Name of the group.
    pub gname: &'a str,
    /// Id of the group.
    pub gid: i32,
    /// Version that the front-end reports to clients.
    pub version: &'a str,
    /// When the VM was created, in seconds since 1970.
    pub stime: i64,
    /// When this description is made, in seconds since 1970.
    pub deployment_time: i64,
}

/// All that [`domain_xml`](crate::domain_xml) looks at.
#[derive(Clone, Copy, Debug)]
pub struct DomainInput<'a> {
    /// Id of the VM; the domain is called `one-<id>`.
    pub vm_id: i32,
    /// Name of the VM; becomes the domain's title.
    pub name: &'a str,
    /// UUID of the domain. Empty: `OS/UUID` of the VM, else libvirt makes one up.
    pub uuid: &'a str,
    /// The VM's template as the core completed it: each DISK has DISK_ID and TARGET, each NIC has NIC_ID.
    pub vm: &'a Template,
    /// Template of the host.
    pub host: &'a Template,
    /// Template of the host's cluster.
    pub cluster: &'a Template,
    /// `vmm_exec_kvm.conf`; may be empty.
    pub driver: &'a Template,
    /// Which accelerator.
    pub hypervisor: Hypervisor,
    /// Directory of the VM on the host, `…/datastores/<datastore>/<vm>`, without a slash at its end.
    pub directory: &'a str,
    /// How the context CD is kept.
    pub context_disk: ContextDisk,
    /// What is known of the host.
    pub host_facts: HostFacts<'a>,
    /// What the domain is to carry about its VM. `None`: nothing.
    pub metadata: Option<Metadata<'a>>,
}
