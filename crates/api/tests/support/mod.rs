//! A service for tests, a server with it, and a client that works on raw bytes.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plerion_api::xmlrpc::{Answer, Call, Limits, Params, Payload, Service, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No single wait of a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Size of each piece of the streamed answers, in bytes.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Answers by the name of the method.
pub struct Echo {
    /// A `wait` has begun.
    pub waiting: Notify,
    /// A `wait` may go on.
    pub proceed: Notify,
    /// Pieces made by `stream` so far.
    pub rendered: Arc<AtomicUsize>,
    /// One permit for each iterator of a `stream` that is dropped.
    pub stream_dropped: Arc<Semaphore>,
}

struct Pieces {
    left: usize,
    rendered: Arc<AtomicUsize>,
    dropped: Arc<Semaphore>,
}

impl Iterator for Pieces {
    type Item = Result<Vec<u8>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let piece = self.rendered.fetch_add(1, Ordering::SeqCst);
        Some(Ok(vec![b'a' + (piece % 26) as u8; CHUNK_BYTES]))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.dropped.add_permits(1);
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            waiting: Notify::new(),
            proceed: Notify::new(),
            rendered: Arc::default(),
            stream_dropped: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Echo {
    /// Waits until so many iterators of `stream` calls have been dropped since the last wait.
    pub async fn streams_dropped(&self, count: u32) {
        let permits = timeout(PATIENCE, self.stream_dropped.acquire_many(count)).await;
        permits
            .expect("the answers are given up in time")
            .expect("never closed")
            .forget();
    }
}

impl Service for Echo {
    async fn call(&self, call: Call, _peer: SocketAddr) -> Answer {
        let mut params = Params::new(call.params);
        match call.method.as_str() {
            "echo" => match params.string() {
                Ok(text) => Answer::Success(Payload::Text(text)),
                Err(fault) => fault.into(),
            },
            "int" => match params.int() {
                Ok(value) => Answer::Success(Payload::Int(value)),
                Err(fault) => fault.into(),
            },
            "long" => Answer::Success(Payload::Long(1 << 40)),
            "bool" => Answer::Success(Payload::Bool(true)),
            "escaped" => Answer::Success(Payload::Escaped("&lt;A/&gt;".repeat(10_000).into())),
            "failure" => Answer::Failure {
                code: 0x400,
                text: "[failure] Error getting <A> [7].".into(),
                object: 7,
            },
            "panic" => panic!("a panic that the test asks for"),
            "wait" => {
                self.waiting.notify_one();
                self.proceed.notified().await;
                Answer::Success(Payload::Int(1))
            }
            "stream" => Answer::Success(Payload::Stream(Box::new(Pieces {
                left: params.int().unwrap_or_default() as usize,
                rendered: self.rendered.clone(),
                dropped: self.stream_dropped.clone(),
            }))),
            "stream-panics-early" => {
                let pieces = std::iter::from_fn(|| panic!("a panic that the test asks for"));
                Answer::Success(Payload::Stream(Box::new(pieces)))
            }
            "stream-panics-late" => {
                let pieces = (0..64).map(|piece| {
                    assert!(piece < 32, "a panic that the test asks for");
                    Ok(vec![b'x'; CHUNK_BYTES])
                });
                Answer::Success(Payload::Stream(Box::new(pieces)))
            }
            "stream-fails-late" => {
                let pieces = (0..64).map(|piece| {
                    if piece < 32 {
                        Ok(vec![b'x'; CHUNK_BYTES])
                    } else {
                        Err("a failure that the test asks for".to_owned())
                    }
                });
                Answer::Success(Payload::Stream(Box::new(pieces)))
            }
            method => plerion_api::xmlrpc::Fault::unknown_method(method).into(),
        }
    }
}

/// A server on a port of its own.
pub struct Server {
    pub address: SocketAddr,
    pub service: Arc<Echo>,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<()>,
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let service = Arc::new(Echo::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let task = tokio::spawn(serve(listener, None, service.clone(), limits, shutdown));
        Self {
            address,
            service,
            stop,
            task,
        }
    }

    pub async fn connect(&self) -> Wire {
        Wire {
            stream: TcpStream::connect(self.address).await.expect("a connection"),
            held: Vec::new(),
        }
    }

    /// A fresh caller still gets its answer.
    pub async fn assert_answers(&self) {
        let reply = self.connect().await.call(&echo("still here")).await;
        assert!(
            reply.text().contains("<string>still here</string>"),
            "{}",
            reply.text()
        );
    }
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

/// A client's side of a connection.
pub struct Wire {
    pub stream: TcpStream,
    held: Vec<u8>,
}

impl Wire {
    pub async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .expect("in time")
            .expect("written");
    }

    pub async fn call(&mut self, body: &str) -> Reply {
        self.send(&post(body)).await;
        self.reply().await.expect("an answer")
    }

    /// The next response, or `None` if the connection ended before it was complete.
    pub async fn reply(&mut self) -> Option<Reply> {
        let head_end = loop {
            if let Some(at) = self.held.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.held.drain(..head_end).collect()).expect("UTF-8");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("a status");
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().expect("a number");
            reply.body = self.exactly(length).await?;
        } else if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = self.chunked().await?;
        } else {
            while self.more().await.is_some() {}
            reply.body = std::mem::take(&mut self.held);
        }
        Some(reply)
    }

    async fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = self.held.windows(2).position(|bytes| bytes == b"\r\n") {
                    break at + 2;
                }
                self.more().await?;
            };
            let line = self.exactly(line_end).await?;
            let size = std::str::from_utf8(&line).expect("UTF-8").trim();
            let size = usize::from_str_radix(size, 16).expect("a size of a chunk");
            let chunk = self.exactly(size + 2).await?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Some(body);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.held.len() < length {
            self.more().await?;
        }
        Some(self.held.drain(..length).collect())
    }

    /// Reads on; `None` when the peer has closed or reset the connection.
    async fn more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 256 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer))
            .await
            .expect("the server does something");
        let length = read.ok().filter(|&length| length > 0)?;
        self.held.extend_from_slice(&buffer[..length]);
        Some(())
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(&mut self) {
        while self.more().await.is_some() {}
    }
}

/// The HTTP request of this body.
pub fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A call of a method with parameters as they stand inside `<param>`.
pub fn call(method: &str, params: &[&str]) -> String {
    let params: String = params
        .iter()
        .map(|value| format!("<param>{value}</param>"))
        .collect();
    format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>{params}</params>\n\
        </methodCall>\n"
    )
}

/// A call that returns its text.
pub fn echo(text: &str) -> String {
    call("echo", &[&format!("<value><string>{text}</string></value>")])
}
