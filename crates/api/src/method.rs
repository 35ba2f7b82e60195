//! [`Method`]: what the table says of a method.

use std::sync::Arc;

use plerion_engine::Engine;
use plerion_model::{Kind, Operation};
use plerion_world::Caller;

use crate::decode::Decoded;
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// What answers a method as a front-end alone does.
pub(crate) type Solo = fn(&Engine, &Caller, &mut Params) -> Result<Payload, Reject>;

/// The right that a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To be logged in.
    Login,
    /// A right on the object that the call names (or, to create, on its kind).
    On(Operation, Kind),
    /// Lists show what the caller may use.
    Filtered(Kind),
    /// To be user 0.
    Oneadmin,
    /// To have group 0 as primary group.
    AdminGroup,
}

/// What answers a method from the database, beside memory.
pub(crate) type Stored = fn(&Arc<Engine>, &Caller, &mut Params) -> Result<Payload, Reject>;

/// Which pool answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolForm {
    /// No parameters.
    Whole,
    /// Filter, start, end.
    Paged,
    /// Filter, start, end, type.
    Typed,
    /// Filter, start, end, state, search; short bodies.
    VmShort,
    /// The same with whole bodies.
    VmExtended,
    /// A list of ids.
    VmSet,
}

/// What a method does.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    Version,
    Config,
    Info(Kind),
    AclInfo,
    Pool(Kind, PoolForm),
    /// A command on an object of any kind.
    Generic(Kind, fn(Kind, &mut Params) -> Decoded),
    /// A command of its own.
    Command(fn(&mut Params) -> Decoded),
    UserAllocate,
    UserPasswd,
    UserChauth,
    /// As a front-end alone answers it.
    Solo(Solo),
    /// From the database, too.
    Stored(Stored),
    ShowbackCalculate,
    SqlQuery,
    HookAllocate,
    UserLogin,
    ImageAllocate,
    QuotaDefaults(Kind),
    QuotaDefaultsUpdate(Kind),
}

/// A method of the API.
pub struct Method {
    /// Name.
    pub name: String,
    /// Parameters after the session, as documented.
    pub parameters: &'static str,
    /// The right it needs. World decides by it; the table says it, and a test compares the two.
    pub right: Right,
    /// Whether only the leader can answer it; others forward it.
    pub leader_only: bool,
    /// What it does, in a line.
    pub summary: String,
    pub(crate) handler: Handler,
}

pub(crate) fn method(
    name: String,
    parameters: &'static str,
    right: Right,
    summary: String,
    handler: Handler,
) -> Method {
    let reads = matches!(
        handler,
        Handler::Version
            | Handler::Config
            | Handler::QuotaDefaults(_)
            | Handler::Solo(_)
            | Handler::Stored(_)
            | Handler::SqlQuery
            | Handler::Info(_)
            | Handler::AclInfo
            | Handler::Pool(..)
    );
    Method {
        name,
        parameters,
        right,
        leader_only: !reads,
        summary,
        handler,
    }
}

/// A method that gives a command of its own.
pub(crate) fn command(
    name: &str,
    parameters: &'static str,
    right: Right,
    summary: &str,
    decode: fn(&mut Params) -> Decoded,
) -> Method {
    method(
        name.into(),
        parameters,
        right,
        summary.into(),
        Handler::Command(decode),
    )
}
