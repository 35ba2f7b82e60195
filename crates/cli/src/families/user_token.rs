//! Login tokens: asked for, kept in the file that commands take their credentials from, chosen and ended.
//!
//! The server shows hashes of tokens. Which of them is meant is told by the tokens that were asked for here: a copy of each
//! is below `~/.one`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plerion_client::auth_path;
use roxmltree::Document;
use sha2::{Digest, Sha256};

use super::{user_certificate, user_key};
use crate::error::CliError;
use crate::family::Input;
use crate::kind::Kind;
use crate::session::{Session, password_ask};
use crate::sources;
use crate::xml;

/// How long a login token is good unless `--time` says otherwise, in seconds.
const TOKEN_SECONDS: i32 = 36_000;
/// For how long the proof of a key is good with which a token is asked for, in seconds: clocks may differ.
const PROOF_SECONDS: i64 = 300;
/// How many bytes of the digest of a token name its file.
const FILE_NAME_BYTES: usize = 16;
/// How many files of tokens are looked at.
const FILES_MAX: usize = 10_000;
/// The caller, in place of a user's id.
const SELF: i32 = -1;
/// No group: the token is good for all of the user's groups.
const GROUP_NONE: i32 = -1;
/// When a token ends that never does.
const NEVER: i64 = -1;

/// A token of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    /// As the server shows it: its hash.
    shown: String,
    /// The token itself, where it was asked for here.
    secret: Option<String>,
    /// In seconds since 1970, or [`NEVER`].
    ends: i64,
    /// The group it is for, or [`GROUP_NONE`].
    group: i32,
}

/// `login` and `token-create`: a token that stands for the password for a while.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let seconds = input.number("time").unwrap_or(TOKEN_SECONDS);
    let name = match caller_take(session, input, input.text(0))? {
        Some(name) => name,
        None => session.client()?.user_name().to_owned(),
    };
    let group = group_of(session, input)?.unwrap_or(GROUP_NONE);
    let params = [name.as_str().into(), "".into(), seconds.into(), group.into()];
    let token = session.call_text("one.user.login", &params)?;
    if seconds == 0 {
        // All tokens have ended; there is no new one.
        return Ok(());
    }
    let credentials = format!("{name}:{token}");
    private_write(&token_path(&credentials), &credentials)?;
    let path = auth_path();
    let kept = if may_write(input, &path)? {
        private_write(&path, &credentials)
    } else {
        session.print(&format!(
            "File {} exists, use --force to overwrite.\n",
            path.display()
        ))
    };
    session.print(&format!("Authentication Token is:\n{credentials}\n"))?;
    kept
}

/// `token-set`: chooses a token that is still good, and prints what makes a shell use its file.
pub fn set(session: &mut Session, input: &Input) -> Result<(), CliError> {
    name_check(input.text(0))?;
    caller_take(session, input, input.text(0))?;
    let (name, tokens) = tokens_own(session)?;
    let good: Vec<Token> = tokens
        .into_iter()
        .filter(|token| token.ends == NEVER || token.ends > session.now)
        .filter(|token| token.secret.is_some())
        .collect();
    let token = match input.value("token") {
        Some(begin) => token_by_begin(&good, &name, begin)?,
        None => {
            let group = match group_of(session, input)? {
                Some(group) => group,
                None if input.has("global") => GROUP_NONE,
                None => {
                    return Err(CliError::Token(
                        "Say which token: --token BEGINNING, --group GROUP or --global".to_owned(),
                    ));
                }
            };
            token_by_group(&good, group).ok_or_else(|| {
                CliError::Token(format!(
                    "{name} has no such token that is still good and was made here."
                ))
            })?
        }
    };
    let credentials = format!("{name}:{}", token.secret.unwrap_or_default());
    let path = token_path(&credentials);
    private_write(&path, &credentials)?;
    session.print(&format!(
        "export ONE_AUTH={}; export ONE_EGID={}\n",
        shell_word(&path.display().to_string()),
        token.group
    ))
}

/// `token-delete`: ends a token and removes its file.
pub fn delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (name, begin) = match (input.text(0), input.text(1)) {
        (begin, "") => ("", begin),
        both => both,
    };
    caller_take(session, input, name)?;
    let (name, tokens) = if name.is_empty() || name == session.client()?.user_name() {
        tokens_own(session)?
    } else {
        let id = session.id_resolve(Kind::User, name)?;
        tokens_of(session, id)?
    };
    let token = token_by_begin(&tokens, &name, begin)?;
    let text = token.secret.as_ref().unwrap_or(&token.shown);
    let params = [
        name.as_str().into(),
        text.as_str().into(),
        0.into(),
        GROUP_NONE.into(),
    ];
    session.call("one.user.login", &params)?;
    session.print("Token removed.\n")?;
    let path = token_path(&format!("{name}:{text}"));
    match fs::remove_file(&path) {
        Ok(()) => session.print(&format!("Removing {}\n", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CliError::text(format!(
            "{} cannot be removed: {error}",
            path.display()
        ))),
    }
}

