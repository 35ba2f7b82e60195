//! Whole descriptions, as they are expected and as libvirt's schema accepts them: machine, processors, memory.

mod support;

use expect_test::expect;
use plerion_domain::{HostFacts, Metadata};
use support::Case;

#[test]
fn the_least_that_works() {
    let xml = Case::vm("MEMORY=512").valid("least");
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <devices>
            <controller type='pci' index='1' model='pcie-root-port'/>
            <controller type='pci' index='2' model='pcie-root-port'/>
            <controller type='pci' index='3' model='pcie-root-port'/>
            <controller type='pci' index='4' model='pcie-root-port'/>
            <controller type='pci' index='5' model='pcie-root-port'/>
            <controller type='pci' index='6' model='pcie-root-port'/>
            <controller type='pci' index='7' model='pcie-root-port'/>
            <controller type='pci' index='8' model='pcie-root-port'/>
            <controller type='pci' index='9' model='pcie-root-port'/>
            <controller type='pci' index='10' model='pcie-root-port'/>
            <controller type='pci' index='11' model='pcie-root-port'/>
            <controller type='pci' index='12' model='pcie-root-port'/>
            <controller type='pci' index='13' model='pcie-root-port'/>
            <controller type='pci' index='14' model='pcie-root-port'/>
            <controller type='pci' index='15' model='pcie-root-port'/>
            <controller type='pci' index='16' model='pcie-root-port'/>
            <controller type='pci' index='17' model='pcie-to-pci-bridge'/>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&xml);
}

const TUNING: &str = "
    FEATURES: PAE=no | ACPI=yes | APIC=no | HYPERV=no | GUEST_AGENT=yes | VIRTIO_SCSI_QUEUES=0
    DISK: driver=raw | cache=none | io=native | discard=unmap
    NIC: model=virtio";

/// The tuning that guides recommend, given as defaults in `vmm_exec_kvm.conf`.
#[test]
fn tuning_in_the_file() {
    let vm = "
        CPU=1
        VCPU=2
        MEMORY=2048
        DISK: DISK_ID=0 | TARGET=vda
        DISK: DISK_ID=1 | TARGET=vdb | DRIVER=qcow2
        NIC: NIC_ID=0 | BRIDGE=br0 | MAC=02:00:c0:a8:00:01
        CONTEXT: DISK_ID=2 | TARGET=sda";
    let mut case = Case::vm(vm).driver(TUNING);
    case.facts = HostFacts {
        architecture: Some("x86_64"),
        cgroups_version: Some(2),
    };
    let xml = case.valid("tuning-file");
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>2097152</memory>
          <vcpu>2</vcpu>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.0'/>
              <target dev='vda' bus='virtio'/>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.1'/>
              <target dev='vdb' bus='virtio'/>
            </disk>
            <disk type='file' device='cdrom'>
              <driver name='qemu' type='raw' cache='none'/>
              <source file='/var/lib/one/datastores/0/42/disk.2'/>
              <target dev='sda' bus='sata'/>
              <readonly/>
              <address type='drive' controller='0' bus='0' target='0' unit='0'/>
            </disk>
            <controller type='pci' index='1' model='pcie-root-port'/>
            <controller type='pci' index='2' model='pcie-root-port'/>
            <controller type='pci' index='3' model='pcie-root-port'/>
            <controller type='pci' index='4' model='pcie-root-port'/>
            <controller type='pci' index='5' model='pcie-root-port'/>
            <controller type='pci' index='6' model='pcie-root-port'/>
            <controller type='pci' index='7' model='pcie-root-port'/>
            <controller type='pci' index='8' model='pcie-root-port'/>
            <controller type='pci' index='9' model='pcie-root-port'/>
            <controller type='pci' index='10' model='pcie-root-port'/>
            <controller type='pci' index='11' model='pcie-root-port'/>
            <controller type='pci' index='12' model='pcie-root-port'/>
            <controller type='pci' index='13' model='pcie-root-port'/>
            <controller type='pci' index='14' model='pcie-root-port'/>
            <controller type='pci' index='15' model='pcie-root-port'/>
            <controller type='pci' index='16' model='pcie-root-port'/>
            <controller type='pci' index='17' model='pcie-to-pci-bridge'/>
            <controller type='scsi' index='0' model='virtio-scsi'/>
            <interface type='bridge'>
              <source bridge='br0'/>
              <mac address='02:00:c0:a8:00:01'/>
              <target dev='one-42-0'/>
              <model type='virtio'/>
              <driver queues='2'/>
            </interface>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&xml);
}

