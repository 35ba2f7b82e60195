//! Searching VMs by what their bodies say: `VM.NAME=web%&VM.TEMPLATE.NIC[*].IP=10.0.`.
//!
//! The syntax is that of 7.4, which has its database search the JSON form of the bodies: terms joined by `&`, each a path and a
//! pattern of SQL's LIKE that is looked for anywhere in the value. Here the front-end searches, so it is the same with every
//! database. A path may leave `[*]` out. Searched is what 7.4 keeps in that form: neither permissions nor measurements, and of
//! the history the last record.

use plerion_model::ApiError;
use plerion_model::vm::Vm;
use plerion_template::Markup;
use plerion_world::Snapshot as View;

/// Most terms of a search.
const TERMS_MAX: usize = 64;
/// Longest search, in bytes.
const TEXT_MAX: usize = 16 * 1024;
/// What VMs have in the form that is searched.
const SEARCHED: &[&str] = &[
    "DEPLOY_ID",
    "ETIME",
    "GID",
    "GNAME",
    "HISTORY_RECORDS",
    "ID",
    "LAST_POLL",
    "LCM_STATE",
    "NAME",
    "PREV_LCM_STATE",
    "PREV_STATE",
    "RESCHED",
    "STATE",
    "STIME",
    "TEMPLATE",
    "UID",
    "UNAME",
    "USER_TEMPLATE",
];

/// What to look for: all of the terms.
#[derive(Debug)]
pub(crate) struct Search {
    terms: Vec<Term>,
}

#[derive(Debug)]
struct Term {
    path: Vec<Step>,
    pattern: Vec<Piece>,
}

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// `None` for any name.
    name: Option<String>,
    /// Which of those of the name; `None` for any.
    index: Option<usize>,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// `%`: any characters.
    Any,
    /// `_`: one character.
    One,
    /// A character itself.
    Same(char),
}

impl Search {
    /// Reads a search; `None` where there is nothing to look for.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, ApiError> {
        if text.len() > TEXT_MAX {
            return Err(refused(&format!("it is longer than {TEXT_MAX} bytes")));
        }
        let terms: Vec<Term> = text
            .split('&')
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(term_read)
            .collect::<Result<_, _>>()
            .map_err(|reason| refused(&reason))?;
        if terms.len() > TERMS_MAX {
            return Err(refused(&format!("it has more than {TERMS_MAX} terms")));
        }
        Ok(Some(Self { terms }).filter(|search| !search.terms.is_empty()))
    }

    /// Whether a VM is one of those looked for.
    pub(crate) fn finds(&self, vm: &Vm, view: &View<'_>) -> bool {
        let mut walk = Walk::of(&self.terms);
        vm.render_listed(&mut walk, view);
        walk.seen.iter().all(|seen| seen.met)
    }
}

fn refused(reason: &str) -> ApiError {
    ApiError::internal(format!(
        "Error building search query: {reason}. A search is PATH=PATTERN or a PATTERN, several of them joined by &, such as VM.NAME=web% or VM.TEMPLATE.NIC[*].IP=10.0."
    ))
}

fn term_read(text: &str) -> Result<Term, String> {
    let (path, pattern) = text.split_once('=').unwrap_or(("*", text));
    Ok(Term {
        path: path
            .trim()
            .split('.')
            .map(|step| {
                step_read(step).ok_or_else(|| format!("\"{step}\" of \"{text}\" is no step of a path"))
            })
            .collect::<Result<_, _>>()?,
        pattern: pattern_read(pattern.trim()),
    })
}

/// `NAME`, `NAME[2]`, `NAME[*]`, `*`.
fn step_read(text: &str) -> Option<Step> {
    let (name, index) = match text.split_once('[') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix(']')? {
            "*" => (name, None),
            number => (name, Some(number.trim().parse().ok()?)),
        },
    };
    let fits = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | ':');
    match name {
        "*" => Some(Step { name: None, index }),
        name if !name.is_empty() && name.chars().all(fits) => Some(Step {
            name: Some(name.to_owned()),
            index,
        }),
        _ => None,
    }
}

/// With a `%` before and after it, as it is looked for anywhere.
fn pattern_read(text: &str) -> Vec<Piece> {
    let mut pieces = vec![Piece::Any];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let piece = match character {
            '\\' => Piece::Same(characters.next().unwrap_or('\\')),
            '%' => Piece::Any,
            '_' => Piece::One,
            other => Piece::Same(other),
        };
        if !(piece == Piece::Any && pieces.last() == Some(&Piece::Any)) {
            pieces.push(piece);
        }
    }
    if pieces.last() != Some(&Piece::Any) {
        pieces.push(Piece::Any);
    }
    pieces
}

