//! [`Cause`]: who or what moves a VM.

use plerion_model::Id;

use crate::auth::Caller;

/// Who or what moves a VM, and what to note about it.
pub(crate) struct Cause {
    pub(crate) uid: Id,
    pub(crate) gid: Id,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn user(caller: &Caller) -> Self {
        Self {
            uid: caller.uid,
            gid: caller.gid,
            message: String::new(),
        }
    }

    pub(crate) fn system(message: &str) -> Self {
        Self {
            uid: -1,
            gid: -1,
            message: message.to_owned(),
        }
    }
}
