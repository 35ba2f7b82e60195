//! [`ApiError`]: what a call that is refused answers.

use crate::{Id, Kind};

/// Error codes of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Wrong user or password.
    Authentication = 0x100,
    /// Not allowed, or a quota would be exceeded.
    Authorization = 0x200,
    /// No such object.
    NoExists = 0x400,
    /// Not possible in this state.
    Action = 0x800,
    /// A parameter is wrong.
    RpcApi = 0x1000,
    /// Internal error, or a template that cannot be parsed.
    Internal = 0x2000,
    /// The object could not be created.
    Allocate = 0x4000,
    /// The object is locked.
    Locked = 0x8000,
    /// This server cannot write now.
    Replication = 0x10000,
}

/// A refusal: code, text without the leading method name, and the object it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The code.
    pub code: ErrorCode,
    /// What happened, without the `[method] ` prefix, which the API adds.
    pub text: String,
    /// The offending object, -1 when none.
    pub object: Id,
}

impl ApiError {
    /// An error about no particular object.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            object: -1,
        }
    }

    /// `Error getting <kind> [<id>].`
    #[must_use]
    pub fn no_exists(kind: Kind, id: Id) -> Self {
        Self {
            code: ErrorCode::NoExists,
            text: format!("Error getting {} [{id}].", kind.error_name()),
            object: id,
        }
    }

    /// Not possible in this state.
    #[must_use]
    pub fn action(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::Action, text)
    }

    /// `User [<uid>] : <reason>.`
    #[must_use]
    pub fn authorization(uid: Id, reason: &str) -> Self {
        Self::new(ErrorCode::Authorization, format!("User [{uid}] : {reason}."))
    }

    /// `Error allocating a new <kind>. <reason>`; users, groups and VDCs give the reason alone (recorded).
    #[must_use]
    pub fn allocate(kind: Kind, reason: &str) -> Self {
        let text = match kind {
            Kind::User | Kind::Group | Kind::Vdc => reason.to_owned(),
            _ => format!("Error allocating a new {}. {reason}", kind.error_name()),
        };
        Self::new(ErrorCode::Allocate, text)
    }

    /// A wrong parameter.
    #[must_use]
    pub fn rpc_api(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::RpcApi, text)
    }

    /// Internal errors and parse errors.
    #[must_use]
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, text)
    }

    /// `User couldn't be authenticated, aborting call.`
    #[must_use]
    pub fn authentication() -> Self {
        Self::new(
            ErrorCode::Authentication,
            "User couldn't be authenticated, aborting call.",
        )
    }

    /// The same, of a name that is not to be tried again for some seconds.
    #[must_use]
    pub fn authentication_later(seconds: u64) -> Self {
        Self::new(
            ErrorCode::Authentication,
            format!(
                "User couldn't be authenticated, aborting call. There were too many wrong passwords; the next one is tried in \
                 {seconds} s."
            ),
        )
    }

    /// The same, when so many wait for authentication drivers that the call was not looked at.
    #[must_use]
    pub fn authentication_busy() -> Self {
        Self::new(
            ErrorCode::Authentication,
            "User couldn't be authenticated, aborting call. Too many calls wait for authentication drivers; try again later.",
        )
    }

    /// `The resource <kind> is locked.`
    #[must_use]
    pub fn locked(kind: Kind, id: Id) -> Self {
        Self {
            code: ErrorCode::Locked,
            text: format!("The resource {} is locked [{id}].", kind.error_name()),
            object: id,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ApiError {}
