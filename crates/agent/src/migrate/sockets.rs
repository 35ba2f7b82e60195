//! The sockets of one live migration: on each host and on the front-end, connected by SSH.
//!
//! On the host that the domain leaves, libvirt connects to them; on the other one libvirt and QEMU listen on them. So both
//! sides have the same paths, and the front-end's lie between.

use std::path::{Path, PathBuf};

use crate::fault::{Act, IoContext, refused};
use crate::storage::missing_is_fine;

/// Where they are on hosts: where the pushed program is, so that it exists and is oneadmin's.
const DIRECTORY: &str = "/var/tmp/one";
/// libvirt's own socket.
const LIBVIRT: &str = "/run/libvirt/libvirt-sock";
/// Length of a token: hexadecimal digits.
const TOKEN_LENGTH: usize = 16;

/// The sockets on a host.
pub(super) struct Sockets {
    token: String,
}

/// Where libvirt is told to go.
pub(super) struct Route {
    pub(super) libvirt: String,
    pub(super) memory: String,
    pub(super) disks: String,
}

impl Sockets {
    pub(super) fn of(token: &str) -> Act<Self> {
        if token.len() == TOKEN_LENGTH && token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self {
                token: token.to_owned(),
            });
        }
        Err(refused("a migration without a proper token"))
    }

    fn path(&self, what: &str) -> String {
        format!("{DIRECTORY}/migrate.{}.{what}", self.token)
    }

    pub(super) fn route(&self) -> Route {
        Route {
            libvirt: format!("qemu+unix:///system?socket={}", self.path("libvirt")),
            memory: format!("unix://{}", self.path("memory")),
            disks: format!("unix://{}", self.path("disks")),
        }
    }

    /// What the SSH session to the host that the domain leaves forwards to here.
    pub(super) fn leave_forwards(&self, here: &Local) -> Vec<String> {
        let forward = |what: &str| {
            [
                "-R".to_owned(),
                format!("{}:{}", self.path(what), here.path(what)),
            ]
        };
        ["libvirt", "memory", "disks"]
            .into_iter()
            .flat_map(forward)
            .collect()
    }

    /// What the SSH session to the host where it arrives forwards from here.
    pub(super) fn arrive_forwards(&self, here: &Local) -> Vec<String> {
        let forward = |what: &str, there: String| ["-L".to_owned(), format!("{}:{there}", here.path(what))];
        [
            forward("libvirt", LIBVIRT.to_owned()),
            forward("memory", self.path("memory")),
            forward("disks", self.path("disks")),
        ]
        .concat()
    }

    pub(super) fn remove(&self) {
        for what in ["libvirt", "memory", "disks"] {
            socket_remove(PathBuf::from(self.path(what)).as_path());
        }
    }
}

/// The directory of the sockets on the front-end; it goes when dropped.
pub(super) struct Local {
    directory: PathBuf,
}

impl Local {
    pub(super) fn make(token: &str) -> Act<Self> {
        use std::os::unix::fs::DirBuilderExt;
        // The path of a socket is short: the state directory may lie too deep.
        let directory = std::env::temp_dir().join(format!("plerion-{token}"));
        crate::fault::IoContext::at(
            std::fs::DirBuilder::new().mode(0o700).create(&directory),
            "cannot make the directory",
            &directory,
        )?;
        Ok(Self { directory })
    }

    fn path(&self, what: &str) -> String {
        self.directory.join(what).to_string_lossy().into_owned()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, path = %self.directory.display(), "the sockets of a migration are left");
        }
    }
}

/// Removes a socket that may be there.
fn socket_remove(path: &Path) {
    if let Err(error) = missing_is_fine(std::fs::remove_file(path)).at("cannot remove", path) {
        tracing::warn!(%error, "a socket is left");
    }
}
