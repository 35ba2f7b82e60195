//! Bodies of responses. A lazily rendered one is made in batches on blocking threads: while the caller has not taken
//! a batch, at most one more is rendered ahead, so a slow reader holds little memory and no thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::answer::{Chunks, Encoded};
use super::connection::CallGuard;

/// Pieces are gathered until a batch has at least this many bytes.
pub(super) const BATCH_BYTES: usize = 256 * 1024;

/// Rendering failed after the response had begun: the connection is broken, so that the caller sees it.
#[derive(Debug, thiserror::Error)]
#[error("rendering of an answer failed half-way; the server's log says why")]
pub(super) struct RenderError;

/// The body of a response.
pub(super) struct ResponseBody {
    parts: Parts,
    /// Bytes still to come, if known.
    remaining: Option<u64>,
    /// Keeps the connection's clocks in their place until the body is out.
    _guard: Option<CallGuard>,
}

enum Parts {
    Whole(Option<Bytes>),
    Three(std::array::IntoIter<Bytes, 3>),
    /// The batch that is ready, then the one that is being rendered.
    Lazy(Option<Bytes>, Option<Rendering>),
}

/// Text that could be rendered before the response begins.
pub(super) enum Begun {
    /// All of it.
    Whole(Bytes),
    /// The first batch, and what is left.
    Part(Bytes, Rest),
}

/// What is left of a text that is rendered lazily.
pub(super) struct Rest {
    chunks: Chunks,
    tail: Vec<u8>,
    renderers: Arc<Semaphore>,
}

impl ResponseBody {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            remaining: Some(bytes.len() as u64),
            parts: Parts::Whole(Some(bytes)),
            _guard: None,
        }
    }

    fn parts(parts: [Bytes; 3]) -> Self {
        let remaining = parts.iter().map(|part| part.len() as u64).sum();
        Self {
            remaining: Some(remaining),
            parts: Parts::Three(parts.into_iter()),
            _guard: None,
        }
    }

    /// The body of an encoded answer. Of a lazily rendered one the first batch is made before this returns, so that
    /// a failure in it can still be answered.
    pub(super) async fn begin(encoded: Encoded, renderers: &Arc<Semaphore>) -> Result<Self, RenderError> {
        let (head, chunks, tail) = match encoded {
            Encoded::Whole(bytes) => return Ok(Self::whole(bytes)),
            Encoded::Parts(parts) => return Ok(Self::parts(parts)),
            Encoded::Stream { head, chunks, tail } => (head, chunks, tail),
        };
        let rest = Rest {
            chunks,
            tail,
            renderers: renderers.clone(),
        };
        match Rendering::start(head, rest).finish().await? {
            Begun::Whole(bytes) => Ok(Self::whole(bytes)),
            Begun::Part(first, rest) => {
                let next = Rendering::start(Vec::new(), rest);
                Ok(Self {
                    parts: Parts::Lazy(Some(first), Some(next)),
                    remaining: None,
                    _guard: None,
                })
            }
        }
    }

    pub(super) fn guarded(mut self, guard: CallGuard) -> Self {
        self._guard = Some(guard);
        self
    }

    /// Bytes of the whole body, if known before it is sent.
    pub(super) fn length(&self) -> Option<u64> {
        self.remaining
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = RenderError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RenderError>>> {
        let next = match &mut self.parts {
            Parts::Whole(bytes) => bytes.take(),
            Parts::Three(parts) => parts.next(),
            Parts::Lazy(ready, rendering) => match ready.take() {
                Some(bytes) => Some(bytes),
                None => match rendering {
                    None => None,
                    Some(running) => match ready!(running.poll(cx)) {
                        Err(error) => {
                            *rendering = None;
                            return Poll::Ready(Some(Err(error)));
                        }
                        Ok(Begun::Whole(bytes)) => {
                            *rendering = None;
                            Some(bytes)
                        }
                        Ok(Begun::Part(bytes, rest)) => {
                            *rendering = Some(Rendering::start(Vec::new(), rest));
                            Some(bytes)
                        }
                    },
                },
            },
        };
        if let (Some(remaining), Some(bytes)) = (&mut self.remaining, &next) {
            *remaining = remaining.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.parts {
            Parts::Whole(bytes) => bytes.is_none(),
            Parts::Three(parts) => parts.len() == 0,
            Parts::Lazy(ready, rendering) => ready.is_none() && rendering.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// One batch in the making. It goes on while nobody polls it, else a caller that does not read could keep one of the
/// few places of rendering; dropped, it gives up unless it has begun.
struct Rendering {
    task: JoinHandle<Result<Begun, RenderError>>,
}

impl Rendering {
    fn start(batch: Vec<u8>, rest: Rest) -> Self {
        Self {
            task: tokio::spawn(batch_render(batch, rest)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Begun, RenderError>> {
        Pin::new(&mut self.task)
            .poll(cx)
            .map(|joined| joined.unwrap_or(Err(RenderError)))
    }

    async fn finish(mut self) -> Result<Begun, RenderError> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl Drop for Rendering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn batch_render(batch: Vec<u8>, rest: Rest) -> Result<Begun, RenderError> {
    let permit = rest
        .renderers
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| RenderError)?;
    let rendered = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        batch_fill(batch, rest)
    });
    let failed = |error: String| {
        tracing::error!(%error, "rendering of an answer failed");
        RenderError
    };
    rendered
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(failed)
}

fn batch_fill(mut batch: Vec<u8>, mut rest: Rest) -> Result<Begun, String> {
    while batch.len() < BATCH_BYTES {
        match rest.chunks.next().transpose()? {
            Some(chunk) if batch.is_empty() && chunk.len() >= BATCH_BYTES => batch = chunk,
            Some(chunk) => {
                if batch.capacity() == 0 {
                    batch.reserve(BATCH_BYTES + chunk.len());
                }
                batch.extend_from_slice(&chunk);
            }
            None => {
                batch.extend_from_slice(&rest.tail);
                return Ok(Begun::Whole(batch.into()));
            }
        }
    }
    Ok(Begun::Part(batch.into(), rest))
}
