//! `one.system.*`.

use bytes::Bytes;
use plerion_engine::Engine;
use plerion_template::{EscapedXml, Markup};
use plerion_world::Caller;

use crate::xmlrpc::Payload;

/// The version that clients check. Plerion's own version is another matter.
const VERSION: &str = "7.4.0";
/// Settings that only administrators see.
const SECRET: &[&str] = &["DB", "FEDERATION", "RAFT", "AUTH_MAD", "AUTH_MAD_CONF", "LOG"];

/// `one.system.version`; `VERSION` in oned.conf says otherwise.
pub(crate) fn version(engine: &Engine) -> Payload {
    let snapshot = engine.snapshot();
    Payload::Text(
        snapshot
            .world
            .config
            .attributes
            .get("VERSION")
            .unwrap_or(VERSION)
            .to_owned(),
    )
}

/// `one.system.config`.
pub(crate) fn config(engine: &Engine, caller: &Caller) -> Payload {
    let snapshot = engine.snapshot();
    let mut attributes = snapshot.world.config.attributes.clone();
    if !caller.is_admin() {
        attributes.retain(|attribute| !SECRET.contains(&attribute.name.as_str()));
    }
    let mut out = EscapedXml::with_capacity(32 * 1024);
    out.open("OPENNEBULA_CONFIGURATION");
    out.template(&attributes);
    out.close("OPENNEBULA_CONFIGURATION");
    Payload::Escaped(Bytes::from(out.into_bytes()))
}
