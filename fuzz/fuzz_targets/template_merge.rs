//! Two templates, merged as the `append` mode of an update does: names of the second are as it has them, others as they were.
//! A line `---` is between the two.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plerion_template::{Attribute, Template, Value};

fuzz_target!(|text: &str| {
    let Some((first, second)) = text.split_once("\n---\n") else { return };
    let (Ok(first), Ok(second)) = (Template::parse_or_empty(first), Template::parse_or_empty(second)) else {
        return;
    };

    let mut merged = first.clone();
    merged.merge(&second);
    for Attribute { name, .. } in merged.iter() {
        let from = if second.contains(name) { &second } else { &first };
        assert_eq!(values(&merged, name), values(from, name), "{name}");
    }
    for Attribute { name, .. } in first.iter().chain(second.iter()) {
        assert!(merged.contains(name), "{name}");
    }

    let mut again = merged.clone();
    again.merge(&second);
    assert_eq!(again, merged);
    again.merge(&Template::default());
    assert_eq!(again, merged);
    assert_eq!(Template::parse_or_empty(&merged.to_text()).as_ref(), Ok(&merged));
});

fn values<'a>(template: &'a Template, name: &str) -> Vec<&'a Value> {
    let named = template.iter().filter(|attribute| attribute.name == name);
    named.map(|attribute| &attribute.value).collect()
}
