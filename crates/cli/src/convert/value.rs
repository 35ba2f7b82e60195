//! The tree between XML and JSON or YAML: records, lists and texts.

use roxmltree::{Document, Node};

use crate::xml;

/// Elements of a VM that are a list even when there is only one of them.
const VM_LISTS: [&str; 5] = ["DISK", "NIC", "NIC_ALIAS", "DISK_SIZE", "SNAPSHOTS"];

/// A tree of values.
#[derive(Debug, PartialEq)]
pub enum Value {
    /// Text; all numbers are text, too.
    Text(String),
    /// Elements of the same name.
    List(Vec<Value>),
    /// Elements by name, in order.
    Record(Vec<(String, Value)>),
}

/// The tree of a whole document, its root element included.
pub fn value_of(document: &Document<'_>) -> Value {
    let root = document.root_element();
    let is_vm = matches!(root.tag_name().name(), "VM" | "VM_POOL");
    Value::Record(vec![(
        root.tag_name().name().to_owned(),
        node_value(document, root, is_vm),
    )])
}

fn node_value(document: &Document<'_>, node: Node<'_, '_>, is_vm: bool) -> Value {
    if !xml::is_branch(node) {
        // An element with nothing between its tags is an empty record, one with empty CDATA an empty text.
        if xml::inner_source(document, node).is_empty() {
            return Value::Record(Vec::new());
        }
        return Value::Text(xml::text_of(node));
    }
    let mut members: Vec<(String, Value)> = Vec::new();
    for element in xml::elements(node) {
        let name = element.tag_name().name();
        let value = node_value(document, element, is_vm);
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, Value::List(list))) => list.push(value),
            Some((_, single)) => {
                let first = std::mem::replace(single, Value::List(Vec::new()));
                *single = Value::List(vec![first, value]);
            }
            None if is_vm && VM_LISTS.contains(&name) => {
                members.push((name.to_owned(), Value::List(vec![value])));
            }
            None => members.push((name.to_owned(), value)),
        }
    }
    Value::Record(members)
}
