//! One HTTP request: its body read within bounds, decoded, given to the service, and the answer put in a response.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Answer;
use super::codec::{self, Call};
use super::connection::Activity;
use super::fault::{self, Fault};
use super::limits::Limits;
use super::page::{PAGES, Page, Switch, page_receive};
use super::service::Service;
use super::stream::{RenderError, ResponseBody};
use super::tls::Tls;

/// Bodies above this size wait for one of [`LARGE_BODIES_MAX`] places, in bytes.
pub(super) const SMALL_BODY_BYTES: usize = 256 * 1024;
/// So many large bodies may be in memory at once.
pub(super) const LARGE_BODIES_MAX: usize = 8;
/// Bodies above this size are decoded on a blocking thread, in bytes.
const DECODE_INLINE_BYTES: usize = 256 * 1024;
/// Of a body that is too large so much more is read and thrown away, so that the peer gets to read the refusal
/// instead of a reset connection, in bytes.
const DISCARD_BYTES: usize = 64 * 1024 * 1024;
/// Error code of a call that failed in the server itself.
const INTERNAL: i32 = 0x2000;
/// What the server calls itself.
const PRODUCT: &str = "Plerion";
/// Paths at which calls are accepted.
const PATHS: [&str; 3] = ["/RPC2", "/", "/RPC2/"];

/// What all requests of a server share.
pub(super) struct Shared<S> {
    pub(super) service: Arc<S>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) limits: Limits,
    /// Places for large bodies.
    pub(super) large_bodies: Arc<Semaphore>,
    /// Places for the rendering of streams.
    pub(super) renderers: Arc<Semaphore>,
}

/// Who sent a request, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// It came without TLS from where only calls with TLS are taken.
    pub(super) must_encrypt: bool,
}

/// The request cannot be answered because it did not arrive: its connection is at an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("the body of a request broke off: {0}")]
    Body(#[from] hyper::Error),
    #[error("the server is stopping")]
    Stopping,
}

/// A request's body, and its place among the large ones if it is large.
enum Received {
    Whole(Bytes, Option<OwnedSemaphorePermit>),
    TooLarge,
}

/// Answers one request.
pub(super) async fn respond<S: Service>(
    shared: Arc<Shared<S>>,
    activity: Arc<Activity>,
    peer: Peer,
    switch: Arc<Switch>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Lost> {
    if let Some(refusal) = refusal(&request, peer) {
        let guard = activity.call_begin();
        return Ok(refusal.map(|body| body.guarded(guard)));
    }
    if request.uri().path().starts_with(PAGES) {
        return Ok(page_respond(&*shared.service, activity, peer, &switch, request).await);
    }
    activity.body_begin();
    let received = body_receive(request, &shared).await?;
    let guard = activity.call_begin();
    let (body, _place) = match received {
        Received::Whole(body, place) => (body, place),
        Received::TooLarge => {
            let limit = shared.limits.body_bytes;
            let fault = Fault::limit(format_args!("a request of more than {limit} bytes"));
            return answer_respond(fault.into(), "", &shared)
                .await
                .map(|response| response.map(|b| b.guarded(guard)));
        }
    };
    let (answer, method) = match call_decode(body).await {
        Ok(call) => call_guarded(&*shared.service, call, peer.address).await,
        Err(fault) => (fault.into(), String::new()),
    };
    let response = answer_respond(answer, &method, &shared).await?;
    Ok(response.map(|body| body.guarded(guard)))
}

/// The refusal of a request that is no XML-RPC call by its method or path, or should have been encrypted.
fn refusal(request: &Request<Incoming>, peer: Peer) -> Option<Response<ResponseBody>> {
    if peer.must_encrypt {
        let text = "Calls from other machines are taken by TLS only: begin the endpoint with https://. The password \
            of this call was sent in clear; change it.\n";
        return Some(text_response(StatusCode::UPGRADE_REQUIRED, text));
    }
    if request.uri().path().starts_with(PAGES) {
        return None;
    }
    if !PATHS.contains(&request.uri().path()) {
        let text = "There is nothing at this path. XML-RPC calls are accepted at /RPC2.\n";
        return Some(text_response(StatusCode::NOT_FOUND, text));
    }
    if request.method() != Method::POST {
        let text = "This is an XML-RPC server: send calls with POST.\n";
        let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, text);
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    None
}

/// Answers a request that is no call.
async fn page_respond<S: Service>(
    service: &S,
    activity: Arc<Activity>,
    peer: Peer,
    switch: &Switch,
    mut request: Request<Incoming>,
) -> Response<ResponseBody> {
    activity.body_begin();
    let upgrade = hyper::upgrade::on(&mut request);
    let received = page_receive(request, peer.address).await;
    let guard = activity.call_begin();
    let Page { response, session } = match received {
        Ok(request) => service.page(request).await,
        Err(refusal) => refusal,
    };
    if let Some(session) = session {
        switch.set(upgrade, session);
    }
    let (mut head, body) = response.into_parts();
    head.headers.insert(SERVER, HeaderValue::from_static(PRODUCT));
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    Response::from_parts(head, ResponseBody::whole(body).guarded(guard))
}

/// Reads the body as far as the limit allows.
async fn body_receive<S>(request: Request<Incoming>, shared: &Shared<S>) -> Result<Received, Lost> {
    let limit = shared.limits.body_bytes;
    let asks_first = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        if !asks_first {
            body_discard(&mut body).await?;
        }
        return Ok(Received::TooLarge);
    }
    let mut place = None;
    if announced > SMALL_BODY_BYTES {
        place = Some(large_place(shared).await?);
    }
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && whole.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        let size = first.len() + whole.len() + data.len();
        if size > limit {
            drop((whole, place));
            body_discard(&mut body).await?;
            return Ok(Received::TooLarge);
        }
        if size > SMALL_BODY_BYTES && place.is_none() {
            place = Some(large_place(shared).await?);
        }
        if whole.is_empty() {
            whole.reserve(announced.max(size));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    let bytes = if whole.is_empty() { first } else { whole.into() };
    if bytes.len() > limit {
        return Ok(Received::TooLarge);
    }
    Ok(Received::Whole(bytes, place))
}

async fn large_place<S>(shared: &Shared<S>) -> Result<OwnedSemaphorePermit, Lost> {
    shared
        .large_bodies
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| Lost::Stopping)
}

