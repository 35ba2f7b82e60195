//! Pipes with a time limit: reading and writing wait at most for the deadline of the action, and for silence.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;

use crate::fault::{Act, failed};
use crate::limits::Limits;

/// Reads from a pipe.
pub(crate) struct TimedReader<T> {
    inner: T,
    limits: Limits,
    stall: Duration,
}

/// Writes to a pipe.
pub(crate) struct TimedWriter<T> {
    inner: T,
    limits: Limits,
    stall: Duration,
}

impl<T: AsFd> TimedReader<T> {
    pub(crate) fn new(inner: T, limits: &Limits, stall: Duration) -> Act<Self> {
        nonblocking_set(&inner)?;
        Ok(Self {
            inner,
            limits: limits.clone(),
            stall,
        })
    }
}

impl<T: AsFd> TimedWriter<T> {
    pub(crate) fn new(inner: T, limits: &Limits, stall: Duration) -> Act<Self> {
        nonblocking_set(&inner)?;
        Ok(Self {
            inner,
            limits: limits.clone(),
            stall,
        })
    }
}

impl<T: AsFd + Read> Read for TimedReader<T> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready_await(&self.inner, PollFlags::IN, &self.limits, self.stall)?;
                }
                other => return other,
            }
        }
    }
}

impl<T: AsFd + Write> Write for TimedWriter<T> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        loop {
            match self.inner.write(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready_await(&self.inner, PollFlags::OUT, &self.limits, self.stall)?;
                }
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

fn nonblocking_set(descriptor: &impl AsFd) -> Act<()> {
    rustix::fs::fcntl_getfl(descriptor)
        .and_then(|flags| rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK))
        .map_err(|error| failed(format!("cannot set up a pipe: {error}")))
}

fn ready_await(descriptor: &impl AsFd, flags: PollFlags, limits: &Limits, stall: Duration) -> Result<()> {
    let left = limits
        .remaining()
        .map_err(|error| Error::new(ErrorKind::TimedOut, error.text))?;
    let timeout = Timespec::try_from(left.min(stall)).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    let mut descriptors = [PollFd::new(descriptor, flags)];
    match rustix::event::poll(&mut descriptors, Some(&timeout)) {
        Ok(0) if left > stall => Err(Error::new(
            ErrorKind::TimedOut,
            format!("nothing came for {} s", stall.as_secs()),
        )),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
