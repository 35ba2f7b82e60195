//! Chains of certificates, lists of revoked ones and tokens as OpenSSL makes them.

mod place;

use std::time::{SystemTime, UNIX_EPOCH};

use place::Place;
use plerion_credential::{
    Certificate, RsaPrivate, ServiceToken, TokenError, Trust, certificate_token, certificate_token_check,
    dn_stored,
};

const DAY_S: i64 = 86_400;
/// What `openssl ca` and the extensions of certificates are made of.
const SETTINGS: &str = "
[ca]
default_ca = ours
[ours]
database = index
crlnumber = number
default_md = sha256
default_crl_days = 20
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = keyCertSign,cRLSign
[user]
basicConstraints = CA:FALSE
[server]
extendedKeyUsage = serverAuth
";

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("in range")
}

/// An authority `root` (40 days), and a user `ann` (30 days) with an RSA key for whom it vouches.
fn place(name: &str) -> Place {
    let place = Place::new(&format!("certificates-{name}"));
    std::fs::write(place.0.join("settings"), SETTINGS).expect("a file");
    place.root("root", "/O=Works/CN=root", 40);
    place.user("ann", "/O=Works/CN=Ann Lee", "root");
    place
}

impl Place {
    fn openssl(&self, words: &str, subject: &str) {
        let mut arguments: Vec<&str> = words.split_whitespace().collect();
        if !subject.is_empty() {
            arguments.extend(["-subj", subject]);
        }
        self.run("openssl", &arguments);
    }

    fn root(&self, name: &str, subject: &str, days: u32) {
        let words = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {days} -keyout {name}.key -out {name}.pem \
             -addext basicConstraints=critical,CA:TRUE"
        );
        self.openssl(&words, subject);
    }

    fn signed(&self, name: &str, key: &str, subject: &str, by: &str, extensions: &str) {
        self.openssl(
            &format!("req -new -newkey {key} -nodes -keyout {name}.key -out {name}.csr"),
            subject,
        );
        self.openssl(
            &format!(
                "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 30 -out {name}.pem {extensions}"
            ),
            "",
        );
    }

    fn user(&self, name: &str, subject: &str, by: &str) {
        self.signed(
            name,
            "rsa:2048",
            subject,
            by,
            "-extfile settings -extensions user",
        );
    }

    fn between(&self, name: &str, subject: &str, by: &str) {
        let key = "ec -pkeyopt ec_paramgen_curve:P-256";
        self.signed(name, key, subject, by, "-extfile settings -extensions authority");
    }

    /// The list of an authority with what it has revoked until now.
    fn list(&self, authority: &str, revoked: &[&str]) -> Vec<u8> {
        self.list_of(authority, revoked, "")
    }

    fn list_of(&self, authority: &str, revoked: &[&str], made: &str) -> Vec<u8> {
        for (file, text) in [("index", ""), ("number", "01\n")] {
            std::fs::write(self.0.join(file), text).expect("a file");
        }
        let with = format!("-config settings -keyfile {authority}.key -cert {authority}.pem");
        for name in revoked {
            self.openssl(&format!("ca {with} -revoke {name}.pem"), "");
        }
        self.openssl(&format!("ca {with} -gencrl {made} -out {authority}.crl"), "");
        self.read(&format!("{authority}.crl")).into()
    }

    fn chain(&self, names: &[&str]) -> Vec<Certificate> {
        let pem: String = names
            .iter()
            .map(|name| self.read(&format!("{name}.pem")))
            .collect();
        Certificate::chain_parse(pem.as_bytes()).expect("a chain")
    }

    fn trust(&self, names: &[&str]) -> Trust {
        let mut trust = Trust::new(false);
        for name in names {
            trust
                .add(self.read(&format!("{name}.pem")).as_bytes())
                .expect("an authority");
        }
        trust
    }

    fn key(&self, name: &str) -> RsaPrivate {
        RsaPrivate::parse(&self.read(&format!("{name}.key"))).expect("a key")
    }
}

fn refused(trust: &Trust, chain: &[Certificate], now: i64) -> String {
    trust.check(chain, now).expect_err("refused")
}

#[test]
fn subjects_are_those_of_openssl() {
    let place = place("subjects");
    let subject = "/C=DE/ST=x/L=y/O=A\\/B \\+ c/OU=Ä b/CN=Ann Lee+UID=ann/emailAddress=a@b/serialNumber=5/DC=x/SN=Lee/GN=A/\
                   title=t/street=s/postalCode=1/description=d/initials=i/name=n/pseudonym=p/dnQualifier=q";
    place.openssl(
        "req -x509 -newkey rsa:1024 -nodes -utf8 -multivalue-rdn -keyout odd.key -out odd.pem",
        subject,
    );
    let printed = place.run(
        "openssl",
        &[
            "x509", "-in", "odd.pem", "-noout", "-subject", "-nameopt", "compat",
        ],
    );
    let printed = String::from_utf8(printed).expect("text");
    let theirs = printed.trim().strip_prefix("subject=").expect("a subject");
    assert!(
        theirs.contains("+UID=ann") && theirs.contains("\\xC3"),
        "{theirs}"
    );
    let [certificate] = &place.chain(&["odd"])[..] else {
        panic!("one certificate");
    };
    assert_eq!(certificate.dn(), Ok(theirs.replace(' ', "\\20")));
    assert_eq!(certificate.to_pem(), place.read("odd.pem"));
    assert_eq!(certificate.public().as_ref(), Some(place.key("odd").public()));
}

