//! Writing templates in native syntax.
//!
//! What was parsed, written and parsed again is the same template. Two tricks make that so, both resting on the rule
//! that values lose white space at their ends: a value that ends in a backslash gets a blank behind it (or the
//! backslash would escape the closing quote), and one that holds `]]>` on its first line gets a line break before it
//! (or the line would end the parse). Not carried are things that no parsed template has: white space at the ends of
//! a value, control characters, and the empty template (whose text is empty, which only
//! [`Template::parse_or_empty`] reads). The lossless form is JSON.

use crate::chars::is_xml_char;
use crate::{Template, Value};

impl Template {
    /// The template in native syntax, one attribute a line: `CPU="1"`, `DISK=[ IMAGE_ID="0", SIZE="10" ]`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for attribute in self.iter() {
            out.push_str(&attribute.name);
            out.push('=');
            match &attribute.value {
                Value::Single(text) => quote(&mut out, text),
                Value::Vector(vector) => {
                    out.push('[');
                    let mut before = " ";
                    for (key, value) in vector.iter() {
                        out.push_str(before);
                        out.push_str(key);
                        out.push('=');
                        quote(&mut out, value);
                        before = ", ";
                    }
                    out.push_str(" ]");
                }
            }
            out.push('\n');
        }
        out
    }
}

fn quote(out: &mut String, value: &str) {
    out.push('"');
    let carried = || value.chars().filter(|&character| is_xml_char(character));
    // What stands between them and is not carried does not keep the three apart.
    let line: String = carried().take_while(|&character| character != '\n').collect();
    if line.contains("]]>") {
        out.push('\n');
    }
    for character in carried() {
        if character == '"' {
            out.push('\\');
        }
        out.push(character);
    }
    if out.ends_with('\\') {
        out.push(' ');
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
