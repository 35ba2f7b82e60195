//! PCI devices of the host, from /sys.

use std::path::Path;

use plerion_protocol::PciFound;

/// Where the kernel tells of its devices.
pub(crate) const DEVICES: &str = "/sys/bus/pci/devices";
/// Lists of names of vendors, devices and classes, where distributions put them.
const NAMES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];
/// Most devices that are told of.
const DEVICES_MAX: usize = 4096;

/// The devices beneath a directory such as [`DEVICES`], by address.
pub(crate) fn pci_devices(directory: &Path) -> Vec<PciFound> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PciFound> = entries
        .filter_map(|entry| device_read(&entry.path(), entry.file_name().to_str()?))
        .collect();
    found.sort_by(|a, b| a.address.cmp(&b.address));
    found.truncate(DEVICES_MAX);
    found
}

/// Gives the devices the names that the host has for them.
pub(crate) fn pci_names(devices: &mut [PciFound]) {
    let list = NAMES.iter().find_map(|path| std::fs::read(path).ok());
    if let Some(list) = list {
        let list = String::from_utf8_lossy(&list);
        for device in devices {
            names_find(device, &list);
        }
    }
}

/// A device that is gone while it is looked at is none.
fn device_read(path: &Path, address: &str) -> Option<PciFound> {
    let hex = |file: &str| {
        let text = std::fs::read_to_string(path.join(file)).ok()?;
        u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
    };
    let node = std::fs::read_to_string(path.join("numa_node")).unwrap_or_default();
    let mut interfaces: Vec<String> = std::fs::read_dir(path.join("net"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    interfaces.sort_unstable();
    Some(PciFound {
        address: address.to_owned(),
        vendor: u16::try_from(hex("vendor")?).ok()?,
        device: u16::try_from(hex("device")?).ok()?,
        // Class, subclass and programming interface: the last is not asked for.
        class: u16::try_from(hex("class")? >> 8).ok()?,
        // -1 where it is at none.
        numa_node: node.trim().parse().ok(),
        interface: interfaces.into_iter().next().unwrap_or_default(),
        ..PciFound::default()
    })
}

/// Looks the names of a device up: a vendor begins a line, its devices follow behind a tab; so do, behind `C`, classes and
/// subclasses.
fn names_find(device: &mut PciFound, list: &str) {
    let (vendor, own) = (format!("{:04x}", device.vendor), format!("{:04x}", device.device));
    let (class, subclass) = (
        format!("C {:02x}", device.class >> 8),
        format!("{:02x}", device.class & 0xff),
    );
    let (mut in_vendor, mut in_class) = (false, false);
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let Some(inner) = line.strip_prefix('\t') else {
            let (of_vendor, of_class) = (line.strip_prefix(&vendor), line.strip_prefix(&class));
            (in_vendor, in_class) = (of_vendor.is_some(), of_class.is_some());
            if let Some(name) = of_vendor {
                name.trim().clone_into(&mut device.vendor_name);
            }
            if let Some(name) = of_class {
                name.trim().clone_into(&mut device.class_name);
            }
            continue;
        };
        if let Some(name) = inner.strip_prefix(&own).filter(|_| in_vendor) {
            name.trim().clone_into(&mut device.device_name);
        }
        if let Some(name) = inner.strip_prefix(&subclass).filter(|_| in_class) {
            name.trim().clone_into(&mut device.class_name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    const LIST: &str = "# a comment\n10de  NVIDIA Corporation\n\t1db6  GV100GL\n\t\t10de 1212  A card\n8086  Intel\n\t1db6  \
                        Another\nC 02  Network controller\n\t00  Ethernet controller\nC 03  Display controller\n\t02  3D \
                        controller\n";

    #[test]
    fn devices_are_read_and_named() {
        let scratch = Scratch::new("pci");
        let write = |address: &str, files: &[(&str, &str)]| {
            for (file, text) in files {
                let path = scratch.path().join(address).join(file);
                std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
                std::fs::write(path, text).expect("written");
            }
        };
        let card = [
            ("vendor", "0x10de\n"),
            ("device", "0x1db6\n"),
            ("class", "0x030200\n"),
            ("numa_node", "1\n"),
        ];
        write("0000:81:00.0", &card);
        let nic = [
            ("vendor", "0x8086"),
            ("device", "0x1572"),
            ("class", "0x020000"),
            ("numa_node", "-1"),
        ];
        write("0000:02:00.0", &nic);
        write("0000:02:00.0", &[("net/ens1/mtu", "1500")]);
        write("0000:03:00.0", &[("vendor", "0x8086")]);
        let mut found = pci_devices(scratch.path());
        for device in &mut found {
            names_find(device, LIST);
        }
        let text = |at: usize| {
            let one = &found[at];
            format!(
                "{} {:04x}:{:04x}:{:04x} {:?} {:?} {:?} {:?} {:?}",
                one.address,
                one.vendor,
                one.device,
                one.class,
                one.numa_node,
                one.interface,
                one.vendor_name,
                one.device_name,
                one.class_name
            )
        };
        assert_eq!(found.len(), 2, "what is half there is left out");
        assert_eq!(
            text(0),
            "0000:02:00.0 8086:1572:0200 None \"ens1\" \"Intel\" \"\" \"Ethernet controller\""
        );
        assert_eq!(
            text(1),
            "0000:81:00.0 10de:1db6:0302 Some(1) \"\" \"NVIDIA Corporation\" \"GV100GL\" \"3D controller\""
        );
    }
}
