//! What the command line asks for.

use std::path::PathBuf;

use crate::Result;

/// Names of rows, as `--only` takes them.
const NAMES: &[&str] = &[
    "vm.info",
    "vmpool",
    "infoextended",
    "hostpool",
    "instantiate",
    "instantiate-full",
    "update",
    "users",
    "done",
    "engines",
    "running",
    "memory",
    "start",
];

/// What `--help` prints.
pub(crate) const HELP: &str = "usage: plerion-bench [OPTIONS]

Measures `plerion serve` in a directory of its own, over HTTP, and prints a table.

  --quick          a tenth of the sizes: shows that everything works, not how fast it is
  --full           also the start with 100,000 VMs
  --only NAME      only these rows; can be given several times. Names: vm.info vmpool infoextended hostpool
                   instantiate instantiate-full update users done engines running memory start
  --database NAME=SETTINGS
                   also measure the row engines with this database (settings as in oned.conf, DB=[...]); can be given
                   several times
  --binary FILE    the program to measure (default: plerion beside this program)
  --directory DIR  where databases are made; must be on the disk to measure (default: the temporary directory)
  --keep           leave the directories of the servers behind
";

/// Sizes are divided by this with `--quick`.
const QUICK_DIVISOR: usize = 10;

/// See [`HELP`].
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) full: bool,
    pub(crate) keep: bool,
    pub(crate) binary: PathBuf,
    pub(crate) directory: PathBuf,
    /// Databases to measure beside SQLite: name and settings.
    pub(crate) databases: Vec<(String, String)>,
    only: Vec<String>,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            quick: false,
            full: false,
            keep: false,
            binary: binary_default()?,
            directory: std::env::temp_dir(),
            databases: Vec::new(),
            only: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || {
                rest.next()
                    .cloned()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--full" => options.full = true,
                "--keep" => options.keep = true,
                "--binary" => options.binary = value()?.into(),
                "--directory" => options.directory = value()?.into(),
                "--database" => options.databases.push(database(&value()?)?),
                "--only" => options.only.push(row_name(value()?)?),
                other => return Err(format!("there is no option {other}\n\n{HELP}")),
            }
        }
        if !options.binary.is_file() {
            return Err(format!(
                "{} does not exist: build it (cargo build --release --bin plerion) or name it with --binary",
                options.binary.display()
            ));
        }
        Ok(options)
    }

    /// Whether a row is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// A size, smaller with `--quick`.
    pub(crate) fn size(&self, full: usize) -> usize {
        if self.quick {
            (full / QUICK_DIVISOR).max(1)
        } else {
            full
        }
    }
}

fn binary_default() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    Ok(own.with_file_name("plerion"))
}

fn database(value: &str) -> Result<(String, String)> {
    value
        .split_once('=')
        .map(|(name, settings)| (name.to_owned(), settings.to_owned()))
        .ok_or_else(|| format!("{value} is not NAME=DB=[...]"))
}

fn row_name(name: String) -> Result<String> {
    if NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("there is no row {name}; there are {}", NAMES.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        let own = std::env::current_exe().expect("a path").display().to_string();
        let mut all = vec!["--binary".to_owned(), own];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Options::parse(&all)
    }

    #[test]
    fn rows_and_sizes() {
        let options = parse(&[]).expect("good");
        assert!(NAMES.iter().all(|name| options.wants(name)));
        assert_eq!(options.size(10_000), 10_000);
        let options = parse(&["--quick", "--only", "update", "--only", "start"]).expect("good");
        assert!(options.wants("update") && options.wants("start") && !options.wants("memory"));
        assert_eq!((options.size(10_000), options.size(5)), (1000, 1));
        let options = parse(&["--database", "mysql=DB=[X=1]"]).expect("good");
        assert_eq!(options.databases, [("mysql".to_owned(), "DB=[X=1]".to_owned())]);
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, part) in [
            (&["--only", "x"][..], "there is no row x"),
            (&["--only"], "--only needs a value"),
            (&["--database", "mysql"], "is not NAME=DB=[...]"),
            (&["--fast"], "there is no option --fast"),
            (&["--binary", "/nonexistent/plerion"], "does not exist"),
        ] {
            let error = parse(arguments).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
