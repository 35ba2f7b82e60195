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
            .map(|pair| format!("  {}={}", pair.tag_name().name(), quoted(&xml::text_of(pair))))
            .collect();
        let _ = writeln!(text, "{name}=[\n{} ]", pairs.join(",\n"));
    }
    text
}

/// A value between quotation marks; those inside get a backslash.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\\\""))
}
