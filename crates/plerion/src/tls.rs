//! TLS of oned.conf: which certificate the server shows, and who may do without.

use std::path::Path;
use std::sync::Arc;

use plerion_api::xmlrpc::{Tls, TlsSettings};
use plerion_template::Template;

/// Pairs of the vector `TLS`.
const PAIRS: [&str; 3] = ["CERTIFICATE", "KEY", "HTTP"];

/// What `TLS = [ CERTIFICATE = "…", KEY = "…", HTTP = "LOOPBACK" ]` asks for. Files are looked for below `etc`.
///
/// # Errors
/// What is wrong with the vector or the files it names.
pub(crate) fn of_config(oned: &Template, etc: &Path) -> Result<Option<Arc<Tls>>, String> {
    let Some(vector) = oned.vector("TLS") else {
        return match oned.get("TLS") {
            None => Ok(None),
            Some(_) => Err(bad("it is no vector")),
        };
    };
    if let Some((name, _)) = vector.iter().find(|(name, _)| !PAIRS.contains(name)) {
        return Err(bad(&format!("{name} is not known")));
    }
    let file = |name: &str| match vector.get(name) {
        Some(path) if !path.is_empty() => Ok(etc.join(path)),
        _ => Err(bad(&format!("{name} names no file"))),
    };
    let plain_anywhere = match vector
        .get("HTTP")
        .unwrap_or("LOOPBACK")
        .to_ascii_uppercase()
        .as_str()
    {
        "LOOPBACK" => false,
        "ANYWHERE" => true,
        other => {
            return Err(bad(&format!(
                "HTTP is \"{other}\", but LOOPBACK or ANYWHERE are known"
            )));
        }
    };
    let settings = TlsSettings {
        certificate: file("CERTIFICATE")?,
        key: file("KEY")?,
        plain_anywhere,
    };
    match Tls::new(settings) {
        Ok(tls) => Ok(Some(Arc::new(tls))),
        Err(error) => Err(format!("oned.conf: TLS: {error}")),
    }
}

fn bad(why: &str) -> String {
    format!(
        "oned.conf: TLS: {why}; write TLS = [ CERTIFICATE = \"server.pem\", KEY = \"server.key\" ], and HTTP = \
         \"ANYWHERE\" in it where calls without TLS are taken from other machines, too"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let oned = Template::parse_config(text).expect("a configuration");
        match of_config(&oned, Path::new("/nonexistent")) {
            Ok(_) => String::new(),
            Err(error) => error,
        }
    }

    #[test]
    fn nothing_said_is_no_tls() {
        let none = of_config(&Template::new(), Path::new("/")).expect("nothing is wrong");
        assert!(none.is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("TLS = \"yes\"\n", "it is no vector"),
            ("TLS = [ CERTIFICATE = \"a\" ]\n", "KEY names no file"),
            ("TLS = [ KEY = \"a\" ]\n", "CERTIFICATE names no file"),
            (
                "TLS = [ CERTIFICATE = \"a\", KEY = \"b\", HTTP = \"no\" ]\n",
                "HTTP is \"NO\"",
            ),
            (
                "TLS = [ CERTIFICATE = \"a\", KEY = \"b\", CERT = \"c\" ]\n",
                "CERT is not known",
            ),
            ("TLS = [ CERTIFICATE = \"a\", KEY = \"b\" ]\n", "/nonexistent/a: "),
        ] {
            let error = refused(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
