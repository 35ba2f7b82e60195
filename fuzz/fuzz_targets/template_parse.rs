//! Any text is answered; what parses is the same after JSON, native text and XML.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plerion_template::{Attribute, Markup, PackedTemplate, PlainXml, Template, Value};

fuzz_target!(|text: &str| {
    let _ = Template::parse_config(text);
    let Ok(template) = Template::parse(text) else { return };

    let json = template.to_json();
    assert_eq!(Template::from_json(&json).as_ref().ok(), Some(&template));
    let packed = PackedTemplate::new(&template);
    assert_eq!(PackedTemplate::from_json(&json).as_ref().ok(), Some(&packed));
    assert_eq!(packed.unpack(), template);

    assert_eq!(Template::parse_or_empty(&template.to_text()).as_ref(), Ok(&template));

    let mut xml = PlainXml::new();
    xml.open("TEMPLATE");
    xml.packed(&packed);
    xml.close("TEMPLATE");
    assert_eq!(Template::parse(&xml.into_string()), Ok(without_empty_vectors(&template)));
});

/// The XML form of an empty vector is that of an empty text.
fn without_empty_vectors(template: &Template) -> Template {
    let attributes = template.iter().map(|Attribute { name, value }| {
        let value = match value {
            Value::Vector(vector) if vector.is_empty() => Value::Single(String::new()),
            other => other.clone(),
        };
        Attribute { name: name.clone(), value }
    });
    attributes.collect()
}
