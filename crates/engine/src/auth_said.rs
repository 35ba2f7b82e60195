//! What an authentication driver says of a user whom it found good.

use plerion_model::Id;
use plerion_world::VouchedGroup;

/// Its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The driver of the user from now on.
    pub(crate) driver: String,
    /// The name of the user.
    pub(crate) name: String,
    /// What is stored as password.
    pub(crate) password: String,
    /// The groups of the user, the primary one first.
    pub(crate) groups: Vec<VouchedGroup>,
}

impl Said {
    /// Reads `DRIVER NAME PASSWORD [GROUP…]`, the groups as ids, those that the user administers with a `*`. `None` for a
    /// text with less: of a user who exists nothing needs to be said.
    ///
    /// # Errors
    /// When a group is no id.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let line = text.lines().rev().find(|line| !line.trim().is_empty());
        let mut words = line.unwrap_or_default().split_whitespace();
        let (Some(driver), Some(name), Some(password)) = (words.next(), words.next(), words.next()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            driver: driver.to_owned(),
            name: name.to_owned(),
            password: password.to_owned(),
            groups: words.map(group_parse).collect::<Result<_, _>>()?,
        }))
    }
}

fn group_parse(word: &str) -> Result<VouchedGroup, String> {
    let (admin, digits) = match word.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let id: Option<Id> = digits.parse().ok().filter(|id| *id >= 0);
    id.map(|id| VouchedGroup { id, admin })
        .ok_or_else(|| format!("\"{word}\" is no id of a group"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_and_a_star_marks_administrators() {
        let said = Said::parse("some warning\nldap ann uid=ann,dc=x  100 *101\n\n").expect("good");
        let group = |id, admin| VouchedGroup { id, admin };
        assert_eq!(
            said,
            Some(Said {
                driver: "ldap".into(),
                name: "ann".into(),
                password: "uid=ann,dc=x".into(),
                groups: vec![group(100, false), group(101, true)],
            })
        );
    }

    #[test]
    fn less_says_nothing_and_no_id_is_refused() {
        for text in ["", "\n \n", "ldap ann"] {
            assert_eq!(Said::parse(text), Ok(None));
        }
        for text in ["a b c x", "a b c -1", "a b c **1", "a b c 99999999999"] {
            assert!(Said::parse(text).is_err(), "{text}");
        }
    }
}