/// `token-delete-all`: ends all tokens of a user, as one who may manage that user.
pub fn delete_all(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let name = input.text(0);
    name_check(name)?;
    let params = [name.into(), "".into(), 0.into(), GROUP_NONE.into()];
    session.call("one.user.login", &params)?;
    if session.verbose {
        session.print(&format!("USER {name}: Tokens expired\n"))?;
    }
    Ok(())
}

/// Calls as the user named from now on, by a key, a certificate or a password, unless `--user` says who calls. Without a
/// name the caller stays who he is, and there is none to tell.
fn caller_take(session: &mut Session, input: &Input, name: &str) -> Result<Option<String>, CliError> {
    let proved = ["ssh", "x509", "stdin_password"];
    if name.is_empty() {
        return match proved.iter().find(|option| input.has(option)) {
            None => Ok(None),
            Some(_) => Err(CliError::text(
                "Name the user who logs in: oneuser login NAME --ssh, --x509 or --stdin_password",
            )),
        };
    }
    // A proof is good for this one call.
    let end = session.now.saturating_add(PROOF_SECONDS);
    if input.has("ssh") {
        session.login_as(name, user_key::proof(input, name, end)?);
    } else if input.has("x509") {
        session.login_as(name, user_certificate::proof(input, name, end)?);
    } else if input.has("stdin_password") {
        let given = sources::stdin_read()?.map(|text| text.trim().to_owned());
        session.login_as(name, given.map_or_else(|| password_ask("Password: "), Ok)?);
    } else if !input.has("user") {
        session.login_as(name, password_ask("Password: ")?);
    }
    Ok(Some(name.to_owned()))
}

/// Names are asked for where a number would be taken for an id.
fn name_check(name: &str) -> Result<(), CliError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CliError::Token(format!(
            "{name} is no name. Give the name of the user, not the id."
        )));
    }
    Ok(())
}

/// The group that is named, by name or id.
fn group_of(session: &mut Session, input: &Input) -> Result<Option<i32>, CliError> {
    input
        .value("group")
        .map(|group| session.id_resolve(Kind::Group, group))
        .transpose()
}

/// The caller's name and tokens.
fn tokens_own(session: &mut Session) -> Result<(String, Vec<Token>), CliError> {
    tokens_of(session, SELF)
}

fn tokens_of(session: &mut Session, id: i32) -> Result<(String, Vec<Token>), CliError> {
    let text = session.info(Kind::User, id)?;
    let document = xml::document_parse(&text)?;
    let name = xml::text(document.root_element(), "NAME");
    let secrets = secrets_here(&name)?;
    Ok((name, tokens_read(&document, &secrets)))
}

fn tokens_read(user: &Document<'_>, secrets: &[String]) -> Vec<Token> {
    xml::elements(user.root_element())
        .filter(|node| node.has_tag_name("LOGIN_TOKEN"))
        .map(|node| {
            let shown = xml::text(node, "TOKEN");
            Token {
                secret: secrets.iter().find(|secret| digest(secret) == shown).cloned(),
                shown,
                ends: xml::number(node, "EXPIRATION_TIME"),
                group: xml::text(node, "EGID").parse().unwrap_or(GROUP_NONE),
            }
        })
        .collect()
}

/// Tokens of a user that were asked for here: of the file of credentials, and of those below `~/.one`.
fn secrets_here(name: &str) -> Result<Vec<String>, CliError> {
    let mut paths = vec![auth_path()];
    let directory = token_directory();
    match fs::read_dir(&directory) {
        Ok(entries) => paths.extend(
            entries
                .take(FILES_MAX)
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|end| end == "token")),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(CliError::text(format!(
                "{} cannot be read: {error}",
                directory.display()
            )));
        }
    }
    // A file that cannot be read holds no token for this caller.
    let texts = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    Ok(texts
        .filter_map(|text| {
            text.trim()
                .strip_prefix(name)?
                .strip_prefix(':')
                .map(str::to_owned)
        })
        .collect())
}

/// The one token that begins so.
fn token_by_begin(tokens: &[Token], name: &str, begin: &str) -> Result<Token, CliError> {
    let begins = |text: &String| text.starts_with(begin);
    let mut found = tokens
        .iter()
        .filter(|token| begins(&token.shown) || token.secret.as_ref().is_some_and(begins));
    match (found.next(), found.next()) {
        (Some(token), None) => Ok(token.clone()),
        (None, _) => Err(CliError::Token(format!(
            "{name} has no token that begins with {begin} and can be used here: see oneuser show."
        ))),
        _ => Err(CliError::Token(format!(
            "{name} has several tokens that begin with {begin}. Give more of it."
        ))),
    }
}

