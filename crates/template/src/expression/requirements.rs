//! Requirements: a boolean expression over attributes.
//!
//! `!`, `&` and `|` have one precedence, from left to right: `a | b & c` is `(a | b) & c`. So an expression is a flat
//! chain of comparisons and groups, and only parentheses nest.

use std::ops::ControlFlow;

use super::glob::Pattern;
use super::lexer::{Lexer, Word, clip};
use super::{Attributes, ExpressionError, deeper, first_value, number};

/// The most failing comparisons, and values of one name, that an explanation spells out.
const MAX_EXPLAINED: usize = 4;

/// A requirements expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirements {
    chain: Chain,
}

/// Factors from left to right. The empty chain is true, and so is the side left of the first factor.
#[derive(Clone, Debug, Default, PartialEq)]
struct Chain {
    factors: Vec<(Junction, Factor)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Junction {
    And,
    Or,
}

#[derive(Clone, Debug, PartialEq)]
struct Factor {
    negated: bool,
    term: Term,
    /// The term as the user wrote it, clipped for messages.
    source: Box<str>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Comparison(Comparison),
    Group(Chain),
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    name: Box<str>,
    operator: Operator,
    constant: Constant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    Different,
    Greater,
    Less,
    /// `@>`: any of the values is equal.
    Contains,
}

#[derive(Clone, Debug, PartialEq)]
enum Constant {
    Integer(i64),
    Float(f32),
    Text(Pattern),
    /// `""`, for which every comparison is false.
    Empty,
}

impl Requirements {
    /// Reads a requirements expression. The empty one is true.
    ///
    /// # Errors
    /// A text that is none, with line and columns; also one beyond [`super::MAX_EXPRESSION_BYTES`] or nested deeper
    /// than [`super::MAX_EXPRESSION_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut lexer = Lexer::new(text)?;
        if lexer.word == Word::End {
            return Ok(Self::default());
        }
        let chain = chain(&mut lexer, 0)?;
        if lexer.word != Word::End {
            return Err(lexer.unexpected("\"&\", \"|\" or end of expression"));
        }
        Ok(Self { chain })
    }

    /// Whether the expression is empty, so that everything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chain.factors.is_empty()
    }

    /// Whether an object meets the requirements.
    #[must_use]
    pub fn matches(&self, attributes: &dyn Attributes) -> bool {
        self.chain.matches(attributes)
    }

    /// Why a host does not meet the requirements, in plain words; `None` if it does.
    #[must_use]
    pub fn explain(&self, attributes: &dyn Attributes) -> Option<String> {
        self.explain_for(attributes, "the host")
    }

    /// Like [`Requirements::explain`], naming the object as the caller does (`"the datastore"`).
    #[must_use]
    pub fn explain_for(&self, attributes: &dyn Attributes, object: &str) -> Option<String> {
        let failures = self.chain.failures(&Subject { attributes, object });
        (!failures.is_empty()).then(|| failures.into_text())
    }
}

impl Chain {
    fn matches(&self, attributes: &dyn Attributes) -> bool {
        self.factors
            .iter()
            .fold(true, |left, (junction, factor)| match junction {
                Junction::And => left && factor.matches(attributes),
                Junction::Or => left || factor.matches(attributes),
            })
    }

    /// Why the chain is false; empty if it is true.
    fn failures(&self, subject: &Subject<'_>) -> Failures {
        let mut left = Failures::default();
        for (junction, factor) in &self.factors {
            match junction {
                Junction::And if left.is_empty() => left = factor.failures(subject),
                Junction::And => {}
                Junction::Or if left.is_empty() => {}
                Junction::Or => {
                    let right = factor.failures(subject);
                    if right.is_empty() {
                        left = right;
                    } else {
                        left.append(right);
                    }
                }
            }
        }
        left
    }
}

impl Factor {
    fn matches(&self, attributes: &dyn Attributes) -> bool {
        let matches = match &self.term {
            Term::Comparison(comparison) => comparison.matches(attributes),
            Term::Group(chain) => chain.matches(attributes),
        };
        matches != self.negated
    }

    fn failures(&self, subject: &Subject<'_>) -> Failures {
        match &self.term {
            _ if self.matches(subject.attributes) => Failures::default(),
            Term::Comparison(comparison) if self.negated => {
                let state = comparison.state(subject);
                Failures::one(format!("!({}) but {} {state}", self.source, subject.object))
            }
            Term::Comparison(comparison) if comparison.constant == Constant::Empty => Failures::one(format!(
                "{} never holds: a comparison with \"\" is false",
                self.source
            )),
            Term::Comparison(comparison) => {
                let state = comparison.state(subject);
                Failures::one(format!("{} but {} {state}", self.source, subject.object))
            }
            Term::Group(_) if self.negated => {
                let source = &self.source;
                Failures::one(format!("!{source} but for {} {source} holds", subject.object))
            }
            Term::Group(chain) => chain.failures(subject),
        }
    }
}

