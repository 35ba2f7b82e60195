//! Names of entries, and filters to find them.

use ldap3::ldap_escape;

/// The parts of a distinguished name in the form in which two that mean the same entry are equal: without case, and without
/// blanks around them. Two ways to escape the same character stay different.
fn parts(dn: &str) -> Vec<String> {
    let normal = |part: &str| {
        let sides: Vec<&str> = part.splitn(2, '=').map(str::trim).collect();
        sides.join("=").to_lowercase()
    };
    split(dn, ',').map(normal).collect()
}

/// The form in which two distinguished names that mean the same entry are equal.
pub(super) fn dn_normal(dn: &str) -> String {
    parts(dn).join(",")
}

/// Whether two distinguished names are the same.
pub(super) fn dn_same(one: &str, other: &str) -> bool {
    parts(one) == parts(other)
}

/// Whether an entry is the base, or below it.
pub(super) fn dn_below(dn: &str, base: &str) -> bool {
    parts(dn).ends_with(&parts(base))
}

/// Parts between separators that are not escaped.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let cuts = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        cuts
    })
}

/// The filter of entries where an attribute has a value. The attribute may name a matching rule after a colon, as
/// `member:1.2.840.113556.1.4.1941`.
pub(super) fn equals(attribute: &str, value: &str) -> String {
    let colon = if attribute.contains(':') && !attribute.ends_with(':') {
        ":"
    } else {
        ""
    };
    format!("({attribute}{colon}={})", ldap_escape(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_blanks() {
        assert!(dn_same("CN=Domain Admins, OU=x", "cn = domain admins,ou=X"));
        assert!(!dn_same(r"cn=a\,ou=x", "cn=a,ou=x"));
        assert!(!dn_same("cn=a,ou=x", "cn=a"));
        assert!(dn_below("cn=a,dc=x", "DC=x") && dn_below("dc=x", "dc=x"));
        assert!(
            !dn_below("cn=a,dc=yx", "dc=x")
                && !dn_below(r"cn=a\,dc=x", "dc=x")
                && !dn_below("dc=x", "cn=a,dc=x")
        );
    }

    #[test]
    fn values_stay_values_in_filters() {
        assert_eq!(equals("uid", "*)(uid=*"), r"(uid=\2a\29\28uid=\2a)");
        assert_eq!(equals("uid", "a\\\0"), r"(uid=a\5c\00)");
        assert_eq!(equals("member:1.2.3", "x"), "(member:1.2.3:=x)");
        assert_eq!(equals("member:1.2.3:", "x"), "(member:1.2.3:=x)");
    }
}
