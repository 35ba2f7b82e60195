//! The pages that show consoles, and what of the system's packages they need.

use std::path::PathBuf;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};

use super::Refused;
use super::packages::{NOVNC, SPICE, XTERM, nothing, xterm_style};
use crate::xmlrpc::Page;

/// Where programs for browsers are installed.
#[derive(Clone, Debug)]
pub struct PageDirectories {
    /// noVNC.
    pub novnc: PathBuf,
    /// spice-html5.
    pub spice: PathBuf,
    /// xterm.js, as modules for Node.js.
    pub xterm: PathBuf,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What a page may do: run scripts of this server, and talk to it ([`policy`]). noVNC paints the pointer from data,
/// spice-html5 plays what it gets; xterm.js and spice-html5 make styles of their own, which can run nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers `GET` of a page and what belongs to it. Blocks on files.
pub(super) fn page_get(
    directories: &PageDirectories,
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
    let name = path.strip_prefix("/console/").ok_or_else(nothing)?;
    let page = match own_get(directories, name)? {
        Some(page) => page,
        None => package_get(directories, name)?,
    };
    Ok(guarded(page, host))
}

/// A page of this server, or a script or style of it.
fn own_get(directories: &PageDirectories, name: &str) -> Result<Option<Page>, Refused> {
    let ok = |kind, text: &'static str| Ok(Some(Page::of(StatusCode::OK, kind, text)));
    match name {
        "vnc.html" => {
            NOVNC.installed(&directories.novnc)?;
            ok(HTML, include_str!("page/vnc.html"))
        }
        "spice.html" => {
            SPICE.installed(&directories.spice)?;
            ok(HTML, include_str!("page/spice.html"))
        }
        "serial.html" => {
            XTERM.installed(&directories.xterm)?;
            ok(HTML, include_str!("page/serial.html"))
        }
        "vnc.js" => ok(SCRIPT, include_str!("page/vnc.js")),
        "spice.js" => ok(SCRIPT, include_str!("page/spice.js")),
        "serial.js" => ok(SCRIPT, include_str!("page/serial.js")),
        "common.js" => ok(SCRIPT, include_str!("page/common.js")),
        "console.css" => ok(STYLE, include_str!("page/console.css")),
        _ => Ok(None),
    }
}

/// A file of a package.
fn package_get(directories: &PageDirectories, name: &str) -> Result<Page, Refused> {
    match name.split_once('/') {
        Some(("novnc", name)) => script(NOVNC.script(&directories.novnc, name)?),
        Some(("spice", name)) => script(SPICE.script(&directories.spice, name)?),
        Some(("xterm", "xterm.js")) => script(XTERM.bundled(&directories.xterm, "xterm")?.into_bytes()),
        Some(("xterm", "xterm.css")) => Ok(Page::of(StatusCode::OK, STYLE, xterm_style(&directories.xterm)?)),
        _ => Err(nothing()),
    }
}

fn script(bytes: Vec<u8>) -> Result<Page, Refused> {
    Ok(Page::of(StatusCode::OK, SCRIPT, bytes))
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
}
