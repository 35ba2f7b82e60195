//! [`ApiService`]: from a call to its answer.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plerion_engine::Engine;
use plerion_model::{ApiError, zone};
use plerion_world::{Caller, call_is_hooked};

use crate::caches::Caches;
use crate::console::{ConsoleSettings, Consoles, Refused};
use crate::hook::{CALL, call_of};
use crate::info::{acl_info, info};
use crate::method::{Handler, Method};
use crate::methods::methods;
use crate::order::order;
use crate::pool::pool;
use crate::reject::Reject;
use crate::xmlrpc::{Answer, Call, Fault, Page, PageRequest, Params, Payload, Service};
use crate::{hook, image, quota, showback, sql, system, user};

/// The caches of bodies are looked through once in so many pool calls.
const PRUNE_EVERY: u64 = 256;

/// Calls that change something and are answered in a disabled zone, too.
const DISABLED_ZONE: [&str; 2] = ["one.zone.enable", "one.vmpool.calculateshowback"];

/// Answers calls.
pub struct ApiService {
    engine: Arc<Engine>,
    caches: Arc<Caches>,
    pools: AtomicU64,
    consoles: Consoles,
}

impl ApiService {
    /// Over a running front-end, with consoles of its VMs.
    #[must_use]
    pub fn new(engine: Arc<Engine>, consoles: ConsoleSettings) -> Self {
        Self {
            engine,
            caches: Arc::default(),
            pools: AtomicU64::new(0),
            consoles: Consoles::new(consoles),
        }
    }

    async fn caller(&self, session: String, source: IpAddr) -> Result<Caller, ApiError> {
        let world = self.engine.snapshot().world;
        let authenticator = self.engine.authenticator();
        if let Some(caller) = authenticator.caller_quick(&world, &session) {
            return Ok(caller);
        }
        let engine = self.engine.clone();
        let asked = tokio::task::spawn_blocking(move || {
            engine.authenticator().caller(engine.as_ref(), &session, source)
        })
        .await;
        asked.unwrap_or_else(|_| Err(ApiError::authentication()))
    }

    async fn page_answer(&self, request: &PageRequest) -> Result<Page, Refused> {
        match request.uri.path() {
            "/console/token" => {
                let session = Consoles::session(request)?;
                let caller = self.caller(session, request.peer.ip()).await?;
                self.consoles.token(&self.engine, caller, request)
            }
            "/console/ws" => self.consoles.websocket(&self.engine, request),
            _ => self.consoles.page(request).await,
        }
    }

    async fn answer(&self, method: &Method, params: &mut Params, source: IpAddr) -> Result<Payload, Reject> {
        let session = params.string()?;
        let caller = self.caller(session, source).await?;
        let engine = &self.engine;
        if method.leader_only && !DISABLED_ZONE.contains(&method.name.as_str()) && zone_is_disabled(engine) {
            return Err(ApiError::action(
                "The zone is disabled: it answers reading calls only, until one.zone.enable (onezone enable 0)",
            )
            .into());
        }
        match method.handler {
            Handler::Version => Ok(system::version(engine)),
            Handler::Config => Ok(system::config(engine, &caller)),
            Handler::Info(kind) => info(engine, &caller, kind, params),
            Handler::AclInfo => acl_info(engine, &caller),
            Handler::Pool(kind, form) => {
                if self
                    .pools
                    .fetch_add(1, Ordering::Relaxed)
                    .is_multiple_of(PRUNE_EVERY)
                {
                    self.caches.prune(&engine.snapshot().world);
                }
                pool(engine, &self.caches, &caller, kind, form, params)
            }
            Handler::Generic(kind, decode) => order(engine, caller, decode(kind, params)?).await,
            Handler::Command(decode) => order(engine, caller, decode(params)?).await,
            Handler::UserAllocate => user::user_allocate(engine, caller, params).await,
            Handler::UserChauth => user::user_chauth(engine, caller, params).await,
            Handler::Solo(solo) => solo(engine, &caller, params),
            Handler::Stored(stored) => stored(engine, &caller, params),
            Handler::HookAllocate => {
                let changes = |call: &str| methods().get(call).is_some_and(|method| method.leader_only);
                order(engine, caller, hook::allocate(params, changes)?).await
            }
            Handler::SqlQuery => sql::sql_query(engine, &caller, params).await,
            Handler::ShowbackCalculate => showback::showback_calculate(engine, caller, params).await,
            Handler::UserPasswd => user::user_passwd(engine, caller, params).await,
            Handler::UserLogin => user::user_login(engine, caller, params).await,
            Handler::QuotaDefaults(kind) => Ok(quota::defaults(engine, kind)),
            Handler::QuotaDefaultsUpdate(kind) => quota::defaults_update(engine, caller, kind, params).await,
            Handler::ImageAllocate => image::image_allocate(engine, caller, params).await,
        }
    }
}

fn zone_is_disabled(engine: &Engine) -> bool {
    let world = engine.snapshot().world;
    world.zones.get(zone::LOCAL).is_some_and(|zone| zone.state != 0)
}

impl Service for ApiService {
    async fn call(&self, call: Call, peer: SocketAddr) -> Answer {
        let Some(method) = methods().get(&call.method) else {
            return Fault::unknown_method(&call.method).into();
        };
        let world = self.engine.snapshot().world;
        let hooked = method.leader_only && call_is_hooked(&world, &method.name);
        let told = hooked.then(|| call_of(&world.config.secrets, &method.name, &call.params));
        drop(world);
        let mut params = Params::new(call.params);
        let answer = CALL
            .scope(Cell::new(told), self.answer(method, &mut params, peer.ip()))
            .await;
        match answer {
            Ok(payload) => Answer::Success(payload),
            Err(reject) => {
                tracing::debug!(method = %method.name, %peer, ?reject, "refused");
                reject.answer(&method.name)
            }
        }
    }

    async fn page(&self, request: PageRequest) -> Page {
        self.page_answer(&request).await.unwrap_or_else(|refused| {
            tracing::debug!(path = request.uri.path(), peer = %request.peer, "refused");
            refused.into()
        })
    }
}
