//! One connection: its clocks, and the end of those that do not keep time.
//!
//! Reads and writes note when they made progress; a single watch per connection looks at the notes now and then.
//! That is cheaper than a timer per request, and no phase of a connection is without a bound.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::control::{Control, IDLE_SPARE};
use super::limits::Limits;
use super::wire::Wire;

/// A connection is looked at this many times within its shortest limit.
const LOOKS_PER_LIMIT: u32 = 4;
/// Shortest time between two looks.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Between two requests.
const IDLE: u8 = 0;
/// Some bytes of a request's head are here.
const HEAD: u8 = 1;
/// The body of a request is being read.
const BODY: u8 = 2;
/// The call is being worked on, or its answer not yet handed over.
const CALL: u8 = 3;

/// What a connection is doing and since when; times are in milliseconds since its beginning.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    phase: AtomicU8,
    since: AtomicU64,
    /// When the peer stopped taking what we write, plus one; 0 while it takes it.
    stalled: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        let (phase, since, stalled) = Default::default();
        Self {
            began: Instant::now(),
            phase,
            since,
            stalled,
        }
    }

    /// The head of a request is complete, its body follows.
    pub(super) fn body_begin(&self) {
        self.enter(BODY);
    }

    /// The request is complete; the guard is held until the answer is handed over.
    pub(super) fn call_begin(self: Arc<Self>) -> CallGuard {
        self.enter(CALL);
        CallGuard(self)
    }

    fn enter(&self, phase: u8) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn read_note(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.enter(HEAD);
        }
    }

    fn write_note(&self, progress: bool) {
        if !progress {
            if self.stalled.load(Ordering::Relaxed) == 0 {
                self.stalled.store(self.now() + 1, Ordering::Relaxed);
            }
            return;
        }
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        }
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Why the connection has to end now, if it has to.
    fn overdue(&self, limits: &Limits) -> Option<&'static str> {
        let now = self.now();
        let late = |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) >= limit.as_millis();
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled != 0 && late(stalled - 1, limits.write_stall) {
            return Some("the peer does not read its answer");
        }
        let since = self.since.load(Ordering::Relaxed);
        match self.phase.load(Ordering::Relaxed) {
            IDLE if late(since, limits.idle) => Some("idle"),
            HEAD if late(since, limits.head) => Some("the head of a request is overdue"),
            BODY if late(since, limits.body) => Some("the body of a request is overdue"),
            _ => None,
        }
    }

    fn spare(&self) -> bool {
        let idle = Duration::from_millis(self.now().saturating_sub(self.since.load(Ordering::Relaxed)));
        self.phase.load(Ordering::Relaxed) == IDLE && idle >= IDLE_SPARE
    }
}

/// Held while a call is worked on and its answer handed over; after it the connection is idle.
#[derive(Debug)]
pub(super) struct CallGuard(Arc<Activity>);

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.enter(IDLE);
    }
}

/// A socket that notes its progress.
pub(super) struct NotedIo {
    pub(super) stream: Wire,
    pub(super) activity: Arc<Activity>,
}

impl NotedIo {
    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.write_note(result.is_ready());
        result
    }
}

impl AsyncRead for NotedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.read_note();
        }
        result
    }
}

impl AsyncWrite for NotedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection of hyper that can be asked to stop after the call in hand.
pub(super) trait Drain: Future<Output = hyper::Result<()>> {
    fn drain(self: Pin<&mut Self>);
}

impl<S, B> Drain for hyper::server::conn::http1::UpgradeableConnection<hyper_util::rt::TokioIo<NotedIo>, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Serves a connection to its end: until the peer closes it, it is overdue, or the server drains.
pub(super) async fn drive(
    connection: impl Drain,
    activity: &Activity,
    limits: &Limits,
    mut control: watch::Receiver<Control>,
) {
    let interval = look_interval(limits);
    let mut connection = pin!(connection);
    let mut look = pin!(tokio::time::sleep(interval));
    let mut server_gone = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = look.as_mut() => {
                if let Some(why) = activity.overdue(limits) {
                    tracing::debug!(why, "connection closed");
                    return;
                }
                look.as_mut().reset(tokio::time::Instant::now() + interval);
            }
            changed = control.changed(), if !server_gone => {
                let asked = *control.borrow_and_update();
                server_gone = changed.is_err();
                if server_gone || asked == Control::Drain || activity.spare() {
                    connection.as_mut().drain();
                }
            }
        }
    }
}

fn look_interval(limits: &Limits) -> Duration {
    let shortest = limits
        .idle
        .min(limits.head)
        .min(limits.body)
        .min(limits.write_stall);
    (shortest / LOOKS_PER_LIMIT).max(LOOK_INTERVAL_MIN)
}
