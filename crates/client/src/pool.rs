//! Reading a pool page by page, so that neither side holds more than a page in flight.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::client::Client;
use crate::error::ClientError;
use crate::value::Param;

/// How many pages are read at most; a server that never ends its pool is stopped here.
const PAGES_MAX: i32 = 100_000;

/// A pool to read.
#[derive(Debug, Clone)]
pub struct PoolQuery<'a> {
    /// The method, for instance `one.vmpool.info`.
    pub method: &'a str,
    /// The filter: -4 own group, -3 own, -2 all, -1 own and groups, else a user id.
    pub filter: i32,
    /// Parameters behind filter, start and end.
    pub extra: Vec<Param>,
}

impl Client {
    /// The whole pool as one document, read in pages of [`Client::page_size`] objects.
    pub fn pool(&mut self, query: &PoolQuery<'_>) -> Result<String, ClientError> {
        let size = self.page_size();
        let mut whole = String::new();
        let mut tail = String::new();
        for page in 0..PAGES_MAX {
            let Some(start) = page.checked_mul(size) else {
                break;
            };
            let mut params = vec![query.filter.into(), start.into(), (-size).into()];
            params.extend(query.extra.iter().cloned());
            let text = self.call(query.method, &params)?.into_text()?;
            let root = root_split(&text)?;
            if page == 0 {
                whole.push_str(&text[..root.inner_start]);
                tail = root.tail;
            }
            whole.push_str(&text[root.inner_start..root.inner_end]);
            if root.children < size {
                whole.push_str(&tail);
                return Ok(whole);
            }
        }
        Err(ClientError::Malformed(format!(
            "{} never came to an end",
            query.method
        )))
    }
}

/// A page taken apart.
struct Root {
    inner_start: usize,
    inner_end: usize,
    /// What closes the root element.
    tail: String,
    children: i32,
}

fn root_split(text: &str) -> Result<Root, ClientError> {
    let bad = |reason: &str| ClientError::Malformed(format!("a page of the pool: {reason}"));
    let mut reader = Reader::from_str(text);
    let mut depth = 0;
    let mut root = Root {
        inner_start: 0,
        inner_end: 0,
        tail: String::new(),
        children: 0,
    };
    loop {
        let before = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| bad(&error.to_string()))?;
        let after = reader.buffer_position() as usize;
        match event {
            Event::Start(_) if depth == 0 => {
                root.inner_start = after;
                depth = 1;
            }
            Event::Empty(_) if depth == 0 => {
                // An empty page: the one tag opens and closes, nothing is left for the tail.
                root.inner_start = after;
                root.inner_end = after;
                return Ok(root);
            }
            Event::Start(_) => {
                root.children += i32::from(depth == 1);
                depth += 1;
            }
            Event::Empty(_) => root.children += i32::from(depth == 1),
            Event::End(_) => {
                depth -= 1;
                if depth == 0 {
                    root.inner_end = before;
                    root.tail = text[before..].to_owned();
                    return Ok(root);
                }
            }
            Event::Eof => return Err(bad("it has no root element")),
            _ => {}
        }
    }
}
