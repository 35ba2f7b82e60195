//! `pci.conf` of 7.4: which PCI devices VMs may get of hosts that do not say so themselves.

use plerion_template::{PackedTemplate, Template};
use saphyr::{LoadableYamlNode, Scalar, Yaml};

/// Its keys, and the attributes of a host that mean the same.
const KEYS: [(&str, &str); 3] = [
    ("filter", "PCI_FILTER"),
    ("short_address", "PCI_SHORT_ADDRESS"),
    ("device_name", "PCI_DEVICE_NAME"),
];

/// Reads it as the attributes of a host that mean the same.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn pci_conf_read(text: &str) -> Result<PackedTemplate, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
    let mut template = Template::new();
    let pairs = match documents.first() {
        None | Some(Yaml::Value(Scalar::Null)) => return Ok(PackedTemplate::new(&template)),
        Some(Yaml::Mapping(pairs)) => pairs,
        Some(_) => return Err("it has no lines \":key: value\"".to_owned()),
    };
    for (key, value) in pairs {
        let key = text_of(key).unwrap_or_default();
        let known = KEYS
            .iter()
            .find(|(name, _)| key.strip_prefix(':').unwrap_or(&key) == *name);
        // 7.4 has further keys, which are about vGPUs.
        let Some((name, attribute)) = known else { continue };
        template.set(
            attribute,
            parts(value).ok_or_else(|| format!("{name} is neither text nor a list of texts"))?,
        );
    }
    Ok(PackedTemplate::new(&template))
}

/// One text, or texts between commas.
fn parts(value: &Yaml<'_>) -> Option<String> {
    match value {
        Yaml::Sequence(values) => {
            let texts: Option<Vec<String>> = values.iter().map(text_of).collect();
            Some(texts?.join(","))
        }
        value => text_of(value),
    }
}

fn text_of(node: &Yaml<'_>) -> Option<String> {
    match node {
        Yaml::Value(Scalar::String(text)) => Some(text.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        Yaml::Value(Scalar::Null) => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_7_4_are_read() {
        let text = "# comment\n:filter: '10de:*, 8086::0c03'\n:short_address:\n  - '81:00.0'\n  - '0000:82:00.0'\n\
                    :device_name:\n  - 'Tesla'\n:nvidia_vendors:\n  - '10de'\n";
        let conf = pci_conf_read(text).expect("read");
        assert_eq!(conf.get("PCI_FILTER"), Some("10de:*, 8086::0c03"));
        assert_eq!(conf.get("PCI_SHORT_ADDRESS"), Some("81:00.0,0000:82:00.0"));
        assert_eq!(conf.get("PCI_DEVICE_NAME"), Some("Tesla"));
        let stock = pci_conf_read(":filter: '0:0'\n:short_address: []\n:device_name: []\n").expect("read");
        assert_eq!(
            (stock.get("PCI_FILTER"), stock.get("PCI_DEVICE_NAME")),
            (Some("0:0"), Some(""))
        );
        assert!(pci_conf_read("").expect("nothing").is_empty());
        for wrong in [":filter: {a: b}", "- a", ":filter: ["] {
            assert!(pci_conf_read(wrong).is_err(), "{wrong}");
        }
    }
}
