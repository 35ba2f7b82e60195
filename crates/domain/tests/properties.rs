//! For any text in any value: well-formed XML with the value intact, or an error; never a panic.

mod support;

use plerion_template::{Template, Value, Vector};
use proptest::prelude::*;
use roxmltree::{Document, Node};
use support::Case;

/// Text with a preference for what has a meaning in XML.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<".to_owned()),
        Just(">".to_owned()),
        Just("&".to_owned()),
        Just("&amp;".to_owned()),
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("]]>".to_owned()),
        Just("-->".to_owned()),
        Just("</domain>".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\t".to_owned()),
        "\\PC{1,8}",
        any::<char>().prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

fn carried(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
    })
}

fn find<'a, 'input>(document: &'a Document<'input>, name: &str) -> Node<'a, 'input> {
    document
        .descendants()
        .find(|node| node.has_tag_name(name))
        .expect("the element")
}

proptest! {
    #[test]
    fn values_arrive_intact(name in text(), passwd in text(), cmdline in text(), path in text(), secret in text()) {
        prop_assume!([&passwd, &cmdline, &path, &secret].iter().all(|value| !value.trim().is_empty()));
        let mut vm = Template::new();
        vm.set("MEMORY", "128");
        let vector = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Vector>();
        vm.add_vector("OS", vector(&[("KERNEL", &path), ("KERNEL_CMD", &cmdline)]));
        vm.add_vector("GRAPHICS", vector(&[("TYPE", "spice"), ("PASSWD", &passwd)]));
        vm.add_vector("DISK", vector(&[("DISK_ID", "0"), ("TARGET", "vda"), ("LUKS_SECRET", &secret)]));
        let case = Case { vm, ..Case::default() };
        let mut input = case.input();
        input.name = &name;
        let made = plerion_domain::domain_xml(&input);
        let values = [&passwd, &cmdline, &path, &secret];
        if passwd.len() <= 59 && values.iter().all(|value| carried(value)) {
            let xml = made.expect("a description");
            let document = Document::parse(&xml).expect("well-formed");
            prop_assert_eq!(find(&document, "cmdline").text(), Some(cmdline.as_str()));
            prop_assert_eq!(find(&document, "kernel").text(), Some(path.as_str()));
            prop_assert_eq!(find(&document, "secret").attribute("uuid"), Some(secret.as_str()));
            prop_assert_eq!(find(&document, "graphics").attribute("passwd"), Some(passwd.as_str()));
            if carried(&name) && !name.contains(['\n', '\r']) && !name.trim().is_empty() {
                prop_assert_eq!(find(&document, "title").text(), Some(name.as_str()));
            }
        } else if let Ok(xml) = made {
            prop_assert!(Document::parse(&xml).is_ok());
        }
    }

    /// Any attribute with any value: the frame of the description stays what it is.
    #[test]
    fn any_template(
        singles in prop::collection::vec((prop::sample::select(SINGLES), text()), 0..4),
        pairs in prop::collection::vec((prop::sample::select(PAIRS), text()), 0..8),
        plain in any::<bool>(),
    ) {
        let mut vm = Template::new();
        vm.set("MEMORY", "128");
        for (name, value) in singles {
            vm.add(name, Value::Single(value));
        }
        for section in ["DISK", "NIC", "OS", "FEATURES", "GRAPHICS", "VIDEO", "INPUT", "TOPOLOGY", "PCI", "IOMMU", "RAW", "CPU_MODEL"] {
            let given = pairs.iter().filter(|((of, _), _)| *of == section);
            let mut vector: Vector = given.map(|((_, key), value)| (*key, value.as_str())).collect();
            if vector.is_empty() {
                continue;
            }
            if plain {
                for (key, value) in [("DISK_ID", "0"), ("NIC_ID", "0"), ("TARGET", "vda"), ("BUS", "1"), ("SLOT", "1"), ("TYPE", "vnc")] {
                    if !(section == "DISK" && key == "TYPE") {
                        vector.set_if_missing(key, value);
                    }
                }
            }
            vm.add_vector(section, vector);
        }
        let case = Case { vm, ..Case::default() };
        if let Ok(xml) = case.xml() {
            let document = Document::parse(&xml).expect("well-formed");
            let root = document.root_element();
            prop_assert!(root.has_tag_name("domain"));
            prop_assert_eq!(root.children().filter(|node| node.has_tag_name("devices")).count(), 1);
            prop_assert_eq!(root.children().filter(|node| node.has_tag_name("name")).count(), 1);
        }
    }

    /// RAW that is accepted leaves the description well-formed, with the rest of it where it was.
    #[test]
    fn any_raw(data in text()) {
        let mut vm = Template::new();
        vm.set("MEMORY", "128");
        let raw = [("TYPE", "kvm"), ("VALIDATE", "no"), ("DATA", data.as_str())];
        vm.add_vector("RAW", raw.into_iter().collect());
        let case = Case { vm, ..Case::default() };
        if let Ok(xml) = case.xml() {
            let document = Document::parse(&xml).expect("well-formed");
            prop_assert_eq!(find(&document, "devices").parent(), Some(document.root_element()));
        }
    }
}

const SINGLES: &[&str] = &[
    "CPU",
    "VCPU",
    "EMULATOR",
    "HYPERV_OPTIONS",
    "SPICE_OPTIONS",
    "MEMORY_MAX",
];

const PAIRS: &[(&str, &str)] = &[
    ("DISK", "TARGET"),
    ("DISK", "TYPE"),
    ("DISK", "DRIVER"),
    ("DISK", "CACHE"),
    ("DISK", "SOURCE"),
    ("DISK", "SERIAL"),
    ("DISK", "LUKS_SECRET"),
    ("NIC", "BRIDGE"),
    ("NIC", "MAC"),
    ("NIC", "MODEL"),
    ("NIC", "TARGET"),
    ("NIC", "SCRIPT"),
    ("OS", "MACHINE"),
    ("OS", "ARCH"),
    ("OS", "KERNEL"),
    ("OS", "BOOTLOADER"),
    ("FEATURES", "GIC"),
    ("GRAPHICS", "KEYMAP"),
    ("GRAPHICS", "LISTEN"),
    ("GRAPHICS", "PASSWD"),
    ("VIDEO", "TYPE"),
    ("INPUT", "BUS"),
    ("TOPOLOGY", "MEMORY_ACCESS"),
    ("PCI", "UUID"),
    ("IOMMU", "MODEL"),
    ("IOMMU", "OPTIONS"),
    ("RAW", "DATA"),
    ("CPU_MODEL", "MODEL"),
    ("CPU_MODEL", "FEATURES"),
];
