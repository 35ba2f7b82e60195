//! The parts all `show` outputs are made of: section heads, fields, permissions.

use roxmltree::Node;

use crate::format;
use crate::states;
use crate::xml;

/// How wide a section head is.
const HEAD_WIDTH: usize = 80;
/// How wide the text of a field at least is.
const VALUE_WIDTH: usize = 20;

/// A section head on a line of its own.
pub fn head(title: &str) -> String {
    format!("{}\n", format::pad(title, HEAD_WIDTH, false))
}

/// Fields whose names take the same room.
#[derive(Debug)]
pub struct Fields {
    text: String,
    label_width: usize,
    value_width: usize,
}

impl Fields {
    /// Fields whose names take `label_width` columns and whose values are filled up.
    pub fn new(label_width: usize) -> Self {
        Self {
            text: String::new(),
            label_width,
            value_width: VALUE_WIDTH,
        }
    }

    /// Fields whose values are not filled up.
    pub fn bare(label_width: usize) -> Self {
        Self {
            value_width: 0,
            ..Self::new(label_width)
        }
    }

    /// Adds a field.
    pub fn add(&mut self, label: &str, value: impl AsRef<str>) -> &mut Self {
        let label = format::pad(label, self.label_width, false);
        let value = format::pad(value.as_ref(), self.value_width, false);
        self.text.push_str(&format!("{label}: {value}\n"));
        self
    }

    /// Adds a field with the text at a path of the object.
    pub fn add_text(&mut self, label: &str, node: Node<'_, '_>, path: &str) -> &mut Self {
        self.add(label, xml::text(node, path))
    }

    /// Adds a section head.
    pub fn add_head(&mut self, title: impl AsRef<str>) -> &mut Self {
        self.text.push_str(&head(title.as_ref()));
        self
    }

    /// Adds a line as it is.
    pub fn add_line(&mut self, line: &str) -> &mut Self {
        self.text.push_str(line);
        self.text.push('\n');
        self
    }

    /// Adds who owns the object: user, group and lock.
    pub fn add_owner(&mut self, node: Node<'_, '_>) -> &mut Self {
        self.add_text("USER", node, "UNAME")
            .add_text("GROUP", node, "GNAME")
    }

    /// Adds what a lock forbids.
    pub fn add_lock(&mut self, node: Node<'_, '_>) -> &mut Self {
        self.add("LOCK", states::lock_level(xml::number(node, "LOCK/LOCKED")))
    }

    /// The section about permissions, with the same widths.
    pub fn permissions(&self, node: Node<'_, '_>) -> String {
        let mut fields = Self {
            text: head("PERMISSIONS"),
            label_width: self.label_width,
            value_width: self.value_width,
        };
        for who in ["OWNER", "GROUP", "OTHER"] {
            let rights: String = [("U", 'u'), ("M", 'm'), ("A", 'a')]
                .iter()
                .map(|(right, letter)| {
                    let given = xml::text(node, &format!("PERMISSIONS/{who}_{right}")) == "1";
                    if given { *letter } else { '-' }
                })
                .collect();
            fields.add(who, rights);
        }
        fields.text
    }

    /// All lines so far.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// A list of ids under a head of its own.
pub fn id_list(title: &str, ids: &[String]) -> String {
    let mut text = format!("{}\n", format::pad(title, 15, false));
    for id in ids {
        text.push_str(&format!("{}\n", format::pad(id, 15, false)));
    }
    text
}

/// `Yes` or `No` for 1 or anything else.
pub fn yes_no(flag: &str) -> &'static str {
    if flag == "1" { "Yes" } else { "No" }
}
