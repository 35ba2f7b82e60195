//! Downloads over http and https.
//!
//! The name is resolved once for each connection, every address is judged, and the connection goes to exactly the
//! addresses judged: a name that answers differently a moment later changes nothing. Proxies of the environment are
//! not used, because what they connect to could not be judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, BodyReader, Error};

use crate::fault::{Act, failed, refused};
use crate::limits::Limits;

/// Redirects that are followed, all within one host.
const REDIRECTS_MAX: u32 = 5;
/// Time to reach the server.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);
/// Time for the server to begin its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);
/// Longest URL.
const URL_BYTES_MAX: usize = 4096;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// A download under way.
pub(crate) struct Download {
    /// Announced length, if any.
    pub(crate) length: Option<u64>,
    /// The content.
    pub(crate) body: BodyReader<'static>,
}

/// Resolves names and refuses addresses that are not public.
#[derive(Debug)]
struct Judge {
    private_allowed: bool,
}

impl Resolver for Judge {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let mut judged = self.empty();
        for address in (host, port).to_socket_addrs()?.take(ADDRESSES_MAX) {
            if !self.private_allowed && !is_public(address.ip()) {
                let text = format!(
                    "{host} is at {}, which is not a public address; an administrator can allow such addresses",
                    address.ip()
                );
                return Err(Error::Io(std::io::Error::new(
                    std::io::ErrorKind::PermissionDenied,
                    text,
                )));
            }
            judged.push(address);
        }
        if judged.is_empty() {
            Err(Error::HostNotFound)
        } else {
            Ok(judged)
        }
    }
}

/// Begins to download `url`.
pub(crate) fn download_begin(url: &str, private_allowed: bool, limits: &Limits) -> Act<Download> {
    let mut uri = url_parse(url)?;
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("plerion/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(limits.remaining()?))
        .timeout_connect(Some(CONNECT_TIME_MAX))
        .timeout_recv_response(Some(ANSWER_TIME_MAX))
        .build();
    let agent = Agent::with_parts(config, DefaultConnector::default(), Judge { private_allowed });
    for _ in 0..=REDIRECTS_MAX {
        let response = agent
            .get(uri.clone())
            .call()
            .map_err(|error| failed(format!("cannot download {uri}: {}", error_text(&error))))?;
        let status = response.status();
        if status.is_redirection() {
            let location = response
                .headers()
                .get("location")
                .and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| failed(format!("{uri} redirects to nowhere")))?;
            uri = redirect_follow(&uri, location)?;
            continue;
        }
        if !status.is_success() {
            return Err(failed(format!(
                "cannot download {uri}: the server answers {status}"
            )));
        }
        let body: Body = response.into_body();
        return Ok(Download {
            length: body.content_length(),
            body: body.into_reader(),
        });
    }
    Err(failed(format!("{url} redirects more than {REDIRECTS_MAX} times")))
}

fn error_text(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn url_parse(url: &str) -> Act<Uri> {
    let uri: Option<Uri> = Some(url)
        .filter(|url| url.len() <= URL_BYTES_MAX)
        .and_then(|url| url.parse().ok());
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or_else(|| refused(format!("{url:?} is not an http or https URL")))
}

/// Where a redirect leads; only the same host and port, and not from https back to http.
fn redirect_follow(from: &Uri, location: &str) -> Act<Uri> {
    let to = if location.starts_with('/') && !location.starts_with("//") {
        let authority = from.authority().map_or("", |authority| authority.as_str());
        url_parse(&format!(
            "{}://{authority}{location}",
            from.scheme_str().unwrap_or("http")
        ))?
    } else {
        url_parse(location)?
    };
    let downgraded = from.scheme_str() == Some("https") && to.scheme_str() == Some("http");
    if to.host() != from.host() || downgraded {
        return Err(refused(format!(
            "{from} redirects to {to}: give that URL instead if it is trusted"
        )));
    }
    Ok(to)
}

/// Whether an address is one of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => v4_is_public(address),
        IpAddr::V6(address) => v6_is_public(address),
    }
}

fn v4_is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(special || shared || protocol || benchmark || a == 0 || a >= 240)
}

fn v6_is_public(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Addresses that carry an IPv4 address are judged by it, or not taken at all.
    if address.to_ipv4_mapped().is_some() || segments[..6] == [0; 6] {
        return false;
    }
    let nat64 = segments[0] == 0x64 && segments[1] == 0xff9b;
    let six_to_four = segments[0] == 0x2002;
    let teredo = segments[0] == 0x2001 && segments[1] == 0;
    let documentation = segments[0] == 0x2001 && segments[1] == 0xdb8;
    let global = segments[0] & 0xe000 == 0x2000;
    global && !(nat64 || six_to_four || teredo || documentation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn addresses_are_judged() {
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "100.64.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
    }

    #[test]
    fn redirects_stay_on_their_host() {
        let from: Uri = "https://example.org/a".parse().expect("a URL");
        assert_eq!(
            redirect_follow(&from, "/b").expect("same host").to_string(),
            "https://example.org/b"
        );
        for bad in [
            "https://example.com/a",
            "//example.com/a",
            "http://example.org/a",
            "file:///etc/passwd",
            "b",
        ] {
            assert!(redirect_follow(&from, bad).is_err(), "{bad}");
        }
    }

    /// Answers one request after another with the given texts.
    fn server(answers: Vec<&'static str>) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") == 1 {
                    request.push(byte[0]);
                }
                stream.write_all(answer.as_bytes()).expect("answered");
            }
        });
        format!("http://{address}")
    }

    #[test]
    fn private_addresses_need_to_be_allowed() {
        let limits = Limits::new(Duration::from_secs(20));
        let url = server(vec![
            "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        ]);
        let error = download_begin(&url, false, &limits).err().expect("refused");
        assert!(error.text.contains("not a public address"), "{}", error.text);
        let port = url.rsplit(':').next().expect("a port");
        let error = download_begin(&format!("http://localhost:{port}/"), false, &limits)
            .err()
            .expect("refused");
        assert!(error.text.contains("not a public address"), "{}", error.text);
        let mut download = download_begin(&url, true, &limits).expect("allowed");
        let mut text = String::new();
        download.body.read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), download.length), ("hello", Some(5)));
    }

    #[test]
    fn only_http_urls_are_taken() {
        for bad in [
            "",
            "file:///etc/passwd",
            "ftp://example.org/",
            "http:///x",
            "example.org",
            "/etc/passwd",
        ] {
            assert!(url_parse(bad).is_err(), "{bad}");
        }
    }
}
