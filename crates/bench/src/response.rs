//! Answers as they come in: told apart, counted, and checked for success, without keeping them.

use crate::Result;

/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Longest line before a chunk, in bytes.
const CHUNK_LINE_MAX: usize = 64;
/// What is kept of a body, in bytes: the outcome and the beginning of an error's text are in it.
const START_BYTES: usize = 1024;
/// How a call's success shows; it comes before the payload.
const SUCCESS: &[u8] = b"<boolean>1</boolean>";

/// Where in an answer the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    /// Bytes of the body to come.
    Sized(u64),
    /// The line with the size of a chunk.
    ChunkLine,
    /// Bytes of the chunk to come, its line break included.
    Chunk(u64),
    /// The empty line after the last chunk.
    Last,
    Done,
}

/// The answer to one call.
#[derive(Debug)]
pub(crate) struct Response {
    phase: Phase,
    /// The head, or the line of a chunk, as far as it is here.
    line: Vec<u8>,
    start: Vec<u8>,
    body_bytes: u64,
}

impl Response {
    /// Nothing has come in yet.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Head,
            line: Vec::with_capacity(512),
            start: Vec::with_capacity(START_BYTES),
            body_bytes: 0,
        }
    }

    /// As new; memory is kept.
    pub(crate) fn clear(&mut self) {
        self.phase = Phase::Head;
        self.line.clear();
        self.start.clear();
        self.body_bytes = 0;
    }

    /// Bytes of the body that have come in, chunk lines left out.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether the call succeeded; an error holds the beginning of the answer.
    pub(crate) fn success(&self) -> Result<()> {
        if self.start.windows(SUCCESS.len()).any(|window| window == SUCCESS) {
            return Ok(());
        }
        Err(format!(
            "a call was refused: {}",
            String::from_utf8_lossy(&self.start)
        ))
    }

    /// Takes bytes of the connection. Tells whether the answer is whole now.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool> {
        while !bytes.is_empty() {
            match self.phase {
                Phase::Head => bytes = self.head(bytes)?,
                Phase::Sized(left) => {
                    let (body, rest) = split(bytes, left);
                    self.body(body);
                    self.phase = match left - body.len() as u64 {
                        0 => Phase::Done,
                        left => Phase::Sized(left),
                    };
                    bytes = rest;
                }
                Phase::ChunkLine => bytes = self.chunk_line(bytes)?,
                Phase::Chunk(left) => {
                    let (chunk, rest) = split(bytes, left);
                    // The last two bytes are the line break.
                    let of_body = (chunk.len() as u64).min(left.saturating_sub(2));
                    self.body(split(chunk, of_body).0);
                    self.phase = match left - chunk.len() as u64 {
                        0 => Phase::ChunkLine,
                        left => Phase::Chunk(left),
                    };
                    bytes = rest;
                }
                Phase::Last => {
                    self.line.extend_from_slice(bytes);
                    if self.line != b"\r\n"[..self.line.len().min(2)] {
                        return Err("the end of an answer in chunks is not an empty line".into());
                    }
                    if self.line.len() == 2 {
                        self.phase = Phase::Done;
                    }
                    bytes = &[];
                }
                Phase::Done => return Err("the server sent more than an answer".into()),
            }
        }
        Ok(self.phase == Phase::Done)
    }

    fn body(&mut self, bytes: &[u8]) {
        self.body_bytes += bytes.len() as u64;
        let room = START_BYTES - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let Some(rest) = line_take(&mut self.line, bytes, b"\r\n\r\n", HEAD_MAX)? else {
            return Ok(&[]);
        };
        self.phase = head_read(&self.line)?;
        self.line.clear();
        Ok(rest)
    }

    fn chunk_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let Some(rest) = line_take(&mut self.line, bytes, b"\r\n", CHUNK_LINE_MAX)? else {
            return Ok(&[]);
        };
        let line = String::from_utf8_lossy(&self.line);
        let size =
            u64::from_str_radix(line.trim(), 16).map_err(|_| format!("no size of a chunk: {line:?}"))?;
        self.phase = if size == 0 {
            Phase::Last
        } else {
            Phase::Chunk(size.saturating_add(2))
        };
        self.line.clear();
        Ok(rest)
    }
}

fn split(bytes: &[u8], at: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len())))
}

/// Gathers bytes up to and with `end`. Gives what follows it; nothing while it has not come.
fn line_take<'a>(line: &mut Vec<u8>, bytes: &'a [u8], end: &[u8], max: usize) -> Result<Option<&'a [u8]>> {
    let before = line.len();
    line.extend_from_slice(&bytes[..bytes.len().min(max)]);
    let found = line.windows(end.len()).position(|window| window == end);
    match found {
        Some(at) => {
            line.truncate(at + end.len());
            Ok(Some(&bytes[line.len() - before..]))
        }
        None if line.len() >= max => Err(format!("a line of an answer is longer than {max} bytes")),
        None => Ok(None),
    }
}

/// How the body comes, as the head says.
fn head_read(head: &[u8]) -> Result<Phase> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("the server answers {status}"));
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            let length: u64 = value.trim().parse().map_err(|_| format!("no length: {line:?}"))?;
            return Ok(if length == 0 {
                Phase::Done
            } else {
                Phase::Sized(length)
            });
        }
        if name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked") {
            return Ok(Phase::ChunkLine);
        }
    }
    Err("the head of an answer tells no length".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "<x><boolean>1</boolean>payload</x>";

    fn sized() -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len())
    }

    fn chunked() -> String {
        let (first, second) = BODY.split_at(11);
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            second.len()
        )
    }

    #[test]
    fn answers_in_pieces_of_every_size() {
        for text in [sized(), chunked()] {
            for size in 1..=text.len() {
                let mut response = Response::new();
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                for (number, piece) in pieces.iter().enumerate() {
                    let whole = response.feed(piece).expect("good");
                    assert_eq!(whole, number + 1 == pieces.len(), "size {size}");
                }
                assert_eq!(response.body_bytes(), BODY.len() as u64);
                response.success().expect("success");
                response.clear();
                assert!(response.feed(text.as_bytes()).expect("good"));
            }
        }
    }

    #[test]
    fn bad_answers() {
        for (text, part) in [
            ("HTTP/1.1 503 Busy\r\n\r\n", "503"),
            ("HTTP/1.1 200 OK\r\n\r\n", "no length"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
                "no size",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
                "more than an answer",
            ),
        ] {
            let error = Response::new().feed(text.as_bytes()).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
        let mut response = Response::new();
        response
            .feed(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope")
            .expect("whole");
        assert!(response.success().expect_err("refused").contains("nope"));
    }
}
