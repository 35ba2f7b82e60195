//! Files of programs for browsers that the system's packages install: noVNC, spice-html5, xterm.js.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::StatusCode;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::Refused;
use super::bundle::{BundleError, bundle};

/// Largest file of a package, in bytes; their own have some 100 KiB.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A program for browsers.
pub(super) struct Package {
    /// What people call it.
    pub(super) name: &'static str,
    /// The package that installs it.
    pub(super) package: &'static str,
    /// The file without which it is not there.
    pub(super) main: &'static str,
    /// The directories whose scripts pages need; the empty one is that of the program itself.
    pub(super) directories: &'static [&'static str],
}

/// Shows screens by VNC.
pub(super) const NOVNC: Package = Package {
    name: "noVNC",
    package: "novnc",
    main: "core/rfb.js",
    directories: &["core/", "vendor/"],
};

/// Shows screens by SPICE.
pub(super) const SPICE: Package = Package {
    name: "spice-html5",
    package: "spice-html5",
    main: "main.js",
    directories: &["", "thirdparty/"],
};

/// A terminal. Its scripts are had as one only, see [`Package::bundled`].
pub(super) const XTERM: Package = Package {
    name: "xterm.js",
    package: "node-xterm",
    main: "lib/xterm.js",
    directories: &[],
};

/// Where the style of xterm.js is, in its versions.
const XTERM_STYLES: [&str; 2] = ["lib/xterm.css", "css/xterm.css"];

impl Package {
    /// Refuses when the package is not installed at `directory`.
    pub(super) fn installed(&self, directory: &Path) -> Result<(), Refused> {
        self.read(directory, Path::new(self.main)).map(drop)
    }

    /// A script that pages need, by its name within the package.
    pub(super) fn script(&self, directory: &Path, name: &str) -> Result<Vec<u8>, Refused> {
        let name = self.script_name(name).ok_or_else(nothing)?;
        self.read(directory, &name)
    }

    /// All scripts of the package that its main one needs, as one that gives them as the constant `name`.
    pub(super) fn bundled(&self, directory: &Path, name: &str) -> Result<String, Refused> {
        bundle(name, self.main, |path| beneath_read(directory, Path::new(path))).map_err(
            |error| match error {
                BundleError::Module(path, error) if path == self.main => self.refusal(directory, error),
                error => {
                    tracing::warn!(%error, "{} in {} cannot be used", self.name, directory.display());
                    Refused::new(
                        StatusCode::NOT_FOUND,
                        format!(
                            "{} in {} cannot be used: {error}. Install it again on the front-end: \
                         apt install --reinstall {}.",
                            self.name,
                            directory.display(),
                            self.package
                        ),
                    )
                }
            },
        )
    }

    fn read(&self, directory: &Path, name: &Path) -> Result<Vec<u8>, Refused> {
        beneath_read(directory, name).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR if directory.join(self.main).exists() => nothing(),
            error => self.refusal(directory, error),
        })
    }

    fn refusal(&self, directory: &Path, error: Errno) -> Refused {
        if !matches!(error, Errno::NOENT | Errno::NOTDIR) {
            tracing::warn!(%error, "a file of {} in {} cannot be read", self.name, directory.display());
            return nothing();
        }
        Refused::new(
            StatusCode::NOT_FOUND,
            format!(
                "This page needs {}, and {} has no {}. Install it on the front-end: apt install {}.",
                self.name,
                directory.display(),
                self.main,
                self.package
            ),
        )
    }

    /// The path of a script within the package: plain words, none hidden.
    fn script_name(&self, name: &str) -> Option<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let inside = self.directories.iter().any(|directory| match *directory {
            "" => !name.contains('/'),
            directory => name.starts_with(directory),
        });
        let good = inside
            && name.ends_with(".js")
            && name
                .split('/')
                .all(|word| !word.is_empty() && !word.starts_with('.') && word.bytes().all(plain));
        good.then(|| PathBuf::from(name))
    }
}

/// The style of xterm.js.
pub(super) fn xterm_style(directory: &Path) -> Result<Vec<u8>, Refused> {
    let styles = XTERM_STYLES.iter().map(Path::new);
    styles
        .filter_map(|style| beneath_read(directory, style).ok())
        .next()
        .ok_or_else(nothing)
}

/// Refuses a path at which there is nothing.
pub(super) fn nothing() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "There is nothing at this path. Consoles are at /console/vnc.html, spice.html and serial.html (onevm vnc, spice or \
         console ID --web gives the address), tokens at POST /console/token, the WebSocket at /console/ws.",
    )
}

/// A file beneath a directory; links that lead out of it lead nowhere.
fn beneath_read(directory: &Path, name: &Path) -> Result<Vec<u8>, Errno> {
    let root = open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat2(&root, name, flags, Mode::empty(), ResolveFlags::BENEATH)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::NOENT);
    }
    let mut bytes = Vec::new();
    let read = File::from(file).take(FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(Errno::FBIG);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_of_packages_have_names() {
        for (package, name, good) in [
            (&NOVNC, "core/rfb.js", true),
            (&NOVNC, "vendor/pako/lib/zlib/inflate.js", true),
            (&NOVNC, "", false),
            (&NOVNC, "rfb.js", false),
            (&NOVNC, "core/", false),
            (&NOVNC, "core/rfb.css", false),
            (&NOVNC, "app/ui.js", false),
            (&NOVNC, "core/../app/ui.js", false),
            (&NOVNC, "core/.hidden.js", false),
            (&NOVNC, "core//rfb.js", false),
            (&NOVNC, "core/%2e%2e/x.js", false),
            (&NOVNC, "/etc/passwd", false),
            (&NOVNC, "core/x\0.js", false),
            (&SPICE, "main.js", true),
            (&SPICE, "thirdparty/jsbn.js", true),
            (&SPICE, "spice.html", false),
            (&SPICE, "other/main.js", false),
            (&SPICE, "../main.js", false),
            (&XTERM, "lib/xterm.js", false),
        ] {
            assert_eq!(
                package.script_name(name).is_some(),
                good,
                "{} {name}",
                package.name
            );
        }
    }
}
