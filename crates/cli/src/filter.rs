//! Expressions that pick rows: `STAT=runn`, `CPU>0`, joined by AND or OR.

use std::cmp::Ordering;

use crate::error::CliError;

/// Operators, the longer ones first so that they are found first.
const OPERATORS: [&str; 6] = ["!=", "<=", ">=", "=", "<", ">"];

/// Some conditions.
#[derive(Debug, Default)]
pub struct Filter {
    conditions: Vec<Condition>,
    any: bool,
}

#[derive(Debug)]
struct Condition {
    column: String,
    operator: &'static str,
    value: String,
}

impl Filter {
    /// Reads the expressions; `operator` is AND (also when absent) or OR.
    pub fn parse(expressions: &[String], operator: Option<&str>) -> Result<Self, CliError> {
        let any = match operator.map(str::to_ascii_uppercase).as_deref() {
            None | Some("AND") => false,
            Some("OR") => true,
            Some(other) => {
                return Err(CliError::text(format!(
                    "The operator '{other}' is not known. Use AND or OR."
                )));
            }
        };
        let conditions = expressions
            .iter()
            .map(|text| Condition::parse(text))
            .collect::<Result<_, _>>()?;
        Ok(Self { conditions, any })
    }

    /// The columns the conditions are about.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.conditions.iter().map(|condition| condition.column.as_str())
    }

    /// Whether a row is picked; `cell` gives the text of a column.
    pub fn accepts(&self, cell: impl Fn(&str) -> String) -> bool {
        let mut outcomes = self
            .conditions
            .iter()
            .map(|condition| condition.holds(&cell(&condition.column)));
        if self.conditions.is_empty() {
            true
        } else if self.any {
            outcomes.any(|holds| holds)
        } else {
            outcomes.all(|holds| holds)
        }
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, CliError> {
        let first = OPERATORS
            .iter()
            .filter_map(|operator| text.find(operator).map(|at| (at, *operator)))
            .min_by_key(|(at, operator)| (*at, std::cmp::Reverse(operator.len())));
        match first {
            Some((at, operator)) if at > 0 => Ok(Self {
                column: text[..at].trim().to_ascii_uppercase(),
                operator,
                value: text[at + operator.len()..].trim().to_owned(),
            }),
            _ => Err(CliError::Filter(format!("Expression '{text}' incorrect"))),
        }
    }

    /// Compares as texts, letter by letter, also numbers: that is what scripts have always met.
    fn holds(&self, cell: &str) -> bool {
        let order = cell.trim().cmp(self.value.as_str());
        match self.operator {
            "=" => order == Ordering::Equal,
            "!=" => order != Ordering::Equal,
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(expressions: &[&str], operator: Option<&str>) -> bool {
        let expressions: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        let filter = Filter::parse(&expressions, operator).expect("good");
        filter.accepts(|name| match name {
            "ID" => "7".to_owned(),
            "STAT" => "runn".to_owned(),
            _ => String::new(),
        })
    }

    #[test]
    fn conditions() {
        assert!(accepts(&[], None));
        assert!(accepts(&["STAT=runn", "id>5"], None));
        assert!(!accepts(&["STAT=runn", "ID>=8"], None));
        assert!(accepts(&["STAT!=runn", "ID<=7"], Some("or")));
        assert!(!accepts(&["STAT!=runn"], None));
    }

    #[test]
    fn nonsense_is_refused() {
        let error = Filter::parse(&["BAD".to_owned()], None).expect_err("no operator");
        assert_eq!(
            (error.to_string().as_str(), error.exit_status()),
            ("Expression 'BAD' incorrect", 0)
        );
        assert!(Filter::parse(&[], Some("XOR")).is_err());
    }
}
