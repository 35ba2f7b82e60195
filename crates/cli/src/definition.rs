//! What a command is made of: subcommands, their arguments and options, and who carries them out.

use crate::error::CliError;
use crate::family::{Family, Input, ListSpec, Show};
use crate::kind::Kind;
use crate::session::Session;

/// Carries out a subcommand.
pub type Run = fn(&mut Session, &Input) -> Result<(), CliError>;

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// Any text.
    Text,
    /// A whole number.
    Number,
    /// One object, by id or name.
    Object(Kind),
    /// One object, by id or name, or `ALL` of them.
    ObjectOrAll(Kind),
    /// Some objects: `1..4`, or ids and names separated by commas.
    Objects(Kind),
    /// A file that exists.
    File,
}

/// An argument of a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct ArgDef {
    /// What it is.
    pub kind: ArgKind,
    /// How usage lines call it.
    pub label: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
}

impl ArgDef {
    /// An argument that must be given.
    pub const fn needed(kind: ArgKind, label: &'static str) -> Self {
        Self {
            kind,
            label,
            optional: false,
        }
    }

    /// An argument that may be left out.
    pub const fn optional(kind: ArgKind, label: &'static str) -> Self {
        Self {
            kind,
            label,
            optional: true,
        }
    }
}

/// What stands behind an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptKind {
    /// Nothing.
    Flag,
    /// Any text.
    Text,
    /// Text that may be left out.
    Maybe,
    /// A whole number.
    Number,
    /// A number that may have a fraction.
    Float,
    /// Texts separated by commas.
    List,
    /// An amount of memory: MiB, or with one of the units k, m, g, t.
    Memory,
    /// A type of image.
    ImageType,
    /// One object, by id or name.
    Object(Kind),
}

/// An option of a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct OptDef {
    /// The letter behind one dash, if there is one.
    pub short: Option<char>,
    /// The word behind two dashes.
    pub long: &'static str,
    /// What stands behind it.
    pub kind: OptKind,
    /// How help calls what stands behind it.
    pub value: &'static str,
}

impl OptDef {
    /// An option without a value.
    pub const fn flag(short: Option<char>, long: &'static str) -> Self {
        Self {
            short,
            long,
            kind: OptKind::Flag,
            value: "",
        }
    }

    /// An option with a value.
    pub const fn value(short: Option<char>, long: &'static str, kind: OptKind, value: &'static str) -> Self {
        Self {
            short,
            long,
            kind,
            value,
        }
    }
}

/// A subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Subcommand {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, the optional ones last.
    pub args: &'static [ArgDef],
    /// Its options, in groups that subcommands share.
    pub options: &'static [&'static [OptDef]],
    /// Who carries it out.
    pub run: Run,
}

impl Subcommand {
    /// All its options.
    pub fn all_options(&self) -> impl Iterator<Item = &'static OptDef> {
        self.options.iter().flat_map(|group| group.iter())
    }

    /// How many arguments it cannot do without.
    pub fn args_needed(&self) -> usize {
        self.args.iter().filter(|arg| !arg.optional).count()
    }
}

/// A command family.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The name it is called by.
    pub name: &'static str,
    /// The objects it is about.
    pub kind: Kind,
    /// Its table of objects.
    pub list: &'static ListSpec,
    /// How it shows one object.
    pub show: Show,
    /// Its subcommands.
    pub subcommands: &'static [Subcommand],
}

impl Command {
    /// What its subcommands are about.
    pub fn family(&self) -> Family {
        Family {
            kind: self.kind,
            list: self.list,
            show: self.show,
        }
    }
}