/// Of the tokens for a group, the one that ends last.
fn token_by_group(tokens: &[Token], group: i32) -> Option<Token> {
    let of_group = tokens.iter().filter(|token| token.group == group);
    of_group
        .max_by_key(|token| if token.ends == NEVER { i64::MAX } else { token.ends })
        .cloned()
}

/// Whether the file of credentials may be written: it is new, `--force` says so, or the caller does.
fn may_write(input: &Input, path: &Path) -> Result<bool, CliError> {
    if input.has("force") || !path.exists() {
        return Ok(true);
    }
    eprint!(
        "  * Do you want to overwrite the file {}? (Y|N): ",
        path.display()
    );
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::text(format!("Standard input cannot be read: {error}")))?;
    match line.trim() {
        "Y" | "y" | "Yes" | "yes" | "YES" => Ok(true),
        // Nobody answers where nothing can be typed.
        "" | "N" | "n" | "No" | "no" | "NO" => Ok(false),
        other => Err(CliError::text(format!("'{other}' is neither Y nor N."))),
    }
}

/// The file of a token.
fn token_path(credentials: &str) -> PathBuf {
    let name: String = digest(credentials).chars().take(2 * FILE_NAME_BYTES).collect();
    token_directory().join(format!("{name}.token"))
}

fn token_directory() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".one")
}

/// The SHA-256 of a text, in hexadecimal digits: as which the server shows a token.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Writes a file that only its owner may read. Whoever reads it meanwhile sees the old one or the new one, whole; where
/// the name is a link, what it leads to is written.
fn private_write(path: &Path, text: &str) -> Result<(), CliError> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let told = |error: io::Error| CliError::text(format!("{} cannot be written: {error}", path.display()));
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(told)?;
    }
    let mut new = path.clone().into_os_string();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let written = new_write(&new, text).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        // What went wrong first is told; the remains are of no use to anybody.
        let _ = fs::remove_file(&new);
    }
    written.map_err(told)
}

fn new_write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A path as a shell reads it: in quotes unless it is made of plain letters.
fn shell_word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(shown: &str, ends: i64, group: i32) -> Token {
        Token {
            shown: shown.to_owned(),
            secret: None,
            ends,
            group,
        }
    }

    #[test]
    fn tokens_of_a_user() {
        let text = "<USER><NAME>ann</NAME><LOGIN_TOKEN><TOKEN>ab1</TOKEN><EXPIRATION_TIME>50</EXPIRATION_TIME>\
                    <EGID>-1</EGID></LOGIN_TOKEN><LOGIN_TOKEN><TOKEN>ab2</TOKEN><EXPIRATION_TIME>-1\
                    </EXPIRATION_TIME><EGID>100</EGID></LOGIN_TOKEN></USER>";
        let document = Document::parse(text).expect("good");
        assert_eq!(
            tokens_read(&document, &[]),
            [token("ab1", 50, GROUP_NONE), token("ab2", NEVER, 100)]
        );
        let shown = text.replace("ab2", &digest("secret"));
        let document = Document::parse(&shown).expect("good");
        let secrets = ["other".to_owned(), "secret".to_owned()];
        let read = tokens_read(&document, &secrets);
        assert_eq!(read[0].secret, None);
        assert_eq!(read[1].secret.as_deref(), Some("secret"));
        let found = token_by_begin(&read, "ann", "secr").expect("by the token itself");
        assert_eq!(found, read[1]);
    }

    #[test]
    fn a_beginning_must_fit_one_token() {
        let tokens = [token("ab1", 50, -1), token("ab2", NEVER, 100), token("c", 1, -1)];
        assert_eq!(
            token_by_begin(&tokens, "ann", "ab2").expect("one").shown,
            tokens[1].shown
        );
        for (begin, told) in [("ab", "several"), ("x", "no token")] {
            let error = token_by_begin(&tokens, "ann", begin).expect_err(begin);
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(error.exit_status(), 1);
        }
    }

    #[test]
    fn the_token_that_ends_last_is_taken() {
        let tokens = [
            token("a", 50, 1),
            token("b", 70, 1),
            token("c", NEVER, 2),
            token("d", 90, 2),
        ];
        let taken = |group| token_by_group(&tokens, group).map(|token| token.shown);
        assert_eq!(taken(1).as_deref(), Some("b"));
        assert_eq!(taken(2).as_deref(), Some("c"));
        assert_eq!(taken(3), None);
    }

    #[test]
    fn paths_for_a_shell() {
        assert_eq!(shell_word("/home/ann/.one/a.token"), "/home/ann/.one/a.token");
        assert_eq!(shell_word("/home/o'x y"), r"'/home/o'\''x y'");
    }
}