/// Whether a text is like a pattern. Of what a `%` may stand for only the last one is tried anew: the time is that of the
/// text's length times the pattern's at most.
fn is_like(pattern: &[Piece], text: &str) -> bool {
    let (mut rest, mut left) = (pattern, text);
    let mut again: Option<(&[Piece], &str)> = None;
    loop {
        let mut characters = left.chars();
        match (rest.split_first(), characters.next()) {
            (Some((Piece::Any, after)), _) => {
                if after.is_empty() {
                    return true;
                }
                again = Some((after, left));
                rest = after;
                continue;
            }
            (Some((Piece::One, after)), Some(_)) => {
                (rest, left) = (after, characters.as_str());
                continue;
            }
            (Some((Piece::Same(wanted), after)), Some(found)) if *wanted == found => {
                (rest, left) = (after, characters.as_str());
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // The last % stands for one character more.
        let Some((after, begun)) = again else { return false };
        let mut characters = begun.chars();
        if characters.next().is_none() {
            return false;
        }
        (rest, left) = (after, characters.as_str());
        again = Some((after, left));
    }
}

/// How far one term has come.
struct Seen<'a> {
    term: &'a Term,
    /// How many steps of its path lead to the element at hand.
    steps: usize,
    met: bool,
}

impl Seen<'_> {
    fn look(&mut self, text: &str) {
        self.met = self.met || (self.steps == self.term.path.len() && is_like(&self.term.pattern, text));
    }
}

/// A body as it is walked through instead of written.
struct Walk<'a> {
    seen: Vec<Seen<'a>>,
    /// Names of the elements last met at each depth, and how many of the same name came before them.
    last: Vec<(String, usize)>,
    depth: usize,
    /// The depth below which nothing is searched.
    skipped: Option<usize>,
}

impl<'a> Walk<'a> {
    fn of(terms: &'a [Term]) -> Self {
        let seen = terms.iter().map(|term| Seen {
            term,
            steps: 0,
            met: false,
        });
        Self {
            seen: seen.collect(),
            last: Vec::new(),
            depth: 0,
            skipped: None,
        }
    }

    /// The number of an element among those of its name that stand together.
    fn number(&mut self, name: &str) -> usize {
        match self.last.get_mut(self.depth) {
            Some((before, number)) if before == name => {
                *number = number.saturating_add(1);
                *number
            }
            Some((before, number)) => {
                name.clone_into(before);
                *number = 0;
                0
            }
            None => {
                self.last.push((name.to_owned(), 0));
                0
            }
        }
    }
}