/// The same tuning in the VM's template gives the same description.
#[test]
fn tuning_in_the_vm() {
    let machine = "CPU=1\nVCPU=2\nMEMORY=2048";
    let vm = "
        FEATURES: PAE=no | ACPI=yes | APIC=no | HYPERV=no | GUEST_AGENT=yes | VIRTIO_SCSI_QUEUES=0
        DISK: DISK_ID=0 | TARGET=vda | driver=raw | cache=none | io=native | discard=unmap
        NIC: NIC_ID=0 | BRIDGE=br0 | MAC=02:00:c0:a8:00:01 | model=virtio";
    let plain = "
        DISK: DISK_ID=0 | TARGET=vda
        NIC: NIC_ID=0 | BRIDGE=br0 | MAC=02:00:c0:a8:00:01";
    let in_vm = Case::vm(&format!("{machine}{vm}")).valid("tuning-vm");
    let in_file = Case::vm(&format!("{machine}{plain}"))
        .driver(TUNING)
        .valid("tuning-file-2");
    assert_eq!(in_vm, in_file);
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>2097152</memory>
          <vcpu>2</vcpu>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.0'/>
              <target dev='vda' bus='virtio'/>
            </disk>
            <controller type='pci' index='1' model='pcie-root-port'/>
            <controller type='pci' index='2' model='pcie-root-port'/>
            <controller type='pci' index='3' model='pcie-root-port'/>
            <controller type='pci' index='4' model='pcie-root-port'/>
            <controller type='pci' index='5' model='pcie-root-port'/>
            <controller type='pci' index='6' model='pcie-root-port'/>
            <controller type='pci' index='7' model='pcie-root-port'/>
            <controller type='pci' index='8' model='pcie-root-port'/>
            <controller type='pci' index='9' model='pcie-root-port'/>
            <controller type='pci' index='10' model='pcie-root-port'/>
            <controller type='pci' index='11' model='pcie-root-port'/>
            <controller type='pci' index='12' model='pcie-root-port'/>
            <controller type='pci' index='13' model='pcie-root-port'/>
            <controller type='pci' index='14' model='pcie-root-port'/>
            <controller type='pci' index='15' model='pcie-root-port'/>
            <controller type='pci' index='16' model='pcie-root-port'/>
            <controller type='pci' index='17' model='pcie-to-pci-bridge'/>
            <controller type='scsi' index='0' model='virtio-scsi'/>
            <interface type='bridge'>
              <source bridge='br0'/>
              <mac address='02:00:c0:a8:00:01'/>
              <target dev='one-42-0'/>
              <model type='virtio'/>
              <driver queues='2'/>
            </interface>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&in_vm);
}

#[test]
fn metadata_and_title() {
    let mut case = Case::vm("MEMORY=512\nPCI: VENDOR=10de | DEVICE=1db6 | CLASS=0302 | BUS=3b | SLOT=00");
    case.metadata = Some(Metadata {
        system_datastore: "/var/lib/one/datastores/0/42",
        uname: "alice & bob",
        uid: 3,
        gname: "users",
        gid: 1,
        version: "7.4.0",
        stime: 1_700_000_000,
        deployment_time: 1_700_000_060,
    });
    let mut input = case.input();
    input.name = "<web>\nfarm\u{1}";
    let xml = plerion_domain::domain_xml(&input).expect("a description");
    support::schema_check("metadata", &xml);
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>&lt;web&gt; farm�</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <devices>
            <controller type='pci' index='1' model='pcie-root-port'/>
            <controller type='pci' index='2' model='pcie-root-port'/>
            <controller type='pci' index='3' model='pcie-root-port'/>
            <controller type='pci' index='4' model='pcie-root-port'/>
            <controller type='pci' index='5' model='pcie-root-port'/>
            <controller type='pci' index='6' model='pcie-root-port'/>
            <controller type='pci' index='7' model='pcie-root-port'/>
            <controller type='pci' index='8' model='pcie-root-port'/>
            <controller type='pci' index='9' model='pcie-root-port'/>
            <controller type='pci' index='10' model='pcie-root-port'/>
            <controller type='pci' index='11' model='pcie-root-port'/>
            <controller type='pci' index='12' model='pcie-root-port'/>
            <controller type='pci' index='13' model='pcie-root-port'/>
            <controller type='pci' index='14' model='pcie-root-port'/>
            <controller type='pci' index='15' model='pcie-root-port'/>
            <controller type='pci' index='16' model='pcie-root-port'/>
            <controller type='pci' index='17' model='pcie-to-pci-bridge'/>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
            <hostdev mode='subsystem' type='pci' managed='yes'>
              <source>
                <address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/>
              </source>
            </hostdev>
          </devices>
          <metadata>
            <one:vm xmlns:one='http://opennebula.org/xmlns/libvirt/1.0'>
              <one:system_datastore>/var/lib/one/datastores/0/42</one:system_datastore>
              <one:name>&lt;web&gt;
        farm�</one:name>
              <one:uname>alice &amp; bob</one:uname>
              <one:uid>3</one:uid>
              <one:gname>users</one:gname>
              <one:gid>1</one:gid>
              <one:opennebula_version>7.4.0</one:opennebula_version>
              <one:stime>1700000000</one:stime>
              <one:deployment_time>1700000060</one:deployment_time>
              <one:pci_devices>10de:1db6:0302</one:pci_devices>
            </one:vm>
          </metadata>
        </domain>
    "#]]
    .assert_eq(&xml);
}

