//! Tables: columns of a width, cut or filled; or comma separated values.

use crate::format;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name, which is also its head.
    pub name: &'static str,
    /// Its width in columns of the terminal.
    pub width: usize,
    /// Whether its texts stand at the right.
    pub right: bool,
    /// Whether it grows to the longest text in it.
    pub adjust: bool,
    /// Whether it takes room that is left on a terminal.
    pub expand: bool,
    /// What it shows, in English and Chinese.
    pub about: (&'static str, &'static str),
}

impl Column {
    /// A column whose texts stand at the left.
    pub const fn left(name: &'static str, width: usize) -> Self {
        Self {
            name,
            width,
            right: false,
            adjust: false,
            expand: false,
            about: ("", ""),
        }
    }

    /// A column whose texts stand at the right.
    pub const fn right(name: &'static str, width: usize) -> Self {
        Self {
            right: true,
            ..Self::left(name, width)
        }
    }

    /// The same column, growing to its longest text.
    pub const fn adjusted(self) -> Self {
        Self { adjust: true, ..self }
    }

    /// The same column, taking room that is left.
    pub const fn expanded(self) -> Self {
        Self { expand: true, ..self }
    }

    /// The same column with its description.
    pub const fn about(self, en: &'static str, zh: &'static str) -> Self {
        Self {
            about: (en, zh),
            ..self
        }
    }
}

/// Columns and rows of texts.
#[derive(Debug)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows; each has a text for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Widens the columns that adjust to what is in them.
    pub fn columns_adjust(&mut self) {
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.adjust {
                let longest = self
                    .rows
                    .iter()
                    .map(|row| format::width(&row[index]))
                    .max()
                    .unwrap_or(0);
                column.width = column.width.max(longest);
            }
        }
    }

    /// Shares out what is left of `total` columns among those that expand, by their shares.
    pub fn columns_expand(&mut self, total: usize, shares: &[(usize, f64)]) {
        let used: usize = self
            .columns
            .iter()
            .map(|column| column.width + 1)
            .sum::<usize>()
            .saturating_sub(1);
        let left = total.saturating_sub(used);
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        if left == 0 || sum <= 0.0 {
            return;
        }
        for (index, share) in shares {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "widths of a terminal are small"
            )]
            let extra = (left as f64 * share.max(0.0) / sum) as usize;
            self.columns[*index].width += extra;
        }
    }

    /// The line with the names.
    pub fn head(&self) -> String {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| match column.adjust {
                // A column that fits its texts has room for its name, too.
                true => format::pad(column.name, column.width, column.right),
                false => format::fit(column.name, column.width, column.right),
            })
            .collect();
        names.join(" ")
    }

    /// The rows, each line without trailing blanks.
    pub fn body(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&self.columns)
                .map(|(cell, column)| format::fit(cell, column.width, column.right))
                .collect();
            text.push_str(cells.join(" ").trim_end());
            text.push('\n');
        }
        text
    }

    /// Head and rows, as the sections of `show` have them.
    pub fn render(&mut self) -> String {
        self.columns_adjust();
        format!("{}\n{}", self.head(), self.body())
    }

    /// The rows as separated values, uncut.
    pub fn csv(&self, delimiter: &str, with_head: bool) -> String {
        let mut text = String::new();
        if with_head {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
            text.push_str(&names.join(delimiter));
            text.push('\n');
        }
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| csv_cell(cell, delimiter)).collect();
            text.push_str(&cells.join(delimiter));
            text.push('\n');
        }
        text
    }
}

fn csv_cell(cell: &str, delimiter: &str) -> String {
    if cell.is_empty() || cell.contains(delimiter) || cell.contains(['"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::right("ID", 4).adjusted(),
            Column::left("NAME", 6).expanded(),
            Column::right("SIZE", 4),
        ]);
        table
            .rows
            .push(vec!["123456".into(), "数据库服务器".into(), "10M".into()]);
        table.rows.push(vec!["7".into(), "a,\"b\"".into(), String::new()]);
        table
    }

    #[test]
    fn cells_are_cut_filled_and_adjusted() {
        assert_eq!(
            table().render(),
            "    ID NAME   SIZE\n123456 数据库  10M\n     7 a,\"b\"\n"
        );
    }

    #[test]
    fn values_are_quoted_where_needed() {
        assert_eq!(
            table().csv(",", true),
            "ID,NAME,SIZE\n123456,数据库服务器,10M\n7,\"a,\"\"b\"\"\",\"\"\n"
        );
        assert_eq!(
            table().csv(";", false),
            "123456;数据库服务器;10M\n7;\"a,\"\"b\"\"\";\"\"\n"
        );
    }

    #[test]
    fn room_left_is_shared() {
        let mut table = table();
        table.columns_expand(26, &[(1, 1.0)]);
        assert_eq!(table.columns[1].width, 6 + 26 - 16);
    }
}
