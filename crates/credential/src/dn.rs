//! Names of certificates' subjects (distinguished names, DNs) in the one-line form that is stored for users of the driver `x509`.

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{Tag, Tagged};
use x509_cert::name::Name;

/// What separates the DNs that are stored for one user.
const SEPARATOR: char = '|';
/// Short names of attributes as OpenSSL prints them; others are printed as numbers.
const SHORT_NAMES: [(&str, &str); 27] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

/// The form that is stored: `/C=DE/O=Works/CN=Ann\20Lee`, as OpenSSL 3 prints it (`-nameopt compat`) with spaces as `\20`.
///
/// Two names never have the same form: those for which they could are refused.
///
/// # Errors
/// When the name is empty, or something in it has no such form.
pub(crate) fn dn_text(name: &Name) -> Result<String, &'static str> {
    let mut text = String::new();
    for set in name.as_ref().iter() {
        for (index, attribute) in set.iter().enumerate() {
            text.push(if index == 0 { '/' } else { '+' });
            attribute_write(attribute, &mut text)?;
        }
    }
    if text.is_empty() {
        return Err("the certificate has no subject");
    }
    Ok(text)
}

fn attribute_write(attribute: &AttributeTypeAndValue, text: &mut String) -> Result<(), &'static str> {
    let number = attribute.oid.to_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == number);
    text.push_str(short.map_or(number.as_str(), |(_, short)| *short));
    text.push('=');
    // In these forms of text all that is ASCII is one byte, and the same one.
    let is_plain = matches!(
        attribute.value.tag(),
        Tag::Utf8String
            | Tag::PrintableString
            | Tag::Ia5String
            | Tag::TeletexString
            | Tag::NumericString
            | Tag::VisibleString
    );
    if !is_plain {
        return Err("the certificate's subject is in a form of text that is not read; UTF8String is");
    }
    for byte in attribute.value.value() {
        byte_write(*byte, text)?;
    }
    Ok(())
}

fn byte_write(byte: u8, text: &mut String) -> Result<(), &'static str> {
    match byte {
        b'\\' | b'|' => {
            return Err("the certificate's subject contains \\ or |, which have a meaning of their own");
        }
        b' ' => text.push_str("\\20"),
        b'/' | b'+' => {
            text.push('\\');
            text.push(char::from(byte));
        }
        b'!'..=b'~' => text.push(char::from(byte)),
        _ => text.push_str(&format!("\\x{byte:02X}")),
    }
    Ok(())
}

/// A DN that somebody wrote with spaces, in the form that is stored.
#[must_use]
pub fn dn_escaped(dn: &str) -> String {
    let mut text = String::with_capacity(dn.len());
    for letter in dn.chars() {
        match u8::try_from(letter) {
            Ok(byte) if byte.is_ascii_whitespace() || byte == 0x0b => text.push_str(&format!("\\{byte:x}")),
            _ => text.push(letter),
        }
    }
    text
}

/// Whether a DN is, whole, one of those that are stored.
#[must_use]
pub fn dn_stored(stored: &str, dn: &str) -> bool {
    !dn.is_empty() && stored.split(SEPARATOR).any(|one| one == dn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_cert::der::asn1::{Any, ObjectIdentifier, SetOfVec};
    use x509_cert::der::{Decode, Encode};
    use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

    fn name(parts: &[(&str, Tag, &[u8])]) -> Name {
        let sets: Vec<RelativeDistinguishedName> = parts
            .iter()
            .map(|(number, tag, value)| {
                let attribute = AttributeTypeAndValue {
                    oid: ObjectIdentifier::new(number).expect("a number"),
                    value: Any::new(*tag, *value).expect("a value"),
                };
                RelativeDistinguishedName::from(SetOfVec::try_from([attribute]).expect("one"))
            })
            .collect();
        let bytes = RdnSequence::from(sets).to_der().expect("DER");
        Name::from_der(&bytes).expect("a name")
    }

    #[test]
    fn bytes_that_would_be_taken_for_others_are_marked() {
        let text = |value: &[u8]| dn_text(&name(&[("2.5.4.3", Tag::Utf8String, value)]));
        assert_eq!(text(b"Ann Lee").as_deref(), Ok("/CN=Ann\\20Lee"));
        assert_eq!(text(b"a/O=b+c").as_deref(), Ok("/CN=a\\/O=b\\+c"));
        assert_eq!(text("Ä\t".as_bytes()).as_deref(), Ok("/CN=\\xC3\\x84\\x09"));
        for bad in [b"a|b".as_slice(), b"a\\20b"] {
            assert!(text(bad).expect_err("refused").contains("meaning of their own"));
        }
    }

    #[test]
    fn names_that_have_no_form_are_refused() {
        assert!(
            dn_text(&Name::default())
                .expect_err("empty")
                .contains("no subject")
        );
        // 0x6162 is one Chinese letter in this form, and "ab" in others.
        let wide = name(&[("2.5.4.3", Tag::BmpString, b"ab")]);
        assert!(dn_text(&wide).expect_err("wide").contains("form of text"));
    }

    #[test]
    fn attributes_without_a_short_name_are_numbers() {
        let odd = name(&[
            ("1.2.3.4", Tag::PrintableString, b"x"),
            ("0.9.2342.19200300.100.1.1", Tag::Ia5String, b"y"),
        ]);
        assert_eq!(dn_text(&odd).as_deref(), Ok("/1.2.3.4=x/UID=y"));
    }

    #[test]
    fn a_stored_dn_is_the_whole_one() {
        let stored = "/CN=ann|/O=a/CN=bob";
        assert!(dn_stored(stored, "/CN=ann") && dn_stored(stored, "/O=a/CN=bob"));
        for other in [
            "",
            "/CN=an",
            "/O=a",
            "/CN=ann|/O=a/CN=bob",
            "/CN=Ann",
            "/CN=ann/OU=b",
        ] {
            assert!(!dn_stored(stored, other), "{other}");
        }
        assert!(!dn_stored("", "") && !dn_stored("|", ""));
        assert_eq!(dn_escaped("/CN=Ann Lee\t"), "/CN=Ann\\20Lee\\9");
    }
}
