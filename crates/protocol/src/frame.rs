//! Framing: a length in four bytes, big endian, then that many bytes of JSON.

use std::io::{Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame that is read or written, in bytes. The largest message is a domain start with its files.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The channel failed or ended inside a frame.
    #[error("the channel failed: {0}")]
    Io(#[from] std::io::Error),
    /// The frame is longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is longer than the {FRAME_BYTES_MAX} allowed")]
    TooLong(usize),
    /// The content is no message.
    #[error("a frame does not hold a message: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes one message and flushes.
///
/// # Errors
/// When the channel fails or the message is too long.
pub fn frame_write<T: Serialize>(channel: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let header = u32::try_from(length)
        .map_err(|_| FrameError::TooLong(length))?
        .to_be_bytes();
    frame[..4].copy_from_slice(&header);
    channel.write_all(&frame)?;
    channel.flush()?;
    Ok(())
}

/// Reads one message; `None` when the channel ended between frames.
///
/// # Errors
/// When the channel fails, ends inside a frame, or carries no message.
pub fn frame_read<T: DeserializeOwned>(channel: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut header = [0; 4];
    let mut filled = 0;
    while filled < header.len() {
        match channel.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_be_bytes(header) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut body = Vec::new();
    let read = channel.take(length as u64).read_to_end(&mut body)?;
    if read < length {
        return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToNode;

    #[test]
    fn frames_come_back_and_ends_are_told_apart() {
        let mut channel = Vec::new();
        frame_write(&mut channel, &ToNode::Ping(7)).expect("written");
        let whole = channel.clone();
        let mut reader = whole.as_slice();
        assert_eq!(
            frame_read::<ToNode>(&mut reader).expect("read"),
            Some(ToNode::Ping(7))
        );
        assert!(frame_read::<ToNode>(&mut reader).expect("clean end").is_none());
        for cut in 1..whole.len() {
            assert!(frame_read::<ToNode>(&mut &whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
        let mut reader: &[u8] = &[0xff, 0xff, 0xff, 0xff];
        assert!(matches!(
            frame_read::<ToNode>(&mut reader),
            Err(FrameError::TooLong(_))
        ));
    }
}
