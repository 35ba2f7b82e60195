//! One run of a command: the connection, the output, and names turned into ids.

use std::io::{self, BufRead, IsTerminal, Write};

use plerion_client::{Answer, Client, ClientError, Overrides, Param, PoolQuery, Settings};

use crate::error::CliError;
use crate::kind::Kind;
use crate::language::Language;
use crate::xml;

/// How many ids a range may span.
const RANGE_MAX: i32 = 100_000;

/// All objects the caller may use, as a pool filter.
pub const FILTER_ALL: i32 = -2;
/// VMs that are not gone, as a state filter.
pub const STATE_NOT_DONE: i32 = -1;

/// One run of a command.
#[derive(Debug)]
pub struct Session {
    overrides: Overrides,
    client: Option<Client>,
    /// Say what was done to each object.
    pub verbose: bool,
    /// The time, in seconds since 1970.
    pub now: i64,
    /// The language of help and questions.
    pub language: Language,
}

impl Session {
    /// A session that connects at the first call.
    pub fn new(overrides: Overrides, verbose: bool, now: i64, language: Language) -> Self {
        Self {
            overrides,
            client: None,
            verbose,
            now,
            language,
        }
    }

    /// The connection; asks for the password when only a user was named.
    pub fn client(&mut self) -> Result<&mut Client, CliError> {
        if self.client.is_none() {
            if self.overrides.user.is_some() && self.overrides.password.is_none() {
                self.overrides.password = Some(password_ask("Password: ")?);
            }
            let settings = Settings::from_environment(&self.overrides)?;
            self.client = Some(Client::new(&settings)?);
        }
        self.client
            .as_mut()
            .ok_or_else(|| CliError::text("There is no connection."))
    }

    /// Calls as a user from now on, with a password or a token.
    pub fn login_as(&mut self, user: &str, password: String) {
        self.overrides.user = Some(user.to_owned());
        self.overrides.password = Some(password);
        self.client = None;
    }

    /// The endpoint calls go to.
    pub fn endpoint(&self) -> Result<String, CliError> {
        Ok(Settings::from_environment(&self.overrides)?.endpoint)
    }

    /// Settings for another server with the same credentials.
    pub fn settings_for(&self, endpoint: &str) -> Result<Settings, CliError> {
        let mut settings = Settings::from_environment(&self.overrides)?;
        endpoint.clone_into(&mut settings.endpoint);
        Ok(settings)
    }

    /// Calls a method.
    pub fn call(&mut self, method: &str, params: &[Param]) -> Result<Answer, CliError> {
        Ok(self.client()?.call(method, params)?)
    }

    /// Calls a method that answers with a text.
    pub fn call_text(&mut self, method: &str, params: &[Param]) -> Result<String, CliError> {
        Ok(self.call(method, params)?.into_text()?)
    }

    /// Calls a method that answers with an id.
    pub fn call_id(&mut self, method: &str, params: &[Param]) -> Result<i64, CliError> {
        Ok(self.call(method, params)?.number()?)
    }

    /// The document of one object.
    pub fn info(&mut self, kind: Kind, id: i32) -> Result<String, CliError> {
        self.call_text(&kind.method("info"), &[id.into()])
    }

    /// The document of a whole pool.
    pub fn pool(&mut self, kind: Kind, filter: i32) -> Result<String, CliError> {
        if !kind.is_paged() {
            return self.call_text(&kind.pool_method(), &[]);
        }
        let method = kind.pool_method();
        let extra = if kind == Kind::Vm {
            vec![STATE_NOT_DONE.into()]
        } else {
            Vec::new()
        };
        Ok(self.client()?.pool(&PoolQuery {
            method: &method,
            filter,
            extra,
        })?)
    }

