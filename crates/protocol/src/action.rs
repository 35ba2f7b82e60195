//! What an agent can be asked to do.

use serde::{Deserialize, Serialize};

use crate::bridge::Bridge;
use crate::domain_change::DomainChange;

/// Format of a disk file. It is always said, never guessed from the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFormat {
    /// Raw bytes.
    Raw,
    /// QCOW2.
    Qcow2,
}

impl DiskFormat {
    /// The name that qemu-img and libvirt use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// How to reach a host by SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshTarget {
    /// Host name or address.
    pub host: String,
    /// Further options for the system's ssh, each one argument (`-p`, `2222`, …).
    pub options: Vec<String>,
    /// Path of the program on that host, as pushed.
    pub program: String,
}

/// A disk that is copied while its domain is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorDisk {
    /// Its target (`vda`).
    pub target: String,
    /// Its file, the same on both hosts.
    pub path: String,
    /// Its format.
    pub format: DiskFormat,
}

/// A disk of a running domain that is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskTaken {
    /// Its target (`vda`).
    pub target: String,
    /// File to make.
    pub destination: String,
    /// Format of that file.
    pub format: DiskFormat,
}

/// A mark of a moment, from which on a running domain notes what is written to its disks (a checkpoint of libvirt).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its name, letters and digits.
    pub name: String,
    /// Earlier ones, the newest first. If the domain still has one, copies hold only what has changed since the first that it
    /// has; else they hold all.
    pub since: Vec<String>,
    /// What each copy that holds only changes is to name as the file below it, one a disk.
    pub below: Vec<String>,
}

/// How a guest is kept from writing at the moment that copies of its disks are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// Not at all: the copies are what a power cut would leave.
    #[default]
    None,
    /// Its agent writes out and freezes its file systems.
    Agent,
    /// The domain is paused.
    Suspend,
}

/// One end of a transfer, seen from the agent that does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// A path here.
    Here(String),
    /// A path on another host.
    There(SshTarget, String),
}

/// Where a new image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// A path on the front-end, which must lie beneath one of `safe_dirs` (and none of `restricted_dirs` unless below
    /// a safe one); links are not followed out of them.
    Path {
        /// Absolute path.
        path: String,
        /// Allowed directories.
        safe_dirs: Vec<String>,
    },
    /// An http(s) URL.
    Url {
        /// The URL.
        url: String,
        /// Whether private, loopback and link-local addresses are allowed.
        private_allowed: bool,
    },
}

/// A file for the root of the CONTEXT disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFile {
    /// Plain file name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A file on the host that becomes a file in the root of the CONTEXT disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextCopy {
    /// Plain file name on the disk.
    pub name: String,
    /// Where it is, beneath the roots.
    pub path: String,
}

/// A call of a driver's script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptCall {
    /// Paths relative to the directory of the driver scripts (`tm/NAME/clone.ssh`, `tm/NAME/clone`); the first that
    /// exists is run. It must be an executable file beneath that directory, links resolved.
    pub programs: Vec<String>,
    /// Its arguments, one word each; no shell sees them.
    pub arguments: Vec<ScriptArgument>,
    /// Its standard input.
    pub stdin: String,
    /// Variables beyond those that the agent has itself.
    pub environment: Vec<(String, String)>,
    /// What its standard output means.
    pub reply: ScriptReply,
}

/// One argument of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptArgument {
    /// The word itself.
    Text(String),
    /// `NAME:PATH` with the name of the machine that the agent runs on.
    Here(String),
    /// Path of a file with this content, which the agent writes before and deletes after the call.
    File(ContextFile),
}

/// What the standard output of a script means when it exits with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptReply {
    /// Nothing.
    Nothing,
    /// `SOURCE` or `SOURCE FORMAT` of an image.
    Source,
    /// Size of an image in MiB.
    Size,
    /// `USED_MB=n`, `FREE_MB=n` and `TOTAL_MB=n` of a datastore, or `-` where it is measured in another way.
    Space,
}

