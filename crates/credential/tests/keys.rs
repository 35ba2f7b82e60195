//! Keys and signatures as OpenSSL and OpenSSH make them.

mod place;

use place::Place;
use plerion_credential::{RsaPrivate, RsaPublic, signed_token, signed_token_check};

impl Place {
    fn key(&self, file: &str) -> Result<RsaPrivate, String> {
        RsaPrivate::parse(&self.read(file))
    }
}

#[test]
fn private_keys_of_all_forms_are_read_and_give_the_public_one() {
    let place = Place::new("forms");
    place.run("openssl", &["genrsa", "-traditional", "-out", "pkcs1", "2048"]);
    place.run(
        "openssl",
        &["pkcs8", "-topk8", "-nocrypt", "-in", "pkcs1", "-out", "pkcs8"],
    );
    place.run("cp", &["-p", "pkcs1", "openssh"]);
    place.run("ssh-keygen", &["-q", "-p", "-N", "", "-P", "", "-f", "openssh"]);
    for (file, label) in [("pkcs1", "RSA"), ("pkcs8", "PRIVATE"), ("openssh", "OPENSSH")] {
        assert!(
            place.read(file).starts_with(&format!("-----BEGIN {label}")),
            "{file}"
        );
    }
    let public = String::from_utf8(place.run("openssl", &["rsa", "-in", "pkcs1", "-pubout"])).expect("text");
    let line: String = public.lines().filter(|line| !line.starts_with("-----")).collect();
    let alone =
        String::from_utf8(place.run("openssl", &["rsa", "-in", "pkcs1", "-RSAPublicKey_out"])).expect("text");
    for file in ["pkcs1", "pkcs8", "openssh"] {
        let key = place.key(file).expect("a key");
        assert_eq!(key.public().to_text(), line, "{file}");
        for form in [&public, &line, &alone] {
            assert_eq!(
                RsaPublic::parse(form).as_ref(),
                Some(key.public()),
                "{file}: {form}"
            );
        }
    }
}

#[test]
fn tokens_are_those_of_openssl() {
    let place = Place::new("tokens");
    place.run("openssl", &["genrsa", "-out", "key", "1024"]);
    std::fs::write(place.0.join("text"), "ann:2000").expect("a file");
    place.run(
        "openssl",
        &[
            "pkeyutl", "-sign", "-inkey", "key", "-in", "text", "-out", "signed",
        ],
    );
    let theirs = String::from_utf8(place.run("base64", &["-w0", "signed"])).expect("text");
    let key = place.key("key").expect("a key");
    assert_eq!(signed_token("ann", 2000, &key).as_deref(), Some(theirs.as_str()));
    let check = |token: &str, user: &str, now| signed_token_check(token, key.public(), user, now);
    assert_eq!(check(&theirs, "ann", 1999), Ok(()));
    assert!(check(&theirs, "ann", 2000).expect_err("late").contains("ended"));
    assert!(
        check(&theirs, "bob", 1999)
            .expect_err("another's")
            .contains("another user")
    );
    let (first, rest) = theirs.split_at(1);
    let changed = format!("{}{rest}", if first == "A" { "B" } else { "A" });
    for broken in ["", "AAAA", "=", rest, &"A".repeat(9000), &changed] {
        assert!(
            check(broken, "ann", 1)
                .expect_err("broken")
                .contains("user's key"),
            "{broken}"
        );
    }
    place.run("openssl", &["genrsa", "-out", "other", "1024"]);
    let other = place.key("other").expect("a key");
    let forged = signed_token("ann", 2000, &other).expect("a token");
    assert!(check(&forged, "ann", 1).is_err());
    assert!(
        signed_token(&"n".repeat(128), 2000, &key).is_none(),
        "longer than the key"
    );
}

#[test]
fn signatures_for_other_purposes_are_no_tokens() {
    let place = Place::new("purposes");
    place.run("openssl", &["genrsa", "-out", "key", "1024"]);
    std::fs::write(place.0.join("text"), "ann:2000").expect("a file");
    place.run(
        "openssl",
        &["dgst", "-sha256", "-sign", "key", "-out", "signed", "text"],
    );
    let token = String::from_utf8(place.run("base64", &["-w0", "signed"])).expect("text");
    let key = place.key("key").expect("a key");
    assert!(signed_token_check(&token, key.public(), "ann", 1).is_err());
}

#[test]
fn other_keys_are_refused_with_the_reason() {
    let place = Place::new("others");
    place.run("openssl", &["genrsa", "-out", "short", "512"]);
    place.run(
        "openssl",
        &[
            "genrsa", "-aes128", "-passout", "pass:x", "-out", "locked", "1024",
        ],
    );
    place.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "curve"]);
    place.run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "rsa",
            "-b",
            "2048",
            "-N",
            "secret",
            "-f",
            "locked-ssh",
        ],
    );
    for file in ["short", "locked", "curve", "locked-ssh"] {
        let error = place.key(file).err().expect("refused");
        assert!(error.contains("RSA key"), "{file}: {error}");
    }
    assert!(
        RsaPrivate::parse("no key")
            .err()
            .expect("refused")
            .contains("PEM")
    );
    for text in ["", "AAAA", "=", "MIGJ", "x".repeat(5000).as_str()] {
        assert!(RsaPublic::parse(text).is_none(), "{text}");
    }
}
