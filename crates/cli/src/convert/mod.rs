//! Answers in other clothes: JSON, YAML and indented XML, in the shapes the old command line printed.

mod json;
mod value;
mod xml;
mod yaml;

pub use json::json_render;
pub use value::{Value, value_of};
pub use xml::xml_render;
pub use yaml::yaml_render;
