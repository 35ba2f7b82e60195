//! Rank: an arithmetic expression over attributes; the object with the highest value is taken first.

use super::lexer::{Lexer, Word};
use super::{Attributes, ExpressionError, deeper, first_value, number};

/// A rank expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rank {
    sum: Sum,
}

/// Terms, each added or subtracted; empty for the empty expression, whose value is 0.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sum {
    terms: Vec<(Sign, Product)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sign {
    Plus,
    Minus,
}

/// Factors, each multiplied or divided by.
#[derive(Clone, Debug, PartialEq)]
struct Product {
    factors: Vec<(Scale, Factor)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Times,
    Over,
}

#[derive(Clone, Debug, PartialEq)]
enum Factor {
    Number(f32),
    Name(Box<str>),
    Group(Sum),
    Negative(Product),
}

impl Rank {
    /// Reads a rank expression. The empty one gives every object the rank 0.
    ///
    /// # Errors
    /// A text that is none, with line and columns; also one beyond [`super::MAX_EXPRESSION_BYTES`] or nested deeper
    /// than [`super::MAX_EXPRESSION_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut lexer = Lexer::new(text)?;
        if lexer.word == Word::End {
            return Ok(Self::default());
        }
        let sum = sum(&mut lexer, 0)?;
        if lexer.word != Word::End {
            return Err(lexer.unexpected(match lexer.word {
                Word::Integer(..0) => "an operator (a minus needs a blank behind it: A - 1)",
                _ => "one of + - * / or end of expression",
            }));
        }
        Ok(Self { sum })
    }

    /// The rank of an object: computed with 32-bit floats, then truncated.
    ///
    /// A name without a value counts as 0. What is no finite number (after a division by zero) ranks below all
    /// finite results in use, so that an object lacking the divisor is not preferred.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "truncation is the rule; the cast saturates"
    )]
    pub fn value(&self, attributes: &dyn Attributes) -> i64 {
        let value = self.sum.value(attributes);
        if value.is_finite() {
            value as i64
        } else {
            i64::from(i32::MIN)
        }
    }
}

impl Sum {
    fn value(&self, attributes: &dyn Attributes) -> f32 {
        self.terms.iter().fold(0.0, |sum, (sign, term)| match sign {
            Sign::Plus => sum + term.value(attributes),
            Sign::Minus => sum - term.value(attributes),
        })
    }
}

impl Product {
    fn value(&self, attributes: &dyn Attributes) -> f32 {
        self.factors
            .iter()
            .fold(1.0, |product, (scale, factor)| match scale {
                Scale::Times => product * factor.value(attributes),
                Scale::Over => product / factor.value(attributes),
            })
    }
}

impl Factor {
    fn value(&self, attributes: &dyn Attributes) -> f32 {
        match self {
            Factor::Number(number) => *number,
            Factor::Name(name) => first_value(attributes, name, number::float)
                .flatten()
                .unwrap_or_default(),
            Factor::Group(sum) => sum.value(attributes),
            Factor::Negative(product) => -product.value(attributes),
        }
    }
}

fn sum(lexer: &mut Lexer<'_>, depth: usize) -> Result<Sum, ExpressionError> {
    let mut terms = vec![(Sign::Plus, product(lexer, depth)?)];
    loop {
        let sign = match lexer.word {
            Word::Sign('+') => Sign::Plus,
            Word::Sign('-') => Sign::Minus,
            _ => return Ok(Sum { terms }),
        };
        lexer.take()?;
        terms.push((sign, product(lexer, depth)?));
    }
}

fn product(lexer: &mut Lexer<'_>, depth: usize) -> Result<Product, ExpressionError> {
    let mut factors = vec![(Scale::Times, factor(lexer, depth)?)];
    loop {
        let scale = match lexer.word {
            Word::Sign('*') => Scale::Times,
            Word::Sign('/') => Scale::Over,
            _ => return Ok(Product { factors }),
        };
        lexer.take()?;
        factors.push((scale, factor(lexer, depth)?));
    }
}

fn factor(lexer: &mut Lexer<'_>, depth: usize) -> Result<Factor, ExpressionError> {
    let mut negative = false;
    let mut signs = false;
    while lexer.take_sign('-')? {
        signs = true;
        negative = !negative;
    }
    if signs {
        // A sign binds as loosely as the operator does: it takes in the whole product behind it.
        let product = product(lexer, deeper(lexer, depth)?)?;
        return Ok(if negative {
            Factor::Negative(product)
        } else {
            Factor::Group(Sum {
                terms: vec![(Sign::Plus, product)],
            })
        });
    }
    #[expect(clippy::cast_precision_loss, reason = "ranks are computed with 32-bit floats")]
    let factor = match lexer.word {
        Word::Integer(number) => Factor::Number(number as f32),
        Word::Float(number) => Factor::Number(number),
        Word::Text(name) => Factor::Name(name.into()),
        Word::Sign('(') => {
            lexer.take()?;
            let group = sum(lexer, deeper(lexer, depth)?)?;
            if lexer.word != Word::Sign(')') {
                return Err(lexer.unexpected("one of + - * / or \")\""));
            }
            Factor::Group(group)
        }
        _ => return Err(lexer.unexpected("a name, a number or \"(\"")),
    };
    lexer.take()?;
    Ok(factor)
}
