//! The load generator: one thread keeps a call under way on each of some connections. Two cores are shared with the
//! server, so requests are cheap to make and answers are told apart without being kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Result;
use crate::response::Response;
use crate::statistics::Times;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// Without an answer for this long, in seconds, a run is given up.
const SILENCE_MAX_S: i64 = 120;
/// Most connections of a run.
const CONNECTIONS_MAX: usize = 1024;

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections, each with one call at a time.
    pub(crate) connections: usize,
    /// No call begins after so many.
    pub(crate) calls: usize,
    /// No call begins after this time.
    pub(crate) time: Duration,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// Bytes of the request that are sent.
    sent: usize,
    began: Instant,
    response: Response,
    waiting: bool,
}

struct Generator<'a> {
    load: Load,
    /// Writes the request of call number n into an empty buffer.
    make: &'a mut dyn FnMut(usize, &mut Vec<u8>),
    begun: Instant,
    made: usize,
    nanoseconds: Vec<u64>,
    body_bytes: u64,
}

/// Runs calls until the load's bounds are reached and all answers are in. A refused call ends it with an error.
pub(crate) fn run(port: u16, load: Load, make: &mut dyn FnMut(usize, &mut Vec<u8>)) -> Result<Times> {
    let mut generator = Generator {
        load,
        make,
        begun: Instant::now(),
        made: 0,
        nanoseconds: Vec::new(),
        body_bytes: 0,
    };
    let mut connections = (0..load.connections.clamp(1, CONNECTIONS_MAX))
        .map(|_| Connection::open(port))
        .collect::<Result<Vec<_>>>()?;
    generator.begun = Instant::now();
    generator.turn(&mut connections)?;
    let elapsed = generator.begun.elapsed();
    Ok(Times::new(generator.nanoseconds, elapsed, generator.body_bytes))
}

/// A connection to a port of this machine.
pub(crate) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("cannot connect to port {port}: {error}"))?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_nonblocking(true))
        .map_err(|error| format!("cannot set up a connection: {error}"))?;
    Ok(stream)
}

impl Connection {
    fn open(port: u16) -> Result<Self> {
        Ok(Self {
            stream: connect(port)?,
            request: Vec::new(),
            sent: 0,
            began: Instant::now(),
            response: Response::new(),
            waiting: false,
        })
    }

    /// Sends what the socket takes.
    fn send(&mut self) -> Result<()> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("sending a request: {error}")),
            }
        }
        Ok(())
    }

    /// Reads what is there. Tells whether the answer is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => {
                    if self.response.feed(&buffer[..count])? {
                        return Ok(true);
                    }
                    if count < buffer.len() {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("reading an answer: {error}")),
            }
        }
    }
}

impl Generator<'_> {
    fn turn(&mut self, connections: &mut [Connection]) -> Result<()> {
        let failed = |error: rustix::io::Errno| format!("waiting for answers: {error}");
        let poll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        let mut busy = 0;
        for (number, connection) in connections.iter_mut().enumerate() {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(
                &poll,
                &connection.stream,
                EventData::new_u64(number as u64),
                flags,
            )
            .map_err(failed)?;
            busy += usize::from(self.begin(connection)?);
        }
        let mut buffer = vec![0; READ_BYTES];
        let mut events = Vec::with_capacity(connections.len());
        let silence = Timespec {
            tv_sec: SILENCE_MAX_S,
            tv_nsec: 0,
        };
        while busy > 0 {
            events.clear();
            match epoll::wait(&poll, spare_capacity(&mut events), Some(&silence)) {
                Ok(0) => return Err(format!("no answer for {SILENCE_MAX_S} s")),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
            for event in &events {
                let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                let Some(connection) = connections
                    .get_mut(number)
                    .filter(|connection| connection.waiting)
                else {
                    continue;
                };
                connection.send()?;
                // Edge triggered: what is there has to be read until nothing is left, and the next answer may be
                // there before the next wait.
                while connection.waiting && connection.receive(&mut buffer)? {
                    self.end(connection)?;
                    busy -= usize::from(!self.begin(connection)?);
                }
            }
        }
        Ok(())
    }

    /// Sends the next request, if there is one to send.
    fn begin(&mut self, connection: &mut Connection) -> Result<bool> {
        let now = Instant::now();
        let more = self.made < self.load.calls && now.duration_since(self.begun) < self.load.time;
        connection.waiting = more;
        if more {
            connection.request.clear();
            (self.make)(self.made, &mut connection.request);
            self.made += 1;
            connection.sent = 0;
            connection.response.clear();
            connection.began = now;
            connection.send()?;
        }
        Ok(more)
    }

    fn end(&mut self, connection: &Connection) -> Result<()> {
        connection.response.success()?;
        let time = connection.began.elapsed().as_nanos();
        self.nanoseconds.push(u64::try_from(time).unwrap_or(u64::MAX));
        self.body_bytes += connection.response.body_bytes();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;
    use crate::wire::{Endpoint, Value, request_write};

    /// Answers every request of every connection with `body`; ends with its connections.
    fn server(connections: usize, body: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let stream = stream.expect("accepts");
                std::thread::spawn(move || answer_all(stream, body));
            }
        });
        port
    }

    fn answer_all(stream: TcpStream, body: &str) {
        let mut writer = stream.try_clone().expect("clones");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            let mut length = 0;
            while line.trim_end() != "" {
                if let Some((_, value)) = line.split_once("Content-Length: ") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
                reader.read_line(&mut line).expect("reads");
            }
            line.clear();
            reader.read_exact(&mut vec![0; length]).expect("reads");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            // The other end may be gone after a refusal.
            let _ = writer.write_all((head + body).as_bytes());
        }
    }

    fn load(connections: usize, calls: usize, body: &'static str) -> Result<Times> {
        let endpoint = Endpoint {
            port: server(connections, body),
            session: "a:b".into(),
        };
        let load = Load {
            connections,
            calls,
            time: Duration::from_secs(60),
        };
        run(endpoint.port, load, &mut |number, out| {
            let number = i32::try_from(number).expect("small");
            request_write(out, &endpoint, "one.m", &[Value::Int(number)]);
        })
    }

    #[test]
    fn each_call_is_answered_once() {
        for (connections, calls) in [(1, 5), (4, 101), (3, 2)] {
            let times = load(connections, calls, "<boolean>1</boolean>").expect("runs");
            assert_eq!((times.count(), times.body_bytes), (calls, 20 * calls as u64));
        }
    }

    #[test]
    fn a_refusal_ends_the_run() {
        let error = load(2, 10, "<boolean>0</boolean> no").expect_err("refused");
        assert!(error.contains("refused"), "{error}");
    }
}