impl Comparison {
    fn matches(&self, attributes: &dyn Attributes) -> bool {
        if self.operator != Operator::Contains {
            return first_value(attributes, &self.name, |value| self.holds(value)).unwrap_or(false);
        }
        let mut found = false;
        attributes.for_each_value(&self.name, &mut |value| {
            found = self.holds(value);
            if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }

    /// Whether one value holds. A value that cannot be read as the number it is compared with counts as missing.
    fn holds(&self, value: &str) -> bool {
        match &self.constant {
            Constant::Integer(constant) => {
                number::integer(value).is_some_and(|number| self.operator.compares(&number, constant))
            }
            Constant::Float(constant) => {
                number::float(value).is_some_and(|number| self.operator.compares(&number, constant))
            }
            Constant::Text(pattern) => pattern.matches(value) != (self.operator == Operator::Different),
            Constant::Empty => false,
        }
    }

    /// What the object has: `has HYPERVISOR "qemu"`, `has no HYPERVISOR`.
    fn state(&self, subject: &Subject<'_>) -> String {
        let shown = if self.operator == Operator::Contains {
            MAX_EXPLAINED
        } else {
            1
        };
        let mut values: Vec<String> = Vec::new();
        let mut more = false;
        subject.attributes.for_each_value(&self.name, &mut |value| {
            more = values.len() >= shown;
            if more {
                return ControlFlow::Break(());
            }
            let unread = match self.constant {
                Constant::Integer(_) => number::integer(value).is_none(),
                Constant::Float(_) => number::float(value).is_none(),
                Constant::Text(_) | Constant::Empty => false,
            };
            let note = if unread { ", which is not a number" } else { "" };
            values.push(format!("\"{}\"{note}", clip(value)));
            ControlFlow::Continue(())
        });
        let name = clip(&self.name);
        match (values.is_empty(), more && shown > 1) {
            (true, _) => format!("has no {name}"),
            (false, true) => format!("has {name} {}, …", values.join(", ")),
            (false, false) => format!("has {name} {}", values.join(", ")),
        }
    }
}

impl Operator {
    fn compares<T: PartialOrd>(self, value: &T, constant: &T) -> bool {
        match self {
            Operator::Equal | Operator::Contains => value == constant,
            Operator::Different => value != constant,
            Operator::Greater => value > constant,
            Operator::Less => value < constant,
        }
    }
}

/// What an explanation is about.
struct Subject<'a> {
    attributes: &'a dyn Attributes,
    object: &'a str,
}

/// Why an expression is false: alternatives that all failed.
#[derive(Default)]
struct Failures {
    texts: Vec<String>,
    more: usize,
}

impl Failures {
    fn one(text: String) -> Self {
        Self {
            texts: vec![text],
            more: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn append(&mut self, other: Self) {
        self.more = self.more.saturating_add(other.more);
        for text in other.texts {
            if self.texts.len() < MAX_EXPLAINED {
                self.texts.push(text);
            } else {
                self.more = self.more.saturating_add(1);
            }
        }
    }

    fn into_text(self) -> String {
        let mut text = self.texts.join("; and ");
        if self.more > 0 {
            text.push_str(&format!("; and {} more alternatives failed", self.more));
        }
        text
    }
}

fn chain(lexer: &mut Lexer<'_>, depth: usize) -> Result<Chain, ExpressionError> {
    let mut factors = vec![(Junction::And, factor(lexer, depth)?)];
    loop {
        let junction = match lexer.word {
            Word::Sign('&') => Junction::And,
            Word::Sign('|') => Junction::Or,
            _ => return Ok(Chain { factors }),
        };
        lexer.take()?;
        factors.push((junction, factor(lexer, depth)?));
    }
}

fn factor(lexer: &mut Lexer<'_>, depth: usize) -> Result<Factor, ExpressionError> {
    let mut negated = false;
    while lexer.take_sign('!')? {
        negated = !negated;
    }
    let first = lexer.position();
    let term = if lexer.take_sign('(')? {
        let group = chain(lexer, deeper(lexer, depth)?)?;
        if !lexer.take_sign(')')? {
            return Err(lexer.unexpected("\"&\", \"|\" or \")\""));
        }
        Term::Group(group)
    } else {
        Term::Comparison(comparison(lexer)?)
    };
    Ok(Factor {
        negated,
        term,
        source: clip(lexer.since(first)).into(),
    })
}

fn comparison(lexer: &mut Lexer<'_>) -> Result<Comparison, ExpressionError> {
    let Word::Text(name) = lexer.word else {
        return Err(lexer.unexpected("a name, \"!\" or \"(\""));
    };
    lexer.take()?;
    let operator = operator(lexer)?;
    let constant = match (lexer.word, operator) {
        (Word::Integer(number), _) => Constant::Integer(number),
        (Word::Float(number), _) => Constant::Float(number),
        (Word::Text(_), Operator::Greater | Operator::Less) => {
            return Err(lexer.unexpected("a number (texts have no order)"));
        }
        (Word::Text(""), _) => Constant::Empty,
        (Word::Text(text), _) => Constant::Text(Pattern::new(text)),
        (Word::Sign('='), Operator::Greater) => {
            return Err(lexer.unexpected("a number (there is no \">=\": write > and the number before it)"));
        }
        (Word::Sign('='), Operator::Less) => {
            return Err(lexer.unexpected("a number (there is no \"<=\": write < and the number behind it)"));
        }
        (_, Operator::Greater | Operator::Less) => return Err(lexer.unexpected("a number")),
        _ => return Err(lexer.unexpected("a text or a number")),
    };
    lexer.take()?;
    Ok(Comparison {
        name: name.into(),
        operator,
        constant,
    })
}

fn operator(lexer: &mut Lexer<'_>) -> Result<Operator, ExpressionError> {
    const EXPECTED: &str = "one of = != > < @>";
    let Word::Sign(sign @ ('=' | '!' | '>' | '<' | '@')) = lexer.word else {
        return Err(lexer.unexpected(EXPECTED));
    };
    lexer.take()?;
    match sign {
        '=' => Ok(Operator::Equal),
        '>' => Ok(Operator::Greater),
        '<' => Ok(Operator::Less),
        '!' if lexer.take_sign('=')? => Ok(Operator::Different),
        '@' if lexer.take_sign('>')? => Ok(Operator::Contains),
        _ => Err(lexer.unexpected(EXPECTED)),
    }
}
