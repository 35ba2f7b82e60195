//! [`Columns`]: the values of a host attribute, for all hosts at once, so that an expression does not search the
//! template of each host anew.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use plerion_template::{PackedTemplate, PackedValue};

use crate::hosts::HostRow;

/// Most columns kept; names beyond are looked for in the templates each time.
const COLUMNS_MAX: usize = 256;

/// The values of one name in the templates of the hosts.
#[derive(Debug, Default)]
pub(crate) struct Column<'w> {
    first: Vec<Option<&'w str>>,
    /// Values behind the first one, of the few hosts that have such.
    more: HashMap<usize, Vec<&'w str>>,
}

impl<'w> Column<'w> {
    /// The values of a host, in order.
    pub(crate) fn values(&self, host: usize) -> impl Iterator<Item = &'w str> {
        let first = self.first.get(host).copied().flatten();
        let more = match first {
            Some(_) if !self.more.is_empty() => self.more.get(&host),
            _ => None,
        };
        first.into_iter().chain(more.into_iter().flatten().copied())
    }
}

/// The columns asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Columns<'w> {
    by_name: RefCell<HashMap<Box<str>, Rc<Column<'w>>>>,
}

impl<'w> Columns<'w> {
    /// The column of a name; `None` when there are too many.
    pub(crate) fn column(&self, hosts: &[HostRow<'w>], name: &str) -> Option<Rc<Column<'w>>> {
        let mut by_name = self.by_name.borrow_mut();
        if let Some(column) = by_name.get(name) {
            return Some(column.clone());
        }
        if by_name.len() >= COLUMNS_MAX {
            return None;
        }
        let column = Rc::new(column_of(hosts, name));
        by_name.insert(name.into(), column.clone());
        Some(column)
    }
}

fn column_of<'w>(hosts: &[HostRow<'w>], name: &str) -> Column<'w> {
    let mut column = Column {
        first: Vec::with_capacity(hosts.len()),
        more: HashMap::new(),
    };
    for (index, row) in hosts.iter().enumerate() {
        let mut values = singles(&row.host.template, name);
        column.first.push(values.next());
        let more: Vec<&str> = values.collect();
        if !more.is_empty() {
            column.more.insert(index, more);
        }
    }
    column
}

/// The single values of a name, in order.
pub(crate) fn singles<'t>(template: &'t PackedTemplate, name: &str) -> impl Iterator<Item = &'t str> {
    template.iter().filter_map(move |(found, value)| match value {
        PackedValue::Single(text) if found == name => Some(text),
        _ => None,
    })
}
