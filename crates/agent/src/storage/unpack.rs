//! Decompression by the system's programs: gzip, xz, zstd, bzip2.

use std::fs::File;
use std::io::Read;

use super::header::Compression;
use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::process::{Program, Running, Wiring, error_collected};

/// A stream of decompressed bytes.
pub(crate) struct Unpacked {
    running: Running,
    output: std::process::ChildStdout,
    error: Option<std::sync::mpsc::Receiver<Vec<u8>>>,
    name: &'static str,
}

impl Unpacked {
    /// Begins to decompress `file` from its current position.
    pub(crate) fn begin(file: File, compression: Compression, limits: &Limits) -> Act<Self> {
        let name = match compression {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
        };
        let mut running = Program::new(name)
            .arg("-dc")
            .start(Wiring::FileIn(file), limits)?;
        let output = running
            .stdout_take()
            .ok_or_else(|| failed(format!("{name} has no output")))?;
        let error = running.error_collect();
        Ok(Self {
            running,
            output,
            error,
            name,
        })
    }

    /// Whether it all was decompressed; to be asked after the last byte.
    pub(crate) fn finish(mut self) -> Act<()> {
        let status = self.running.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(failed(format!(
            "the image cannot be decompressed by {}: {}",
            self.name,
            error_collected(self.error)
        )))
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.output.read(buffer)
    }
}
