//! Why a call is not carried out.

use plerion_model::ApiError;

use crate::xmlrpc::{Answer, Fault};

/// A fault of the protocol, or a refusal.
#[derive(Debug)]
pub(crate) enum Reject {
    /// The call itself is wrong.
    Fault(Fault),
    /// It is refused.
    Error(ApiError),
}

impl From<Fault> for Reject {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ApiError> for Reject {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl Reject {
    /// The answer; texts of refusals begin with the method (recorded).
    pub(crate) fn answer(self, method: &str) -> Answer {
        match self {
            Self::Fault(fault) => fault.into(),
            Self::Error(error) => Answer::Failure {
                code: error.code as i32,
                text: format!("[{method}] {}", error.text),
                object: error.object,
            },
        }
    }
}
