//! Copying the bytes of a file: by sharing blocks where the file system can, else only where there is data.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::fault::{Act, failed, refused};
use crate::limits::Limits;

/// Bytes copied between two looks at the deadline.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// Runs of zeroes of this many bytes become holes when a stream is written.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;

/// Copies all of `source` to the empty `destination`, holes kept.
pub(crate) fn file_copy(source: &File, destination: &File, limits: &Limits) -> Act<()> {
    if rustix::fs::ioctl_ficlone(destination, source).is_ok() {
        return Ok(());
    }
    let size = source
        .metadata()
        .map_err(|error| failed(format!("cannot look at the source: {error}")))?
        .len();
    destination.set_len(size).map_err(|error| write_failed(&error))?;
    let mut position = 0;
    while let Some((begin, end)) = data_next(source, position, size)? {
        range_copy(source, destination, begin, end, limits)?;
        position = end;
    }
    Ok(())
}

/// The next range of a file that holds data, at or after `position`.
pub(crate) fn data_next(file: &File, position: u64, size: u64) -> Act<Option<(u64, u64)>> {
    if position >= size {
        return Ok(None);
    }
    let seek = |from| rustix::fs::seek(file, from);
    match seek(SeekFrom::Data(position)) {
        Ok(begin) if begin >= size => Ok(None),
        Ok(begin) => {
            let end = seek(SeekFrom::Hole(begin))
                .map_err(|error| failed(format!("cannot look for holes: {error}")))?;
            Ok(Some((begin, end.min(size))))
        }
        Err(Errno::NXIO) => Ok(None),
        // A file system without holes: all of it is data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((position, size))),
        Err(error) => Err(failed(format!("cannot look for data: {error}"))),
    }
}

fn range_copy(source: &File, destination: &File, begin: u64, end: u64, limits: &Limits) -> Act<()> {
    let mut position = begin;
    let mut kernel = true;
    let mut buffer = Vec::new();
    while position < end {
        limits.remaining()?;
        let wanted = usize::try_from((end - position).min(CHUNK_BYTES)).unwrap_or(BLOCK_BYTES);
        if kernel {
            let (mut from, mut to) = (position, position);
            match rustix::fs::copy_file_range(source, Some(&mut from), destination, Some(&mut to), wanted) {
                Ok(0) => return Err(failed("the source became shorter while it was copied")),
                Ok(count) => {
                    position += count as u64;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::BADF) => {
                    kernel = false
                }
                Err(error) => return Err(write_failed(&error.into())),
            }
        }
        buffer.resize(wanted.min(BLOCK_BYTES * 16), 0);
        let count = source
            .read_at(&mut buffer, position)
            .map_err(|error| failed(format!("cannot read the source: {error}")))?;
        if count == 0 {
            return Err(failed("the source became shorter while it was copied"));
        }
        destination
            .write_all_at(&buffer[..count], position)
            .map_err(|error| write_failed(&error))?;
        position += count as u64;
    }
    Ok(())
}

/// Writes a stream to the empty `destination`, at most `bytes_max`; runs of zeroes become holes. `see` is shown every
/// piece as it comes. Gives the number of bytes.
pub(crate) fn stream_write(
    stream: &mut impl Read,
    destination: &mut File,
    bytes_max: u64,
    limits: &Limits,
    mut see: impl FnMut(&[u8]),
) -> Act<u64> {
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut total = 0_u64;
    loop {
        limits.remaining()?;
        let count = block_read(stream, &mut buffer)?;
        if count == 0 {
            break;
        }
        let block = &buffer[..count];
        see(block);
        total += count as u64;
        if total > bytes_max {
            return Err(refused(format!(
                "it is larger than the {} MiB allowed here: free space in the datastore or raise the limit",
                bytes_max / super::MIB
            )));
        }
        if is_zero(block) {
            rustix::fs::seek(&*destination, SeekFrom::Start(total))
                .map_err(|error| write_failed(&error.into()))?;
        } else {
            destination
                .write_all(block)
                .map_err(|error| write_failed(&error))?;
        }
    }
    destination.set_len(total).map_err(|error| write_failed(&error))?;
    Ok(total)
}

/// Fills the buffer as far as the stream goes.
pub(crate) fn block_read(stream: &mut impl Read, buffer: &mut [u8]) -> Act<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(format!("cannot read: {error}"))),
        }
    }
    Ok(filled)
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// The error of a write, with advice.
pub(crate) fn write_failed(error: &std::io::Error) -> plerion_protocol::ActionError {
    let advice = match error.kind() {
        std::io::ErrorKind::StorageFull => "; free space in the datastore or use another",
        std::io::ErrorKind::QuotaExceeded => "; raise the quota of the user the agent runs as",
        _ => "",
    };
    failed(format!("cannot write the copy: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    #[test]
    fn holes_stay_holes_and_data_stays_data() {
        let scratch = Scratch::new("copy");
        let (from, to) = (scratch.path().join("a"), scratch.path().join("b"));
        let source = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&from)
            .expect("made");
        source.set_len(1 << 30).expect("sized");
        source.write_all_at(b"middle", 500 << 20).expect("written");
        let destination = File::create(&to).expect("made");
        file_copy(&source, &destination, &Limits::new(Duration::from_secs(20))).expect("copied");
        let metadata = to.metadata().expect("there");
        assert_eq!(metadata.len(), 1 << 30);
        assert!(metadata.blocks() * 512 < 2 << 20, "{} blocks", metadata.blocks());
        let mut read = [0; 6];
        File::open(&to)
            .expect("opened")
            .read_exact_at(&mut read, 500 << 20)
            .expect("read");
        assert_eq!(&read, b"middle");
    }

    #[test]
    fn streams_are_bounded_and_sparse() {
        let scratch = Scratch::new("stream");
        let path = scratch.path().join("a");
        let limits = Limits::new(Duration::from_secs(20));
        let mut content = vec![0; 10 << 20];
        content.extend_from_slice(b"end");
        let mut file = File::create(&path).expect("made");
        let mut seen = 0;
        let total = stream_write(&mut content.as_slice(), &mut file, 11 << 20, &limits, |piece| {
            seen += piece.len()
        });
        assert_eq!(total.expect("written"), content.len() as u64);
        assert_eq!(seen, content.len());
        assert_eq!(std::fs::read(&path).expect("read"), content);
        assert!(path.metadata().expect("there").blocks() * 512 < 1 << 20);
        let mut file = File::create(&path).expect("made");
        assert!(stream_write(&mut content.as_slice(), &mut file, 9 << 20, &limits, |_| {}).is_err());
        let mut file = File::create(&path).expect("made");
        assert_eq!(
            stream_write(&mut [].as_slice(), &mut file, 0, &limits, |_| {}).expect("empty"),
            0
        );
    }
}
