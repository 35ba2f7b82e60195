//! The headers and bodies of requests for consoles, judged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderName;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use plerion_model::Id;

use super::Refused;
use super::destination::ConsoleKind;
use crate::xmlrpc::PageRequest;

/// The version of WebSocket that there is (RFC 6455).
const WEBSOCKET_VERSION: &str = "13";
/// What the body of a request for a token looks like.
const BODY: &str =
    "Send vm=ID&kind=KIND, with the VM's number, and vnc, spice or serial; for serial also &force=yes.";

/// What a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) vm: Id,
    pub(super) kind: ConsoleKind,
    /// Whoever reads the serial line already is to lose it.
    pub(super) force: bool,
}

/// A header as text, if it is there and is one.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The session string in a request: `user:password`, or a login token in place of the password.
pub(super) fn basic(headers: &HeaderMap) -> Result<String, Refused> {
    let encoded = header_text(headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Basic").then_some(rest.trim())
    });
    let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
    decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Refused::new(
                StatusCode::UNAUTHORIZED,
                "Say who you are: user:password, or user:token, by HTTP Basic authentication.",
            )
        })
}

/// Refuses what a page of another server makes a browser send. Programs that are no browsers name no origin.
pub(super) fn origin_refuse(headers: &HeaderMap) -> Result<(), Refused> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(());
    };
    let authority = origin.to_str().ok().and_then(|origin| {
        let (scheme, authority) = origin.split_once("://")?;
        ["http", "https"].contains(&scheme).then_some((scheme, authority))
    });
    let own = match (authority, header_text(headers, &HOST)) {
        (Some((scheme, origin)), Some(host)) => authority_same(scheme, origin, host),
        _ => false,
    };
    if own && origins.next().is_none() {
        return Ok(());
    }
    Err(Refused::new(
        StatusCode::FORBIDDEN,
        "A page of another server (Origin) asks for a console here. Open the console at this server's own address; \
         a proxy in between has to hand the Host header on.",
    ))
}

/// Whether two `host[:port]` are the same server for a scheme.
fn authority_same(scheme: &str, left: &str, right: &str) -> bool {
    let default = if scheme == "https" { ":443" } else { ":80" };
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(default).map_or(text.clone(), str::to_owned)
    };
    plain(left) == plain(right)
}

/// What a body asks for: `vm=ID&kind=vnc`, with `kind=serial` also `&force=yes`.
pub(super) fn wanted(body: &[u8]) -> Result<Wanted, Refused> {
    let wrong = |what: &str| Refused::new(StatusCode::BAD_REQUEST, format!("{what} {BODY}"));
    let text = str::from_utf8(body).map_err(|_| wrong("The body is no text."))?;
    let mut vm = None;
    let mut kind = ConsoleKind::Vnc;
    let mut force = false;
    for pair in text.trim().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("vm", id)) => vm = id.parse().ok(),
            Some(("kind", word)) => {
                kind =
                    ConsoleKind::of_word(word).ok_or_else(|| wrong("There are no consoles of this kind."))?;
            }
            Some(("force", "yes")) => force = true,
            Some(("force", "no")) => force = false,
            _ => return Err(wrong("The body has a part that is not known.")),
        }
    }
    if force && kind != ConsoleKind::Serial {
        return Err(wrong("A screen is taken from nobody."));
    }
    let vm = vm.ok_or_else(|| wrong("The body names no VM."))?;
    Ok(Wanted { vm, kind, force })
}

/// The token of a request, or nothing.
pub(super) fn token_of(uri: &Uri) -> &str {
    query_part(uri, "token").unwrap_or_default()
}

/// The secret by which a page opens further channels of a screen, if the request has one.
pub(super) fn secret_of(uri: &Uri) -> Option<&str> {
    query_part(uri, "session")
}

fn query_part<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(given, value)| (given == name).then_some(value))
}

/// The key of a request for a WebSocket.
pub(super) fn websocket_key(request: &PageRequest) -> Result<&[u8], Refused> {
    let headers = &request.headers;
    let upgrades = request.version == Version::HTTP_11
        && list_has(headers, &CONNECTION, "upgrade")
        && list_has(headers, &UPGRADE, "websocket");
    let key = headers.get(SEC_WEBSOCKET_KEY);
    match key {
        Some(key) if request.method == Method::GET && upgrades => {
            if header_text(headers, &SEC_WEBSOCKET_VERSION) == Some(WEBSOCKET_VERSION) {
                return Ok(key.as_bytes());
            }
            Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "WebSocket version 13 is spoken here (Sec-WebSocket-Version).",
            ))
        }
        _ => Err(Refused::new(
            StatusCode::UPGRADE_REQUIRED,
            "Consoles are WebSockets: ask for this path with one. A proxy in between has to let Upgrade through.",
        )),
    }
}

/// Whether a subprotocol is among those that the browser speaks.
pub(super) fn subprotocol_offered(headers: &HeaderMap, name: &str) -> bool {
    list_has(headers, &SEC_WEBSOCKET_PROTOCOL, name)
}

/// Whether a header that is a list has a word in it.
fn list_has(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|given| given.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn origin_good(origin: &[&'static str], host: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        for origin in origin {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        origin_refuse(&headers).is_ok()
    }

    #[test]
    fn only_pages_of_this_server_open_consoles() {
        for (origin, host, good) in [
            (&[][..], "one:2633", true),
            (&["http://one:2633"], "one:2633", true),
            (&["https://ONE:2633"], "one:2633", true),
            (&["https://one"], "one:443", true),
            (&["https://one:443"], "one", true),
            (&["http://one:443"], "one", false),
            (&["http://one"], "one:2633", false),
            (&["http://one:2633.evil"], "one:2633", false),
            (&["null"], "one:2633", false),
            (&["file://one:2633"], "one:2633", false),
            (&["http://one:2633", "http://evil"], "one:2633", false),
        ] {
            assert_eq!(origin_good(origin, host), good, "{origin:?} at {host}");
        }
    }

    #[test]
    fn a_body_names_a_vm_and_what_of_it_is_wanted() {
        let read = |text: &str| {
            let wanted = wanted(text.as_bytes()).ok();
            wanted.map(|wanted| (wanted.vm, wanted.kind, wanted.force))
        };
        assert_eq!(read("vm=7&kind=vnc"), Some((7, ConsoleKind::Vnc, false)));
        assert_eq!(read("vm=7\n"), Some((7, ConsoleKind::Vnc, false)));
        assert_eq!(read("kind=spice&vm=7"), Some((7, ConsoleKind::Spice, false)));
        assert_eq!(read("vm=7&kind=serial"), Some((7, ConsoleKind::Serial, false)));
        assert_eq!(
            read("vm=7&kind=serial&force=yes"),
            Some((7, ConsoleKind::Serial, true))
        );
        for wrong in [
            "",
            "kind=vnc",
            "vm=x",
            "vm=7&kind=rdp",
            "vm=7&more=1",
            "7",
            "vm=7&kind=vnc&force=yes",
            "vm=7&kind=serial&force=1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_token_is_one_part_of_the_query() {
        for (uri, token) in [
            ("/console/ws?token=ab", "ab"),
            ("/console/ws?a=b&token=ab", "ab"),
            ("/console/ws", ""),
            ("/console/ws?nottoken=ab", ""),
        ] {
            assert_eq!(token_of(&uri.parse().expect("a URI")), token, "{uri}");
        }
    }
}
