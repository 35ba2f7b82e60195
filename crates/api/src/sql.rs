//! `one.system.sqlquery`: reads the database in its own words.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plerion_engine::{Engine, SqlAnswer};
use plerion_model::{ApiError, ErrorCode};
use plerion_template::{EscapedXml, Markup};
use plerion_world::Caller;

use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// Answers `one.system.sqlquery`, to user 0.
pub(crate) async fn sql_query(
    engine: &Arc<Engine>,
    caller: &Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let query = params.string()?;
    if caller.uid != 0 {
        return Err(ApiError::authorization(caller.uid, "Action reserved for oneadmin").into());
    }
    let reader = engine.reader().clone();
    let asked = tokio::task::spawn_blocking(move || {
        let answer = reader.sql_query(&query);
        answer.map(|answer| render(&query, &answer))
    });
    let answer = asked
        .await
        .map_err(|_| ApiError::internal("The query broke down: see the log of the server"))?;
    answer.map(Payload::Escaped).map_err(|error| {
        ApiError::new(ErrorCode::Internal, format!("Cannot answer the query: {error}")).into()
    })
}

/// `<SQL_COMMAND>`. NULL is an empty element; texts that begin like XML are base64 in `<name64>`.
fn render(query: &str, answer: &SqlAnswer) -> bytes::Bytes {
    let names: Vec<String> = answer.columns.iter().map(|name| element_name(name)).collect();
    let mut out = EscapedXml::with_capacity(4096);
    out.open("SQL_COMMAND");
    out.element("QUERY", query);
    out.open("RESULT");
    for row in &answer.rows {
        out.open("ROW");
        for (name, cell) in names.iter().zip(row) {
            match cell.as_deref() {
                Some(text) if text.starts_with('<') => {
                    out.element(&format!("{name}64"), &STANDARD.encode(text))
                }
                text => out.element(name, text.unwrap_or_default()),
            }
        }
        out.close("ROW");
    }
    out.close("RESULT");
    out.close("SQL_COMMAND");
    out.into_bytes().into()
}

/// What an element can be called for a column: `count(*)` is `count___`.
fn element_name(column: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut name: String = column.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::element_name;

    #[test]
    fn columns_are_elements_whatever_they_are_called() {
        for (column, element) in [
            ("body", "body"),
            ("count(*)", "count___"),
            ("1", "_1"),
            ("", "_"),
            ("ID > 3", "ID___3"),
        ] {
            assert_eq!(element_name(column), element);
        }
    }
}
