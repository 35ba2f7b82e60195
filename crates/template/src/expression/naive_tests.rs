//! Requirements, rank and patterns against evaluations as plain as can be.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::tests::attributes;
use super::*;

/// Requirements as a tree of two operands, the plain way.
#[derive(Clone, Debug)]
enum Tree {
    Compare(&'static str, &'static str, &'static str),
    Not(Box<Tree>),
    Both(Box<Tree>, Box<Tree>),
    Either(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Tree::Compare(name, operator, constant) => format!("{name} {operator} {constant}"),
            Tree::Not(inner) => format!("!{}", inner.operand()),
            Tree::Both(left, right) => format!("{} & {}", left.text(), right.operand()),
            Tree::Either(left, right) => format!("{} | {}", left.text(), right.operand()),
        }
    }

    /// The text as right operand or behind a sign, where a chain needs parentheses.
    fn operand(&self) -> String {
        match self {
            Tree::Both(..) | Tree::Either(..) => format!("({})", self.text()),
            Tree::Compare(..) | Tree::Not(_) => self.text(),
        }
    }

    fn holds(&self, host: &Template) -> bool {
        match self {
            Tree::Compare(name, operator, constant) => {
                let values: Vec<&str> = host
                    .all(name)
                    .filter_map(|value| match value {
                        Value::Single(text) => Some(text.as_str()),
                        Value::Vector(_) => None,
                    })
                    .collect();
                let compared = if *operator == "@>" {
                    &values[..]
                } else {
                    &values[..values.len().min(1)]
                };
                compared.iter().any(|value| compare(value, operator, constant))
            }
            Tree::Not(inner) => !inner.holds(host),
            Tree::Both(left, right) => left.holds(host) && right.holds(host),
            Tree::Either(left, right) => left.holds(host) || right.holds(host),
        }
    }
}

fn compare(value: &str, operator: &str, constant: &str) -> bool {
    if let Some(pattern) = constant.strip_prefix('"') {
        let pattern = pattern.trim_end_matches('"');
        return !pattern.is_empty() && (naive_glob(pattern, value) != (operator == "!="));
    }
    let Ok(value) = value.parse::<f64>() else {
        return false;
    };
    let value = if constant.contains('.') {
        value
    } else {
        value.trunc()
    };
    let constant: f64 = constant.parse().expect("a number");
    match operator {
        "=" | "@>" => value == constant,
        "!=" => value != constant,
        ">" => value > constant,
        _ => value < constant,
    }
}

/// By recursion, for patterns of `*`, `?` and plain characters.
fn naive_glob(pattern: &str, text: &str) -> bool {
    let mut rest = text.chars();
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len())
            .filter(|&at| text.is_char_boundary(at))
            .any(|at| naive_glob(&pattern[1..], &text[at..])),
        Some('?') => rest.next().is_some() && naive_glob(&pattern[1..], rest.as_str()),
        Some(own) => rest.next() == Some(own) && naive_glob(&pattern[own.len_utf8()..], rest.as_str()),
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let name = || select(&["A", "B", "C", "NONE"][..]);
    let any = (
        name(),
        select(&["=", "!=", "@>"][..]),
        select(&["1", "2.5", "-1", "\"*\"", "\"?b\"", "\"\"", "\"b\""][..]),
    );
    let ordered = (
        name(),
        select(&[">", "<"][..]),
        select(&["0", "1", "1.5", "-2"][..]),
    );
    let leaf = prop_oneof![any, ordered]
        .prop_map(|(name, operator, constant)| Tree::Compare(name, operator, constant));
    leaf.prop_recursive(5, 32, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Tree::Not(Box::new(inner))),
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Tree::Both(Box::new(left), Box::new(right))),
            (inner.clone(), inner).prop_map(|(left, right)| Tree::Either(Box::new(left), Box::new(right))),
        ]
    })
}

fn any_host() -> impl Strategy<Value = Template> {
    let value = select(&["0", "1", "1.5", "2.5", "-1", "b", "ab", ""][..]);
    vec((select(&["A", "B", "C"][..]), value), 0..6).prop_map(|pairs| attributes(&pairs))
}

/// Arithmetic as a tree of two operands.
#[derive(Clone, Debug)]
enum Sum {
    Number(i16),
    Name(&'static str),
    Negative(Box<Sum>),
    Of(Box<Sum>, char, Box<Sum>),
}

impl Sum {
    fn text(&self) -> String {
        match self {
            Sum::Number(number) => format!("{number}"),
            Sum::Name(name) => (*name).to_owned(),
            Sum::Negative(inner) => format!("(- {})", inner.text()),
            Sum::Of(left, sign, right) => format!("({} {sign} {})", left.text(), right.text()),
        }
    }

    fn value(&self, host: &Template) -> f32 {
        match self {
            Sum::Number(number) => f32::from(*number),
            Sum::Name(name) => host.get(name).and_then(|text| text.parse().ok()).unwrap_or(0.0),
            Sum::Negative(inner) => -inner.value(host),
            Sum::Of(left, sign, right) => {
                let (left, right) = (left.value(host), right.value(host));
                match sign {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        }
    }
}

fn arithmetic() -> impl Strategy<Value = Sum> {
    let leaf = prop_oneof![
        any::<i16>().prop_map(Sum::Number),
        select(&["A", "B", "NONE"][..]).prop_map(Sum::Name)
    ];
    leaf.prop_recursive(5, 32, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Sum::Negative(Box::new(inner))),
            (inner.clone(), select(&['+', '-', '*', '/'][..]), inner)
                .prop_map(|(left, sign, right)| Sum::Of(Box::new(left), sign, Box::new(right))),
        ]
    })
}

proptest! {
    #[test]
    fn requirements_agree_with_the_naive_evaluation(tree in tree(), host in any_host()) {
        let requirements = Requirements::parse(&tree.text()).expect("parses");
        let expected = tree.holds(&host);
        prop_assert_eq!(requirements.matches(&host), expected, "{}", tree.text());
        prop_assert_eq!(requirements.explain(&host).is_none(), expected, "{}", tree.text());
    }

    #[test]
    fn ranks_agree_with_the_naive_evaluation(tree in arithmetic(), host in any_host()) {
        let value = tree.value(&host);
        let expected = if value.is_finite() { value as i64 } else { i64::from(i32::MIN) };
        prop_assert_eq!(Rank::parse(&tree.text()).expect("parses").value(&host), expected, "{}", tree.text());
    }

    #[test]
    fn patterns_agree_with_the_naive_matcher(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
        prop_assert_eq!(glob::Pattern::new(&pattern).matches(&text), naive_glob(&pattern, &text));
    }

    #[test]
    fn any_text_is_answered(text in r#"[AB1.\-+*/()!&|=<>@" \n~“]{0,32}"#) {
        for error in [Requirements::parse(&text).err(), Rank::parse(&text).err()].into_iter().flatten() {
            prop_assert!(error.line >= 1 && error.column_first < error.column_last, "{error}");
        }
    }

    #[test]
    fn any_pattern_is_answered(pattern in r"[a\[\]!^:\-\\*digt]{0,16}", text in "[a-z\\[\\]\\-]{0,8}") {
        let pattern = glob::Pattern::new(&pattern);
        prop_assert!(!(pattern.matches(&text) && pattern == glob::Pattern::Never));
    }
}