    /// Writes to standard output.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::Closed),
            Err(error) => Err(CliError::text(format!(
                "Standard output cannot be written: {error}"
            ))),
        }
    }

    /// Does something to each object; goes on after a failure and fails in the end.
    pub fn each(
        &mut self,
        kind: Kind,
        ids: &[i32],
        done: &str,
        mut act: impl FnMut(&mut Session, i32) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut failed = false;
        for &id in ids {
            match act(self, id) {
                Ok(()) if self.verbose => self.print(&format!("{} {id}: {done}\n", kind.element()))?,
                Ok(()) => {}
                Err(error @ (CliError::Client(ClientError::Api(_)) | CliError::Text(_))) => {
                    eprintln!("{error}");
                    failed = true;
                }
                // Without a connection or an output every further object would fail alike.
                Err(error) => return Err(error),
            }
        }
        if failed { Err(CliError::Reported) } else { Ok(()) }
    }

    /// The id of an object given by id or name.
    pub fn id_resolve(&mut self, kind: Kind, text: &str) -> Result<i32, CliError> {
        if let Some(id) = id_parse(text) {
            return Ok(id);
        }
        let pool = self.pool(kind, FILTER_ALL)?;
        id_by_name(&pool, kind, text)
    }

    /// The ids of `1..4`, or of ids and names separated by commas.
    pub fn ids_resolve(&mut self, kind: Kind, text: &str) -> Result<Vec<i32>, CliError> {
        if let Some(range) = range_parse(text)? {
            return Ok(range);
        }
        if text.split(',').all(|item| id_parse(item.trim()).is_some()) {
            return Ok(text.split(',').filter_map(|item| id_parse(item.trim())).collect());
        }
        let pool = self.pool(kind, FILTER_ALL)?;
        text.split(',')
            .map(str::trim)
            .map(|item| id_parse(item).map_or_else(|| id_by_name(&pool, kind, item), Ok))
            .collect()
    }

    /// The number a pool filter stands for: `m`, `g`, `G`, `a`, or a user.
    pub fn filter_resolve(&mut self, text: &str) -> Result<i32, CliError> {
        match text {
            "" | "a" | "all" => Ok(FILTER_ALL),
            "m" | "mine" => Ok(-3),
            "g" | "group" => Ok(-1),
            "G" | "primary_group" => Ok(-4),
            name => self.id_resolve(Kind::User, name),
        }
    }
}

fn id_parse(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn range_parse(text: &str) -> Result<Option<Vec<i32>>, CliError> {
    let Some((first, last)) = text.split_once("..") else {
        return Ok(None);
    };
    let (Some(first), Some(last)) = (id_parse(first), id_parse(last)) else {
        return Ok(None);
    };
    if last.saturating_sub(first) >= RANGE_MAX {
        return Err(CliError::text(format!(
            "The range {text} has more than {RANGE_MAX} ids."
        )));
    }
    Ok(Some((first..=last).collect()))
}

fn id_by_name(pool: &str, kind: Kind, name: &str) -> Result<i32, CliError> {
    let document = xml::document_parse(pool)?;
    let found: Vec<i32> = xml::children(document.root_element(), kind.element())
        .filter(|object| xml::text(*object, "NAME") == name)
        .filter_map(|object| id_parse(&xml::text(object, "ID")))
        .collect();
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(CliError::text(format!(
            "{} named {name} not found.",
            kind.element()
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CliError::text(format!(
                "Several objects of kind {} are named {name} (ids {}). Use the id.",
                kind.element(),
                ids.join(", ")
            )))
        }
    }
}

/// Asks for a secret; on a terminal it is not shown.
pub fn password_ask(question: &str) -> Result<String, CliError> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let input = io::stdin();
    let shown = if input.is_terminal() {
        tcgetattr(&input).ok()
    } else {
        None
    };
    eprint!("{question}");
    if let Some(modes) = &shown {
        let mut hidden = modes.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Flush, &hidden)
            .map_err(|error| CliError::text(format!("The terminal cannot hide the password: {error}")))?;
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(modes) = &shown {
        eprintln!();
        tcsetattr(&input, OptionalActions::Flush, modes)
            .map_err(|error| CliError::text(format!("The terminal cannot be put back: {error}")))?;
    }
    match read {
        Ok(count) if count > 0 => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        Ok(_) => Err(CliError::text(
            "No password was given. Use --password or type one.",
        )),
        Err(error) => Err(CliError::text(format!("The password cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range_parse("2..4").expect("good"), Some(vec![2, 3, 4]));
        assert_eq!(range_parse("a..4").expect("good"), None);
        assert_eq!(range_parse("4").expect("good"), None);
        assert!(range_parse("0..2000000000").is_err());
    }

    #[test]
    fn names_must_be_unique() {
        let pool = "<HOST_POOL><HOST><ID>1</ID><NAME>a</NAME></HOST><HOST><ID>2</ID><NAME>b</NAME></HOST>\
                    <HOST><ID>3</ID><NAME>b</NAME></HOST></HOST_POOL>";
        assert_eq!(id_by_name(pool, Kind::Host, "a").expect("good"), 1);
        assert_eq!(
            id_by_name(pool, Kind::Host, "x").expect_err("none").to_string(),
            "HOST named x not found."
        );
        assert!(
            id_by_name(pool, Kind::Host, "b")
                .expect_err("two")
                .to_string()
                .contains("2, 3")
        );
    }
}
