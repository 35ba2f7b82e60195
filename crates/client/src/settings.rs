//! Where the server is and who calls: options first, then the environment, then the usual files.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ClientError;

/// How many objects a page has unless `ONE_POOL_PAGE_SIZE` says otherwise.
pub const PAGE_SIZE_DEFAULT: i32 = 2000;

/// The endpoint when nothing else is said.
pub const ENDPOINT_DEFAULT: &str = "http://localhost:2633/RPC2";

/// Where the server is and who calls it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The endpoint, `http://host:port/RPC2`.
    pub endpoint: String,
    /// The session text, `user:password` or `user:token`.
    pub session: String,
    /// How many objects a pool is asked for at once.
    pub page_size: i32,
}

/// What the caller said explicitly; each beats the environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The endpoint.
    pub endpoint: Option<String>,
    /// The user name; needs a password, too.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl Settings {
    /// Settings from `overrides`, `ONE_XMLRPC`, `ONE_AUTH` or `~/.one/one_auth`, and `ONE_POOL_PAGE_SIZE`.
    pub fn from_environment(overrides: &Overrides) -> Result<Self, ClientError> {
        let endpoint = overrides
            .endpoint
            .clone()
            .or_else(|| env::var("ONE_XMLRPC").ok())
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| ENDPOINT_DEFAULT.to_owned());
        let session = match (&overrides.user, &overrides.password) {
            (Some(user), Some(password)) => format!("{user}:{password}"),
            _ => session_read(&auth_path())?,
        };
        Ok(Self {
            endpoint,
            session,
            page_size: page_size(env::var("ONE_POOL_PAGE_SIZE").ok())?,
        })
    }
}

/// The file with the credentials: what `ONE_AUTH` names, else `~/.one/one_auth`.
pub fn auth_path() -> PathBuf {
    match env::var_os("ONE_AUTH") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => Path::new(&env::var_os("HOME").unwrap_or_default()).join(".one/one_auth"),
    }
}

/// The first line of the file, which must be `user:password`.
fn session_read(path: &Path) -> Result<String, ClientError> {
    let bad = |reason: String| ClientError::Credentials {
        path: path.display().to_string(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(bad("the file is empty".to_owned()));
    }
    if !line.contains(':') {
        return Err(bad("its first line has no colon".to_owned()));
    }
    Ok(line.to_owned())
}

fn page_size(text: Option<String>) -> Result<i32, ClientError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(PAGE_SIZE_DEFAULT);
    };
    match text.trim().parse() {
        Ok(size) if size >= 2 => Ok(size),
        _ => Err(ClientError::Environment {
            name: "ONE_POOL_PAGE_SIZE",
            value: text,
            reason: "it must be a whole number of at least 2",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        assert_eq!(page_size(None).expect("good"), PAGE_SIZE_DEFAULT);
        assert_eq!(page_size(Some("50".into())).expect("good"), 50);
        assert!(page_size(Some("1".into())).is_err());
        assert!(page_size(Some("x".into())).is_err());
    }

    #[test]
    fn missing_credentials_say_what_to_do() {
        let error = session_read(Path::new("/nonexistent/one_auth")).expect_err("no file");
        assert!(error.to_string().contains("--user"), "{error}");
    }
}