impl Markup for Walk<'_> {
    fn open(&mut self, name: &str) {
        if self.depth == 1 && SEARCHED.binary_search(&name).is_err() {
            self.skipped.get_or_insert(self.depth);
        }
        if self.skipped.is_none() {
            let number = self.number(name);
            let depth = self.depth;
            for seen in &mut self.seen {
                // Names are part of what they stand in.
                seen.look(name);
                let step = seen.term.path.get(depth).filter(|_| seen.steps == depth);
                let leads = |step: &Step| {
                    step.name.as_ref().is_none_or(|wanted| wanted == name)
                        && step.index.is_none_or(|wanted| wanted == number)
                };
                if step.is_some_and(leads) {
                    seen.steps = depth.saturating_add(1);
                }
            }
        }
        self.depth = self.depth.saturating_add(1);
        self.last.truncate(self.depth);
    }

    fn close(&mut self, _name: &str) {
        self.depth = self.depth.saturating_sub(1);
        if self.skipped.is_some_and(|depth| depth >= self.depth) {
            self.skipped = None;
        }
        for seen in &mut self.seen {
            seen.steps = seen.steps.min(self.depth);
        }
    }

    fn empty(&mut self, name: &str) {
        self.open(name);
        self.text("");
        self.close(name);
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_none() {
            self.seen.iter_mut().for_each(|seen| seen.look(text));
        }
    }

    fn cdata(&mut self, text: &str) {
        self.text(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn like(pattern: &str, text: &str) -> bool {
        is_like(&pattern_read(pattern), text)
    }

    #[test]
    fn patterns_are_those_of_like_found_anywhere() {
        for (pattern, text, found) in [
            ("web", "my-web-1", true),
            ("web", "WEB", false),
            ("w_b", "web", true),
            ("w_b", "wb", false),
            ("w%1", "web-01", true),
            ("a%b%c", "xxaybzc", true),
            ("a%b%c", "xxaycz", false),
            ("100\\%", "100%", true),
            ("100\\%", "1000", false),
            ("a\\_b", "a_b", true),
            ("a\\_b", "axb", false),
            ("", "anything", true),
            ("", "", true),
            ("名", "姓名", true),
            ("_", "", false),
        ] {
            assert_eq!(like(pattern, text), found, "{pattern:?} in {text:?}");
        }
    }

    #[test]
    fn searches_are_read_or_refused() {
        assert!(Search::read("").expect("nothing").is_none());
        assert!(Search::read(" & ").expect("nothing").is_none());
        let search =
            Search::read("VM.TEMPLATE.NIC[*].IP=10.0.&VM.TEMPLATE.DISK[1].IMAGE=x=y&web").expect("good");
        let terms = search.expect("something").terms;
        let step = |name: &str, index| Step {
            name: (name != "*").then(|| name.to_owned()),
            index,
        };
        assert_eq!(
            terms.iter().map(|term| &term.path[..]).collect::<Vec<_>>(),
            [
                &[
                    step("VM", None),
                    step("TEMPLATE", None),
                    step("NIC", None),
                    step("IP", None)
                ][..],
                &[
                    step("VM", None),
                    step("TEMPLATE", None),
                    step("DISK", Some(1)),
                    step("IMAGE", None)
                ],
                &[step("*", None)],
            ]
        );
        assert_eq!(terms[1].pattern, pattern_read("x=y"));
        for wrong in [
            "VM..NAME=x",
            "=x",
            "VM.NAME[=x",
            "VM.NAME[a]=x",
            "VM.NAME[-1]=x",
            "VM.'x'=1",
            "a b=c",
        ] {
            let refusal = Search::read(wrong).expect_err(wrong);
            assert!(refusal.text.contains("no step"), "{wrong}: {}", refusal.text);
        }
        assert!(Search::read(&"a&".repeat(65)).is_err());
        assert!(Search::read(&"a".repeat(20_000)).is_err());
    }

    /// A body that is not a VM's, but walked through as one.
    fn found(search: &str) -> bool {
        let search = Search::read(search).expect("good").expect("something");
        let mut walk = Walk::of(&search.terms);
        walk.open("VM");
        walk.number_element("ID", 7);
        walk.element("NAME", "web-1");
        walk.open("PERMISSIONS");
        walk.element("NAME", "hidden");
        walk.close("PERMISSIONS");
        walk.open("TEMPLATE");
        for image in ["one", "two"] {
            walk.open("DISK");
            walk.cdata_element("IMAGE", image);
            walk.close("DISK");
        }
        walk.open("NIC");
        walk.cdata_element("IP", "10.0.0.5");
        walk.empty("MODE");
        walk.close("NIC");
        walk.close("TEMPLATE");
        walk.open("USER_TEMPLATE");
        walk.cdata_element("NAME", "note");
        walk.close("USER_TEMPLATE");
        walk.close("VM");
        walk.seen.iter().all(|seen| seen.met)
    }

    impl Walk<'_> {
        fn number_element(&mut self, name: &str, number: i64) {
            Markup::number(self, name, number);
        }
    }

    #[test]
    fn paths_lead_to_values_and_to_all_that_stands_below() {
        for (search, wanted) in [
            ("VM.NAME=web", true),
            ("VM.NAME=note", false),
            ("VM.USER_TEMPLATE.NAME=note", true),
            ("VM.*.NAME=note", true),
            ("*.NAME=web", true),
            ("VM.ID=7", true),
            ("VM.TEMPLATE.DISK[0].IMAGE=two", false),
            ("VM.TEMPLATE.DISK[1].IMAGE=two", true),
            ("VM.TEMPLATE.DISK[2].IMAGE=two", false),
            ("VM.TEMPLATE.DISK[*].IMAGE=two", true),
            ("VM.TEMPLATE.DISK.IMAGE=one", true),
            ("VM.TEMPLATE.NIC[0].IP=10.0.", true),
            ("VM.TEMPLATE.NIC.MODE=", true),
            ("VM.TEMPLATE.NIC.NONE=", false),
            ("VM.TEMPLATE=two", true),
            ("VM.TEMPLATE=IMAGE", true),
            ("VM.TEMPLATE=web", false),
            ("two", true),
            ("*=10.0.0.5", true),
            ("hidden", false),
            ("NAME=web", false),
            ("VM.NAME=web&VM.TEMPLATE.DISK.IMAGE=two", true),
            ("VM.NAME=web&VM.TEMPLATE.DISK.IMAGE=three", false),
        ] {
            assert_eq!(found(search), wanted, "{search}");
        }
    }

    /// LIKE as it is defined, without regard to time.
    fn like_plain(pattern: &[Piece], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((Piece::Any, rest)) => (0..=text.len()).any(|at| like_plain(rest, &text[at..])),
            Some((Piece::One, rest)) => !text.is_empty() && like_plain(rest, &text[1..]),
            Some((Piece::Same(wanted), rest)) => text.first() == Some(wanted) && like_plain(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_find_what_their_definition_finds(pattern in "[ab%_]{0,6}", text in "[ab]{0,8}") {
            let pieces = pattern_read(&pattern);
            let characters: Vec<char> = text.chars().collect();
            prop_assert_eq!(is_like(&pieces, &text), like_plain(&pieces, &characters));
        }

        #[test]
        fn no_search_panics(text in ".{0,60}") {
            let _ = Search::read(&text);
        }
    }
}