#[test]
fn pc_machine() {
    let vm = "
        MEMORY=512
        OS: MACHINE=pc | ARCH=x86_64 | BOOT=nic0,disk1,disk9
        DISK: DISK_ID=0 | TARGET=hda
        DISK: DISK_ID=1 | TARGET=sda | TYPE=CDROM
        DISK: DISK_ID=2 | TARGET=sdb
        NIC: NIC_ID=0 | BRIDGE=br0 | MODEL=e1000
        CONTEXT: DISK_ID=3 | TARGET=hdb
        FEATURES: PCIHOLE64=1048576 | PAE=yes | APIC=yes | LOCALTIME=yes | GUEST_AGENT=no";
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='pc'>hvm</type>
          </os>
          <features>
            <pae/>
            <acpi/>
            <apic/>
          </features>
          <clock offset='localtime'/>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.0'/>
              <target dev='hda' bus='ide'/>
            </disk>
            <disk type='file' device='cdrom'>
              <driver name='qemu' type='raw' cache='none'/>
              <source file='/var/lib/one/datastores/0/42/disk.1'/>
              <target dev='sda' bus='ide'/>
              <boot order='2'/>
              <readonly/>
              <address type='drive' controller='0' bus='0' target='0' unit='1'/>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.2'/>
              <target dev='sdb' bus='scsi'/>
              <address type='drive' controller='0' bus='0' target='1' unit='0'/>
            </disk>
            <disk type='file' device='cdrom'>
              <driver name='qemu' type='raw' cache='none'/>
              <source file='/var/lib/one/datastores/0/42/disk.3'/>
              <target dev='hdb' bus='ide'/>
              <readonly/>
              <address type='drive' controller='0' bus='1' target='0' unit='0'/>
            </disk>
            <controller type='pci' index='0' model='pci-root'>
              <pcihole64 unit='KiB'>1048576</pcihole64>
            </controller>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <interface type='bridge'>
              <source bridge='br0'/>
              <target dev='one-42-0'/>
              <boot order='1'/>
              <model type='e1000'/>
            </interface>
            <console type='pty'/>
          </devices>
        </domain>
    "#]]
    .assert_eq(&Case::vm(vm).valid("pc"));
}

#[test]
fn arm() {
    let mut case = Case::vm("MEMORY=512\nFEATURES: GIC=3\nDISK: DISK_ID=0 | TARGET=hda");
    case.facts.architecture = Some("aarch64");
    case.host = support::template("Q35_ROOT_PORTS=2");
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='aarch64' machine='virt'>hvm</type>
          </os>
          <features>
            <gic version='3'/>
          </features>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.0'/>
              <target dev='hda' bus='sata'/>
            </disk>
            <controller type='pci' index='1' model='pcie-root-port'/>
            <controller type='pci' index='2' model='pcie-root-port'/>
            <controller type='pci' index='3' model='pcie-to-pci-bridge'/>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&case.valid("arm"));
}

