//! A connection's bytes, with or without TLS: which of the two its first byte says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::control::{Control, IDLE_SPARE};
use super::tls::Tls;

/// The first byte of a TLS record that begins a handshake (RFC 8446, 5.1). No HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;

/// A connection's bytes.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// What the peer begins, within `limit` for its first byte and its whole handshake. `None`: there will be no
    /// request, because the peer is gone, too slow, cannot agree on TLS, or the server wants the connection's place.
    pub(super) async fn begin(
        stream: TcpStream,
        tls: Option<&Arc<Tls>>,
        limit: Duration,
        control: &mut watch::Receiver<Control>,
    ) -> Option<Self> {
        let Some(tls) = tls else {
            return Some(Self::Plain(stream));
        };
        let begun = timeout(limit, async {
            if first_byte(&stream, control).await? != HANDSHAKE {
                return Some(Self::Plain(stream));
            }
            match tls.acceptor().accept(stream).await {
                Ok(stream) => Some(Self::Tls(Box::new(stream))),
                Err(error) => {
                    tracing::debug!(%error, "no agreement on TLS");
                    None
                }
            }
        });
        begun.await.unwrap_or_else(|_| {
            tracing::debug!("the beginning of a connection is overdue");
            None
        })
    }

    /// Whether nobody between here and the peer reads or changes what is said.
    pub(super) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Looks at the first byte and leaves it where it is.
async fn first_byte(stream: &TcpStream, control: &mut watch::Receiver<Control>) -> Option<u8> {
    let began = Instant::now();
    let mut byte = [0; 1];
    loop {
        tokio::select! {
            seen = stream.peek(&mut byte) => return matches!(seen, Ok(1)).then_some(byte[0]),
            changed = control.changed() => {
                let draining = *control.borrow_and_update() == Control::Drain;
                if changed.is_err() || draining || began.elapsed() >= IDLE_SPARE {
                    return None;
                }
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
