//! Answers in other clothes: JSON, YAML and indented XML, in the shapes the old command line printed.

use roxmltree::Document;

use crate::family::Input;

mod json;
mod value;
mod xml;
mod yaml;

use json::json_render;
use value::value_of;
use xml::xml_render;
use yaml::yaml_render;

/// The document in the form the options ask for; `None` when it is to be rendered for people.
pub fn as_asked(input: &Input, document: &Document<'_>) -> Option<String> {
    if input.has("xml") {
        Some(xml_render(document))
    } else if input.has("json") {
        Some(json_render(&value_of(document)))
    } else if input.has("yaml") {
        Some(yaml_render(&value_of(document)))
    } else {
        None
    }
}
