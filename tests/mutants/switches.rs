//! Whether a check or a change is switched on, and what is noted of it. Copied into crates/world by run.py.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The number of the check that is switched off, or of the change that is switched on.
static OFF: LazyLock<Option<u32>> = LazyLock::new(|| std::env::var("PLERION_MUTANT").ok()?.parse().ok());
/// Where it is noted which checks were come to (`7`) and which refused (`!7`), once each until the file is made empty.
static TRACE: LazyLock<Option<Mutex<Trace>>> = LazyLock::new(|| {
    let path = std::env::var("PLERION_MUTANT_TRACE").ok()?;
    let file = File::options().append(true).create(true).open(path).ok()?;
    Some(Mutex::new(Trace { file, noted: BTreeSet::new() }))
});

/// Whether the file is made empty while this program runs.
static SHARED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("PLERION_MUTANT_SHARED").is_some());

struct Trace {
    file: File,
    noted: BTreeSet<(u32, bool)>,
}

fn note(number: u32, refuses: bool) {
    let Some(trace) = TRACE.as_ref() else { return };
    let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
    if *SHARED && trace.file.metadata().is_ok_and(|file| file.len() == 0) {
        trace.noted.clear();
    }
    if trace.noted.insert((number, refuses)) {
        let line = format!("{}{number}\n", if refuses { "!" } else { "" });
        trace.file.write_all(line.as_bytes()).expect("the trace is written");
    }
}

pub(crate) fn kept(number: u32) -> bool {
    note(number, false);
    *OFF != Some(number)
}

/// Which of the `count` changes of a place that begin with `first` is switched on, counted from 0; `count` for none.
pub(crate) fn which(first: u32, count: u32) -> u32 {
    note(first, false);
    match *OFF {
        Some(number) if number >= first => (number - first).min(count),
        _ => count,
    }
}

/// Whether the only change of a place is switched on.
pub(crate) fn on(number: u32) -> bool {
    note(number, false);
    *OFF == Some(number)
}

pub(crate) fn xor(one: bool, other: bool) -> bool {
    one != other
}

/// Says the type of a value.
pub(crate) fn of<T>(value: T) -> T {
    value
}

pub(crate) fn each<T, const N: usize>(numbers: [u32; N], all: [T; N]) -> Vec<T> {
    let numbered = numbers.into_iter().zip(all);
    numbered.filter(|(number, _)| kept(*number)).map(|(_, one)| one).collect()
}

pub(crate) fn looked_at<A: Answer>(number: u32, answer: A) -> A {
    if answer.refuses() {
        note(number, true);
    }
    answer
}

pub(crate) trait Answer {
    fn refuses(&self) -> bool;
}

impl<T, E> Answer for Result<T, E> {
    fn refuses(&self) -> bool {
        self.is_err()
    }
}

impl<T> Answer for Option<T> {
    fn refuses(&self) -> bool {
        self.is_none()
    }
}
