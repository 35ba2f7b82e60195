//! HTTP/1.1 over one TCP connection that is kept open between calls.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::error::ClientError;
use crate::stream::Stream;

/// How many bytes one header block may have.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// How much is read from the connection at once.
const READ_BYTES: usize = 64 << 10;

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted and the server's certificate looked at.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path of the request, beginning with a slash.
    pub path: String,
}

impl Address {
    /// Reads `http://host[:port][/path]` and the same with `https://`. Left out, the port is 2633 (443 of https, where
    /// proxies listen) and the path /RPC2.
    pub fn parse(endpoint: &str) -> Result<Self, ClientError> {
        let bad = |reason| ClientError::Endpoint {
            endpoint: endpoint.to_owned(),
            reason,
        };
        let (tls, rest) = if let Some(rest) = endpoint.strip_prefix("http://") {
            (false, rest)
        } else if let Some(rest) = endpoint.strip_prefix("https://") {
            (true, rest)
        } else {
            return Err(bad("it begins with neither http:// nor https://"));
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/RPC2"),
        };
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, tail) = bracketed
                .split_once(']')
                .ok_or_else(|| bad("the bracket is not closed"))?;
            (host, tail.strip_prefix(':'))
        } else {
            match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let port = match port {
            Some(text) => text.parse().map_err(|_| bad("the port is no number"))?,
            None if tls => 443,
            None => 2633,
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        })
    }

    /// Host and port for messages and the Host header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Bytes read but not used yet.
    pending: Vec<u8>,
    /// The server announced that it closes after the last answer.
    closing: bool,
}

/// What is sent with one request.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to.
    pub path: &'a str,
    /// The kind of the body.
    pub kind: &'a str,
    /// Further lines of the head, each with its end.
    pub lines: &'a str,
    /// The body.
    pub body: &'a str,
}

/// What arrived for one request.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The text behind the status.
    pub reason: String,
    /// The body, decoded.
    pub body: Vec<u8>,
}

/// Why an exchange failed.
#[derive(Debug)]
pub enum ExchangeError {
    /// The system's error, and whether any byte of the answer had arrived.
    Io(io::Error, bool),
    /// The answer is larger than allowed.
    TooLarge,
    /// The answer is not HTTP.
    Malformed(&'static str),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        ExchangeError::Io(error, true)
    }
}

impl Connection {
    /// Connects within `limit`, trying each address of the host; by TLS where `tls` is given.
    pub fn open(address: &Address, tls: Option<Arc<ClientConfig>>, limit: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for target in (address.host.as_str(), address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&target, limit) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self {
                        stream: match tls {
                            Some(config) => Stream::encrypt(stream, &address.host, config, limit)?,
                            None => Stream::Plain(stream),
                        },
                        pending: Vec::new(),
                        closing: false,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether the next request may go this way: the server has neither closed nor sent anything unasked.
    pub fn is_usable(&self) -> bool {
        let tcp = self.stream.tcp();
        if self.closing || !self.pending.is_empty() || tcp.set_nonblocking(true).is_err() {
            return false;
        }
        let quiet = match tcp.peek(&mut [0; 1]) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => false,
        };
        tcp.set_nonblocking(false).is_ok() && quiet
    }

    /// Sends one POST and reads its answer, all within `limit`, with a body of at most `body_max` bytes.
    pub fn exchange(
        &mut self,
        address: &Address,
        outgoing: Outgoing<'_>,
        limit: Duration,
        body_max: usize,
    ) -> Result<Response, ExchangeError> {
        let deadline = Instant::now() + limit;
        self.deadline_apply(deadline)?;
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: plerion/{}\r\nContent-Type: {}\r\n{}\
             Content-Length: {}\r\n\r\n{}",
            outgoing.path,
            address.authority(),
            env!("CARGO_PKG_VERSION"),
            outgoing.kind,
            outgoing.lines,
            outgoing.body.len(),
            outgoing.body,
        );
        self.stream
            .write_all(request.as_bytes())
            .and_then(|()| self.stream.flush())
            .map_err(|error| ExchangeError::Io(error, false))?;
        let mut head = Head::parse(&self.head_read(deadline)?)?;
        while head.status == 100 {
            head = Head::parse(&self.head_read(deadline)?)?;
        }
        let body = self.body_read(&head, deadline, body_max)?;
        self.closing = head.close;
        Ok(Response {
            status: head.status,
            reason: head.reason,
            body,
        })
    }