#[test]
fn uefi_chosen_by_libvirt() {
    let vm = "MEMORY=512\nOS: FIRMWARE=UEFI | FIRMWARE_SECURE=yes\nTPM: MODEL=tpm-crb";
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os firmware='efi'>
            <type arch='x86_64' machine='q35'>hvm</type>
            <firmware>
              <feature enabled='yes' name='secure-boot'/>
            </firmware>
          </os>
          <features>
            <acpi/>
            <smm state='on'/>
          </features>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
            <tpm model='tpm-crb'>
              <backend type='emulator' version='2.0'/>
            </tpm>
          </devices>
        </domain>
    "#]]
    .assert_eq(&Case::vm(vm).driver("Q35_ROOT_PORTS=0").valid("uefi"));
}

#[test]
fn uefi_image() {
    let mut case =
        Case::vm("MEMORY=512\nOS: FIRMWARE=/usr/share/OVMF/OVMF_CODE_4M.fd").driver("Q35_ROOT_PORTS=0");
    let mut input = case.input();
    input.name = "../../etc/x";
    let xml = plerion_domain::domain_xml(&input).expect("a description");
    support::schema_check("uefi-image", &xml);
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>../../etc/x</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
            <loader readonly='yes' type='pflash' secure='no'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
            <nvram>/var/lib/one/datastores/0/42/.._.._etc_x_VARS.fd</nvram>
          </os>
          <features>
            <acpi/>
          </features>
          <pm>
            <suspend-to-mem enabled='no'/>
            <suspend-to-disk enabled='no'/>
          </pm>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&xml);
    // `format` of <nvram> is newer than some libvirt schemas: checked without.
    case.vm
        .vectors_mut("OS")
        .for_each(|os| os.set("FIRMWARE_FORMAT", "qcow2"));
    let xml = case.xml().expect("a description");
    assert!(
        xml.contains("<nvram format='qcow2'>/var/lib/one/datastores/0/42/web_VARS.fd</nvram>"),
        "{xml}"
    );
}

#[test]
fn direct_kernel() {
    let vm = "
        MEMORY=512
        OS: KERNEL_DS=$FILE[IMAGE_ID=1] | INITRD=/boot/initrd.img | ROOT=vda1 | KERNEL_CMD=ro console=ttyS0 a='<&>'";
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
            <kernel>/var/lib/one/datastores/0/42/kernel</kernel>
            <initrd>/boot/initrd.img</initrd>
            <cmdline>root=/dev/vda1 ro console=ttyS0 a='&lt;&amp;&gt;'</cmdline>
          </os>
          <features>
            <acpi/>
          </features>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&Case::vm(vm).driver("Q35_ROOT_PORTS=0").valid("kernel"));
}

#[test]
fn cpu_model_and_topology() {
    let vm = "
        MEMORY=512
        CPU=2.5
        VCPU=8
        CPU_MODEL: MODEL=Skylake-Server | FEATURES=vmx, pcid,
        TOPOLOGY: CORES=4";
    let case = Case::vm(vm)
        .driver("Q35_ROOT_PORTS=0")
        .host("CGROUPS_VERSION=1\nEMULATOR_CPUS=0-1,^0");
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <vcpu>8</vcpu>
          <cputune>
            <shares>2560</shares>
            <emulatorpin cpuset='0-1,^0'/>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <cpu mode='custom' match='exact'>
            <model fallback='forbid'>Skylake-Server</model>
            <feature policy='require' name='vmx'/>
            <feature policy='require' name='pcid'/>
            <topology sockets='2' cores='4' threads='1'/>
          </cpu>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='8'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&case.valid("cpu"));
    let evc = Case::vm(vm)
        .cluster("EVC_MODE=Nehalem")
        .xml()
        .expect("a description");
    assert!(evc.contains("<model fallback='forbid'>Nehalem</model>"), "{evc}");
}

#[test]
fn host_processor() {
    let mut case = Case::vm("MEMORY=512").host("CPU_MODEL: MODEL=host-passthrough");
    assert!(
        case.valid("passthrough")
            .contains("<cpu mode='host-passthrough'/>")
    );
    case.emulated = true;
    let xml = case.valid("maximum");
    assert!(
        xml.contains("<cpu mode='maximum'/>") && xml.contains("<domain type='qemu'"),
        "{xml}"
    );
}

