//! Authentication drivers that are scripts: `NAME/authenticate`, by the old protocol. The credential goes by standard input,
//! the exit status decides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::auth_said::Said;
use crate::auth_verdict::{Credential, Verdict};
use crate::child::child_run;

/// Time that a script has.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Longest part of what it says that goes into the log, in characters.
const SHOWN_CHARACTERS_MAX: usize = 500;

/// The scripts of a directory.
pub(crate) struct AuthScripts {
    directory: PathBuf,
    time: Duration,
}

impl AuthScripts {
    /// Those below `directory`.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            time: TIME_MAX,
        }
    }

    /// The script of a driver, if there is one.
    pub(crate) fn find(&self, driver: &str) -> Option<PathBuf> {
        is_name(driver)
            .then(|| self.directory.join(driver).join("authenticate"))
            .filter(|path| path.is_file())
    }

    /// Whether the directory of a driver is a link to that of another, which need not be there.
    pub(crate) fn links_to(&self, driver: &str, other: &str) -> bool {
        is_name(driver)
            && std::fs::read_link(self.directory.join(driver))
                .is_ok_and(|target| target.file_name().is_some_and(|name| name == other))
    }

    /// Where the script of a driver would be.
    pub(crate) fn place(&self, driver: &str) -> PathBuf {
        self.directory.join(driver).join("authenticate")
    }

    /// Runs a script to its end.
    pub(crate) fn ask(&self, script: &Path, credential: &Credential<'_>) -> Verdict {
        let shown = script.display();
        let ended = match child_run(&mut Command::new(script), Some(document(credential)), self.time) {
            Ok(ended) => ended,
            Err(error) => {
                return Verdict::Broken(format!(
                    "{shown} cannot be run: {error}; it must be an executable file"
                ));
            }
        };
        if ended.late {
            return Verdict::Broken(format!("{shown} took longer than {} s", self.time.as_secs()));
        }
        match ended.code {
            Some(0) => match Said::parse(&ended.stdout) {
                Ok(said) => Verdict::Good(said),
                Err(error) => Verdict::Broken(format!("{shown} gave an answer of no use: {error}")),
            },
            Some(code) => {
                let why = presentable(&format!("{}\n{}", ended.stderr, ended.stdout), credential.secret);
                Verdict::Bad(format!("exit status {code}: {why}"))
            }
            None => Verdict::Broken(format!("{shown} was ended by a signal")),
        }
    }
}

fn is_name(driver: &str) -> bool {
    !driver.is_empty() && !driver.starts_with('.') && !driver.contains('/')
}

/// The document that scripts read.
fn document(credential: &Credential<'_>) -> String {
    let stored = if credential.stored.is_empty() {
        "-"
    } else {
        credential.stored
    };
    format!(
        "<AUTHN><USERNAME>{}</USERNAME><PASSWORD>{}</PASSWORD><SECRET>{}</SECRET></AUTHN>\n",
        escaped(credential.name),
        escaped(stored),
        escaped(credential.secret)
    )
}

fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, character| {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                // Nothing could read it in a document.
                control if control.is_control() && !matches!(control, '\t' | '\n' | '\r') => {}
                other => out.push(other),
            }
            out
        })
}

/// What a script said, for the log: one line, without the secret, should it have repeated that.
fn presentable(text: &str, secret: &str) -> String {
    let text = if secret.is_empty() {
        text.to_owned()
    } else {
        text.replace(secret, "…")
    };
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("ERROR MESSAGE --"))
        .collect();
    lines.join("; ").chars().take(SHOWN_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ANN: Credential<'_> = Credential {
        name: "ann",
        stored: "",
        secret: "pass<word>",
    };

    /// A directory with one script, gone at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str, script: &str) -> Self {
            let place = std::env::temp_dir().join(format!("plerion-auth-{name}-{}", std::process::id()));
            let directory = place.join("mine");
            std::fs::create_dir_all(&directory).expect("a directory");
            let path = directory.join("authenticate");
            std::fs::write(&path, script).expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
            Self(place)
        }

        fn ask(&self, time: Duration) -> Verdict {
            let scripts = AuthScripts {
                directory: self.0.clone(),
                time,
            };
            scripts.ask(&scripts.find("mine").expect("the script"), &ANN)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("removed");
        }
    }

    #[test]
    fn the_credential_goes_by_standard_input() {
        let place = Place::new(
            "input",
            "#!/bin/sh\n[ $# = 0 ] || exit 3\nread -r line\ntest \"$line\" = \
             '<AUTHN><USERNAME>ann</USERNAME><PASSWORD>-</PASSWORD><SECRET>pass&lt;word&gt;</SECRET></AUTHN>' || exit 4\n\
             echo mine ann dn '*7'\n",
        );
        let Verdict::Good(Some(said)) = place.ask(TIME_MAX) else {
            panic!("not found good");
        };
        assert_eq!((said.name.as_str(), said.groups.len()), ("ann", 1));
    }

    #[test]
    fn a_refusal_is_told_without_the_secret() {
        let place = Place::new(
            "refusal",
            "#!/bin/sh\nread -r line\necho 'ERROR MESSAGE --8<------' >&2\necho 'no pass<word> for you' >&2\n\
             echo 'ERROR MESSAGE ------>8--' >&2\nexit 2\n",
        );
        let Verdict::Bad(why) = place.ask(TIME_MAX) else {
            panic!("not refused");
        };
        assert_eq!(why, "exit status 2: no … for you");
    }

    #[test]
    fn what_takes_too_long_is_ended_and_no_refusal() {
        let place = Place::new("late", "#!/bin/sh\nsleep 600\n");
        let began = std::time::Instant::now();
        let Verdict::Broken(why) = place.ask(Duration::from_millis(200)) else {
            panic!("not ended");
        };
        assert!(why.contains("took longer"), "{why}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn names_are_no_paths() {
        let place = Place::new("names", "#!/bin/sh\n");
        let scripts = AuthScripts::new(place.0.clone());
        assert!(scripts.find("mine").is_some());
        for name in ["", ".", "..", "../mine", "other"] {
            assert!(scripts.find(name).is_none(), "{name}");
        }
    }
}
