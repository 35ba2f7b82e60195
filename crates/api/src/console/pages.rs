//! The page that shows a screen, and the files of noVNC that it needs.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::Refused;
use crate::xmlrpc::Page;

/// Where the files of noVNC are asked for.
const NOVNC: &str = "/console/novnc/";
/// The directories of noVNC whose files the page needs.
const NOVNC_DIRECTORIES: [&str; 2] = ["core/", "vendor/"];
/// The file without which noVNC is not there.
const NOVNC_MAIN: &str = "core/rfb.js";
/// Largest file of noVNC, in bytes; its own have some 100 KiB.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What the page may do: run scripts of this server, and talk to it ([`policy`]). noVNC paints the pointer from data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers `GET` of the page and what belongs to it. `directory` is where noVNC is installed. Blocks on files.
pub(super) fn page_get(
    directory: &Path,
    method: &Method,
    path: &str,
    host: Option<&str>,
) -> Result<Page, Refused> {
    if method != Method::GET {
        return Err(Refused::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Pages are read with GET.",
        ));
    }
    let page = match path {
        "/console/vnc.html" => {
            novnc_read(directory, NOVNC_MAIN)?;
            Page::of(StatusCode::OK, HTML, include_str!("page/vnc.html"))
        }
        "/console/vnc.js" => Page::of(StatusCode::OK, SCRIPT, include_str!("page/vnc.js")),
        "/console/vnc.css" => Page::of(StatusCode::OK, STYLE, include_str!("page/vnc.css")),
        _ => match path.strip_prefix(NOVNC) {
            Some(name) => Page::of(StatusCode::OK, SCRIPT, novnc_read(directory, name)?),
            None => return Err(nothing()),
        },
    };
    Ok(guarded(page, host))
}

/// With what browsers are to hold to.
fn guarded(page: Page, host: Option<&str>) -> Page {
    [
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, "no-cache"),
    ]
    .into_iter()
    .fold(page, |page, (name, value)| {
        page.header(name, HeaderValue::from_static(value))
    })
    .header(CONTENT_SECURITY_POLICY, policy(host))
}

/// The policy of a page that was asked for at `host`. To some browsers `'self'` means HTTP alone, so the WebSocket is named.
fn policy(host: Option<&str>) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
    let sockets = host
        .filter(|host| host.bytes().all(plain))
        .map_or_else(String::new, |host| format!(" ws://{host} wss://{host}"));
    let text = format!("{POLICY}; connect-src 'self'{sockets}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(POLICY))
}

fn nothing() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "There is nothing at this path. Screens are at /console/vnc.html (onevm vnc ID --web gives the address), \
         tokens at POST /console/token, the WebSocket at /console/ws.",
    )
}

/// A script of noVNC.
fn novnc_read(directory: &Path, name: &str) -> Result<Vec<u8>, Refused> {
    let name = novnc_name(name).ok_or_else(nothing)?;
    let missing = || {
        Refused::new(
            StatusCode::NOT_FOUND,
            format!(
                "The page of screens needs noVNC, and {} has no {NOVNC_MAIN}. Install it on the front-end: \
                 apt install novnc.",
                directory.display()
            ),
        )
    };
    match beneath_read(directory, &name) {
        Ok(bytes) => Ok(bytes),
        Err(Errno::NOENT | Errno::NOTDIR) if directory.join(NOVNC_MAIN).exists() => Err(nothing()),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(missing()),
        Err(error) => {
            tracing::warn!(%error, "{} of noVNC cannot be read", name.display());
            Err(nothing())
        }
    }
}

/// The path of a script within noVNC: plain words, none hidden.
fn novnc_name(name: &str) -> Option<PathBuf> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let words = || name.split('/');
    let good = NOVNC_DIRECTORIES
        .iter()
        .any(|directory| name.starts_with(directory))
        && name.ends_with(".js")
        && words().all(|word| !word.is_empty() && !word.starts_with('.') && word.bytes().all(plain));
    good.then(|| PathBuf::from(name))
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
    fn a_host_adds_nothing_but_its_sockets_to_the_policy() {
        let sockets = |host: Option<&str>| {
            let policy = policy(host);
            let (_, sockets) = policy
                .to_str()
                .expect("text")
                .split_once("connect-src ")
                .expect("named");
            sockets.to_owned()
        };
        assert_eq!(sockets(Some("one:2633")), "'self' ws://one:2633 wss://one:2633");
        assert_eq!(
            sockets(Some("[::1]:2633")),
            "'self' ws://[::1]:2633 wss://[::1]:2633"
        );
        for other in [None, Some("one; script-src *"), Some("one evil"), Some("*")] {
            assert_eq!(sockets(other), "'self'", "{other:?}");
        }
    }

    #[test]
    fn only_scripts_of_novnc_have_names() {
        for good in ["core/rfb.js", "vendor/pako/lib/zlib/inflate.js"] {
            assert!(novnc_name(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "core/",
            "core/rfb.css",
            "app/ui.js",
            "core/../app/ui.js",
            "core/.hidden.js",
            "core//rfb.js",
            "core/%2e%2e/x.js",
            "/etc/passwd",
            "core/x\0.js",
        ] {
            assert!(novnc_name(bad).is_none(), "{bad}");
        }
    }
}