#[test]
fn memory_that_grows() {
    let balloon = "MEMORY=512\nMEMORY_MAX=1024\nVCPU=2\nVCPU_MAX=4";
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>1048576</memory>
          <currentMemory unit='KiB'>524288</currentMemory>
          <vcpu current='2'>4</vcpu>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='2'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&Case::vm(balloon).driver("Q35_ROOT_PORTS=0").valid("balloon"));
    let hotplug = format!("{balloon}\nMEMORY_RESIZE_MODE=HOTPLUG\nMEMORY_SLOTS=4");
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <maxMemory unit='KiB' slots='4'>1048576</maxMemory>
          <memory unit='KiB'>524288</memory>
          <vcpu current='2'>4</vcpu>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <cpu>
            <numa>
              <cell id='0' cpus='0-3' memory='524288' unit='KiB'/>
            </numa>
          </cpu>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='2'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&Case::vm(&hotplug).driver("Q35_ROOT_PORTS=0").valid("hotplug"));
}

#[test]
fn numa_with_huge_pages() {
    let vm = "
        MEMORY=4096
        VCPU=4
        TOPOLOGY: PIN_POLICY=CORE | SOCKETS=2 | CORES=2 | THREADS=1 | HUGEPAGE_SIZE=2 | MEMORY_ACCESS=shared
        NUMA_NODE: CPUS=1,9 | TOTAL_CPUS=2 | MEMORY=2097152 | MEMORY_NODE_ID=0 | DISTANCE=1:21
        NUMA_NODE: CPUS=2,10 | TOTAL_CPUS=2 | MEMORY=2097152 | MEMORY_NODE_ID=1 | DISTANCE=0-0:21";
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>4194304</memory>
          <vcpu>4</vcpu>
          <cputune>
            <shares>100</shares>
            <vcpupin vcpu='0' cpuset='1'/>
            <vcpupin vcpu='1' cpuset='9'/>
            <vcpupin vcpu='2' cpuset='2'/>
            <vcpupin vcpu='3' cpuset='10'/>
            <emulatorpin cpuset='1,9,2,10'/>
          </cputune>
          <numatune>
            <memory mode='strict' nodeset='0,1'/>
            <memnode cellid='0' mode='strict' nodeset='0'/>
            <memnode cellid='1' mode='strict' nodeset='1'/>
          </numatune>
          <memoryBacking>
            <hugepages>
              <page size='2048' unit='KiB'/>
            </hugepages>
          </memoryBacking>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
          </features>
          <cpu>
            <topology sockets='2' cores='2' threads='1'/>
            <numa>
              <cell id='0' cpus='0-1' memory='2097152' unit='KiB' memAccess='shared'>
                <distances>
                  <sibling id='0' value='10'/>
                  <sibling id='1' value='21'/>
                </distances>
              </cell>
              <cell id='1' cpus='2-3' memory='2097152' unit='KiB' memAccess='shared'>
                <distances>
                  <sibling id='0' value='21'/>
                  <sibling id='1' value='10'/>
                </distances>
              </cell>
            </numa>
          </cpu>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='4'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]]
    .assert_eq(&Case::vm(vm).driver("Q35_ROOT_PORTS=0").valid("numa"));
}

#[test]
fn shared_pinning() {
    let vm = "
        MEMORY=4096
        VCPU=2
        TOPOLOGY: PIN_POLICY=SHARED
        NUMA_NODE: CPUS=1,9 | TOTAL_CPUS=2 | MEMORY=4194304 | MEMORY_NODE_ID=0";
    let xml = Case::vm(vm).valid("shared-pinning");
    for line in [
        "<vcpupin vcpu='0' cpuset='1,9'/>",
        "<vcpupin vcpu='1' cpuset='1,9'/>",
        "<emulatorpin cpuset='1,9'/>",
    ] {
        assert!(xml.contains(line), "{line} in {xml}");
    }
}