/// What is done to a snapshot of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotWork {
    /// It is taken.
    Take,
    /// The disk is what it was in it again.
    Revert,
    /// It is deleted, unless something follows from it.
    Delete,
}

/// What to do. Each is idempotent: done twice it has the effect of once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes `destination` a full copy of `source` (both here; a reflink where the file system can), then grows it to
    /// `size_mib` if that is larger. Links are followed. Missing parent directories are made. The copy appears under
    /// its name only when whole.
    DiskCopy {
        /// Existing file.
        source: String,
        /// File to make.
        destination: String,
        /// Format of both.
        format: DiskFormat,
        /// Size in MiB to grow to.
        size_mib: Option<u64>,
    },
    /// Makes `destination` a QCOW2 overlay on `backing`, in the layout of the shared and qcow2 drivers
    /// (`disk.N -> disk.N.snap/0`, `disk.N.snap/disk.N.snap -> .`).
    DiskOverlay {
        /// Existing file below the overlay.
        backing: String,
        /// Its format.
        backing_format: DiskFormat,
        /// `…/disk.N`.
        destination: String,
        /// Size in MiB to grow to.
        size_mib: Option<u64>,
    },
    /// Makes `destination` what `source` shows, in a file that refers to no other (both here, of one format): the layers
    /// below are merged. Links are followed. It appears under its name only when whole. Where both are one file, which refers
    /// to no other, nothing has to be done.
    DiskFlatten {
        /// Existing file of a disk that nothing has open.
        source: String,
        /// File to make.
        destination: String,
        /// Format of both.
        format: DiskFormat,
    },
    /// Takes, goes back to or deletes a snapshot of a QCOW2 disk that nothing has open (one may be deleted of a disk that
    /// is), in the layout of the shared and qcow2 drivers: what is written goes to `disk.N.snap/S+1` after snapshot `S`.
    DiskSnapshot {
        /// `…/disk.N`, or the file of an image that has been persistent, whose disk is the highest file.
        path: String,
        /// The snapshot's number.
        snapshot: u32,
        /// What to do.
        work: SnapshotWork,
    },
    /// Takes a snapshot as [`Action::DiskSnapshot`] does, of a disk that a running domain has open.
    DomainDiskSnapshot {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// The disk's target (`vda`).
        target: String,
        /// `…/disk.N`.
        path: String,
        /// The snapshot's number.
        snapshot: u32,
    },
    /// Copies disks of a running domain, all as they are at one moment, while its guest goes on writing. The copies refer to
    /// no other file and appear under their names only when all are whole. Stopped when the front-end forgets it.
    DomainDisksCopy {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Disks, at least one.
        disks: Vec<DiskTaken>,
        /// What happens to the guest at that moment.
        #[serde(default)]
        freeze: Freeze,
        /// Whether the copies serve the steps after this one only: they are deleted when the action is forgotten.
        passing: bool,
        /// Marks the moment (of QCOW2 disks only): the output names the size of the copies then, which may hold only what has
        /// changed since an earlier mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// Makes `destination` what the last of some QCOW2 files shows (all here), in a file that refers to no other. Each holds
    /// all, or what has changed since the one before it and names that as the file below it; one that names any other is
    /// refused. The destination may be the last of them. It appears under its name only when whole.
    LayersMerge {
        /// The files, the oldest first.
        layers: Vec<String>,
        /// File to make.
        destination: String,
    },
    /// Makes `destination` a symbolic link to `source`. For QCOW2 images in the layout of the shared and qcow2
    /// drivers: to `<source>.snap/<highest>`, made on first use.
    DiskLink {
        /// Existing file.
        source: String,
        /// Link to make.
        destination: String,
        /// Format of the file.
        format: DiskFormat,
    },
    /// Makes an empty disk. `file_system` makes a file system on it (raw only), `swap` makes it swap space.
    DiskMake {
        /// File to make.
        destination: String,
        /// Its format.
        format: DiskFormat,
        /// Its size in MiB.
        size_mib: u64,
        /// `ext4`, `xfs`, … (mkfs.NAME must exist).
        file_system: Option<String>,
        /// Whether to make it swap space.
        swap: bool,
    },
    /// Deletes a file, link or directory tree (with `<path>.snap`). A missing one is fine.
    PathDelete {
        /// What to delete.
        path: String,
    },
    /// Moves a file back: replaces `destination` by the file at `source` (both here), whole or not at all.
    FileReplace {
        /// Existing file.
        source: String,
        /// File to replace.
        destination: String,
    },
    /// Copies a file or directory tree between hosts, one SSH session of its own: sparse, checksummed, resumable.
    /// Links within a tree are kept as links. Exactly one end is here.
    Transfer {
        /// From.
        source: Location,
        /// To. It appears under its name only when whole.
        destination: Location,
    },
    /// Makes the CONTEXT disk: an ISO 9660 image with Joliet and Rock Ridge and the label CONTEXT.
    ContextMake {
        /// Image to make.
        destination: String,
        /// Its files.
        files: Vec<ContextFile>,
        /// Files on this host that become files of the disk, too.
        #[serde(default)]
        copies: Vec<ContextCopy>,
    },
    /// Takes an image into a datastore: copies or downloads, decompresses (gz, xz, zst, bz2), checks, and refuses a
    /// QCOW2 with a backing or data file.
    ImageRegister {
        /// From where.
        source: ImageSource,
        /// File to make.
        destination: String,
        /// The format it must have; found out from the header when absent (QCOW2 magic, otherwise raw).
        format: Option<DiskFormat>,
        /// Expected digest, `sha256:HEX` or `md5:HEX`, of what is fetched.
        checksum: Option<String>,
        /// Largest result allowed, in MiB.
        size_limit_mib: u64,
    },
    /// Size and format of a possible image source, without taking it.
    ImageStat {
        /// From where.
        source: ImageSource,
    },
    /// Space of the file system of a datastore directory; made when missing.
    DatastoreStat {
        /// The directory.
        path: String,
    },
    /// Starts a domain: writes `files`, makes the bridges, then `virsh create`. A domain of that UUID that runs
    /// already is a success; a domain of that name and another UUID is a failure.
    DomainStart {
        /// Name (`one-ID`).
        name: String,
        /// UUID in the XML.
        uuid: String,
        /// Directory of the VM.
        directory: String,
        /// Text of the domain XML.
        xml: String,
        /// File name within the directory for the XML (`deployment.N`).
        deployment_file: String,
        /// Further small files for the directory (vm.xml, ds.xml).
        files: Vec<ContextFile>,
        /// Bridges that must exist.
        bridges: Vec<Bridge>,
    },
    /// Restores a saved domain from `checkpoint`, then deletes the checkpoint.
    DomainRestore {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Checkpoint file.
        checkpoint: String,
        /// The XML to restore with (paths may have changed).
        xml: String,
        /// Bridges that must exist.
        bridges: Vec<Bridge>,
    },
    /// Makes sure that no domain of that name but this one is there: files are about to be put where it would have its
    /// own.
    DomainAbsent {
        /// Name.
        name: String,
        /// UUID of the one that may be there.
        uuid: String,
    },
    /// Asks the guest to shut down (ACPI) and waits until it has; no such domain is a success.
    DomainShutdown {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
    },
    /// Destroys the domain; no such domain is a success. One of that name and another UUID that runs is a failure: what
    /// comes after would take its files.
    DomainDestroy {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
    },
    /// Saves the domain's memory to `checkpoint` and ends it.
    DomainSave {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Checkpoint file.
        checkpoint: String,
    },
    /// Makes ready for a domain that comes by [`Action::DomainMigrate`]: its directory with these files, and its bridges. A
    /// domain of that name and another UUID is a failure.
    DomainReceive {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Directory of the VM.
        directory: String,
        /// Small files for the directory (vm.xml, ds.xml).
        files: Vec<ContextFile>,
        /// Bridges that must exist.
        bridges: Vec<Bridge>,
    },
    /// Moves a running domain from one host to another while it runs. The front-end's own agent does this: it connects the
    /// two over itself. A domain that runs at its destination and not where it was is a success.
    DomainMigrate {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Directory of the VM, the same on both hosts.
        directory: String,
        /// Where it runs.
        from: SshTarget,
        /// Where it is to run.
        to: SshTarget,
        /// Disks that are copied; none where both hosts see the same files.
        disks: Vec<MirrorDisk>,
    },
    /// Asks the guest to restart.
    DomainReboot {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
    },
    /// Resets the domain.
    DomainReset {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
    },
    /// Puts a file into a CD-ROM drive of a running domain, also where it has that path already: a new file under the name.
    DomainMedia {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// The drive (`sda`).
        target: String,
        /// The file.
        path: String,
    },
    /// Gives a running domain another number of virtual CPUs and another amount of memory (by its balloon).
    DomainResize {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Virtual CPUs; `None` leaves them.
        vcpus: Option<u32>,
        /// Memory in KiB; `None` leaves it.
        memory_kib: Option<u64>,
    },
    /// Changes a domain that runs.
    DomainChange {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// What changes.
        change: DomainChange,
    },
    /// Starts a command in a guest by its guest agent, and does not wait for its end. Done twice it would run twice: an
    /// attempt that was cut off is a failure, and is not made again.
    GuestExec {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// What the guest's shell runs.
        command: String,
        /// Its standard input.
        stdin: String,
    },
    /// Waits until a command that was started in a guest has ended, and takes its output. At the deadline it is ended.
    GuestAwait {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Its process id in the guest.
        pid: i64,
    },
    /// Ends a command that was started in a guest, with what it has started itself.
    GuestKill {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
        /// Its process id in the guest.
        pid: i64,
    },
    /// Runs a script of a driver that is not built in. Only the front-end's own agent does this; such scripts reach
    /// hosts by themselves. Whether doing it twice has the effect of once is up to the script.
    ScriptRun(ScriptCall),
}

