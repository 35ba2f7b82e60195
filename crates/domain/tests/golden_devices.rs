//! Whole descriptions and single devices: disks, networks, displays, passed-through devices, RAW.

mod support;

use expect_test::expect;
use plerion_domain::{ContextDisk, disk_xml, nic_xml};
use support::Case;

/// Small goldens: no root ports.
fn small(vm: &str) -> Case {
    Case::vm(&format!("MEMORY=512\n{vm}")).driver("Q35_ROOT_PORTS=0")
}

/// The text, moved to the left edge, between `<devices>` and `</devices>` of a description that the schema accepts.
fn devices(name: &str, case: &Case) -> String {
    let xml = case.valid(name);
    let (_, rest) = xml.split_once("<devices>\n").expect("devices");
    let (devices, _) = rest.split_once("  </devices>").expect("end of devices");
    devices
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect()
}

#[test]
fn disks() {
    let case = small(
        "
        VCPU=4
        FEATURES: IOTHREADS=2 | VIRTIO_BLK_QUEUES=auto
        DISK: DISK_ID=0 | TARGET=vda | DRIVER=QCOW2 | ORDER=1 | SERIAL=WD-1.2+3 b | READ_BYTES_SEC=100 | READ_BYTES_SEC_MAX=50
        DISK: DISK_ID=1 | TARGET=vdb | TYPE=fs | FORMAT=qcow2 | CACHE=writeback | IO=threads | DISCARD=ignore
        DISK: DISK_ID=2 | TARGET=vdc | TYPE=BLOCK | SHAREABLE=YES | IOTHREAD=2 | VIRTIO_BLK_QUEUES=1
        DISK: DISK_ID=3 | TARGET=sda | TYPE=BLOCK | SERIAL=x | READONLY=YES
        DISK: DISK_ID=4 | TARGET=sdaa | TOTAL_IOPS_SEC=10 | TOTAL_IOPS_SEC_MAX=20 | TOTAL_IOPS_SEC_MAX_LENGTH=3
        DISK: DISK_ID=5 | TARGET=hda
        DISK: DISK_ID=6 | TARGET=sdb | TYPE=CDROM | DISK_TYPE=BLOCK | READONLY=YES
        DISK: DISK_ID=7 | TARGET=vdd | LUKS_SECRET=6ee3cb44-1f6c-4a35-8f4a-0000000000aa
        CONTEXT: DISK_ID=8 | TARGET=sdc",
    )
    .host("DISK: IO=native | TOTAL_BYTES_SEC=0 | SIZE_IOPS_SEC=4096 | WRITE_BYTES_SEC=7");
    expect![[r#"
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap' queues='4' iothread='1'/>
              <source file='/var/lib/one/datastores/0/42/disk.0'/>
              <target dev='vda' bus='virtio'/>
              <boot order='1'/>
              <serial>WD-1.2+3 b</serial>
              <iotune>
                <read_bytes_sec>100</read_bytes_sec>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='writeback' io='threads' discard='ignore' queues='4' iothread='2'/>
              <source file='/var/lib/one/datastores/0/42/disk.1'/>
              <target dev='vdb' bus='virtio'/>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
            </disk>
            <disk type='block' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap' queues='1' iothread='2'/>
              <source dev='/var/lib/one/datastores/0/42/disk.2'/>
              <target dev='vdc' bus='virtio'/>
              <shareable/>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
            </disk>
            <disk type='block' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
              <source dev='/var/lib/one/datastores/0/42/disk.3'/>
              <target dev='sda' bus='scsi'/>
              <readonly/>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
              <address type='drive' controller='0' bus='0' target='0' unit='0'/>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.4'/>
              <target dev='sdaa' bus='scsi'/>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
                <total_iops_sec>10</total_iops_sec>
                <total_iops_sec_max>20</total_iops_sec_max>
                <total_iops_sec_max_length>3</total_iops_sec_max_length>
                <size_iops_sec>4096</size_iops_sec>
              </iotune>
              <address type='drive' controller='0' bus='0' target='26' unit='0'/>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
              <source file='/var/lib/one/datastores/0/42/disk.5'/>
              <target dev='hda' bus='sata'/>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
            </disk>
            <disk type='block' device='cdrom'>
              <driver name='qemu' type='raw' cache='none' io='native'/>
              <source dev='/var/lib/one/datastores/0/42/disk.6'/>
              <target dev='sdb' bus='sata'/>
              <readonly/>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
              <address type='drive' controller='1' bus='0' target='0' unit='0'/>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='none' io='native' discard='unmap' queues='4' iothread='2'/>
              <source file='/var/lib/one/datastores/0/42/disk.7'/>
              <target dev='vdd' bus='virtio'/>
              <encryption format='luks'>
                <secret type='passphrase' uuid='6ee3cb44-1f6c-4a35-8f4a-0000000000aa'/>
              </encryption>
              <iotune>
                <write_bytes_sec>7</write_bytes_sec>
              </iotune>
            </disk>
            <disk type='file' device='cdrom'>
              <driver name='qemu' type='raw' cache='none'/>
              <source file='/var/lib/one/datastores/0/42/disk.8'/>
              <target dev='sdc' bus='sata'/>
              <readonly/>
              <address type='drive' controller='2' bus='0' target='0' unit='0'/>
            </disk>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='4' iothread='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
    "#]].assert_eq(&devices("disks", &case));
}

/// `hda`, `vda` and `sda` have the same letter; on SATA and IDE they must not get the same port.
#[test]
fn ports_do_not_clash() {
    let vm = "
        DISK: DISK_ID=0 | TARGET=hda
        DISK: DISK_ID=1 | TARGET=vda | TYPE=CDROM
        DISK: DISK_ID=2 | TARGET=hdb
        CONTEXT: DISK_ID=3 | TARGET=sda";
    for (name, machine) in [("ports-q35", "q35"), ("ports-pc", "pc")] {
        let case = small(&format!("OS: MACHINE={machine}\n{vm}"));
        let xml = case.valid(name);
        let document = roxmltree::Document::parse(&xml).expect("XML");
        let places: Vec<String> = document
            .descendants()
            .filter(|node| node.has_tag_name("disk"))
            .map(|disk| {
                let child = |name: &str| disk.children().find(|node| node.has_tag_name(name));
                let letter = child("target")
                    .and_then(|target| target.attribute("dev"))
                    .expect("dev");
                match child("address") {
                    Some(address) => ["controller", "bus", "unit"]
                        .map(|key| address.attribute(key).expect("a full address"))
                        .join(":"),
                    // what libvirt would choose from the letter
                    None => match (machine, letter.as_bytes()[2] - b'a') {
                        ("q35", index) => format!("{}:0:{}", index / 6, index % 6),
                        (_, index) => format!("0:{}:{}", index / 2, index % 2),
                    },
                }
            })
            .collect();
        let distinct: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(distinct.len(), 4, "{machine}: {places:?}");
    }
}

#[test]
fn network_disks() {
    let case = small(
        "
        DISK: DISK_ID=0 | TARGET=vda | TYPE=RBD | SOURCE=one/one-7 | CLONE=YES | CEPH_HOST=mon1 [fd00::2]:3300 | CEPH_USER=libvirt | CEPH_SECRET=6ee3cb44-1f6c-4a35-8f4a-0000000000aa
        DISK: DISK_ID=1 | TARGET=vdb | TYPE=swap | DISK_TYPE=RBD | POOL_NAME=ssd | CEPH_HOST=mon1 | CEPH_USER=libvirt
        DISK: DISK_ID=2 | TARGET=vdc | TYPE=ISCSI | SOURCE=iqn.2026-01.example:disk/1 | ISCSI_HOST=san:3261 | ISCSI_USER=u | ISCSI_USAGE=san
        DISK: DISK_ID=3 | TARGET=vdd | TYPE=GLUSTER | GLUSTER_HOST=g1 | GLUSTER_VOLUME=vol | SOURCE=/a/b/image | CLONE=NO
        DISK: DISK_ID=4 | TARGET=vde | TYPE=GLUSTER | GLUSTER_HOST=g1:24008 | GLUSTER_VOLUME=vol | CLONE=YES
        DISK: DISK_ID=5 | TARGET=sda | TYPE=RBD_CDROM | SOURCE=one/one-8 | CLONE=NO | CEPH_HOST=mon1
        DISK: DISK_ID=6 | TARGET=vdf | TYPE=SHEEPDOG | SOURCE=image | CLONE=YES | SHEEPDOG_HOST=s1",
    );
    expect![[r#"
            <disk type='network' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <auth username='libvirt'>
                <secret type='ceph' uuid='6ee3cb44-1f6c-4a35-8f4a-0000000000aa'/>
              </auth>
              <source protocol='rbd' name='one/one-7-42-0'>
                <host name='mon1' port='6789'/>
                <host name='fd00::2' port='3300'/>
              </source>
              <target dev='vda' bus='virtio'/>
            </disk>
            <disk type='network' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source protocol='rbd' name='ssd/one-sys-42-1'>
                <host name='mon1' port='6789'/>
              </source>
              <target dev='vdb' bus='virtio'/>
            </disk>
            <disk type='network' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <auth username='u'>
                <secret type='iscsi' usage='san'/>
              </auth>
              <source protocol='iscsi' name='iqn.2026-01.example:disk/1'>
                <host name='san' port='3261'/>
              </source>
              <target dev='vdc' bus='virtio'/>
            </disk>
            <disk type='network' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source protocol='gluster' name='vol/image'>
                <host name='g1' port='24007' transport='tcp'/>
              </source>
              <target dev='vdd' bus='virtio'/>
            </disk>
            <disk type='network' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source protocol='gluster' name='vol/42/disk.4'>
                <host name='g1' port='24008' transport='tcp'/>
              </source>
              <target dev='vde' bus='virtio'/>
            </disk>
            <disk type='network' device='cdrom'>
              <driver name='qemu' type='raw' cache='none'/>
              <source protocol='rbd' name='one/one-8'>
                <host name='mon1' port='6789'/>
              </source>
              <target dev='sda' bus='sata'/>
              <readonly/>
              <address type='drive' controller='0' bus='0' target='0' unit='0'/>
            </disk>
            <disk type='network' device='disk'>
              <driver name='qemu' type='raw' cache='none' discard='unmap'/>
              <source protocol='sheepdog' name='image-42-6'>
                <host name='s1' port='7000' transport='tcp'/>
              </source>
              <target dev='vdf' bus='virtio'/>
            </disk>
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
    "#]]
    .assert_eq(&devices("network-disks", &case));
}

#[test]
fn shared_directory() {
    let case =
        small("DISK: DISK_ID=0 | TYPE=FILESYSTEM | SOURCE=/var/lib/one/datastores/1/abc | MOUNT_TAG=data");
    let xml = case.xml().expect("a description");
    // <idmap> of virtiofs is newer than some libvirt schemas: the rest is checked without it.
    let (head, tail) = xml.split_once("      <idmap>").expect("idmap");
    let (_, tail) = tail.split_once("</idmap>\n").expect("end of idmap");
    support::schema_check("virtiofs", &format!("{head}{tail}"));
    assert!(
        xml.contains("<source type='memfd'/>") && xml.contains("<access mode='shared'/>"),
        "{xml}"
    );
    let one = disk_xml(&case.input(), 0).expect("a disk").expect("disk 0");
    expect![[r#"
        <filesystem type='mount' accessmode='passthrough'>
          <driver type='virtiofs' queue='1024'/>
          <binary>
            <cache mode='always'/>
            <sandbox mode='namespace'/>
          </binary>
          <source dir='/var/lib/one/datastores/1/abc'/>
          <target dir='data'/>
          <idmap>
            <uid start='0' target='100000' count='65536'/>
            <gid start='0' target='100000' count='65536'/>
          </idmap>
        </filesystem>
    "#]]
    .assert_eq(&one);
}

#[test]
fn nics() {
    let case = small(
        "
        VCPU=4
        NIC: NIC_ID=0 | BRIDGE=br0 | MAC=02:00:c0:a8:00:01 | IP=192.168.0.1 | VROUTER_IP=192.168.0.9 | ORDER=2
        NIC: NIC_ID=1 | BRIDGE=ovs0 | BRIDGE_TYPE=openvswitch | MODEL=e1000 | TARGET=tap9
        NIC: NIC_ID=2 | BRIDGE=ovs1 | BRIDGE_TYPE=openvswitch_dpdk | VIRTIO_QUEUES=2
        NIC: NIC_ID=3 | NETWORK_MODE=DUMMY | BRIDGE=onebr | SCRIPT=/etc/one/up & down
        NIC: NIC_ID=4 | BRIDGE=br1 | VIRTIO_QUEUES=1 | INBOUND_AVG_BW=100 | INBOUND_PEAK_BW=200 | INBOUND_PEAK_KB=300 | OUTBOUND_AVG_BW=5
        NIC_ALIAS: NIC_ID=5 | BRIDGE=br0",
    )
    .cluster("NIC: FILTER=clean-traffic");
    expect![[r#"
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='4'/>
            </controller>
            <interface type='bridge'>
              <source bridge='br0'/>
              <mac address='02:00:c0:a8:00:01'/>
              <target dev='one-42-0'/>
              <boot order='2'/>
              <model type='virtio'/>
              <driver queues='4'/>
              <filterref filter='clean-traffic'>
                <parameter name='IP' value='192.168.0.1'/>
                <parameter name='IP' value='192.168.0.9'/>
              </filterref>
            </interface>
            <interface type='bridge'>
              <source bridge='ovs0'/>
              <virtualport type='openvswitch'/>
              <target dev='tap9'/>
              <model type='e1000'/>
            </interface>
            <interface type='vhostuser'>
              <source type='unix' mode='server' path='/var/lib/one/datastores/0/42/one-42-2'/>
              <target dev='one-42-2'/>
              <model type='virtio'/>
              <driver queues='2'/>
            </interface>
            <interface type='ethernet'>
              <target dev='one-42-3'/>
              <script path='/etc/one/up &amp; down'/>
              <model type='virtio'/>
              <driver queues='4'/>
            </interface>
            <interface type='bridge'>
              <source bridge='br1'/>
              <target dev='one-42-4'/>
              <model type='virtio'/>
              <bandwidth>
                <inbound average='100' peak='200' burst='300'/>
                <outbound average='5'/>
              </bandwidth>
            </interface>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
    "#]]
    .assert_eq(&devices("nics", &case));
}

#[test]
fn single_devices() {
    let mut case =
        small("DISK: DISK_ID=3 | TARGET=vda\nNIC: NIC_ID=1 | BRIDGE=br0\nCONTEXT: DISK_ID=4 | TARGET=hda");
    case.context_disk = ContextDisk::Block;
    let input = case.input();
    expect![[r#"
        <disk type='file' device='disk'>
          <driver name='qemu' type='raw' cache='none' discard='unmap'/>
          <source file='/var/lib/one/datastores/0/42/disk.3'/>
          <target dev='vda' bus='virtio'/>
        </disk>
    "#]]
    .assert_eq(&disk_xml(&input, 3).expect("a disk").expect("disk 3"));
    expect![[r#"
        <disk type='block' device='cdrom'>
          <driver name='qemu' type='raw' cache='none'/>
          <source dev='/var/lib/one/datastores/0/42/disk.4'/>
          <target dev='hda' bus='sata'/>
          <readonly/>
        </disk>
    "#]]
    .assert_eq(&disk_xml(&input, 4).expect("a disk").expect("the context CD"));
    expect![[r#"
        <interface type='bridge'>
          <source bridge='br0'/>
          <target dev='one-42-1'/>
          <model type='virtio'/>
        </interface>
    "#]]
    .assert_eq(&nic_xml(&input, 1).expect("a NIC").expect("NIC 1"));
    assert_eq!(disk_xml(&input, 0), Ok(None));
    assert_eq!(nic_xml(&input, 0), Ok(None));
}

#[test]
fn vnc() {
    let case = small(
        "
        GRAPHICS: TYPE=VNC | PORT=5942 | PASSWD=secret-éé | KEYMAP=es
        VIDEO: TYPE=VIRTIO | VRAM=16 | RESOLUTION=1280x720 | IOMMU=YES | ATS=YES
        INPUT: TYPE=tablet | BUS=usb
        INPUT: TYPE=keyboard | BUS=virtio",
    );
    expect![[r#"
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
            <input type='tablet' bus='usb'/>
            <input type='keyboard' bus='virtio'/>
            <graphics type='vnc' port='5942' autoport='no' listen='127.0.0.1' passwd='secret-' keymap='es'/>
            <video>
              <driver iommu='on' ats='on'/>
              <model type='virtio' vram='1024'>
                <resolution x='1280' y='720'/>
              </model>
            </video>
    "#]]
    .assert_eq(&devices("vnc", &case));
    let auto = small("GRAPHICS: TYPE=vnc")
        .host("GRAPHICS: LISTEN=0.0.0.0\nVIDEO: TYPE=none")
        .valid("vnc-auto");
    assert!(
        auto.contains("<graphics type='vnc' autoport='yes' listen='0.0.0.0'/>"),
        "{auto}"
    );
}

#[test]
fn spice() {
    let case = small("GRAPHICS: TYPE=spice | PORT=5901\nVIDEO: TYPE=qxl | RESOLUTION=800x600");
    expect![[r#"
            <controller type='scsi' index='0' model='virtio-scsi'>
              <driver queues='1'/>
            </controller>
            <console type='pty'/>
            <channel type='unix'>
              <source mode='bind'/>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>
            <graphics type='spice' port='5901' autoport='no' listen='127.0.0.1'/>
            <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
            <video>
              <model type='qxl'>
                <resolution x='800' y='600'/>
              </model>
            </video>
    "#]]
    .assert_eq(&devices("spice", &case));
    let own = small(
        "GRAPHICS: TYPE=spice
        SPICE_OPTIONS=<sound model='ich6'/><redirdev bus='usb' type='spicevmc'/>",
    );
    assert!(own.valid("spice-own").contains("<sound model='ich6'/><redirdev"));
}

#[test]
fn passed_through() {
    let case = small(
        "
        OS: BOOT=nic7,disk0
        PCI: PCI_ID=0 | DOMAIN=0000 | BUS=3b | SLOT=0a | FUNCTION=1 | VM_BUS_INDEX=2
        PCI: PCI_ID=1 | DOMAIN=0000 | BUS=0x3c | SLOT=00 | TYPE=NIC | NIC_ID=7 | VM_DOMAIN=0x0000 | VM_BUS=0x01 | VM_SLOT=01 | VM_FUNCTION=0
        PCI: PCI_ID=2 | UUID=6ee3cb44-1f6c-4a35-8f4a-0000000000aa | MDEV_MODE=legacy | VM_BUS_INDEX=3
        PCI: PCI_ID=3 | UUID=x | MDEV_MODE=nvidia | BUS=3d | SLOT=01
        IOMMU: MODEL=intel | OPTIONS=intremap=on,caching_mode='on'",
    )
    .driver("Q35_ROOT_PORTS=4\nEMULATOR=/usr/bin/qemu-system-x86_64");
    expect![[r#"
            <emulator>/usr/bin/qemu-system-x86_64</emulator>
            <controller type='pci' index='1' model='pcie-root-port'/>
            <controller type='pci' index='2' model='pcie-root-port'/>
            <controller type='pci' index='3' model='pcie-root-port'/>
            <controller type='pci' index='4' model='pcie-root-port'/>
            <controller type='pci' index='5' model='pcie-to-pci-bridge'/>
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
                <address domain='0x0000' bus='0x3b' slot='0x0a' function='0x1'/>
              </source>
              <address domain='0x0000' bus='0x02' slot='0x00' function='0x0' type='pci'/>
            </hostdev>
            <hostdev mode='subsystem' type='pci' managed='yes'>
              <source>
                <address domain='0x0000' bus='0x3c' slot='0x00' function='0x0'/>
              </source>
              <boot order='1'/>
              <address domain='0x0000' bus='0x01' slot='0x01' function='0x0' type='pci'/>
            </hostdev>
            <hostdev mode='subsystem' type='mdev' model='vfio-pci'>
              <source>
                <address uuid='6ee3cb44-1f6c-4a35-8f4a-0000000000aa'/>
              </source>
              <address domain='0x0000' bus='0x03' slot='0x00' function='0x0' type='pci'/>
            </hostdev>
            <hostdev mode='subsystem' type='pci' managed='no'>
              <source>
                <address domain='0x0000' bus='0x3d' slot='0x01' function='0x0'/>
              </source>
            </hostdev>
            <iommu model='intel'>
              <driver intremap='on' caching_mode='on'/>
            </iommu>
    "#]]
    .assert_eq(&devices("passed-through", &case));
    // IOMMUFD and ACPI nodes are newer than some libvirt schemas: checked without.
    let new = small("PCI: PCI_ID=0 | BUS=1 | SLOT=2 | IOMMUFD=YES | ACPI_NODES=2-9")
        .xml()
        .expect("a description");
    assert!(
        new.contains("<driver iommufd='yes'/>") && new.contains("<acpi nodeset='2-9'/>"),
        "{new}"
    );
}

#[test]
fn raw() {
    let case = small(
        "
        RAW: TYPE=KVM | DATA=<qemu:commandline><qemu:arg value='-name'/><qemu:arg value='a&amp;b'/></qemu:commandline>
        RAW: TYPE=lxc | DATA=lxc.cap.drop = sys_chroot
        RAW: TYPE=kvm | DATA=<!-- rules --><resource><partition>/one</partition></resource>",
    );
    let xml = case.valid("raw");
    let (_, tail) = xml.split_once("  </devices>\n").expect("devices");
    expect![[r#"
          <qemu:commandline><qemu:arg value='-name'/><qemu:arg value='a&amp;b'/></qemu:commandline>
          <!-- rules --><resource><partition>/one</partition></resource>
        </domain>
    "#]]
    .assert_eq(tail);
    // libvirt reads several devices blocks; its schema knows one.
    let driver = "RAW=<devices><serial type='pty'/><console type='pty'/></devices>";
    let own_console = Case::vm("MEMORY=1").driver(driver).xml().expect("a description");
    assert_eq!(own_console.matches("<console").count(), 1);
    assert!(own_console.contains(&driver["RAW=".len()..]));
    // the nearest level counts, not all of them
    let host = Case::vm("MEMORY=1")
        .driver(driver)
        .host("RAW=<perf/>")
        .xml()
        .expect("a description");
    assert!(host.contains("<perf/>") && !host.contains("<serial"));
}