/// A VM that is bound to a node without being pinned runs on any CPU of it, with its memory there.
#[test]
fn node_affinity() {
    let vm = "
        MEMORY=1024
        VCPU=2
        TOPOLOGY: PIN_POLICY=NONE | SOCKETS=1 | CORES=2 | THREADS=1 | NODE_AFFINITY=1 | HUGEPAGE_SIZE=2
        NUMA_NODE: CPUS=2,3,6,7 | NODE_ID=1 | MEMORY_NODE_ID=1 | TOTAL_CPUS=2 | MEMORY=1048576";
    let xml = Case::vm(vm).valid("node-affinity");
    for line in [
        "<vcpupin vcpu='0' cpuset='2,3,6,7'/>",
        "<vcpupin vcpu='1' cpuset='2,3,6,7'/>",
        "<memnode cellid='0' mode='strict' nodeset='1'/>",
        "<page size='2048' unit='KiB'/>",
        "<topology sockets='1' cores='2' threads='1'/>",
        "<cell id='0' cpus='0-1' memory='1048576' unit='KiB'/>",
    ] {
        assert!(xml.contains(line), "{line} in {xml}");
    }
}

#[test]
fn hyperv() {
    let vm = "MEMORY=512\nFEATURES: HYPERV=yes | LOCALTIME=yes | RAS=no";
    expect![[r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>one-42</name>
          <uuid>6ee3cb44-1f6c-4a35-8f4a-000000000042</uuid>
          <title>web</title>
          <memory unit='KiB'>524288</memory>
          <cputune>
            <shares>100</shares>
          </cputune>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
          </os>
          <features>
            <acpi/>
            <hyperv>
              <relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/>
            </hyperv>
          </features>
          <clock offset='localtime'>
            <timer name='hypervclock' present='yes'/><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/>
          </clock>
          <devices>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
          </devices>
        </domain>
    "#]].assert_eq(&Case::vm(vm).driver("Q35_ROOT_PORTS=0").valid("hyperv"));
}

#[test]
fn encrypted_memory() {
    let vm = "MEMORY=512\nMEMORY_ENCRYPTION: TYPE=sev-es\nMEMORY_TUNE_OFFSET=100";
    let xml = Case::vm(vm).xml().expect("a description");
    assert!(xml.contains("<hard_limit unit='MiB'>612</hard_limit>"), "{xml}");
    assert!(xml.contains("<policy>0x00000007</policy>"), "{xml}");
}

/// What a VM says wins over its host, that over the cluster, that over the file, that over the built-in value.
#[test]
fn precedence() {
    let machine = |case: Case| {
        let xml = case.xml().expect("a description");
        let document = roxmltree::Document::parse(&xml).expect("XML");
        let kind = document
            .descendants()
            .find(|node| node.has_tag_name("type"))
            .expect("os/type");
        kind.attribute("machine").expect("a machine").to_owned()
    };
    let os = |machine: &str| format!("OS: MACHINE={machine}");
    let mut vm = "MEMORY=1\nOS: MACHINE= | ARCH=x86_64".to_owned();
    let case = |vm: &str| Case::vm(vm);
    assert_eq!(machine(case(&vm)), "q35");
    assert_eq!(machine(case(&vm).driver(&os("file"))), "file");
    assert_eq!(
        machine(case(&vm).driver(&os("file")).cluster(&os("cluster"))),
        "cluster"
    );
    assert_eq!(
        machine(case(&vm).cluster(&os("cluster")).host(&os("host"))),
        "host"
    );
    vm = format!("MEMORY=1\n{}", os("vm"));
    assert_eq!(machine(case(&vm).host(&os("host"))), "vm");
}

/// Attributes that belong to the host are not taken from a VM.
#[test]
fn host_attributes_are_not_the_vms() {
    let vm = "
        MEMORY=1
        EMULATOR_CPUS=7
        CGROUPS_VERSION=1
        Q35_ROOT_PORTS=3
        OVMF_UEFIS=/tmp/x
        DISK: DISK_ID=0 | TARGET=vda
        DISK: CACHE=unsafe | DISK_ID=1 | TARGET=vdb";
    let xml = Case::vm(vm).valid("host-attributes");
    assert!(
        !xml.contains("emulatorpin") && xml.contains("<shares>100</shares>"),
        "{xml}"
    );
    assert_eq!(xml.matches("pcie-root-port").count(), 16);
    assert_eq!(xml.matches("cache='unsafe'").count(), 1);
    let image = Case::vm("MEMORY=1\nOVMF_UEFIS=/tmp/x\nOS: FIRMWARE=/tmp/x").xml();
    assert!(image.is_err_and(|error| error.to_string().contains("OVMF_UEFIS")));
}
