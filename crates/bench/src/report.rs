//! The table.

use std::fmt::Write as _;

/// What an aim asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// At least so much is good.
    AtLeast(f64),
    /// At most so much is good.
    AtMost(f64),
    /// Nothing was aimed at; the row tells more of the one above.
    None,
}

/// A line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// Unit of aim and figure.
    pub(crate) unit: &'static str,
    /// What it should be.
    pub(crate) aim: Aim,
    /// What a 7.4.0 server did; empty when that is not known.
    pub(crate) reference: &'static str,
    /// What was measured here.
    pub(crate) here: f64,
    /// More about it.
    pub(crate) note: String,
}

/// The rows so far.
#[derive(Debug)]
pub(crate) struct Report {
    quick: bool,
    rows: Vec<Row>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            quick,
            rows: Vec::new(),
        }
    }

    /// Adds a row and shows it at once, as a run takes minutes.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}: {} {} ({})", row.what, figure(row.here), row.unit, row.note);
        self.rows.push(row);
    }

    /// The table as text, columns aligned.
    pub(crate) fn table(&self) -> String {
        let head = ["what", "aim", "7.4.0", "here", "verdict", "more"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(|row| self.line(row)));
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for (number, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let _ = writeln!(out, "{}", cells.join(" | ").trim_end());
            if number == 0 {
                let _ = writeln!(out, "{}", widths.map(|width| "-".repeat(width)).join("-|-"));
            }
        }
        if self.quick {
            out.push_str("--quick: a tenth of the sizes; aims are for the full ones.\n");
        }
        out
    }

    fn line(&self, row: &Row) -> [String; 6] {
        let (aim, ratio) = match row.aim {
            Aim::AtLeast(aim) => (format!("≥ {} {}", figure(aim), row.unit), Some(row.here / aim)),
            Aim::AtMost(aim) => (format!("≤ {} {}", figure(aim), row.unit), Some(aim / row.here)),
            Aim::None => (String::new(), None),
        };
        let verdict = match ratio {
            None => String::new(),
            Some(_) if self.quick => "(quick)".into(),
            Some(ratio) if ratio >= 1.0 => format!("met, {ratio:.2}"),
            Some(ratio) => format!("MISSED, {ratio:.2}"),
        };
        let here = format!("{} {}", figure(row.here), row.unit);
        [
            row.what.clone(),
            aim,
            row.reference.into(),
            here,
            verdict,
            row.note.clone(),
        ]
    }
}

/// A number with as many digits as matter.
pub(crate) fn figure(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => {
            let digits = format!("{number:.0}");
            let from = usize::from(digits.starts_with('-'));
            let mut out = digits;
            let mut at = out.len();
            while at > from + 3 {
                at -= 3;
                out.insert(at, ',');
            }
            out
        }
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(aim: Aim, here: f64) -> Row {
        Row {
            what: "w".into(),
            unit: "ms",
            aim,
            reference: "",
            here,
            note: "n".into(),
        }
    }

    #[test]
    fn verdicts() {
        for (aim, here, verdict) in [
            (Aim::AtMost(8.0), 4.0, "met, 2.00"),
            (Aim::AtMost(8.0), 16.0, "MISSED, 0.50"),
            (Aim::AtLeast(8.0), 16.0, "met, 2.00"),
            (Aim::AtLeast(8.0), 4.0, "MISSED, 0.50"),
            (Aim::None, 4.0, ""),
        ] {
            assert_eq!(Report::new(false).line(&row(aim, here))[4], verdict);
        }
        assert_eq!(Report::new(true).line(&row(Aim::AtMost(1.0), 2.0))[4], "(quick)");
    }

    #[test]
    fn figures() {
        for (number, text) in [
            (20_000.0, "20,000"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
            (967.2, "967"),
            (84.26, "84.3"),
            (0.123, "0.12"),
        ] {
            assert_eq!(figure(number), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let mut report = Report::new(false);
        report.add(row(Aim::AtMost(8.0), 4.0));
        report.add(row(Aim::None, 1000.0));
        let table = report.table();
        let bars = |line: &str| {
            line.chars()
                .enumerate()
                .filter(|(_, c)| *c == '|')
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        let all: Vec<Vec<usize>> = table.lines().map(bars).collect();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|line| *line == all[0]), "{table}");
    }
}
