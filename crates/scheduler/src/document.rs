//! [`StoreDocument`]: a system datastore as expressions see it, with what is planned for it.

use std::cell::Cell;
use std::ops::ControlFlow;

use plerion_template::Attributes;

use crate::path::{Path, Tree};
use crate::space::Space;

/// Beneath these a name is looked for.
const BASES: [&str; 2] = ["DATASTORE/TEMPLATE", "DATASTORE"];

/// A system datastore as expressions see it. Its space is the one that a host sees.
pub(crate) struct StoreDocument<'a> {
    tree: &'a Tree,
    space: Option<Space>,
    volatile: Cell<bool>,
}

impl<'a> StoreDocument<'a> {
    pub(crate) fn new(tree: &'a Tree, space: Option<Space>) -> Self {
        Self {
            tree,
            space,
            volatile: Cell::new(false),
        }
    }

    /// Whether its space was asked for, which changes with what is planned and may differ between hosts.
    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile.get()
    }

    fn space_field(&self, node: usize) -> Option<u64> {
        let space = self.space.unwrap_or(Space {
            total: 0,
            free: 0,
            used: 0,
        });
        let number = match self.tree.child_of_root(node)? {
            "TOTAL_MB" => space.total,
            "FREE_MB" => space.free,
            "USED_MB" => space.used,
            _ => return None,
        };
        self.volatile.set(true);
        Some(number)
    }
}

impl Attributes for StoreDocument<'_> {
    fn for_each_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        for node in Path::find(&Path::of_name(name, &BASES), self.tree) {
            let flow = match self.space_field(node) {
                Some(number) => visit(&number.to_string()),
                None => visit(self.tree.text_of(node)),
            };
            if flow.is_break() {
                return;
            }
        }
    }
}
