//! Tests of the stored form.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::strategies::{any_value, template};
use crate::{PackedTemplate, Template, Vector};

#[test]
#[rustfmt::skip] // one case a line
fn the_stored_form() {
    let mut template = Template::new();
    template.set("CPU", "1");
    template.set("TEXT", "\"\\\n\u{1}é");
    template.add_vector("DISK", Vector::from_iter([("SIZE", "10"), ("IMAGE_ID", "0")]));
    template.add_vector("DISK", Vector::new());
    let json = template.to_json();
    expect![[r#"[["CPU","1"],["DISK",[["IMAGE_ID","0"],["SIZE","10"]]],["DISK",[]],["TEXT","\"\\\n\u0001é"]]"#]]
    .assert_eq(&json);
    assert_eq!(PackedTemplate::new(&template).to_json(), json);
    assert_eq!(Template::new().to_json(), "[]");
    assert_eq!(PackedTemplate::default().to_json(), "[]");
}

#[test]
fn disorder_is_put_right() {
    let json = r#"[["b","1"],["A",[["y","1"],["X","2"],["Y","3"]]],["B","2"]]"#;
    let ordered = r#"[["A",[["X","2"],["Y","1"]]],["B","1"],["B","2"]]"#;
    assert_eq!(Template::from_json(json).expect("reads").to_json(), ordered);
    assert_eq!(PackedTemplate::from_json(json).expect("reads").to_json(), ordered);
}

#[test]
#[rustfmt::skip] // one case a line
fn other_shapes_are_refused() {
    let check = |json: &str, expected: Expect| {
        let error = PackedTemplate::from_json(json).expect_err(json);
        expected.assert_eq(&error.to_string());
        assert!(Template::from_json(json).is_err(), "{json}");
    };
    check("", expect!["the stored template cannot be read: EOF while parsing a value at line 1 column 0"]);
    check("{}", expect!["the stored template cannot be read: invalid type: map, expected a list of attributes at line 1 column 0"]);
    check("\"x\"", expect![[r#"the stored template cannot be read: invalid type: string "x", expected a list of attributes at line 1 column 3"#]]);
    check("[1]", expect!["the stored template cannot be read: invalid type: integer `1`, expected a list of a name and a value at line 1 column 2"]);
    check("[\"A\"]", expect![[r#"the stored template cannot be read: invalid type: string "A", expected a list of a name and a value at line 1 column 4"#]]);
    check("[[]]", expect!["the stored template cannot be read: invalid length 0, expected a name and a value at line 1 column 3"]);
    check("[[\"A\"]]", expect!["the stored template cannot be read: invalid length 1, expected a name and a value at line 1 column 6"]);
    check("[[\"A\",1]]", expect!["the stored template cannot be read: invalid type: integer `1`, expected a text or a list of pairs at line 1 column 7"]);
    check("[[\"A\",\"1\",\"2\"]]", expect!["the stored template cannot be read: invalid length 3, expected a name and a value at line 1 column 14"]);
    check("[[[],\"1\"]]", expect!["the stored template cannot be read: invalid type: sequence, expected a name at line 1 column 4"]);
    check("[[\"A-B\",\"1\"]]", expect![[r#"the stored template cannot be read: "A-B" is not a name of an attribute at line 1 column 7"#]]);
    check("[[\"1\",\"1\"]]", expect![[r#"the stored template cannot be read: "1" is not a name of an attribute at line 1 column 5"#]]);
    check("[[\"\",\"1\"]]", expect![[r#"the stored template cannot be read: "" is not a name of an attribute at line 1 column 4"#]]);
    check("[[\"A\",[[\"B\"]]]]", expect!["the stored template cannot be read: invalid length 1, expected a name and a value at line 1 column 12"]);
    check("[[\"A\",[\"B\"]]]", expect![[r#"the stored template cannot be read: invalid type: string "B", expected a list of a name and a value at line 1 column 10"#]]);
    check("[[\"A\",[[\"B\",[]]]]]", expect!["the stored template cannot be read: invalid type: sequence, expected a text at line 1 column 14"]);
    check("[[\"A\",[[\"B C\",\"\"]]]]", expect![[r#"the stored template cannot be read: "B C" is not a name of an attribute at line 1 column 13"#]]);
    check("[[\"A\",\"1\"]", expect!["the stored template cannot be read: EOF while parsing a list at line 1 column 10"]);
    check("[[\"A\",\"1\"]]]", expect!["the stored template cannot be read: trailing characters at line 1 column 12"]);
    check(&"[".repeat(100_000), expect!["the stored template cannot be read: invalid type: sequence, expected a name at line 1 column 3"]);
}

proptest! {
    #[test]
    fn nothing_is_lost(template in template(any_value)) {
        let json = template.to_json();
        prop_assert_eq!(Template::from_json(&json).expect("reads"), template.clone());
        let packed = PackedTemplate::from_json(&json).expect("reads");
        prop_assert_eq!(&packed, &PackedTemplate::new(&template));
        prop_assert_eq!(packed.to_json(), json);
        prop_assert_eq!(packed.unpack(), template);
    }

    #[test]
    fn any_text_is_answered(text in r#"[\[\]",AB1]{0,16}"#) {
        let tree = Template::from_json(&text).ok();
        let packed = PackedTemplate::from_json(&text).ok();
        prop_assert_eq!(packed, tree.as_ref().map(PackedTemplate::new));
    }
}
