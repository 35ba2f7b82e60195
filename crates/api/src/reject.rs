//! Why a call is not carried out.

use plerion_model::ApiError;

use crate::xmlrpc::{Answer, Fault};

/// Longest text of a refusal, in bytes. What was wrong is quoted in it, and may be as long as a call.
const TEXT_MAX: usize = 2000;

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
                text: format!("[{method}] {}", cut(error.text)),
                object: error.object,
            },
        }
    }
}

/// A text up to [`TEXT_MAX`], and whether there was more.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push_str(" [...]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("a".repeat(TEXT_MAX)), "a".repeat(TEXT_MAX));
        assert_eq!(
            cut("a".repeat(TEXT_MAX + 1)),
            format!("{} [...]", "a".repeat(TEXT_MAX))
        );
        let wide = format!("a{}", "\u{4e2d}".repeat(TEXT_MAX));
        assert_eq!(
            cut(wide),
            format!("a{} [...]", "\u{4e2d}".repeat((TEXT_MAX - 1) / 3))
        );
    }
}
