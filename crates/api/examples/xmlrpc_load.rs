//! Measures calls per second over keep-alive connections:
//! `xmlrpc_load [CONNECTIONS [SECONDS [ADDRESS METHOD SESSION [ID]]]]`.
//! Without an address, a server with a trivial method is started in the same process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use plerion_api::xmlrpc::{Answer, Call, Limits, Params, Payload, Service, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Size of the answer of the server in this process, in bytes.
const BODY_BYTES: usize = 4096;

struct Fixed(Bytes);

impl Service for Fixed {
    async fn call(&self, call: Call, _peer: SocketAddr) -> Answer {
        let mut params = Params::new(call.params);
        match params.string().and_then(|_session| params.int()) {
            Ok(_id) => Answer::Success(Payload::Escaped(self.0.clone())),
            Err(fault) => fault.into(),
        }
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument =
        |at: usize, default: &str| arguments.get(at).cloned().unwrap_or_else(|| default.to_owned());
    let number = |at: usize, default: &str| argument(at, default).parse::<u64>().map_err(io::Error::other);
    let (connections, seconds) = (number(0, "16")?, number(1, "5")?);
    let address = match arguments.get(2) {
        Some(address) => address.parse().map_err(io::Error::other)?,
        None => server_start().await?,
    };
    let id = arguments.get(5).map_or("0", String::as_str);
    let request = Arc::new(request(
        &argument(3, "fixed"),
        &argument(4, "oneadmin:opennebula"),
        id,
    ));
    let until = Instant::now() + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(calls(address, request.clone(), until)))
        .collect();
    let mut micros = Vec::new();
    for caller in callers {
        micros.extend(caller.await.map_err(io::Error::other)??);
    }
    micros.sort_unstable();
    let at = |share: f64| {
        micros
            .get((micros.len() as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    };
    let rate = micros.len() as u64 / seconds.max(1);
    println!(
        "{rate} calls/s, {connections} connections, p50 {} us, p99 {} us",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

async fn server_start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = Arc::new(Fixed(Bytes::from(vec![b'a'; BODY_BYTES])));
    tokio::spawn(serve(
        listener,
        None,
        service,
        Limits::default(),
        std::future::pending(),
    ));
    Ok(address)
}

fn request(method: &str, session: &str, id: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>\n<param>\n<value>\
         <string>{session}</string></value>\n</param>\n<param>\n<value><int>{id}</int></value>\n</param>\n\
         </params>\n</methodCall>\n"
    );
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Calls one after the other until the time is over; how long each took, in microseconds.
async fn calls(address: SocketAddr, request: Arc<Vec<u8>>, until: Instant) -> io::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut micros, mut held) = (Vec::new(), Vec::with_capacity(64 * 1024));
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(&request).await?;
        held.clear();
        answer_read(&mut stream, &mut held).await?;
        micros.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(micros)
}

async fn answer_read(stream: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<()> {
    let mut length = None;
    while length.is_none_or(|length| held.len() < length) {
        if stream.read_buf(held).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if length.is_none() {
            length = answer_length(held)?;
        }
    }
    if held.windows(20).any(|bytes| bytes == b"<boolean>1</boolean>") {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(held).into_owned()))
}

/// Bytes of head and body, once the head is there.
fn answer_length(held: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = held.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&held[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    let length: usize = length.trim().parse().map_err(io::Error::other)?;
    Ok(Some(head + 4 + length))
}
