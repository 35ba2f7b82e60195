//! Hooks: programs that are run when a call has been made or an object has come into a state.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::{Id, Owned};

/// What a hook is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookType {
    /// A call of the API.
    Api,
    /// A state of an object.
    State,
}

impl HookType {
    /// As templates and answers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::State => "state",
        }
    }

    /// The type of a name, in whatever case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Api, Self::State]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// Owner, who is not shown, and lock.
    pub owned: Owned,
    /// What it is about.
    pub kind: HookType,
    /// Number of its next execution.
    pub next: u32,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Hook, owned, template);

impl Hook {
    /// `<HOOK>`, with its executions where they are given.
    pub fn render<'a>(
        &self,
        out: &mut impl Markup,
        executions: Option<impl Iterator<Item = &'a HookExecution>>,
    ) {
        out.open("HOOK");
        out.number("ID", i64::from(self.id));
        out.element("NAME", &self.name);
        out.element("TYPE", self.kind.as_str());
        self.owned.render_lock(out);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        if let Some(executions) = executions {
            out.open("HOOKLOG");
            for execution in executions {
                execution.render(out);
            }
            out.close("HOOKLOG");
        }
        out.close("HOOK");
    }

    /// Whether a setting of it says yes.
    #[must_use]
    pub fn says(&self, name: &str) -> bool {
        let text = self.template.get(name).unwrap_or_default().trim();
        text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("true")
    }
}

/// How far an execution has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionState {
    /// It is to be run.
    Waiting,
    /// It has been begun, and is not begun again.
    Running,
    /// It is over.
    Over,
}

/// How an execution ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionResult {
    /// What was run.
    pub command: String,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// Its exit status; 255 where it could not be run.
    pub code: i32,
}

/// One execution of a hook, from the moment at which it is known that there is to be one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookExecution {
    /// Id among the executions of all hooks.
    pub id: Id,
    /// Hook.
    pub hook: Id,
    /// Number among those of the hook, from 0.
    pub number: u32,
    /// What happened to which object, so that executions about one keep their order; empty for calls.
    pub about: String,
    /// When it was to be run.
    pub time: crate::Seconds,
    /// Its arguments, in one text.
    pub arguments: String,
    /// The host on which it is run; none for the front-end.
    pub host: Option<String>,
    /// Whether somebody asked for it again.
    pub retry: bool,
    /// How far it has come.
    pub state: ExecutionState,
    /// How it ended, once it is over.
    pub result: ExecutionResult,
}

crate::entity::entity!(HookExecution);

impl HookExecution {
    /// `<HOOK_EXECUTION_RECORD>`. Those that are not over have no result yet, and are left out of logs.
    pub fn render(&self, out: &mut impl Markup) {
        out.open("HOOK_EXECUTION_RECORD");
        out.number("HOOK_ID", i64::from(self.hook));
        out.number("EXECUTION_ID", i64::from(self.number));
        out.number("TIMESTAMP", self.time);
        out.element("ARGUMENTS", &self.arguments);
        out.open("EXECUTION_RESULT");
        out.element("COMMAND", &self.result.command);
        out.element("STDOUT", &encoded(&self.result.stdout));
        out.element("STDERR", &encoded(&self.result.stderr));
        out.number("CODE", i64::from(self.result.code));
        out.close("EXECUTION_RESULT");
        if let Some(host) = &self.host {
            out.element("REMOTE_HOST", host);
        }
        if self.retry {
            out.element("RETRY", "yes");
        }
        out.close("HOOK_EXECUTION_RECORD");
    }
}

/// Base64, as output of programs is shown (recorded).
#[must_use]
pub fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, expect) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("\u{e9}\u{ff}", "w6nDvw=="),
        ] {
            assert_eq!(encoded(text), expect);
        }
    }
}
