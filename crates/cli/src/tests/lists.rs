//! `list` of each family.

use expect_test::{Expect, expect};

use super::{NOW, input_of};
use crate::list::pool_render;

fn check(line: &str, pool: &str, expected: Expect) {
    let text = pool_render(&input_of(line), pool, NOW).expect("good");
    // The first line keeps the blanks at the beginning of the others.
    expected.assert_eq(&format!("$ {line}\n{text}"));
}

const VMS: &str = include_str!("../../tests/data/vmpool.xml");
const HOSTS: &str = include_str!("../../tests/data/hostpool.xml");
const USERS: &str = include_str!("../../tests/data/userpool.xml");
const OTHERS: &str = include_str!("../../tests/data/pools.xml");

/// One of the small pools that share a file.
fn pool(name: &str) -> String {
    let document = crate::xml::document_parse(OTHERS).expect("good");
    let found = crate::xml::elements(document.root_element()).find(|node| node.has_tag_name(name));
    OTHERS[found.expect("a pool").range()].to_owned()
}

#[test]
fn vms() {
    check(
        "onevm list",
        VMS,
        expect![[r#"
            $ onevm list
               ID USER     GROUP    NAME            STAT  CPU     MEM HOST             TIME
            12345 zhang    ops      数据库服务器-主 runn  2.5      4G kvm-a        1d 03h46
                8 oneadmin oneadmin a, "quoted" nam hold    1    512M              0d 00h01
                7 oneadmin oneadmin stuck           fail  0.1     64M kvm-b        0d 02h46
        "#]],
    );
    check(
        "onevm list -l ID,NAME,IP --adjust NAME,IP -n",
        VMS,
        expect![[r#"
            $ onevm list -l ID,NAME,IP --adjust NAME,IP -n
               ID NAME                          IP                   
            12345 数据库服务器-主节点-一号      192.0.2.7
                8 a, "quoted" name that is long 192.0.2.8,2001:db8::8
                7 stuck
        "#]],
    );
    check(
        "onevm list --csv",
        VMS,
        expect![[r#"
            $ onevm list --csv
            ID,USER,GROUP,NAME,STAT,CPU,MEM,HOST,TIME
            12345,zhang,ops,数据库服务器-主节点-一号,runn,2.5,4G,kvm-a,  1d 03h46m
            8,oneadmin,oneadmin,"a, ""quoted"" name that is long",hold,1,512M,"",  0d 00h01m
            7,oneadmin,oneadmin,stuck,fail,0.1,64M,kvm-b,  0d 02h46m
        "#]],
    );
    check(
        "onevm list -f STAT=runn -l ID,STAT --no-header",
        VMS,
        expect![[r#"
            $ onevm list -f STAT=runn -l ID,STAT --no-header
            12345 runn
        "#]],
    );
    check(
        "onevm list -f STAT=runn,STAT=hold --operator OR -l ID -s ID=8",
        VMS,
        expect![[r#"
            $ onevm list -f STAT=runn,STAT=hold --operator OR -l ID -s ID=8
                  ID
               12345
                   8
        "#]],
    );
}

#[test]
fn vms_in_other_forms() {
    check(
        "onevm list -x",
        VMS,
        expect![[r#"
            $ onevm list -x
            <VM_POOL>
              <VM>
                <ID>12345</ID>
                <UID>3</UID>
                <GID>100</GID>
                <UNAME>zhang</UNAME>
                <GNAME>ops</GNAME>
                <NAME>&#x6570;&#x636E;&#x5E93;&#x670D;&#x52A1;&#x5668;-&#x4E3B;&#x8282;&#x70B9;-&#x4E00;&#x53F7;</NAME>
                <STATE>3</STATE>
                <LCM_STATE>3</LCM_STATE>
                <STIME>1799900000</STIME>
                <ETIME>0</ETIME>
                <TEMPLATE>
                  <CPU>2.5</CPU>
                  <MEMORY>4096</MEMORY>
                  <VCPU/>
                  <NIC>
                    <IP><![CDATA[192.0.2.7]]></IP>
                    <NIC_ID><![CDATA[0]]></NIC_ID>
                  </NIC>
                </TEMPLATE>
                <MONITORING/>
                <HISTORY_RECORDS>
                  <HISTORY>
                    <SEQ>0</SEQ>
                    <HOSTNAME><![CDATA[kvm-a]]></HOSTNAME>
                    <HID>4</HID>
                    <CID>0</CID>
                  </HISTORY>
                </HISTORY_RECORDS>
              </VM>
              <VM>
                <ID>8</ID>
                <UID>0</UID>
                <GID>0</GID>
                <UNAME>oneadmin</UNAME>
                <GNAME>oneadmin</GNAME>
                <NAME>a, "quoted" name that is long</NAME>
                <STATE>2</STATE>
                <LCM_STATE>0</LCM_STATE>
                <STIME>1799999940</STIME>
                <ETIME>0</ETIME>
                <TEMPLATE>
                  <CPU>1</CPU>
                  <MEMORY>512</MEMORY>
                  <NIC>
                    <IP><![CDATA[192.0.2.8]]></IP>
                  </NIC>
                  <NIC>
                    <IP6_GLOBAL><![CDATA[2001:db8::8]]></IP6_GLOBAL>
                  </NIC>
                </TEMPLATE>
                <MONITORING/>
                <HISTORY_RECORDS/>
              </VM>
              <VM>
                <ID>7</ID>
                <UID>0</UID>
                <GID>0</GID>
                <UNAME>oneadmin</UNAME>
                <GNAME>oneadmin</GNAME>
                <NAME>stuck</NAME>
                <STATE>3</STATE>
                <LCM_STATE>36</LCM_STATE>
                <STIME>1799990000</STIME>
                <ETIME>0</ETIME>
                <TEMPLATE>
                  <CPU>0.1</CPU>
                  <MEMORY>64</MEMORY>
                </TEMPLATE>
                <MONITORING/>
                <HISTORY_RECORDS>
                  <HISTORY>
                    <HOSTNAME>kvm-b</HOSTNAME>
                  </HISTORY>
                </HISTORY_RECORDS>
              </VM>
            </VM_POOL>
        "#]],
    );
    check(
        "onevm list -j",
        VMS,
        expect![[r#"
            $ onevm list -j
            {
              "VM_POOL": {
                "VM": [
                  {
                    "ID": "12345",
                    "UID": "3",
                    "GID": "100",
                    "UNAME": "zhang",
                    "GNAME": "ops",
                    "NAME": "数据库服务器-主节点-一号",
                    "STATE": "3",
                    "LCM_STATE": "3",
                    "STIME": "1799900000",
                    "ETIME": "0",
                    "TEMPLATE": {
                      "CPU": "2.5",
                      "MEMORY": "4096",
                      "VCPU": {
                      },
                      "NIC": [
                        {
                          "IP": "192.0.2.7",
                          "NIC_ID": "0"
                        }
                      ]
                    },
                    "MONITORING": {
                    },
                    "HISTORY_RECORDS": {
                      "HISTORY": {
                        "SEQ": "0",
                        "HOSTNAME": "kvm-a",
                        "HID": "4",
                        "CID": "0"
                      }
                    }
                  },
                  {
                    "ID": "8",
                    "UID": "0",
                    "GID": "0",
                    "UNAME": "oneadmin",
                    "GNAME": "oneadmin",
                    "NAME": "a, \"quoted\" name that is long",
                    "STATE": "2",
                    "LCM_STATE": "0",
                    "STIME": "1799999940",
                    "ETIME": "0",
                    "TEMPLATE": {
                      "CPU": "1",
                      "MEMORY": "512",
                      "NIC": [
                        {
                          "IP": "192.0.2.8"
                        },
                        {
                          "IP6_GLOBAL": "2001:db8::8"
                        }
                      ]
                    },
                    "MONITORING": {
                    },
                    "HISTORY_RECORDS": {
                    }
                  },
                  {
                    "ID": "7",
                    "UID": "0",
                    "GID": "0",
                    "UNAME": "oneadmin",
                    "GNAME": "oneadmin",
                    "NAME": "stuck",
                    "STATE": "3",
                    "LCM_STATE": "36",
                    "STIME": "1799990000",
                    "ETIME": "0",
                    "TEMPLATE": {
                      "CPU": "0.1",
                      "MEMORY": "64"
                    },
                    "MONITORING": {
                    },
                    "HISTORY_RECORDS": {
                      "HISTORY": {
                        "HOSTNAME": "kvm-b"
                      }
                    }
                  }
                ]
              }
            }
        "#]],
    );
    check(
        "onevm list -y",
        VMS,
        expect![[r#"
            $ onevm list -y
            ---
            VM_POOL:
              VM:
              - ID: '12345'
                UID: '3'
                GID: '100'
                UNAME: zhang
                GNAME: ops
                NAME: 数据库服务器-主节点-一号
                STATE: '3'
                LCM_STATE: '3'
                STIME: '1799900000'
                ETIME: '0'
                TEMPLATE:
                  CPU: '2.5'
                  MEMORY: '4096'
                  VCPU: {}
                  NIC:
                  - IP: 192.0.2.7
                    NIC_ID: '0'
                MONITORING: {}
                HISTORY_RECORDS:
                  HISTORY:
                    SEQ: '0'
                    HOSTNAME: kvm-a
                    HID: '4'
                    CID: '0'
              - ID: '8'
                UID: '0'
                GID: '0'
                UNAME: oneadmin
                GNAME: oneadmin
                NAME: a, "quoted" name that is long
                STATE: '2'
                LCM_STATE: '0'
                STIME: '1799999940'
                ETIME: '0'
                TEMPLATE:
                  CPU: '1'
                  MEMORY: '512'
                  NIC:
                  - IP: 192.0.2.8
                  - IP6_GLOBAL: 2001:db8::8
                MONITORING: {}
                HISTORY_RECORDS: {}
              - ID: '7'
                UID: '0'
                GID: '0'
                UNAME: oneadmin
                GNAME: oneadmin
                NAME: stuck
                STATE: '3'
                LCM_STATE: '36'
                STIME: '1799990000'
                ETIME: '0'
                TEMPLATE:
                  CPU: '0.1'
                  MEMORY: '64'
                MONITORING: {}
                HISTORY_RECORDS:
                  HISTORY:
                    HOSTNAME: kvm-b
        "#]],
    );
}

#[test]
fn hosts() {
    check(
        "onehost list",
        HOSTS,
        expect![[r#"
            $ onehost list
              ID NAME            CLUSTER    TVM      ALLOCATED_CPU      ALLOCATED_MEM STAT
               1 kvm-a.example.o default      3    150 / 800 (18%)   1024M / 16G (6%) on
               0 new             东区         0                  -                  - init
        "#]],
    );
    check(
        "onehost list -l ID,TMEM,FMEM,AMEM,REAL_CPU,REAL_MEM,ZVM",
        HOSTS,
        expect![[r#"
            $ onehost list -l ID,TMEM,FMEM,AMEM,REAL_CPU,REAL_MEM,ZVM
              ID    TMEM    FMEM    AMEM           REAL_CPU           REAL_MEM ZVM
               1     16G     12G     15G    100 / 800 (12%)     4G / 16G (25%)   0
               0      0K      0K      0K                  -                  -   0
        "#]],
    );
    check(
        "onehost list -k -l ID,TMEM",
        HOSTS,
        expect![[r#"
            $ onehost list -k -l ID,TMEM
              ID     TMEM
               1 16777216
               0        0
        "#]],
    );
}

#[test]
fn users_and_groups_with_quotas() {
    check(
        "oneuser list",
        USERS,
        expect![[r#"
            $ oneuser list
              ID NAME       ENAB GROUP    AUTH           VMS          MEMORY        CPU       PCI
               7 zhang      yes  users    core       3 /   -  1024M /     8G 2.5 / 10.0   0 /   -
               6 gone       no   users    ldap       0 /   5     0M /     8G  0.0 /   -   0 /   -
               0 oneadmin   yes  oneadmin core             -               -          -         -
        "#]],
    );
    check(
        "onegroup list",
        &pool("GROUP_POOL"),
        expect![[r#"
            $ onegroup list
              ID NAME            USERS       VMS          MEMORY         CPU       PCI
             100 ops                 2   3 /  50     0M /      - 2.5 / 100.0   0 /   -
               0 oneadmin            1         -               -           -         -
        "#]],
    );
}

#[test]
fn other_families() {
    check(
        "onecluster list",
        &pool("CLUSTER_POOL"),
        expect![[r#"
            $ onecluster list
              ID NAME                 HOSTS      VNETS DATASTORES
             100 east                     1          0          2
        "#]],
    );
    check(
        "oneimage list",
        &pool("IMAGE_POOL"),
        expect![[r#"
            $ oneimage list
              ID USER     GROUP    NAME            DATASTORE     SIZE TYPE PER STAT RVMS
               3 zhang    ops      debian          default         1M OS   Yes used    1
        "#]],
    );
    check(
        "onedatastore list",
        &pool("DATASTORE_POOL"),
        expect![[r#"
            $ onedatastore list
              ID NAME         SIZE AVA CLUSTERS IMAGES TYPE DS      TM      STAT
               1 default     97.7G 29% 0,100         1 img  fs      local   off
               0 system          - -                 0 sys  -       local   on
        "#]],
    );
    check(
        "onevnet list",
        &pool("VNET_POOL"),
        expect![[r#"
            $ onevnet list
              ID USER     GROUP    NAME            CLUSTERS   BRIDGE   STATE  LEASES OUTD ERRO
               2 oneadmin oneadmin public          0          br0      rdy         5    1    0
        "#]],
    );
    check(
        "onetemplate list",
        &pool("VMTEMPLATE_POOL"),
        expect![[r#"
            $ onetemplate list
              ID USER     GROUP    NAME                    REGTIME
               5 zhang    ops      模板             01/14 04:13:20
        "#]],
    );
    check(
        "onesecgroup list",
        &pool("SECURITY_GROUP_POOL"),
        expect![[r#"
            $ onesecgroup list
              ID USER     GROUP    NAME             UPDATED OUTDATED    ERROR
               0 oneadmin oneadmin default                2        0        0
        "#]],
    );
    // Recorded.
    check(
        "onevdc list",
        &pool("VDC_POOL"),
        expect![[r#"
            $ onevdc list
              ID NAME              GROUPS   CLUSTERS      HOSTS      VNETS DATASTORES
             100 east-vdc               1          1          1          0          1
               0 default                3        ALL          0          0          0
        "#]],
    );
    // Recorded, but for the time.
    check(
        "onebackupjob list",
        &pool("BACKUPJOB_POOL"),
        expect![[r#"
            $ onebackupjob list
              ID USER     GROUP    PRIO NAME            LAST            VMS            
               1 oneadmin oneadmin 50   second          -               1
               0 oneadmin oneadmin 20   nightly         01/15 08:00:00  0,6
        "#]],
    );
    check(
        "onezone list",
        &pool("ZONE_POOL"),
        expect![[r#"
            $ onezone list
            C   ID NAME            ENDPOINT                                      FED_INDEX  STAT
                 0 Here            http://localhost:2633/RPC2                    -          on
        "#]],
    );
    check(
        "oneacl list",
        &pool("ACL_POOL"),
        expect![[r#"
            $ oneacl list
              ID     USER RES_VHNIUTGDCOZSvRMAPtB   RID OPE_UMAC  ZONE
               4       @1     V--I-T---O-S----P-B     *     ---c     *
               5       #5     -H-----------------  %100     uma-    #0
        "#]],
    );
}

#[test]
fn unknown_columns_are_named_and_end_with_1() {
    for line in [
        "onevm list -l ID,NOSUCH",
        "onevm list -s NOSUCH=3",
        "onevm list --adjust NOSUCH",
    ] {
        let error = pool_render(&input_of(line), VMS, NOW).expect_err("no such column");
        assert_eq!(error.exit_status(), 1, "{line}");
        assert!(error.to_string().contains("ID, NAME, USER"), "{error}");
    }
}
