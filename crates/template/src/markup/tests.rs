//! Tests of the XML sinks.

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::chars::{is_xml_char, trim};
use crate::strategies::{any_value, parsed_value, template};
use crate::{Attribute, Vector};

fn document(template: &Template) -> String {
    let mut xml = PlainXml::new();
    xml.open("TEMPLATE");
    xml.template(template);
    xml.close("TEMPLATE");
    xml.into_string()
}

/// What an XML-RPC client makes of a string.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#xD;", "\r")
        .replace("&amp;", "&")
}

#[test]
fn what_is_dropped_makes_no_end_of_a_section() {
    for text in ["]]\u{1}>", "]\u{1f}]>", "]]\u{ffff}>"] {
        let mut xml = PlainXml::new();
        xml.cdata_element("C", text);
        assert_eq!(xml.into_string(), "<C><![CDATA[]]]]><![CDATA[>]]></C>");
    }
}

#[test]
fn elements() {
    let mut xml = PlainXml::new();
    xml.element("A", "<&>\r\u{1}\u{fffe}\u{ff01}é");
    xml.number("N", i64::MIN);
    xml.number("Z", 0);
    xml.empty("E");
    xml.cdata_element("C", "<&>\r]]>\u{1b}x\u{ffff}");
    expect!["<A>&lt;&amp;&gt;&#xD;！é</A><N>-9223372036854775808</N><Z>0</Z><E/><C><![CDATA[<&>\r]]]]><![CDATA[>x]]></C>"]
        .assert_eq(&xml.into_string());
}

#[test]
fn escaped_elements() {
    let mut xml = EscapedXml::with_capacity(64);
    xml.element("A", "<&>\r\u{1}");
    xml.empty("E");
    xml.cdata_element("C", "<&>\r]]>\u{1b}x");
    xml.raw(b"&lt;R/&gt;");
    let written = String::from_utf8(xml.take()).expect("UTF-8");
    expect!["&lt;A&gt;&amp;lt;&amp;amp;&amp;gt;&amp;#xD;&lt;/A&gt;&lt;E/&gt;&lt;C&gt;&lt;![CDATA[&lt;&amp;&gt;&#xD;]]]]&gt;&lt;![CDATA[&gt;x]]&gt;&lt;/C&gt;&lt;R/&gt;"]
        .assert_eq(&written);
    assert!(xml.is_empty());
    assert_eq!(xml.len(), 0);
}

/// The template with each text changed.
fn mapped(template: &Template, map: impl Fn(&str) -> String) -> Template {
    let attributes = template.iter().map(|Attribute { name, value }| {
        let value = match value {
            // The XML form of an empty vector is that of an empty text.
            Value::Vector(vector) if vector.is_empty() => Value::Single(String::new()),
            Value::Vector(vector) => Value::Vector(
                vector
                    .iter()
                    .map(|(key, value)| (key, map(value)))
                    .collect::<Vector>(),
            ),
            Value::Single(text) => Value::Single(map(text)),
        };
        Attribute {
            name: name.clone(),
            value,
        }
    });
    attributes.collect()
}

proptest! {
    #[test]
    fn written_as_xml_is_parsed_again(template in template(parsed_value)) {
        let expected = mapped(&template, str::to_owned);
        prop_assert_eq!(Template::parse(&document(&template)), Ok(expected));
    }

    #[test]
    fn xml_is_well_formed_whatever_the_values(template in template(any_value)) {
        let carried = |text: &str| trim(&text.chars().filter(|&c| is_xml_char(c)).collect::<String>()).to_owned();
        prop_assert_eq!(Template::parse(&document(&template)), Ok(mapped(&template, carried)));
    }

    #[test]
    fn all_forms_and_sinks_write_the_same(template in template(any_value)) {
        let mut plain = PlainXml::new();
        plain.packed(&PackedTemplate::new(&template));
        let mut escaped = EscapedXml::default();
        escaped.template(&template);
        let escaped = String::from_utf8(escaped.into_bytes()).expect("UTF-8");
        let plain = plain.into_string();
        prop_assert_eq!(&unescaped(&escaped), &plain);
        prop_assert_eq!(document(&template), format!("<TEMPLATE>{plain}</TEMPLATE>"));
    }

    #[test]
    fn numbers_are_written_in_decimal(number in any::<i64>()) {
        let mut xml = PlainXml::new();
        xml.number("N", number);
        prop_assert_eq!(xml.into_string(), format!("<N>{number}</N>"));
    }
}
