//! What a family of commands works with: the kind of its objects, its table and its picture, and what the caller typed.

use std::collections::HashMap;

use roxmltree::Node;

use crate::error::CliError;
use crate::kind::Kind;
use crate::session::Session;
use crate::table::Column;

/// Renders one object for people.
pub type Show = fn(&mut Session, &Input, &roxmltree::Document<'_>) -> Result<String, CliError>;

/// A family of commands.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The kind of its objects.
    pub kind: Kind,
    /// Its table.
    pub list: &'static ListSpec,
    /// Shows one object.
    pub show: Show,
}

/// The table of a command family.
#[derive(Debug)]
pub struct ListSpec {
    /// The element of one object.
    pub element: &'static str,
    /// All columns.
    pub columns: &'static [Column],
    /// The names of those shown unless others are asked for.
    pub shown: &'static [&'static str],
    /// The text of a cell.
    pub cell: fn(&Context, Node<'_, '_>, &str) -> String,
    /// Fetches the pool's document.
    pub fetch: fn(&mut Session, &Input) -> Result<String, CliError>,
    /// Fetches what cells need beyond the pool.
    pub prepare: fn(&mut Session, &mut Context, &[&'static str]) -> Result<(), CliError>,
}

/// What cells need beyond their object.
#[derive(Debug, Default)]
pub struct Context {
    /// The time, in seconds since 1970.
    pub now: i64,
    /// Ids instead of names.
    pub numeric: bool,
    /// Sizes in KiB without a unit.
    pub kilobytes: bool,
    /// Texts by key; what they are is the family's affair.
    pub extra: HashMap<String, String>,
}

impl Context {
    /// What the options say, nothing fetched yet.
    pub fn new(input: &Input, now: i64) -> Self {
        Self {
            now,
            numeric: input.has("numeric"),
            kilobytes: input.has("kilobytes"),
            extra: HashMap::new(),
        }
    }

    /// A size given in KiB, as the caller wants it.
    pub fn size(&self, kib: i64) -> String {
        if self.kilobytes {
            kib.to_string()
        } else {
            crate::format::size_text(kib)
        }
    }

    /// A size given in MiB, as the caller wants it.
    pub fn size_mib(&self, mib: i64) -> String {
        if self.kilobytes {
            mib.saturating_mul(1024).to_string()
        } else {
            crate::format::size_text_mib(mib)
        }
    }
}

/// An argument after its names have been resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Text, a number or the path of a file.
    Text(String),
    /// An object's id.
    Id(i32),
    /// Ids of several objects.
    Ids(Vec<i32>),
}

/// What the caller typed.
#[derive(Debug, Clone)]
pub struct Input {
    /// The family of the command.
    pub family: Family,
    /// The arguments.
    pub args: Vec<Argument>,
    /// Options in the order given; a flag has an empty text.
    pub options: Vec<(&'static str, String)>,
}

impl Input {
    /// Whether the option was given.
    pub fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// The text behind the option; the last one counts.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.options
            .iter()
            .rev()
            .find(|(name, _)| *name == long)
            .map(|(_, value)| value.as_str())
    }

    /// The texts behind the option, split at commas.
    pub fn list(&self, long: &str) -> Vec<String> {
        let value = self.value(long).unwrap_or_default();
        value
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The number behind the option, which the parser has checked.
    pub fn number(&self, long: &str) -> Option<i32> {
        self.value(long).and_then(|value| value.parse().ok())
    }

    /// The text of an argument; empty when it was left out.
    pub fn text(&self, index: usize) -> &str {
        match self.args.get(index) {
            Some(Argument::Text(text)) => text,
            _ => "",
        }
    }

    /// The id an argument stands for, if it was given.
    pub fn id_maybe(&self, index: usize) -> Option<i32> {
        match self.args.get(index)? {
            Argument::Id(id) => Some(*id),
            Argument::Text(text) => text.parse().ok(),
            Argument::Ids(_) => None,
        }
    }

    /// The id an argument stands for; -1, "none" on the wire, when it was left out.
    pub fn id(&self, index: usize) -> i32 {
        self.id_maybe(index).unwrap_or(-1)
    }

    /// The ids an argument stands for.
    pub fn ids(&self, index: usize) -> Vec<i32> {
        match self.args.get(index) {
            Some(Argument::Ids(ids)) => ids.clone(),
            Some(Argument::Id(id)) => vec![*id],
            _ => Vec::new(),
        }
    }
}
