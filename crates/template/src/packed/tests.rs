//! Tests of the compact form.

use proptest::prelude::*;

use super::*;
use crate::strategies::{any_value, template};

#[test]
fn values_are_found_without_unpacking() {
    let mut tree = Template::new();
    tree.set("CPU", "1");
    tree.set("NO_WIRE_NAME", "2");
    tree.add_vector("DISK", Vector::from_iter([("SIZE", "10"), ("OWN_KEY", "x")]));
    tree.add_vector("DISK", Vector::from_iter([("SIZE", "20")]));
    let packed = PackedTemplate::new(&tree);
    assert_eq!(
        (packed.get("CPU"), packed.get("NO_WIRE_NAME"), packed.get("DISK")),
        (Some("1"), Some("2"), None)
    );
    assert_eq!(
        (packed.pair("DISK", "OWN_KEY"), packed.pair("DISK", "NONE")),
        (Some("x"), None)
    );
    let sizes: Vec<_> = packed.vectors("DISK").map(|disk| disk.get("SIZE")).collect();
    assert_eq!(sizes, [Some("10"), Some("20")]);
    assert!(packed.same_buffer(&packed.clone()) && !packed.same_buffer(&PackedTemplate::new(&tree)));
    assert!(PackedTemplate::default().is_empty() && !packed.is_empty());
}

#[test]
fn lengths_of_every_width_are_read_again() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let mut tree = Template::new();
        tree.set("TEXT", "x".repeat(length));
        assert_eq!(PackedTemplate::new(&tree).get("TEXT").map(str::len), Some(length));
    }
}

proptest! {
    #[test]
    fn what_is_found_is_what_the_tree_has(template in template(any_value), other in "[A-Z_]{1,12}") {
        let packed = PackedTemplate::from(&template);
        let names = template.iter().map(|attribute| attribute.name.as_str()).chain([other.as_str()]);
        for name in names {
            prop_assert_eq!(packed.get(name), template.get(name));
            let found: Vec<Vector> = packed.vectors(name).map(|vector| vector.to_vector()).collect();
            let expected: Vec<Vector> = template.vectors(name).cloned().collect();
            prop_assert_eq!(&found, &expected);
            for vector in packed.vectors(name) {
                for (key, value) in vector.iter() {
                    prop_assert_eq!(vector.get(key), Some(value));
                }
                prop_assert_eq!(vector.get("NO_SUCH_KEY"), None);
            }
        }
    }

    #[test]
    fn packed_and_unpacked_is_the_same(template in template(any_value)) {
        let packed = PackedTemplate::from(&template);
        prop_assert_eq!(packed.unpack(), template);
    }
}
