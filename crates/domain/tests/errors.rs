//! What is refused, and how it is said.

mod support;

use plerion_domain::DomainError;
use support::Case;

fn refused(lines: &str) -> DomainError {
    match Case::vm(lines).xml() {
        Ok(xml) => panic!("{lines} was accepted:\n{xml}"),
        Err(error) => error,
    }
}

fn check(lines: &str, words: &[&str]) {
    let error = refused(&format!("MEMORY=512\n{lines}")).to_string();
    for word in words {
        assert!(error.contains(word), "{word} in: {error}");
    }
}

#[test]
fn missing_and_wrong_values() {
    assert_eq!(
        refused("CPU=1").to_string(),
        "MEMORY is missing: a guest needs memory, in MiB; add for example MEMORY=\"1024\" to the VM's template"
    );
    assert!(matches!(
        refused("MEMORY=-1"),
        DomainError::OutOfRange { min: 1, .. }
    ));
    assert!(matches!(
        refused("MEMORY=99999999999999999999"),
        DomainError::OutOfRange { .. }
    ));
    check("DISK: DISK_ID=3", &["DISK[DISK_ID=3]/TARGET is missing", "vda"]);
    check("DISK: TARGET=vda", &["DISK/DISK_ID is missing"]);
    check(
        "DISK: DISK_ID=0 | TARGET=xvda",
        &["DISK[DISK_ID=0]/TARGET=\"xvda\"", "hd, sd or vd"],
    );
    check(
        "DISK: DISK_ID=0 | TARGET=vda\nDISK: DISK_ID=1 | TARGET=vda",
        &["DISK[DISK_ID=1]", "same target"],
    );
    check("DISK: DISK_ID=0 | TARGET=vda | TYPE=FLOPPY", &["TYPE=\"FLOPPY"]);
    check(
        "DISK: DISK_ID=0 | TARGET=vda | IO=native | CACHE=writeback",
        &["IO=\"native\"", "writeback"],
    );
    check(
        "DISK: DISK_ID=0 | TARGET=vda | READONLY=perhaps",
        &["READONLY=\"perhaps\"", "YES or NO"],
    );
    check(
        "DISK: DISK_ID=0 | TARGET=vda | TOTAL_IOPS_SEC=many",
        &["TOTAL_IOPS_SEC=\"many\""],
    );
    check(
        "DISK: DISK_ID=0 | TARGET=vda | TYPE=ISCSI | SOURCE=iqn.x:y",
        &["ISCSI_HOST is missing"],
    );
    check(
        "NIC: NIC_ID=2 | BRIDGE=b | BRIDGE_TYPE=vcenter_port_groups",
        &["NIC[NIC_ID=2]/BRIDGE_TYPE"],
    );
    check(
        "NIC: NIC_ID=2 | BRIDGE=b | TARGET=a-name-that-is-too-long",
        &["TARGET", "15"],
    );
    check("NIC: BRIDGE=b", &["NIC_ID is missing"]);
    check("GRAPHICS: TYPE=rdp", &["GRAPHICS/TYPE=\"rdp\""]);
    check(
        "GRAPHICS: TYPE=vnc | PORT=70000",
        &["GRAPHICS/PORT=\"70000\"", "65535"],
    );
    check(
        "GRAPHICS: TYPE=vnc | RANDOM_PASSWD=YES",
        &["RANDOM_PASSWD", "PASSWD"],
    );
    check("VIDEO: TYPE=vga | RESOLUTION=big", &["RESOLUTION=\"big\""]);
    check("OS: FIRMWARE=/tmp/evil.fd", &["OS/FIRMWARE", "OVMF_UEFIS"]);
    check(
        "OS: BOOT=hd\nDISK: DISK_ID=0 | TARGET=vda",
        &["OS/BOOT=\"hd\"", "disk0,nic0"],
    );
    check("VCPU=4\nVCPU_MAX=2", &["VCPU_MAX=\"2\"", "below VCPU=4"]);
    check("VCPU=4\nTOPOLOGY: SOCKETS=3", &["TOPOLOGY", "4 virtual CPUs"]);
    check("VCPU=4\nTOPOLOGY: SOCKETS=1 | CORES=2 | THREADS=1", &["TOPOLOGY"]);
    check("CPU=NaN", &["CPU=\"NaN\""]);
    check("CPU=0", &["CPU=\"0\""]);
    check("MEMORY_ENCRYPTION: TYPE=SEV-SNP", &["SEV-SNP"]);
    check(
        "PCI: PCI_ID=0 | BUS=zz | SLOT=1",
        &["PCI[PCI_ID=0]/BUS=\"zz\"", "hexadecimal"],
    );
    check("PCI: PCI_ID=0", &["PCI[PCI_ID=0]/BUS is missing"]);
    check("TPM: MODEL=tpm-1", &["TPM/MODEL"]);
    check(
        "NUMA_NODE: TOTAL_CPUS=2 | MEMORY=1024",
        &["TOTAL_CPUS", "more CPUs"],
    );
    let pc = "OS: MACHINE=pc\n";
    let five: String = (0..5)
        .map(|n| format!("DISK: DISK_ID={n} | TARGET=hd{}\n", (b'a' + n) as char))
        .collect();
    check(
        &format!("{pc}{five}"),
        &["DISK[DISK_ID=4]/TARGET", "IDE has room for 4"],
    );
}

