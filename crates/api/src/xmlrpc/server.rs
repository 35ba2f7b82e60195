//! The listener: accepts connections within a bound, serves each on a task of its own, and stops in bounded time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::{Activity, NotedIo, drive};
use super::control::Control;
use super::limits::Limits;
use super::page::Switch;
use super::request::{LARGE_BODIES_MAX, Peer, Shared, respond};
use super::service::Service;
use super::tls::Tls;
use super::wire::Wire;

/// While no connection is free, idle ones are asked this often to make room.
const ROOM_INTERVAL: Duration = Duration::from_millis(250);
/// That connections have run out is logged at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// First wait after `accept` failed for want of descriptors or memory; doubled up to [`ACCEPT_WAIT_MAX`].
const ACCEPT_WAIT: Duration = Duration::from_millis(20);
/// Longest wait between two attempts to accept.
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes that hyper keeps of a request's head or gathers of a response before it writes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Serves calls until `shutdown` is ready, then lets the calls in hand finish for at most [`Limits::drain`]. With `tls`
/// a connection may begin with a TLS handshake; one that does not is served from this machine only, unless
/// [`Tls::plain_anywhere`] says otherwise.
pub async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared {
        service,
        tls,
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
        renderers: Arc::new(Semaphore::new(limits.renderers.max(1))),
        limits,
    });
    let (control, _) = watch::channel(Control::Run(0));
    let mut connections = JoinSet::new();
    tokio::select! {
        biased;
        () = shutdown => {}
        () = accept_all(listener, &shared, &control, &mut connections) => {}
    }
    control.send_replace(Control::Drain);
    let finished = timeout(shared.limits.drain, async {
        while let Some(ended) = connections.join_next().await {
            log_ended(ended);
        }
    });
    if finished.await.is_err() {
        let open = connections.len();
        tracing::warn!(open, limit = ?shared.limits.drain, "calls did not finish in time, connections are cut");
        connections.shutdown().await;
    }
}

/// Accepts for ever: no error ends the listener.
async fn accept_all<S: Service>(
    listener: TcpListener,
    shared: &Arc<Shared<S>>,
    control: &watch::Sender<Control>,
    connections: &mut JoinSet<()>,
) {
    let slots = Arc::new(Semaphore::new(shared.limits.connections.max(1)));
    let mut wait = ACCEPT_WAIT;
    let mut warned = None;
    loop {
        let Some(slot) = slot_take(&slots, control, &mut warned).await else {
            return;
        };
        while let Some(ended) = connections.try_join_next() {
            log_ended(ended);
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                wait = ACCEPT_WAIT;
                connections.spawn(connection_serve(
                    stream,
                    peer,
                    shared.clone(),
                    control.subscribe(),
                    slot,
                ));
            }
            Err(error) if peer_gone(&error) => tracing::debug!(%error, "a connection ended before it began"),
            Err(error) => {
                tracing::error!(%error, retry_in = ?wait, "cannot accept connections; if descriptors have \
                    run out, raise the limit of open files");
                sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MAX);
            }
        }
    }
}

/// A place for one more connection; `None` never happens while the server runs.
async fn slot_take(
    slots: &Arc<Semaphore>,
    control: &watch::Sender<Control>,
    warned: &mut Option<Instant>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return Some(slot);
    }
    if warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
        *warned = Some(Instant::now());
        tracing::warn!("all connections are in use, further ones wait until an idle one makes room");
    }
    let mut slot = pin!(slots.clone().acquire_owned());
    loop {
        control.send_modify(|asked| {
            if let Control::Run(round) = asked {
                *round = round.wrapping_add(1);
            }
        });
        if let Ok(taken) = timeout(ROOM_INTERVAL, slot.as_mut()).await {
            return taken.ok();
        }
    }
}

fn peer_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn log_ended(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

fn connection_serve<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<S>>,
    mut control: watch::Receiver<Control>,
    slot: OwnedSemaphorePermit,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let _slot = slot;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "no TCP_NODELAY: the peer is gone");
            return;
        }
        let local = stream.local_addr().ok();
        let begun = Wire::begin(stream, shared.tls.as_ref(), shared.limits.head, &mut control).await;
        let Some(stream) = begun else { return };
        let peer = Peer {
            address: peer,
            must_encrypt: !stream.is_tls()
                && shared.tls.as_ref().is_some_and(|tls| !tls.plain_anywhere())
                && !is_this_machine(peer.ip(), local.map(|local| local.ip())),
        };
        let activity = Arc::new(Activity::new());
        let io = TokioIo::new(NotedIo {
            stream,
            activity: activity.clone(),
        });
        let switch = Arc::new(Switch::default());
        let requests =
            service_fn(|request| respond(shared.clone(), activity.clone(), peer, switch.clone(), request));
        let connection = http1::Builder::new()
            .half_close(true)
            .title_case_headers(true)
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, requests)
            .with_upgrades();
        drive(connection, &activity, &shared.limits, control.clone()).await;
        switch.run(control).await;
    })
}

/// Whether `peer` is the machine that it is connected to at `local`.
fn is_this_machine(peer: IpAddr, local: Option<IpAddr>) -> bool {
    peer.to_canonical().is_loopback()
        || local.is_some_and(|local| local.to_canonical() == peer.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_several_addresses() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (peer, local, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.1.2.3", "127.0.0.1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("::1", "::1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("192.0.2.8", "192.0.2.7", false),
            ("2001:db8::1", "2001:db8::2", false),
        ] {
            assert_eq!(
                is_this_machine(address(peer), Some(address(local))),
                expected,
                "{peer} at {local}"
            );
        }
        assert!(!is_this_machine(address("192.0.2.7"), None));
    }
}