    fn deadline_apply(&self, deadline: Instant) -> Result<(), ExchangeError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        self.stream.tcp().set_read_timeout(Some(left))?;
        self.stream.tcp().set_write_timeout(Some(left))?;
        Ok(())
    }

    /// Reads some more bytes; zero means the server closed.
    fn more_read(&mut self, deadline: Instant) -> Result<usize, ExchangeError> {
        self.deadline_apply(deadline)?;
        let before = self.pending.len();
        self.pending.resize(before + READ_BYTES, 0);
        loop {
            match self.stream.read(&mut self.pending[before..]) {
                Ok(count) => {
                    self.pending.truncate(before + count);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.pending.truncate(before);
                    return Err(error.into());
                }
            }
        }
    }

    /// Takes the bytes up to and including the first `mark`, reading as needed.
    fn until_take(&mut self, mark: &[u8], max: usize, deadline: Instant) -> Result<Vec<u8>, ExchangeError> {
        let mut searched = 0;
        loop {
            let from = searched.min(self.pending.len());
            if let Some(at) = self.pending[from..]
                .windows(mark.len())
                .position(|window| window == mark)
            {
                let end = from + at + mark.len();
                let rest = self.pending.split_off(end);
                return Ok(std::mem::replace(&mut self.pending, rest));
            }
            if self.pending.len() > max {
                return Err(ExchangeError::Malformed(
                    "a header or chunk size line is too long",
                ));
            }
            searched = self.pending.len().saturating_sub(mark.len() - 1);
            if self.more_read(deadline)? == 0 {
                return Err(closed_early());
            }
        }
    }

    fn head_read(&mut self, deadline: Instant) -> Result<Vec<u8>, ExchangeError> {
        let none_yet = self.pending.is_empty();
        if none_yet {
            match self.more_read(deadline) {
                Ok(0) => return Err(ExchangeError::Io(io::ErrorKind::UnexpectedEof.into(), false)),
                Err(ExchangeError::Io(error, _)) => return Err(ExchangeError::Io(error, false)),
                other => other?,
            };
        }
        self.until_take(b"\r\n\r\n", HEADER_BYTES_MAX, deadline)
    }

    fn exactly_take(&mut self, count: usize, deadline: Instant) -> Result<Vec<u8>, ExchangeError> {
        while self.pending.len() < count {
            if self.more_read(deadline)? == 0 {
                return Err(closed_early());
            }
        }
        let rest = self.pending.split_off(count);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    fn body_read(&mut self, head: &Head, deadline: Instant, max: usize) -> Result<Vec<u8>, ExchangeError> {
        if head.chunked {
            return self.chunks_read(deadline, max);
        }
        if let Some(length) = head.length {
            if length > max {
                return Err(ExchangeError::TooLarge);
            }
            return self.exactly_take(length, deadline);
        }
        // Neither length nor chunks: the body lasts until the server closes.
        self.closing = true;
        loop {
            if self.pending.len() > max {
                return Err(ExchangeError::TooLarge);
            }
            if self.more_read(deadline)? == 0 {
                return Ok(std::mem::take(&mut self.pending));
            }
        }
    }

    fn chunks_read(&mut self, deadline: Instant, max: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut body = Vec::new();
        loop {
            let line = self.until_take(b"\r\n", HEADER_BYTES_MAX, deadline)?;
            let line = String::from_utf8_lossy(&line);
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| ExchangeError::Malformed("a chunk has no size"))?;
            if size > max - body.len() {
                return Err(ExchangeError::TooLarge);
            }
            if size == 0 {
                // Trailers, if any, end with an empty line.
                while self.until_take(b"\r\n", HEADER_BYTES_MAX, deadline)? != b"\r\n" {}
                return Ok(body);
            }
            body.extend_from_slice(&self.exactly_take(size, deadline)?);
            if self.exactly_take(2, deadline)? != b"\r\n" {
                return Err(ExchangeError::Malformed("a chunk does not end where it says"));
            }
        }
    }
}

fn closed_early() -> ExchangeError {
    ExchangeError::Io(
        io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it early"),
        true,
    )
}

/// What matters of a header block.
#[derive(Debug)]
struct Head {
    status: u16,
    reason: String,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

impl Head {
    fn parse(block: &[u8]) -> Result<Self, ExchangeError> {
        let text = String::from_utf8_lossy(block);
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        if !version.starts_with("HTTP/1.") {
            return Err(ExchangeError::Malformed("it is not HTTP"));
        }
        let status = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or(ExchangeError::Malformed("it has no HTTP status"))?;
        let reason = words.next().unwrap_or_default().trim().to_owned();
        let mut head = Self {
            status,
            reason,
            length: None,
            chunked: false,
            close: version == "HTTP/1.0",
        };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                let length = value
                    .parse()
                    .map_err(|_| ExchangeError::Malformed("its Content-Length is no number"))?;
                head.length = Some(length);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.to_ascii_lowercase().contains("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.close = value.eq_ignore_ascii_case("close")
                    || (head.close && !value.eq_ignore_ascii_case("keep-alive"));
            }
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let address = Address::parse("http://localhost:2633/RPC2").expect("good");
        assert_eq!(
            address,
            Address {
                tls: false,
                host: "localhost".into(),
                port: 2633,
                path: "/RPC2".into()
            }
        );
        assert_eq!(
            Address::parse("http://cloud").expect("good").authority(),
            "cloud:2633"
        );
        assert_eq!(
            Address::parse("http://[::1]:80/x").expect("good").authority(),
            "[::1]:80"
        );
        let encrypted = Address::parse("https://cloud").expect("good");
        assert!(encrypted.tls);
        assert_eq!(encrypted.authority(), "cloud:443");
        for bad in [
            "ftp://cloud/RPC2",
            "https://",
            "cloud:2633",
            "http://",
            "http://a:b/",
            "http://[::1",
        ] {
            assert!(
                matches!(Address::parse(bad), Err(ClientError::Endpoint { .. })),
                "{bad}"
            );
        }
    }
}
