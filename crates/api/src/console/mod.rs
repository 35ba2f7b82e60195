//! Consoles in the browser: a token for a screen or a serial line, and the WebSocket that it opens.
//!
//! * `tokens`: what opens a console once; `sessions`: screens of several channels; `places`: how many are open.
//! * `destination`: where a VM's console is, and who may see it.
//! * `request`: the headers of a request, judged.
//! * `proxy`: a console that is open; `ending`: why it ended, in words.
//! * `pages`: the pages that show consoles; `packages`: the files of noVNC, spice-html5 and xterm.js that they need;
//!   `bundle`: one script of many modules.

mod bundle;
mod destination;
mod ending;
mod packages;
mod pages;
mod places;
mod proxy;
mod request;
mod sessions;
mod tokens;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderValue, Method, StatusCode};
use plerion_engine::Engine;
use plerion_model::{ApiError, ErrorCode};
use plerion_world::Caller;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::xmlrpc::{Page, PageRequest};
use destination::{ConsoleKind, Destination, Endpoint, caller_now};
pub use pages::PageDirectories;
use places::Places;
use request::{Wanted, basic, header_text, origin_refuse, secret_of, token_of, wanted, websocket_key};
use sessions::{FirstChannel, SessionKey, Sessions};
use tokens::{Grant, TOKEN_LIFETIME, Tokens};

/// Makes the program that is connected to an address of a host by its standard input and output.
pub type Tunnels = Arc<dyn Fn(&str, SocketAddr) -> std::process::Command + Send + Sync>;
/// Makes the program that is connected so to the serial line of a domain of a host. With `true` whoever has it loses it.
pub type SerialLines = Arc<dyn Fn(&str, &str, bool) -> std::process::Command + Send + Sync>;

/// What consoles are made of.
#[derive(Clone)]
pub struct ConsoleSettings {
    /// Leads to the screens of VMs.
    pub tunnels: Tunnels,
    /// Leads to their serial lines.
    pub serial_lines: SerialLines,
    /// Where what pages need is installed.
    pub directories: PageDirectories,
}

/// The subprotocol that programs for WebSockets name, if they name one.
const SUBPROTOCOL: &str = "binary";

/// The consoles of a front-end.
pub(crate) struct Consoles {
    settings: ConsoleSettings,
    tokens: Mutex<Tokens>,
    sessions: Sessions,
    places: Places,
}

/// A WebSocket that may be opened.
struct Admission {
    grant: Grant,
    /// The session that it belongs to, and whether as its first channel.
    session: Option<(SessionKey, Option<FirstChannel>)>,
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
            sessions: Sessions::default(),
            places: Places::default(),
        }
    }

    /// Answers `GET` of a page or of what belongs to it.
    pub(crate) async fn page(&self, request: &PageRequest) -> Result<Page, Refused> {
        let (directories, method) = (self.settings.directories.clone(), request.method.clone());
        let path = request.uri.path().to_owned();
        let host = header_text(&request.headers, &HOST).map(str::to_owned);
        let read = tokio::task::spawn_blocking(move || {
            pages::page_get(&directories, &method, &path, host.as_deref())
        });
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
        let wanted = wanted(&request.body)?;
        let Wanted { vm, kind, .. } = wanted;
        Destination::seen(&engine.snapshot().world, &caller, vm, kind)?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens
            .issue(caller, wanted, Instant::now())
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
        let Admission { grant, session } = self.admit(request)?;
        let destination = granted(engine, &grant)?;
        let place = self
            .places
            .take(grant.caller.uid)
            .map_err(|error| Refused::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let Wanted { vm, kind, force } = grant.wanted;
        let noun = kind.noun();
        let what = format!(
            "{noun} of VM {vm} for user {} from {}",
            grant.caller.uid, request.peer
        );
        tracing::info!(host = destination.host, "{what} opened");
        let command = match &destination.end {
            Endpoint::Address(address) => (self.settings.tunnels)(&destination.host, *address),
            Endpoint::Domain(domain) => (self.settings.serial_lines)(&destination.host, domain, force),
        };
        let (engine, sessions) = (engine.clone(), self.sessions.clone());
        // The first channel of a session is dropped with this, before the page is told and may begin again.
        let allowed = move || match granted(&engine, &grant) {
            Ok(_) if session.as_ref().is_some_and(|(key, _)| !sessions.is_open(*key)) => {
                Err(format!("the {noun} was closed"))
            }
            Ok(now) if now == destination => Ok(()),
            Ok(_) => Err(format!("the VM has moved: open its {noun} again")),
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
                proxy::proxy(io, command.into(), kind, what, allowed).await;
            })
        }));
        Ok(page)
    }

    /// What a request's token opens, or its token and secret together.
    fn admit(&self, request: &PageRequest) -> Result<Admission, Refused> {
        let (token, now) = (token_of(&request.uri), Instant::now());
        let key = SessionKey::of(token, secret_of(&request.uri));
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = tokens.redeem(token, now);
        drop(tokens);
        if let Some(grant) = fresh {
            let key = key.filter(|_| grant.wanted.kind == ConsoleKind::Spice);
            let session = key.map(|key| (key, Some(self.sessions.begin(key, grant.clone(), now))));
            return Ok(Admission { grant, session });
        }
        let joined = key.and_then(|key| Some((key, self.sessions.join(key, now)?)));
        let (key, (grant, first)) = joined.ok_or_else(|| {
            let seconds = TOKEN_LIFETIME.as_secs();
            Refused::new(
                StatusCode::FORBIDDEN,
                format!(
                    "This token opens nothing: each is good once, within {seconds} s. Ask for another one \
                     with onevm vnc ID --web, or POST /console/token."
                ),
            )
        })?;
        Ok(Admission {
            grant,
            session: Some((key, first)),
        })
    }
}

/// Where the console is, if the caller may still see it.
fn granted(engine: &Engine, grant: &Grant) -> Result<Destination, Refused> {
    let world = engine.snapshot().world;
    let caller = caller_now(&world, &grant.caller, engine.now()).ok_or_else(ApiError::authentication)?;
    let Wanted { vm, kind, .. } = grant.wanted;
    Ok(Destination::seen(&world, &caller, vm, kind)?)
}

fn accept_value(key: &[u8]) -> Result<HeaderValue, Refused> {
    HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
