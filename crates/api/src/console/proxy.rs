//! A console that is open: bytes between a WebSocket and a program that is connected to the VM's screen or serial line.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::destination::ConsoleKind;
use super::ending::{End, Said, farewell, reason_cut};
use crate::xmlrpc::SwitchedIo;

/// Bytes read from the screen at a time.
const READ_BYTES: usize = 64 * 1024;
/// Largest message from the browser, in bytes: a clipboard is the largest that there is.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Bytes that may wait to be written to the browser.
const WRITE_BYTES: usize = 4 * READ_BYTES;
/// A side that takes nothing for this time ends the console.
const STALL: Duration = Duration::from_secs(30);
/// The browser is asked for a sign of life, and the right to be here is looked at, this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);
/// A browser that gave no sign of life for this time is gone.
const SILENCE: Duration = Duration::from_secs(65);
/// Time for the browser to take and to answer the end of a console.
const FAREWELL: Duration = Duration::from_secs(10);
/// The program that is connected to the screen. It dies with this.
struct Tunnel {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
    words: ChildStderr,
}

/// Carries bytes both ways until one side ends, or `allowed` says why not any more.
pub(super) async fn proxy(
    io: SwitchedIo,
    command: Command,
    kind: ConsoleKind,
    what: String,
    allowed: impl Fn() -> Result<(), String> + Send,
) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (code, reason) = match tunnel_open(command) {
        Ok(mut tunnel) => {
            let (end, said) = carry(&mut socket, &mut tunnel, allowed).await;
            farewell(kind, end, &said, &mut tunnel.words, STALL).await
        }
        Err(error) => (CloseCode::Error, format!("ssh cannot be started: {error}")),
    };
    tracing::info!(reason, "{what} closed");
    let frame = CloseFrame {
        code,
        reason: reason_cut(&reason).into(),
    };
    // The browser may be gone already, which is as good as an answer. Until it has answered, what it still says is read:
    // a connection that is dropped with something unread is reset, and the reason is lost.
    let _ = timeout(FAREWELL, async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    })
    .await;
}

fn tunnel_open(mut command: Command) -> std::io::Result<Tunnel> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(input), Some(output), Some(words)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("it has no pipes"));
    };
    Ok(Tunnel {
        _child: child,
        input,
        output,
        words,
    })
}

/// Carries bytes; gives why that ended, and what the screen has said.
async fn carry(
    socket: &mut WebSocketStream<SwitchedIo>,
    tunnel: &mut Tunnel,
    allowed: impl Fn() -> Result<(), String>,
) -> (End, Said) {
    let mut said = Said::default();
    let mut heard = Instant::now();
    let mut look = interval(LOOK_INTERVAL);
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let end = loop {
        tokio::select! {
            read = tunnel.output.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) {
                    break End::Screen;
                }
                said.take(&buffer);
                if let Err(end) = send(socket, Message::Binary(buffer.split().freeze())).await {
                    break end;
                }
                buffer.reserve(READ_BYTES);
            }
            message = socket.next() => {
                heard = Instant::now();
                if let Err(end) = message_take(message, &mut tunnel.input).await {
                    break end;
                }
            }
            _ = look.tick() => {
                if let Err(why) = allowed() {
                    break End::Refused(why);
                }
                if heard.elapsed() >= SILENCE {
                    break End::Protocol("the browser gave no sign of life");
                }
                if let Err(end) = send(socket, Message::Ping(Bytes::new())).await {
                    break end;
                }
            }
        }
    };
    (end, said)
}

async fn send(socket: &mut WebSocketStream<SwitchedIo>, message: Message) -> Result<(), End> {
    match timeout(STALL, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Browser),
        Err(_) => Err(End::Protocol("the browser takes nothing")),
    }
}

/// Hands what came from the browser to the screen.
async fn message_take(
    message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    input: &mut ChildStdin,
) -> Result<(), End> {
    let bytes = match message {
        Some(Ok(Message::Binary(bytes))) => bytes,
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        Some(Ok(Message::Text(_))) => return Err(End::Protocol("a message is text, and not binary")),
        Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => return Err(End::Browser),
    };
    match timeout(STALL, input.write_all(&bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Screen),
        Err(_) => Err(End::Protocol("the screen takes nothing")),
    }
}