#[test]
fn long_values_are_cut_in_messages() {
    let error = refused(&format!("MEMORY={}", "9".repeat(5000))).to_string();
    assert!(error.len() < 300, "{error}");
}

#[test]
fn raw_stays_inside_the_domain() {
    for data in [
        "<a>",
        "</domain><domain>",
        "</domain><!--",
        "<!--",
        "<![CDATA[",
        "<cpu a='1' a='2'/>",
        "<cpu>&nbsp;</cpu>",
        "<!DOCTYPE x [<!ENTITY e 'x'>]>",
        "<?xml version='1.0'?><cpu/>",
        "<x:y/>",
        "<cpu>a & b</cpu>",
        "<cpu>\u{1}</cpu>",
        "<cpu>]]></cpu>",
        "<cpu",
    ] {
        for validate in ["YES", "NO"] {
            check(
                &format!("RAW: TYPE=kvm | DATA={data} | VALIDATE={validate}"),
                &["RAW/DATA cannot be used"],
            );
        }
    }
}

#[test]
fn raw_is_validated_unless_told_not_to() {
    for data in [
        "<devcies/>",
        "<devices><dsik/></devices>",
        "text",
        "<qemu:comandline/>",
    ] {
        check(&format!("RAW: TYPE=kvm | DATA={data}"), &["RAW/DATA"]);
        let xml = Case::vm(&format!("MEMORY=1\nRAW: TYPE=kvm | DATA={data} | VALIDATE=no")).xml();
        assert!(xml.is_ok_and(|xml| xml.contains(data)));
    }
}

#[test]
fn raw_has_bounds() {
    // "/>" in a value, so that counting brackets would not find the depth
    let nested = |depth: usize| format!("{}{}", "<cpu a='/>'>".repeat(depth), "</cpu>".repeat(depth));
    let raw = |data: &str| {
        Case::vm(&format!("MEMORY=1\nRAW: DATA={data}"))
            .xml()
            .map_err(|e| e.to_string())
    };
    assert!(raw(&nested(100)).is_ok());
    assert!(raw(&nested(40_000)).is_err_and(|error| error.contains("nested deeper")));
    assert!(raw(&"<cpu/>".repeat(150_000)).is_err_and(|error| error.contains("RAW/DATA")));
    assert!(raw(&"<cpu/>".repeat(200_000)).is_err_and(|error| error.contains("longer than")));
}

#[test]
fn fragments_of_users_are_confined() {
    let spice = "GRAPHICS: TYPE=spice\nSPICE_OPTIONS=";
    for options in [
        "<disk type='file'><source file='/etc/shadow'/><target dev='vdz'/></disk>",
        "<channel type='unix'><source mode='bind' path='/run/x'/></channel>",
        "<channel type='spicevmc'><source path='/run/x'/></channel>",
        "<sound model='ich6' codec='x'/>",
        "</devices><devices>",
    ] {
        check(&format!("{spice}{options}"), &["SPICE_OPTIONS cannot be used"]);
    }
    let driver = format!(
        "SPICE_OPTIONS={}",
        "<smartcard mode='passthrough' type='spicevmc'/>"
    );
    let xml = Case::vm("MEMORY=1\nGRAPHICS: TYPE=spice")
        .driver(&driver)
        .valid("spice-admin");
    assert!(xml.contains("<smartcard"));
    check(
        "FEATURES: HYPERV=yes\nHYPERV_TIMERS=<disk/>",
        &["HYPERV_TIMERS", "<disk>"],
    );
    check(
        "FEATURES: HYPERV=yes\nHYPERV_OPTIONS=</hyperv><hyperv>",
        &["HYPERV_OPTIONS"],
    );
}
