//! Which servers are asked, in which order, and what their answers come to.

use super::answer::Asked;
use super::conf::Choice;
use crate::auth_verdict::Verdict;

/// Servers of which the first that can say something is heard.
pub(super) struct Turn<'a> {
    /// Their names.
    pub(super) servers: &'a [String],
    /// Whether the next is asked, too, about who is unknown to one.
    unknown_goes_on: bool,
}

impl Turn<'_> {
    /// Whether an answer is the last word of these servers.
    pub(super) fn settled_by(&self, asked: &Asked) -> bool {
        match asked {
            Asked::Good(_) | Asked::Refused(_) => true,
            Asked::Unknown => !self.unknown_goes_on,
            Asked::Failed(_) => false,
        }
    }
}

/// Whose turn it is for a user, and the name by which the user is searched: what the first parentheses of a pattern hold.
/// `None` when no pattern is for the name.
pub(super) fn turns<'a>(choice: &'a Choice, name: &str) -> Option<(Vec<Turn<'a>>, String)> {
    let turn = |servers: &'a Vec<String>, unknown_goes_on| Turn {
        servers,
        unknown_goes_on,
    };
    match choice {
        Choice::Order(lists) => {
            let turns = lists.iter().map(|list| turn(list, false)).collect();
            Some((turns, name.to_owned()))
        }
        Choice::Match(patterns) => patterns.iter().find_map(|(pattern, list)| {
            let found = pattern.captures(name)?;
            let searched = found.get(1).map_or(name, |part| part.as_str());
            Some((vec![turn(list, true)], searched.to_owned()))
        }),
    }
}

/// The answers of servers that did not let a user in.
#[derive(Default)]
pub(super) struct Tally {
    reasons: Vec<String>,
    has_refused: bool,
    has_failed: bool,
}

impl Tally {
    /// Takes one in.
    pub(super) fn add(&mut self, server: &str, asked: Asked) {
        let why = match asked {
            Asked::Good(_) => return,
            Asked::Unknown => "no such user".to_owned(),
            Asked::Refused(why) => {
                self.has_refused = true;
                why
            }
            Asked::Failed(why) => {
                self.has_failed = true;
                why
            }
        };
        self.reasons.push(format!("{server}: {why}"));
    }

    /// What they come to. A refusal counts although other servers failed, so that passwords cannot be tried without end
    /// while one is down.
    pub(super) fn verdict(self) -> Verdict {
        let why = self.reasons.join("; ");
        if self.has_failed && !self.has_refused {
            Verdict::Broken(why)
        } else {
            Verdict::Bad(why)
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_pattern_says_what_is_searched() {
        let pattern = |text: &str| (Regex::new(text).expect("a pattern"), vec![text.to_owned()]);
        let choice = Choice::Match(vec![pattern("^(.*)@a$"), pattern("^.*@b$")]);
        let (of, searched) = turns(&choice, "ann@a").expect("the first");
        assert_eq!(
            (of[0].servers, searched.as_str()),
            (&["^(.*)@a$".to_owned()][..], "ann")
        );
        assert_eq!(turns(&choice, "ann@b").expect("the second").1, "ann@b");
        assert!(turns(&choice, "ann").is_none());
    }

    #[test]
    fn the_first_that_can_say_something_is_heard() {
        let order = Choice::Order(vec![vec!["a".into(), "b".into()]]);
        let (of, _) = turns(&order, "ann").expect("turns");
        assert!(of[0].settled_by(&Asked::Unknown) && of[0].settled_by(&Asked::Refused(String::new())));
        assert!(!of[0].settled_by(&Asked::Failed(String::new())));
        let patterns = Choice::Match(vec![(Regex::new("").expect("a pattern"), vec!["a".into()])]);
        let (of, _) = turns(&patterns, "ann").expect("turns");
        assert!(!of[0].settled_by(&Asked::Unknown) && of[0].settled_by(&Asked::Refused(String::new())));
    }

    #[test]
    fn a_failure_is_no_refusal_unless_another_refused() {
        let verdict = |answers: Vec<Asked>| {
            let mut tally = Tally::default();
            answers.into_iter().for_each(|asked| tally.add("one", asked));
            tally.verdict()
        };
        let failed = || Asked::Failed("down".into());
        assert!(matches!(verdict(vec![Asked::Unknown]), Verdict::Bad(why) if why == "one: no such user"));
        assert!(matches!(
            verdict(vec![failed(), Asked::Unknown]),
            Verdict::Broken(_)
        ));
        assert!(matches!(
            verdict(vec![failed(), Asked::Refused("no".into())]),
            Verdict::Bad(_)
        ));
        assert!(matches!(verdict(vec![]), Verdict::Bad(_)));
    }
}