/// How a command in a guest ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandEnd {
    /// Its exit status; 128 and the number of the signal for one that a signal has ended.
    pub status: i64,
    /// The beginning of its standard output, in base64.
    pub stdout: String,
    /// The beginning of its standard error, in base64.
    pub stderr: String,
}

/// What an action that worked gives back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionOutput {
    /// UUID of the started domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Virtual size of an image, in MiB, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Format of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
    /// Space of a datastore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<crate::DatastoreSample>,
    /// Where a script stored an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Format of an image as a script calls it; unlike `format` it may be one that is not built in (`rbd`, `vmdk`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_name: Option<String>,
    /// Process id of a command that was started in a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_pid: Option<i64>,
    /// How a command in a guest ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_end: Option<Box<CommandEnd>>,
    /// Microseconds spent in copying data.
    #[serde(default)]
    pub copy_us: u64,
    /// Microseconds spent in virsh.
    #[serde(default)]
    pub virsh_us: u64,
    /// Microseconds from receipt to the end.
    #[serde(default)]
    pub total_us: u64,
}

/// Why an action failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct ActionError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What happened, why, and what to do about it; for people.
    pub text: String,
}

impl ActionError {
    /// An error of a kind with a text.
    #[must_use]
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// Kinds of failure that the front-end treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request contradicts the rules (path outside the roots, bad name); asking again is of no use.
    Refused,
    /// The epoch is lower than one seen before.
    Epoch,
    /// The other end speaks another version of the protocol.
    Version,
    /// It was tried and failed.
    Failed,
    /// It did not end in time.
    Deadline,
    /// It was interrupted (the agent or the host was restarted) and looking at the host could not settle how it ended.
    Interrupted,
    /// The other host that it needs was not reached, or the connection was lost. What was carried over stays there: it
    /// may be asked for again.
    Unreachable,
}