#[test]
fn a_user_is_in_while_the_certificate_and_the_authority_are_good() {
    let place = place("days");
    place.root("short", "/CN=short", 10);
    place.user("bob", "/CN=bob", "short");
    let trust = place.trust(&["root", "short"]);
    let (ann, bob, now) = (place.chain(&["ann"]), place.chain(&["bob"]), now());
    assert_eq!(trust.check(&ann, now), Ok(()));
    assert_eq!(trust.check(&bob, now), Ok(()));
    assert!(refused(&trust, &ann, now + 31 * DAY_S).contains("has ended"));
    assert!(refused(&trust, &ann, now - DAY_S).contains("not good yet"));
    assert!(refused(&trust, &bob, now + 11 * DAY_S).contains("in its days"));
    assert!(refused(&trust, &[], now).contains("no certificate"));
}

#[test]
fn nobody_else_vouches() {
    let place = place("others");
    let trust = place.trust(&["root"]);
    let error = |chain: &[&str]| refused(&trust, &place.chain(chain), now());
    // Another authority, also one of the same name.
    for (subject, words) in [
        ("/CN=other", "vouches for"),
        ("/O=Works/CN=root", "not signed by"),
    ] {
        place.root("other", subject, 40);
        place.user("eve", "/O=Works/CN=Ann Lee", "other");
        assert!(error(&["eve"]).contains(words));
        assert!(error(&["eve", "other"]).contains(words));
    }
    // A user who makes certificates, be it for himself (a proxy) or for another.
    place.user("bob", "/CN=bob", "root");
    for subject in ["/CN=bob/CN=proxy", "/O=Works/CN=Ann Lee"] {
        place.user("proxy", subject, "bob");
        assert!(error(&["proxy", "bob"]).contains("proxies"));
        assert!(error(&["proxy"]).contains("vouches for"));
    }
    // The authority itself, a certificate for servers, and one without the extensions of version 3.
    assert!(error(&["root"]).contains("authority's"));
    place.signed(
        "web",
        "rsa:1024",
        "/CN=web",
        "root",
        "-extfile settings -extensions server",
    );
    assert!(error(&["web"]).contains("purposes"));
    place.signed(
        "weak",
        "rsa:1024",
        "/CN=weak",
        "root",
        "-sha1 -extfile settings -extensions user",
    );
    assert!(error(&["weak"]).contains("SHA-256"));
    place.signed("old", "rsa:1024", "/CN=old", "root", "");
    assert!(error(&["old"]).contains("version"));
}

#[test]
fn authorities_between_come_with_the_user_or_are_known() {
    let place = place("between");
    place.between("middle", "/CN=middle", "root");
    place.user("bob", "/CN=bob", "middle");
    let now = now();
    let trust = place.trust(&["root"]);
    assert_eq!(trust.check(&place.chain(&["bob", "middle"]), now), Ok(()));
    assert!(refused(&trust, &place.chain(&["bob"]), now).contains("vouches for"));
    assert_eq!(
        place
            .trust(&["root", "middle"])
            .check(&place.chain(&["bob"]), now),
        Ok(())
    );
    // One that does not vouch for itself is no end of a chain.
    refused(&place.trust(&["middle"]), &place.chain(&["bob"]), now);
    let mut trust = place.trust(&["root"]);
    trust.add(&place.list("root", &["middle"])).expect("a list");
    assert!(refused(&trust, &place.chain(&["bob", "middle"]), now).contains("revoked"));
}

#[test]
fn what_was_revoked_is_out() {
    let place = place("revoked");
    place.user("bob", "/CN=bob", "root");
    let (ann, bob, now) = (place.chain(&["ann"]), place.chain(&["bob"]), now());
    let old = place.list_of("root", &[], "-crl_lastupdate 20260101000000Z");
    let new = place.list("root", &["bob"]);
    for lists in [[&old, &new], [&new, &old]] {
        let mut trust = place.trust(&["root"]);
        for list in lists {
            trust.add(list).expect("a list");
        }
        assert_eq!(trust.check(&ann, now), Ok(()));
        assert!(refused(&trust, &bob, now).contains("revoked"));
        // Without check_crl a list is good for ever.
        assert_eq!(trust.check(&ann, now + 21 * DAY_S), Ok(()));
    }
}

