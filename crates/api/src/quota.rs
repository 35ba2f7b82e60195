//! Calls on quotas.

use std::sync::Arc;

use bytes::Bytes;
use plerion_engine::Engine;
use plerion_model::{Kind, Operation, group, user};
use plerion_template::{EscapedXml, Markup};
use plerion_world::{Caller, Command, QuotaCommand, Snapshot as View};

use crate::decode::{Decoded, template_or_empty};
use crate::method::{Handler, Method, Right, command, method};
use crate::order::order;
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let on = |kind| Right::On(Operation::Admin, kind);
    let mut rows = vec![
        command(
            "one.user.quota",
            "id:int, template:string",
            on(Kind::User),
            "limits what a user may use",
            user_quota,
        ),
        command(
            "one.group.quota",
            "id:int, template:string",
            on(Kind::Group),
            "limits what a group may use",
            group_quota,
        ),
    ];
    for (family, kind, whom) in [
        ("one.userquota", Kind::User, "users"),
        ("one.groupquota", Kind::Group, "groups"),
    ] {
        rows.push(method(
            format!("{family}.info"),
            "",
            Right::Login,
            format!("shows the limits of {whom} that have none of their own"),
            Handler::QuotaDefaults(kind),
        ));
        rows.push(method(
            format!("{family}.update"),
            "template:string",
            on(kind),
            format!("sets the limits of {whom} that have none of their own"),
            Handler::QuotaDefaultsUpdate(kind),
        ));
    }
    rows
}

fn set(kind: Kind, params: &mut Params) -> Decoded {
    let (id, text) = (params.int()?, params.string()?);
    Ok(Command::Quota(QuotaCommand::Set {
        kind,
        id,
        template: template_or_empty(&text)?,
    }))
}

fn user_quota(params: &mut Params) -> Decoded {
    set(Kind::User, params)
}

fn group_quota(params: &mut Params) -> Decoded {
    set(Kind::Group, params)
}

/// Answers `one.userquota.info` and `one.groupquota.info`.
pub(crate) fn defaults(engine: &Engine, kind: Kind) -> Payload {
    let snapshot = engine.snapshot();
    let view = View {
        world: &snapshot.world,
        measurements: &snapshot.measurements,
    };
    let mut out = EscapedXml::with_capacity(1024);
    render_defaults(&mut out, kind, &view);
    Payload::Escaped(Bytes::from(out.into_bytes()))
}

/// The default quotas of users or groups; nothing for other kinds.
pub(crate) fn render_defaults(out: &mut impl Markup, kind: Kind, view: &View<'_>) {
    match kind {
        Kind::User => user::render_default_quotas(out, view),
        Kind::Group => group::render_default_quotas(out, view),
        _ => {}
    }
}

/// Answers `one.userquota.update` and `one.groupquota.update`: the new default quotas.
pub(crate) async fn defaults_update(
    engine: &Arc<Engine>,
    caller: Caller,
    kind: Kind,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let template = template_or_empty(&params.string()?)?;
    order(
        engine,
        caller,
        Command::Quota(QuotaCommand::SetDefault { kind, template }),
    )
    .await?;
    Ok(defaults(engine, kind))
}