async fn body_discard(body: &mut Incoming) -> Result<(), Lost> {
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        discarded += frame?.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARD_BYTES {
            break;
        }
    }
    Ok(())
}

async fn call_decode(body: Bytes) -> Result<Call, Fault> {
    if body.len() <= DECODE_INLINE_BYTES {
        return codec::decode(&body);
    }
    tokio::task::spawn_blocking(move || codec::decode(&body))
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "decoding of a request failed");
            Err(Fault::new(
                fault::INTERNAL,
                "Internal error while the request was decoded; see the server's log",
            ))
        })
}

/// Calls the service; a panic in it becomes an answer and ends there. The method's name comes back for messages.
async fn call_guarded<S: Service>(service: &S, call: Call, peer: SocketAddr) -> (Answer, String) {
    let method = call.method.clone();
    let outcome = match catch_unwind(AssertUnwindSafe(|| service.call(call, peer))) {
        Err(_) => Err(()),
        Ok(future) => {
            let mut future = pin!(future);
            std::future::poll_fn(
                |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
                    Err(_) => Poll::Ready(Err(())),
                },
            )
            .await
        }
    };
    let answer = outcome.unwrap_or_else(|()| {
        tracing::error!(method, %peer, "a call panicked; the message is on standard error");
        internal(&method)
    });
    (answer, method)
}

fn internal(method: &str) -> Answer {
    let text = format!("[{method}] Internal error: the call failed in the server; its log says why.");
    Answer::Failure {
        code: INTERNAL,
        text,
        object: -1,
    }
}

async fn answer_respond<S>(
    answer: Answer,
    method: &str,
    shared: &Shared<S>,
) -> Result<Response<ResponseBody>, Lost> {
    let body = match ResponseBody::begin(answer.encode(), &shared.renderers).await {
        Ok(body) => body,
        Err(RenderError) => ResponseBody::begin(internal(method).encode(), &shared.renderers)
            .await
            .map_err(|RenderError| Lost::Stopping)?,
    };
    Ok(response(StatusCode::OK, "text/xml; charset=utf-8", body))
}

fn text_response(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    response(status, "text/plain; charset=utf-8", ResponseBody::whole(text))
}

fn response(status: StatusCode, kind: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let length = body.length();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(SERVER, HeaderValue::from_static(PRODUCT));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    response
}
