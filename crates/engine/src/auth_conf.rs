//! Settings of authentication drivers: files in YAML with `:key: value`, as 7.4 has them in `etc/auth`.

use std::io::{ErrorKind, Read};
use std::path::Path;

use saphyr::{LoadableYamlNode, Scalar, Yaml};

/// Longest file, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// What such a file says: keys without their colon, and values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AuthConf(Vec<(String, String)>);

impl AuthConf {
    /// Reads a file that may say these keys. One that is not there says nothing.
    ///
    /// # Errors
    /// What is wrong with it. A key that is not known is: it may be meant for one that keeps somebody out.
    pub(crate) fn read(path: &Path, known: &[&str]) -> Result<Self, String> {
        let mut text = String::new();
        let read = match std::fs::File::open(path) {
            Ok(file) => file.take(BYTES_MAX + 1).read_to_string(&mut text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        let told = |why: String| format!("{}: {why}", path.display());
        let count = read.map_err(|error| told(format!("it cannot be read: {error}")))?;
        if count as u64 > BYTES_MAX {
            return Err(told(format!("it is longer than {BYTES_MAX} bytes")));
        }
        Self::parse(&text, known).map_err(told)
    }

    fn parse(text: &str, known: &[&str]) -> Result<Self, String> {
        let documents = Yaml::load_from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
        let pairs = match documents.first() {
            None | Some(Yaml::Value(Scalar::Null)) => return Ok(Self::default()),
            Some(Yaml::Mapping(pairs)) => pairs,
            Some(_) => return Err("it has no lines \":key: value\"".to_owned()),
        };
        let mut said = Vec::new();
        for (key, value) in pairs {
            let key = text_of(key).ok_or("a key is no text")?;
            let key = key.strip_prefix(':').unwrap_or(&key).to_owned();
            if !known.contains(&key.as_str()) {
                return Err(format!("{key} is not known; known are {}", known.join(", ")));
            }
            let value = text_of(value).ok_or_else(|| format!("{key} is no text"))?;
            said.push((key, value));
        }
        Ok(Self(said))
    }

    /// A value; `None` where nothing is said.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether a value says yes; no where nothing is said.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn says(&self, key: &str) -> Result<bool, String> {
        match self.get(key).unwrap_or("false").to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            other => Err(format!("{key} is \"{other}\", neither true nor false")),
        }
    }
}

fn text_of(node: &Yaml<'_>) -> Option<String> {
    match node {
        Yaml::Value(Scalar::String(text)) => Some(text.to_string()),
        Yaml::Value(Scalar::Boolean(yes)) => Some(yes.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        Yaml::Value(Scalar::Null) => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["ca_dir", "check_crl"];

    #[test]
    fn files_of_the_reference_are_read() {
        let text = "# Path\n\n:ca_dir: \"/etc/one/auth/certificates\" # all\n:check_crl: true\n";
        let conf = AuthConf::parse(text, &KNOWN).expect("settings");
        assert_eq!(conf.get("ca_dir"), Some("/etc/one/auth/certificates"));
        assert_eq!(conf.says("check_crl"), Ok(true));
        for text in ["", "# nothing\n#:ca_dir: \"/x\"\n", "---\n", ":ca_dir:\n"] {
            let conf = AuthConf::parse(text, &KNOWN).expect("nothing");
            assert_eq!(
                (conf.get("ca_dir"), conf.says("check_crl")),
                (None, Ok(false)),
                "{text}"
            );
        }
        assert_eq!(
            AuthConf::read(Path::new("/nonexistent/x509_auth.conf"), &KNOWN),
            Ok(AuthConf::default())
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            (
                ":chek_crl: true\n",
                "chek_crl is not known; known are ca_dir, check_crl",
            ),
            ("words", "no lines"),
            (":ca_dir: [ a ]\n", "ca_dir is no text"),
            (":ca_dir: \"a\n", "no YAML"),
        ] {
            let error = AuthConf::parse(text, &KNOWN).expect_err("refused");
            assert!(error.contains(words), "{text}: {error}");
        }
        let conf = AuthConf::parse(":check_crl: maybe\n", &KNOWN).expect("settings");
        assert!(conf.says("check_crl").expect_err("refused").contains("neither"));
    }
}