#[test]
fn where_lists_are_needed_one_must_be_there_and_good() {
    let place = place("needed");
    let (ann, now) = (place.chain(&["ann"]), now());
    let root = place.read("root.pem");
    let mut trust = Trust::new(true);
    trust.add(root.as_bytes()).expect("an authority");
    assert!(refused(&trust, &ann, now).contains("no CRL"));
    place.root("other", "/CN=other", 40);
    trust.add(&place.list("other", &[])).expect("a list");
    assert!(refused(&trust, &ann, now).contains("no CRL of"));
    trust.add(&place.list("root", &[])).expect("a list");
    assert_eq!(trust.check(&ann, now), Ok(()));
    assert!(refused(&trust, &ann, now + 21 * DAY_S).contains("has ended"));
    // A list of that name that another key signed says nothing.
    place.root("forged", "/O=Works/CN=root", 40);
    let mut trust = Trust::new(true);
    trust.add(root.as_bytes()).expect("an authority");
    trust.add(&place.list("forged", &[])).expect("a list");
    refused(&trust, &ann, now);
}

#[test]
fn files_are_read_in_both_forms_and_what_is_neither_is_said() {
    let place = place("files");
    place.openssl("x509 -in root.pem -outform DER -out root.der", "");
    place.list("root", &["ann"]);
    place.openssl("crl -in root.crl -outform DER -out crl.der", "");
    let mut trust = Trust::new(false);
    let read = |name: &str| std::fs::read(place.0.join(name)).expect("a file");
    let der = read("root.der");
    for _ in 0..2 {
        trust.add(&der).expect("an authority");
    }
    let (ann, now) = (place.chain(&["ann"]), now());
    assert_eq!(trust.check(&ann, now), Ok(()));
    trust.add(&read("crl.der")).expect("a list");
    assert!(refused(&trust, &ann, now).contains("revoked"));
    let list = read("root.crl");
    let cut = list.get(..list.len() / 2).expect("a half");
    for (bytes, words) in [
        (&b""[..], "neither"),
        (b"words", "neither"),
        (cut, "PEM"),
        (der.get(..40).expect("a part"), "neither"),
        (&read("ann.pem"), "no authority's"),
        (&read("ann.key"), "neither"),
    ] {
        let error = trust.add(bytes).expect_err("refused");
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn tokens_are_made_and_read() {
    let place = place("tokens");
    let chain = place.chain(&["ann", "root"]);
    let token = certificate_token("ann", 2000, &place.key("ann"), &chain).expect("a token");
    assert_eq!(certificate_token_check(&token, "ann", 1999).as_ref(), Ok(&chain));
    let dn = chain[0].dn().expect("a subject");
    assert!(dn_stored(&format!("/CN=x|{dn}"), &dn), "{dn}");
    let bad = |token: &str, user: &str, now| certificate_token_check(token, user, now).expect_err("refused");
    assert!(bad(&token, "ann", 2000).contains("ended"));
    assert!(bad(&token, "bob", 1).contains("another user"));
    place.user("eve", "/CN=eve", "root");
    // Another's certificate before what one's own key signed.
    let stolen = certificate_token("ann", 2000, &place.key("eve"), &chain).expect("a token");
    assert!(bad(&stolen, "ann", 1).contains("user's key"));
    let curve = certificate_token("ann", 2000, &place.key("ann"), &place.chain(&["root"])).expect("a token");
    assert!(bad(&curve, "ann", 1).contains("no RSA key"));
    let long = vec![chain[0].clone(); 9];
    let long = certificate_token("ann", 2000, &place.key("ann"), &long).expect("a token");
    assert!(bad(&long, "ann", 1).contains("1 to 8"));
    assert!(bad(&"A".repeat(70_000), "ann", 1).contains("longer"));
    for broken in ["", "=", "AAAA", "QTo=", token.get(4..).expect("ASCII")] {
        bad(broken, "ann", 1);
    }
}

#[test]
fn services_sign_as_openssl_does() {
    let place = place("services");
    let token = ServiceToken {
        service: "web".into(),
        user: "ann".into(),
        end: 2000,
    };
    std::fs::write(place.0.join("text"), "web:ann:2000").expect("a file");
    place.openssl("pkeyutl -sign -inkey ann.key -in text -out signed", "");
    place.openssl("base64 -A -in signed -out once", "");
    place.openssl("base64 -A -in once -out twice", "");
    let (theirs, key) = (place.read("twice"), place.key("ann"));
    assert_eq!(token.sign(&key).as_deref(), Some(theirs.as_str()));
    assert_eq!(
        ServiceToken::open_signed(&theirs, key.public()),
        Ok(token.clone())
    );
    place.user("eve", "/CN=eve", "root");
    let forged = token.sign(&place.key("eve")).expect("a token");
    for broken in [
        forged.as_str(),
        "",
        "QQ==",
        &place.read("once"),
        &"A".repeat(8000),
    ] {
        let error = ServiceToken::open_signed(broken, key.public());
        assert_eq!(error, Err(TokenError::Form), "{broken}");
    }
    // What a user signed is no token of a service.
    let user = certificate_token("ann", 2000, &key, &[]).expect("a token");
    assert_eq!(
        ServiceToken::open_signed(&user, key.public()),
        Err(TokenError::Form)
    );
}
