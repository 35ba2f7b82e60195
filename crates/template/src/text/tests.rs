//! Tests of the native text written.

use expect_test::expect;
use proptest::prelude::*;

use crate::strategies::{any_value, parsed_value, template};
use crate::{Template, Vector};

#[test]
fn one_attribute_a_line() {
    let mut template = Template::new();
    template.set("CPU", "1");
    template.set("EMPTY", "");
    template.set("SAYS", r#"a "b" \"#);
    template.set("SECTION", "a]]>b");
    template.add_vector("DISK", Vector::from_iter([("IMAGE_ID", "0"), ("SIZE", "10")]));
    template.add_vector("DISK", Vector::new());
    expect![[r#"
        CPU="1"
        DISK=[ IMAGE_ID="0", SIZE="10" ]
        DISK=[ ]
        EMPTY=""
        SAYS="a \"b\" \ "
        SECTION="
        a]]>b"
    "#]]
    .assert_eq(&template.to_text());
    assert_eq!(Template::parse(&template.to_text()), Ok(template));
}

#[test]
fn what_ends_a_parse_stands_alone_also_where_control_characters_parted_it() {
    let mut template = Template::new();
    template.set("NAME", "]]\u{1}>");
    assert_eq!(template.to_text(), "NAME=\"\n]]>\"\n");
    assert!(Template::parse(&template.to_text()).is_ok());
}

proptest! {
    #[test]
    fn written_again_is_parsed_again(template in template(parsed_value)) {
        prop_assert_eq!(Template::parse_or_empty(&template.to_text()), Ok(template));
    }

    #[test]
    fn the_text_of_any_template_is_read_and_loses_only_what_the_syntax_cannot_carry(template in template(any_value)) {
        let read = Template::parse_or_empty(&template.to_text());
        let shape = |template: &Template| template.iter().map(|a| a.name.clone()).collect::<Vec<_>>();
        prop_assert_eq!(read.as_ref().map(shape), Ok(shape(&template)));
    }

    #[test]
    fn what_parses_is_written_and_parsed_again(text in r#"([A-Z1_]{1,2}|[ =\[\],#"\\\n\r>“-]){0,24}"#) {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(Template::parse(&template.to_text()), Ok(template));
        }
    }

    #[test]
    fn any_text_is_answered(text in any::<String>(), start in prop_oneof![Just(""), Just("<"), Just("A=")]) {
        if let Err(error) = Template::parse(&format!("{start}{text}")) {
            prop_assert!(error.line >= 1 && error.column_first < error.column_last);
        }
    }
}
