//! [`Columns`]: the values of a host attribute that planning does not change, for all hosts at once, so that an
//! expression does not search the template of each host anew.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use plerion_template::{PackedTemplate, PackedValue};

use crate::hosts::HostRow;

/// Most columns kept; names beyond are looked for in the hosts each time.
const COLUMNS_MAX: usize = 256;
/// Columns that are looked for first: an expression asks for the same few names of every host.
const RECENT_MAX: usize = 4;

/// The values of one name in the fields and templates of hosts, and in the templates of their clusters.
#[derive(Debug, Default)]
pub(crate) struct Column<'w> {
    first: Vec<Option<Cow<'w, str>>>,
    /// Values behind the first one, of the few hosts that have such.
    more: HashMap<usize, Vec<&'w str>>,
    /// By row of a cluster.
    clusters: Vec<Vec<&'w str>>,
}

impl<'w> Column<'w> {
    /// The column of a name. `field` is a field of the host itself.
    pub(crate) fn new(
        hosts: &[HostRow<'w>],
        name: &str,
        field: impl Fn(&HostRow<'w>) -> Option<Cow<'w, str>>,
    ) -> Self {
        let mut column = Self {
            first: Vec::with_capacity(hosts.len()),
            more: HashMap::new(),
            clusters: Vec::new(),
        };
        for (index, row) in hosts.iter().enumerate() {
            let mut values = singles(&row.host.template, name);
            let first = field(row).or_else(|| values.next().map(Cow::Borrowed));
            column.first.push(first);
            let more: Vec<&str> = values.collect();
            if !more.is_empty() {
                column.more.insert(index, more);
            }
            // Rows of clusters are numbered as hosts first name them.
            if row.cluster_row == column.clusters.len() {
                let of_cluster = row.cluster.map(|cluster| singles(&cluster.template, name));
                column.clusters.push(of_cluster.into_iter().flatten().collect());
            }
        }
        column
    }

    /// The values of a host itself, in order.
    pub(crate) fn of_host(&self, host: usize) -> impl Iterator<Item = &str> {
        let first = self.first.get(host).and_then(Option::as_deref);
        let more = match first {
            Some(_) if !self.more.is_empty() => self.more.get(&host),
            _ => None,
        };
        first.into_iter().chain(more.into_iter().flatten().copied())
    }

    /// The values of a cluster, in order.
    pub(crate) fn of_cluster(&self, cluster_row: usize) -> impl Iterator<Item = &str> {
        self.clusters.get(cluster_row).into_iter().flatten().copied()
    }
}

/// The columns asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Columns<'w> {
    by_name: RefCell<HashMap<Rc<str>, Rc<Column<'w>>>>,
    recent: RefCell<Vec<(Rc<str>, Rc<Column<'w>>)>>,
}

impl<'w> Columns<'w> {
    /// The column of a name, which `make` makes if there is none; `None` when there are too many. (To make one for one
    /// host and forget it would cost as much as all hosts.)
    pub(crate) fn column(&self, name: &str, make: impl FnOnce() -> Column<'w>) -> Option<Rc<Column<'w>>> {
        let mut recent = self.recent.borrow_mut();
        if let Some((_, column)) = recent.iter().find(|(known, _)| **known == *name) {
            return Some(column.clone());
        }
        let mut by_name = self.by_name.borrow_mut();
        let (name, column) = match by_name.get_key_value(name) {
            Some((name, column)) => (name.clone(), column.clone()),
            None if by_name.len() >= COLUMNS_MAX => return None,
            None => {
                let name: Rc<str> = Rc::from(name);
                let column = Rc::new(make());
                by_name.insert(name.clone(), column.clone());
                (name, column)
            }
        };
        if recent.len() >= RECENT_MAX {
            recent.remove(0);
        }
        recent.push((name, column.clone()));
        Some(column)
    }
}

/// The single values of a name, in order.
pub(crate) fn singles<'t>(template: &'t PackedTemplate, name: &str) -> impl Iterator<Item = &'t str> {
    template.iter().filter_map(move |(found, value)| match value {
        PackedValue::Single(text) if found == name => Some(text),
        _ => None,
    })
}
