//! What `one.system.sqlquery` may ask of the database, and what it answers. That nothing is written is seen to by each
//! engine's own means: connections and transactions that only read.

use std::time::Duration;

use crate::StoreError;

/// Rows of an answer, at most.
pub const SQL_ROWS_MAX: usize = 10_000;
/// Bytes of an answer, at most.
pub const SQL_BYTES_MAX: usize = 64 << 20;
/// How long a query may take. (Less than writers wait for a lock.)
pub const SQL_TIME_MAX: Duration = Duration::from_secs(8);

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlAnswer {
    /// Names of the columns, as the engine gives them.
    pub columns: Vec<String>,
    /// Rows of as many cells; `None` is NULL. Bytes that are no text are shown by replacement characters.
    pub rows: Vec<Vec<Option<String>>>,
    bytes: usize,
}

impl SqlAnswer {
    pub(crate) fn new(columns: Vec<String>) -> Self {
        Self {
            columns,
            ..Self::default()
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the answer becomes larger than it may be.
    pub(crate) fn push(&mut self, row: Vec<Option<String>>) -> Result<(), StoreError> {
        if self.rows.len() >= SQL_ROWS_MAX {
            return Err(StoreError::Database(format!(
                "the answer has more than {SQL_ROWS_MAX} rows: ask for fewer (LIMIT)"
            )));
        }
        let bytes: usize = row.iter().flatten().map(String::len).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > SQL_BYTES_MAX {
            return Err(StoreError::Database(format!(
                "the answer has more than {SQL_BYTES_MAX} bytes: ask for fewer rows (LIMIT) or columns"
            )));
        }
        self.rows.push(row);
        Ok(())
    }
}

/// The refusal of what answers no rows, which is no question.
pub(crate) fn no_query() -> StoreError {
    StoreError::Database(
        "only a query that answers rows can be asked (SELECT): nothing is changed this way".into(),
    )
}

/// The refusal of a query that took too long.
pub(crate) fn too_long() -> StoreError {
    StoreError::Database(format!(
        "the query took longer than {} s and was stopped: ask for less",
        SQL_TIME_MAX.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::{SQL_BYTES_MAX, SQL_ROWS_MAX, SqlAnswer};

    #[test]
    fn answers_are_bounded_in_rows_and_bytes() {
        let mut answer = SqlAnswer::default();
        for _ in 0..SQL_ROWS_MAX {
            answer.push(vec![None]).expect("fits");
        }
        assert!(answer.push(vec![None]).is_err());
        let mut answer = SqlAnswer::default();
        answer.push(vec![Some("x".repeat(SQL_BYTES_MAX))]).expect("fits");
        assert!(answer.push(vec![Some("x".into())]).is_err());
    }
}
