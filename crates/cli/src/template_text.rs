//! Templates as text: what `show` prints and editors get.

use std::fmt::Write;

use roxmltree::Node;

use crate::xml;

/// The attributes under an element, one a line, those named in `without` left out.
pub fn template_render(template: Node<'_, '_>, without: &[&str]) -> String {
    let mut text = String::new();
    for attribute in xml::elements(template) {
        let name = attribute.tag_name().name();
        if without.contains(&name) {
            continue;
        }
        if !xml::is_branch(attribute) {
            let _ = writeln!(text, "{name}={}", quoted(&xml::text_of(attribute)));
            continue;
        }
        let pairs: Vec<String> = xml::elements(attribute)
            // Nothing between the tags is no value; an empty value has its CDATA.
            .filter(|pair| !xml::inner_source(pair.document(), *pair).is_empty())
            .map(|pair| format!("  {}={}", pair.tag_name().name(), quoted(&xml::text_of(pair))))
            .collect();
        let _ = writeln!(text, "{name}=[\n{} ]", pairs.join(",\n"));
    }
    text
}

/// The template of an object as `show` prints it: an empty one takes an empty line.
pub fn template_block(object: Node<'_, '_>, without: &[&str]) -> String {
    let text = xml::child(object, "TEMPLATE")
        .map(|node| template_render(node, without))
        .unwrap_or_default();
    if text.is_empty() { "\n".to_owned() } else { text }
}

/// A value between quotation marks; those inside get a backslash.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\\\""))
}
