//! What is asked of a server that is no XML-RPC call: pages, and connections that go on in another protocol.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::control::Control;

/// Paths beneath this one are asked of [`super::Service::page`].
pub(super) const PAGES: &str = "/console/";
/// Largest body of a request for a page, in bytes.
const PAGE_BODY_BYTES: usize = 4096;

/// A request for a page.
#[derive(Debug)]
pub struct PageRequest {
    /// Its method.
    pub method: Method,
    /// Its path and what is asked for there.
    pub uri: Uri,
    /// The version of HTTP that it is in.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Where it came from.
    pub peer: SocketAddr,
}

/// The bytes of a connection that goes on in another protocol.
pub type SwitchedIo = TokioIo<Upgraded>;

/// What becomes of a connection after the answer 101. It is dropped when the server stops.
pub type Session = Box<dyn FnOnce(SwitchedIo) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a request for a page is answered.
pub struct Page {
    /// The answer; without its length, which the server adds.
    pub response: Response<Bytes>,
    /// With status 101: what the connection becomes.
    pub session: Option<Session>,
}

impl Page {
    /// A body of a kind.
    #[must_use]
    pub fn of(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let page = Self {
            response,
            session: None,
        };
        page.header(CONTENT_TYPE, HeaderValue::from_static(kind))
    }

    /// A refusal, in words for people.
    #[must_use]
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::of(status, "text/plain; charset=utf-8", text)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }
}

/// A connection that is to go on in another protocol once its answer is out.
#[derive(Default)]
pub(super) struct Switch(Mutex<Option<(OnUpgrade, Session)>>);

impl Switch {
    pub(super) fn set(&self, upgrade: OnUpgrade, session: Session) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, session));
    }

    fn take(&self) -> Option<(OnUpgrade, Session)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lives the session of a connection whose HTTP has ended, if it has one, until it ends or the server drains.
    pub(super) async fn run(&self, mut control: watch::Receiver<Control>) {
        let Some((upgrade, session)) = self.take() else {
            return;
        };
        let session = async {
            match upgrade.await {
                Ok(upgraded) => session(TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(%error, "the peer went before the protocol was switched"),
            }
        };
        tokio::select! {
            () = session => {}
            // The server has gone, too, when nobody can change it any more.
            _ = control.wait_for(|asked| *asked == Control::Drain) => {}
        }
    }
}

/// The request with its body, or its refusal.
pub(super) async fn page_receive(request: Request<Incoming>, peer: SocketAddr) -> Result<PageRequest, Page> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, PAGE_BODY_BYTES).collect().await;
    let body = body.map_err(|_| {
        let text = format!("The body of a request to {PAGES} has at most {PAGE_BODY_BYTES} bytes.\n");
        Page::text(StatusCode::PAYLOAD_TOO_LARGE, text)
    })?;
    Ok(PageRequest {
        method: head.method,
        uri: head.uri,
        version: head.version,
        headers: head.headers,
        body: body.to_bytes(),
        peer,
    })
}
