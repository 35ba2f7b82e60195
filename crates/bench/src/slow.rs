//! Callers that ask for much and read little: what they cost the server in memory.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::connect;
use crate::machine::Process;

/// Between two reads of a reader. It is what makes them slow.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes that a reader takes at a time: less than 1 MB/s.
const SIP_BYTES: usize = 16 * 1024;

/// Lets `readers` connections send `request` and read slowly for `time`. Gives the growth of the server's resident
/// memory, in bytes, and how many bytes were read.
pub(crate) fn run(
    port: u16,
    readers: usize,
    request: &[u8],
    time: Duration,
    process: &Process,
) -> Result<(u64, u64)> {
    let before = process.memory()?.resident;
    let mut streams = Vec::with_capacity(readers);
    for _ in 0..readers {
        let mut stream = connect(port)?;
        // A fresh socket's buffer takes a request of some hundred bytes at once.
        stream
            .write_all(request)
            .map_err(|error| format!("sending a request: {error}"))?;
        streams.push(stream);
    }
    let (mut most, mut bytes) = (before, 0);
    let mut sip = vec![0; SIP_BYTES];
    let begun = Instant::now();
    while begun.elapsed() < time {
        for stream in &mut streams {
            match stream.read(&mut sip) {
                Ok(0) => return Err("the server closed the connection of a slow reader".into()),
                Ok(count) => bytes += count as u64,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(format!("reading slowly: {error}")),
            }
        }
        most = most.max(process.memory()?.resident);
        std::thread::sleep(PAUSE);
    }
    Ok((most - before, bytes))
}
