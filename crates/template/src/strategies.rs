//! Templates for property tests.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::chars::{is_xml_char, trim};
use crate::{Attribute, Template, Value, Vector};

/// Names of the wire format and others.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&["NAME", "DISK", "CONTEXT", "IMAGE_ID"][..]).prop_map(str::to_owned),
        "[A-Z_][A-Z0-9_]{0,6}"
    ]
}

/// Values made of what the forms of a template have rules for, and of anything.
pub(crate) fn any_value() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "\"",
        "\\",
        "\\\"",
        "]]>",
        "]",
        "]]",
        ">",
        "<",
        "&",
        "\n",
        "\r",
        "\t",
        " ",
        "#",
        "=",
        ",",
        "[",
        "$",
        "“",
        "é",
        "日本",
        "\u{ef00}",
        "\u{1}",
        "\u{ffff}",
        "a",
        "B1",
        "&lt;",
        "<![CDATA[",
        "/*",
    ];
    let pieces = vec(select(PIECES), 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => pieces, 1 => any::<String>()]
}

/// Values as a parse gives them.
pub(crate) fn parsed_value() -> impl Strategy<Value = String> {
    any_value().prop_map(|value| {
        let carried: String = value
            .chars()
            .filter(|&character| is_xml_char(character))
            .collect();
        trim(&carried).to_owned()
    })
}

/// Templates with values of a strategy.
pub(crate) fn template<S: Strategy<Value = String> + 'static>(
    value: impl Fn() -> S,
) -> impl Strategy<Value = Template> {
    let vector =
        vec((name(), value()), 0..4).prop_map(|pairs| Value::Vector(pairs.into_iter().collect::<Vector>()));
    let value = prop_oneof![value().prop_map(Value::Single), vector];
    let attribute = (name(), value).prop_map(|(name, value)| Attribute { name, value });
    vec(attribute, 0..6).prop_map(|attributes| attributes.into_iter().collect())
}
