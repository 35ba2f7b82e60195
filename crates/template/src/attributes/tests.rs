//! Tests of the attribute tree.

use super::*;

fn template(attributes: &[(&str, &str)]) -> Template {
    attributes
        .iter()
        .map(|(name, value)| Attribute {
            name: (*name).to_owned(),
            value: Value::Single((*value).to_owned()),
        })
        .collect()
}

#[test]
fn names_are_upper_case_and_element_names_however_they_come_in() {
    let mut template = Template::new();
    template.add("cpu", Value::Single("1".to_owned()));
    template.set("1st", "2");
    template.set_if_missing("a-b c", "3");
    template.set_vector("", Vector::from_iter([("k>", "4"), ("é", "5")]));
    assert_eq!(
        template.to_json(),
        r#"[["A_B_C","3"],["CPU","1"],["_",[["K_","4"],["__","5"]]],["_1ST","2"]]"#
    );
    assert!(!template.set_if_missing("A-B C", "x"));
    assert_eq!(Template::from_iter(template.iter().cloned()), template);
}

#[test]
fn repeated_names_keep_their_order() {
    let mut repeated = template(&[("B", "1"), ("A", "0"), ("B", "2")]);
    repeated.add("b", Value::Single("3".to_owned()));
    let values: Vec<_> = repeated.all("B").collect();
    assert_eq!(
        values,
        ["1", "2", "3"]
            .map(|text| Value::Single(text.to_owned()))
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(repeated.get("B"), Some("1"));
    repeated.set("B", "4");
    assert_eq!(repeated, template(&[("A", "0"), ("B", "4")]));
    assert_eq!(repeated.remove("B"), [Value::Single("4".to_owned())]);
    assert_eq!(repeated.remove("B"), []);
}

#[test]
fn merge_replaces_all_attributes_of_a_name() {
    let mut merged = template(&[("A", "1"), ("B", "1"), ("B", "2"), ("C", "1")]);
    merged.merge(&template(&[("B", "3"), ("D", "1"), ("D", "2")]));
    assert_eq!(
        merged,
        template(&[("A", "1"), ("B", "3"), ("C", "1"), ("D", "1"), ("D", "2")])
    );
    merged.merge(&Template::new());
    assert_eq!(merged.len(), 5);
}

#[test]
fn vectors_are_sorted_and_their_first_value_of_a_key_wins() {
    let mut vector = Vector::from_iter([("b", "1"), ("A", "2"), ("B", "3")]);
    assert_eq!(vector.iter().collect::<Vec<_>>(), [("A", "2"), ("B", "1")]);
    assert!(!vector.set_if_missing("a", "x"));
    vector.set("a", "4");
    vector.set("AA", "5");
    assert_eq!(
        vector.iter().collect::<Vec<_>>(),
        [("A", "4"), ("AA", "5"), ("B", "1")]
    );
    assert_eq!(vector.remove("A"), Some("4".to_owned()));
    assert_eq!(
        (vector.get("A"), vector.get("B"), vector.len()),
        (None, Some("1"), 2)
    );
}

#[test]
fn singles_and_vectors_of_one_name_are_told_apart() {
    let mut both = template(&[("A", "1")]);
    both.add_vector("A", Vector::from_iter([("K", "v")]));
    assert_eq!(
        (both.get("A"), both.pair("A", "K"), both.pair("A", "L")),
        (Some("1"), Some("v"), None)
    );
    for vector in both.vectors_mut("A") {
        vector.set("L", "w");
    }
    assert_eq!(both.pair("A", "L"), Some("w"));
    assert_eq!(both.vectors("A").count(), 1);
    both.retain(|attribute| matches!(attribute.value, Value::Vector(_)));
    assert_eq!((both.len(), both.get("A"), both.contains("A")), (1, None, true));
}

#[test]
fn readings_of_a_value() {
    let values = template(&[
        ("I", " 12 "),
        ("F", "0.5"),
        ("N", "nan"),
        ("Y", "yes"),
        ("T", "TRUE"),
        ("X", "on"),
    ]);
    assert_eq!(
        (values.get_i64("I"), values.get_i64("F"), values.get_i64("Z")),
        (Some(12), None, None)
    );
    assert_eq!(
        (values.get_f64("F"), values.get_f64("N"), values.get_f64("I")),
        (Some(0.5), None, Some(12.0))
    );
    assert_eq!(
        ["Y", "T", "X", "Z"].map(|name| values.get_bool(name)),
        [Some(true), Some(true), Some(false), None]
    );
}
