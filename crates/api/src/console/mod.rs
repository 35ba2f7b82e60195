//! Consoles in the browser: a token for a screen, and the WebSocket that it opens.
//!
//! * `tokens`: what opens a console once; `places`: how many are open.
//! * `screen`: where a VM's screen is, and who may see it.
//! * `request`: the headers of a request, judged.
//! * `proxy`: a console that is open.
//! * `pages`: the page that shows a screen, with noVNC.

mod pages;
mod places;
mod proxy;
mod request;
mod screen;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderValue, Method, StatusCode};
use plerion_engine::Engine;
use plerion_model::{ApiError, ErrorCode, Id};
use plerion_world::Caller;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::xmlrpc::{Page, PageRequest};
use places::Places;
use request::{Wanted, basic, header_text, origin_refuse, token_of, wanted, websocket_key};
use screen::{Screen, caller_now};
use tokens::{TOKEN_LIFETIME, Tokens};

/// Makes the program that is connected to an address of a host by its standard input and output.
pub type Tunnels = Arc<dyn Fn(&str, SocketAddr) -> std::process::Command + Send + Sync>;

/// What consoles are made of.
#[derive(Clone)]
pub struct ConsoleSettings {
    /// Leads to the screens of VMs.
    pub tunnels: Tunnels,
    /// Where noVNC is installed.
    pub novnc: PathBuf,
}

/// The subprotocol that programs for WebSockets name, if they name one.
const SUBPROTOCOL: &str = "binary";

/// The consoles of a front-end.
pub(crate) struct Consoles {
    settings: ConsoleSettings,
    tokens: Mutex<Tokens>,
    places: Places,
}

/// A request that is refused.
pub(crate) struct Refused(StatusCode, String);

impl Refused {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self(status, text.into())
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let status = match error.code {
            ErrorCode::Authentication => StatusCode::UNAUTHORIZED,
            ErrorCode::Authorization => StatusCode::FORBIDDEN,
            ErrorCode::NoExists => StatusCode::NOT_FOUND,
            ErrorCode::Action | ErrorCode::Locked | ErrorCode::Allocate => StatusCode::CONFLICT,
            ErrorCode::RpcApi => StatusCode::BAD_REQUEST,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Replication => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.text)
    }
}

impl From<Refused> for Page {
    fn from(Refused(status, text): Refused) -> Self {
        let text = format!("{}\n", text.trim_end());
        let page = Page::text(status, text);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            return page.header(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        page
    }
}

impl Consoles {
    pub(crate) fn new(settings: ConsoleSettings) -> Self {
        Self {
            settings,
            tokens: Mutex::default(),
            places: Places::default(),
        }
    }

    /// Answers `GET` of a page or of what belongs to it.
    pub(crate) async fn page(&self, request: &PageRequest) -> Result<Page, Refused> {
        let (directory, method) = (self.settings.novnc.clone(), request.method.clone());
        let path = request.uri.path().to_owned();
        let host = header_text(&request.headers, &HOST).map(str::to_owned);
        let read =
            tokio::task::spawn_blocking(move || pages::page_get(&directory, &method, &path, host.as_deref()));
        read.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a page could not be read");
            Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page cannot be read; the server's log says why.",
            ))
        })
    }

    /// The session string of a request for a token.
    pub(crate) fn session(request: &PageRequest) -> Result<String, Refused> {
        if request.method != Method::POST {
            return Err(Refused::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "Tokens are asked for with POST.",
            ));
        }
        origin_refuse(&request.headers)?;
        basic(&request.headers)
    }

    /// Answers `POST /console/token`.
    pub(crate) fn token(
        &self,
        engine: &Engine,
        caller: Caller,
        request: &PageRequest,
    ) -> Result<Page, Refused> {
        let Wanted { vm } = wanted(&request.body)?;
        Screen::seen(&engine.snapshot().world, &caller, vm)?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens
            .issue(caller, vm, Instant::now())
            .map_err(|error| Refused::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        drop(tokens);
        let seconds = TOKEN_LIFETIME.as_secs();
        let body = format!("{{\"token\":\"{token}\",\"expires_s\":{seconds},\"path\":\"/console/ws\"}}\n");
        let page = Page::of(StatusCode::OK, "application/json", body);
        Ok(page.header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
    }

    /// Answers `GET /console/ws?token=…`.
    pub(crate) fn websocket(&self, engine: &Arc<Engine>, request: &PageRequest) -> Result<Page, Refused> {
        origin_refuse(&request.headers)?;
        let key = websocket_key(request)?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = tokens.redeem(token_of(&request.uri), Instant::now());
        drop(tokens);
        let grant = grant.ok_or_else(|| {
            let seconds = TOKEN_LIFETIME.as_secs();
            Refused::new(
                StatusCode::FORBIDDEN,
                format!(
                    "This token opens nothing: each is good once, within {seconds} s. Ask for another one \
                     with onevm vnc ID --web, or POST /console/token."
                ),
            )
        })?;
        let screen = granted(engine, &grant.caller, grant.vm)?;
        let place = self
            .places
            .take(grant.caller.uid)
            .map_err(|error| Refused::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let what = format!(
            "console of VM {} for user {} from {}",
            grant.vm, grant.caller.uid, request.peer
        );
        tracing::info!(host = screen.host, "{what} opened");
        let command = (self.settings.tunnels)(&screen.host, screen.address).into();
        let engine = engine.clone();
        let allowed = move || match granted(&engine, &grant.caller, grant.vm) {
            Ok(now) if now == screen => Ok(()),
            Ok(_) => Err("the VM has moved: open its screen again".to_owned()),
            Err(Refused(_, why)) => Err(why),
        };
        let mut page = Page::text(StatusCode::SWITCHING_PROTOCOLS, "")
            .header(CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(SEC_WEBSOCKET_ACCEPT, accept_value(key)?);
        if request::subprotocol_offered(&request.headers, SUBPROTOCOL) {
            page = page.header(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        page.session = Some(Box::new(move |io| {
            Box::pin(async move {
                let _place = place;
                proxy::proxy(io, command, what, allowed).await;
            })
        }));
        Ok(page)
    }
}

/// The screen, if the caller may still see it.
fn granted(engine: &Engine, caller: &Caller, vm: Id) -> Result<Screen, Refused> {
    let world = engine.snapshot().world;
    let caller = caller_now(&world, caller, engine.now()).ok_or_else(ApiError::authentication)?;
    Ok(Screen::seen(&world, &caller, vm)?)
}

fn accept_value(key: &[u8]) -> Result<HeaderValue, Refused> {
    HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
