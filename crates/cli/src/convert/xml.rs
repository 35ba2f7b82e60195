//! Indented XML. Texts keep the form they had on the wire; other than ASCII is written as references
//! outside CDATA, as old scripts that read the output byte by byte expect.

use std::fmt::Write;

use roxmltree::{Document, Node};

use crate::xml;

/// The document, two blanks a level, ending with a newline.
pub fn xml_render(document: &Document<'_>) -> String {
    let mut text = String::with_capacity(document.input_text().len() * 2);
    node_write(&mut text, document, document.root_element(), 0);
    text
}

fn node_write(text: &mut String, document: &Document<'_>, node: Node<'_, '_>, depth: usize) {
    let name = node.tag_name().name();
    let indent = "  ".repeat(depth);
    let _ = write!(text, "{indent}<{name}");
    if xml::is_branch(node) {
        text.push_str(">\n");
        for element in xml::elements(node) {
            node_write(text, document, element, depth + 1);
        }
        let _ = writeln!(text, "{indent}</{name}>");
        return;
    }
    let inner = xml::inner_source(document, node);
    if inner.is_empty() {
        text.push_str("/>\n");
        return;
    }
    text.push('>');
    inner_write(text, inner);
    let _ = writeln!(text, "</{name}>");
}

fn inner_write(text: &mut String, inner: &str) {
    let mut rest = inner;
    while let Some(start) = rest.find("<![CDATA[") {
        plain_write(text, &rest[..start]);
        let end = rest[start..].find("]]>").map_or(rest.len(), |at| start + at + 3);
        text.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    plain_write(text, rest);
}

fn plain_write(text: &mut String, plain: &str) {
    for letter in plain.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            let _ = write!(text, "&#x{:X};", letter as u32);
        }
    }
}
