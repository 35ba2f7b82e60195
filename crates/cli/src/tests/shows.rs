//! `show` of each family.

use expect_test::{Expect, expect};

use super::NOW;
use crate::families::{
    backupjob, cluster, datastore, group, host, image, secgroup, template, user, vdc, vm_show, vnet_show,
    zone,
};
use crate::xml;

const OBJECTS: &str = include_str!("../../tests/data/objects.xml");
const VM: &str = include_str!("../../tests/data/vm.xml");

/// Renders one of the objects that share a file.
fn check(name: &str, render: impl Fn(roxmltree::Node<'_, '_>) -> String, expected: Expect) {
    let document = xml::document_parse(OBJECTS).expect("good");
    let object = xml::elements(document.root_element()).find(|node| node.has_tag_name(name));
    expected.assert_eq(&render(object.expect("an object")));
}

#[test]
fn vm() {
    let document = xml::document_parse(VM).expect("good");
    let vm = document.root_element();
    expect![[r#"
        VIRTUAL MACHINE 9 INFORMATION                                                   
        ID                  : 9
        NAME                : web
        USER                : zhang
        GROUP               : ops
        STATE               : ACTIVE
        LCM_STATE           : RUNNING
        LOCK                : Manage
        RESCHED             : No
        HOST                : kvm-b
        CLUSTER ID          : 100
        CLUSTER             : east
        START TIME          : 01/14 04:13:20
        END TIME            : -
        DEPLOY ID           : one-9

        VIRTUAL MACHINE MONITORING [Fri Jan 15 07:59:50 2027]                           
        METRIC               VALUE           FORECAST        FORECAST_FAR   
        CPU                  12.5            -               -
        MEMORY               256M            -               -
        NETTX                2K              -               -
        NETTX_BW             -               -               -
        NETRX                -               -               -
        NETRX_BW             -               -               -
        DISKRDBYTES          -               -               -
        DISKRDBYTES_BW       -               -               -
        DISKRDIOPS           7               -               -
        DISKRDIOPS_BW        -               -               -
        DISKWRBYTES          -               -               -
        DISKWRBYTES_BW       -               -               -
        DISKWRIOPS_BW        -               -               -
        DISKWRIOPS           -               -               -
        GPU_COUNT            -               -               -
        GPU_UTILIZATION      -               -               -
        GPU_MEMORY_UTILIZATI -               -               -
        GPU_MEMORY_FREE      -               -               -
        GPU_POWER_USAGE      -               -               -


        PERMISSIONS                                                                     
        OWNER               : um-
        GROUP               : u--
        OTHER               : ---

        VM DISKS                                                                        
         ID DATASTORE  TARGET IMAGE                               SIZE      TYPE SAVE
          0 default    vda    debian                              600M/2G   file  YES
          2 system     vdb    raw - 100M                          -/100M    swap   NO
          1 -          sda    CONTEXT                             -/-       -       -

        VM DISK SNAPSHOTS                                                               
        AC  ID DISK PARENT            DATE SIZE         NAME                            
        =>   0    0     -1  01/14 18:08:20 -/2G         first

        VM NICS                                                                         
         ID NETWORK              BRIDGE       IP              MAC               PCI_ID  
          0 public               br0          192.0.2.9       02:00:c0:00:02:09
                                              2001:db8::9

        VM ALIAS                                                                        
         ID NETWORK              BRIDGE       IP              MAC              
          1 public               br0          192.0.2.10      02:00:c0:00:02:0a

        SECURITY                                                                        

        NIC_ID NETWORK                   SECURITY_GROUPS                                
             0 public                    0

        SECURITY GROUP   TYPE     PROTOCOL NETWORK                       RANGE          
          ID NAME                          VNET START             SIZE                  
           0 default     inbound  ICMP-8
           0 default     inbound  TCP           192.0.2.0         256    80,443

        SNAPSHOTS                                                                       
          ID         TIME NAME                                           HYPERVISOR_ID  
           0  01/14 18:06 before                                         snap-0

        VIRTUAL MACHINE HISTORY                                                         
        SEQ UID  REQ   HOST         ACTION       DS           START        TIME     PROLOG
          0 3    77    kvm-with-a-l live-migra    0  01/14 04:13:30   0d 13h53m   1h01m05s
          1 -    -     kvm-b        none          0  01/14 18:06:40   0d 13h53m   0h00m00s

        SCHEDULED ACTIONS                                                               
           ID   ACTION  ARGS   SCHEDULED     REPEAT           END STATUS                                            
            4 poweroff     - 01/16 08:00 Weekly 1,5 After 3 times Next in 1.00 days

        BACKUP CONFIGURATION                                                            
        MODE="FULL"

        VM BACKUPS                                                                      
        IMAGE IDS: 30,31

        USER TEMPLATE                                                                   
        NOTE="say \"hello\" 中文"

        VIRTUAL MACHINE TEMPLATE                                                        
        CONTEXT=[
          DISK_ID="1",
          EMPTY="",
          TARGET="sda" ]
        CPU="1"
        MEMORY="512"
    "#]].assert_eq(&vm_show::render(vm, "east", NOW, false));
    let all = vm_show::render(vm, "east", NOW, true);
    assert!(
        all.contains("NIC=[\n") && all.contains("DISK=[\n") && !all.contains("SNAPSHOT=["),
        "{all}"
    );
}

#[test]
fn vm_with_nothing() {
    let document =
        xml::document_parse("<VM><ID>7</ID><STATE>1</STATE><TEMPLATE><CPU>1</CPU></TEMPLATE></VM>");
    let document = document.expect("good");
    let text = vm_show::render(document.root_element(), "", NOW, false);
    for absent in ["HOST ", "VM DISKS", "VM NICS", "SNAPSHOTS", "HISTORY", "BACKUP"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert!(text.ends_with("CPU=\"1\"\n"), "{text}");
}

#[test]
fn host() {
    check(
        "HOST",
        host::render,
        expect![[r#"
        HOST 1 INFORMATION                                                              
        ID                    : 1                   
        NAME                  : kvm-a               
        CLUSTER               : default             
        STATE                 : MONITORED           
        IM_MAD                : kvm                 
        VM_MAD                : kvm                 
        LAST MONITORING TIME  : 01/15 07:59:50      

        HOST SHARES                                                                     
        RUNNING VMS           : 3                   
        MEMORY                                                                          
          TOTAL               : 16G                 
          TOTAL +/- RESERVED  : 15G                 
          USED (REAL)         : 4G                  
          USED (ALLOCATED)    : 1024M               
        CPU                                                                             
          TOTAL               : 800                 
          TOTAL +/- RESERVED  : 700                 
          USED (REAL)         : 100                 
          USED (ALLOCATED)    : 150                 

        MONITORING INFORMATION                                                          
        ARCH="x86_64"

        WILD VIRTUAL MACHINES

        NAME                                                      DEPLOY_ID  CPU     MEMORY
        stray                                                      6e8f1a2b    1       1024
    "#]],
    );
}

#[test]
fn cluster() {
    check(
        "CLUSTER",
        |node| cluster::render(node, &cluster::Resources::default()),
        expect![[r#"
        CLUSTER 100 INFORMATION                                                         
        ID                : 100                 
        NAME              : 东区                

        CLUSTER RESOURCES                                                               

        CLUSTER TEMPLATE                                                                
        NOTE="racks"

        HOSTS          

        VNETS          
        2              

        DATASTORES     
        0              
        1              
    "#]],
    );
}

#[test]
fn image() {
    check(
        "IMAGE",
        image::render,
        expect![[r#"
        IMAGE 3 INFORMATION                                                             
        ID             : 3                   
        NAME           : debian              
        USER           : zhang               
        GROUP          : ops                 
        LOCK           : None                
        DATASTORE      : default             
        TYPE           : OS                  
        REGISTER TIME  : 01/14 04:13:20      
        LAST MODIFIED  : -                   
        PERSISTENT     : Yes                 
        SOURCE         : /var/lib/x          
        FORMAT         : qcow2               
        SIZE           : 2G                  
        STATE          : rdy                 
        RUNNING_VMS    : 0                   

        PERMISSIONS                                                                     
        OWNER          : um-                 
        GROUP          : ---                 
        OTHER          : ---                 

        IMAGE SNAPSHOTS                                                                 
        AC  ID PARENT            DATE SIZE     NAME                                 
             0     -1  01/14 18:06:40 2G       first

        IMAGE TEMPLATE                                                                  

    "#]],
    );
}

#[test]
fn datastore() {
    check(
        "DATASTORE",
        datastore::render,
        expect![[r#"
        DATASTORE 1 INFORMATION                                                         
        ID             : 1                   
        NAME           : default             
        USER           : oneadmin            
        GROUP          : oneadmin            
        CLUSTERS       : 0                   
        TYPE           : IMAGE               
        DS_MAD         : fs                  
        TM_MAD         : local               
        BASE PATH      : /var/lib/one/datastores/1
        DISK_TYPE      : FILE                
        STATE          : READY               

        DATASTORE CAPACITY                                                              
        TOTAL:         : 97.7G               
        FREE:          : 28.2G               
        USED:          : 69.4G               
        LIMIT:         : 48.8G               

        PERMISSIONS                                                                     
        OWNER          : u--                 
        GROUP          : u--                 
        OTHER          : --a                 

        DATASTORE TEMPLATE                                                              
        LIMIT_MB="50000"

        IMAGES         
        3              
    "#]],
    );
}

#[test]
fn vnet() {
    check(
        "VNET",
        |node| vnet_show::render(node, false),
        expect![[r#"
        VIRTUAL NETWORK 2 INFORMATION                                                   
        ID                       : 2                   
        NAME                     : public              
        USER                     : oneadmin            
        GROUP                    : oneadmin            
        LOCK                     : None                
        CLUSTERS                 : 0,100               
        BRIDGE                   : br0                 
        STATE                    : READY               
        VN_MAD                   : 802.1Q              
        PHYSICAL DEVICE          : eth0                
        VLAN ID                  : 50                  
        AUTOMATIC VLAN ID        : YES                 
        AUTOMATIC OUTER VLAN ID  : NO                  
        USED LEASES              : 2                   

        PERMISSIONS                                                                     
        OWNER                    : ---                 
        GROUP                    : ---                 
        OTHER                    : ---                 

        VIRTUAL NETWORK TEMPLATE                                                        
        DNS="192.0.2.2"

        ADDRESS RANGE POOL                                                              
        AR 0                                                                            
        SIZE           : 10                  
        LEASES         : 2                   

        RANGE                                   FIRST                               LAST
        MAC                         02:00:c0:00:02:09                  02:00:c0:00:02:12
        IP                                  192.0.2.9                         192.0.2.18
        IP6_GLOBAL                        2001:db8::9                       2001:db8::12


        LEASES                                                                          
        AR  OWNER                    MAC         IP PORT_FORWARD         IP6
        0   V:9        02:00:c0:00:02:09  192.0.2.9     - 2001:db8::9
        0   N:4        02:00:c0:00:02:0a 192.0.2.10     -           -

        VIRTUAL ROUTERS
        1              

        VIRTUAL MACHINES                                                                
        UPDATED        : 9                   
        OUTDATED       :                     
        ERROR          :                     
    "#]],
    );
}

#[test]
fn template() {
    check(
        "VMTEMPLATE",
        template::render,
        expect![[r#"
        TEMPLATE 5 INFORMATION                                                          
        ID             : 5                   
        NAME           : web                 
        USER           : zhang               
        GROUP          : ops                 
        LOCK           : None                
        REGISTER TIME  : 01/14 04:13:20      

        PERMISSIONS                                                                     
        OWNER          : ---                 
        GROUP          : ---                 
        OTHER          : ---                 

        TEMPLATE CONTENTS                                                               
        CPU="1"
        DISK=[
          IMAGE_ID="3" ]
        SCHED_REQUIREMENTS="CLUSTER_ID=\"100\""
    "#]],
    );
}

#[test]
fn user() {
    check(
        "USER",
        user::render,
        expect![[r#"
        USER 7 INFORMATION                                                              
        ID              : 7                   
        NAME            : 张三                
        GROUP           : users               
        SECONDARY GROUPS: 1,100               
        PASSWORD        : hash                
        AUTH_DRIVER     : core                
        ENABLED         : Yes                 

        TOKENS                                                                          
                      ID EGID  EGROUP     EXPIRATION          
        0123456789abcdef *                01/15 09:00:00

        USER TEMPLATE                                                                   
        EMAIL="zhang@example.org"

        VMS USAGE & QUOTAS                                                              

        CLUSTERS       VMS          MEMORY             CPU   PCI DEV   PCI NIC       DISK SIZE
                   3 /   8  1024M /      -    2.5 /  10.00   0 /   -   0 /   -     0M /      -

        VMS USAGE & QUOTAS - RUNNING                                                    

        CLUSTERS   RUN VMS      RUN MEMORY         RUN CPU      RUN PCI  RUN PCI NIC
                   0 /   -     0M /      -    0.0 /      -      0 /   -      0 /   -

        DATASTORE USAGE & QUOTAS                                                        

                  ID               IMAGES                SIZE
                   1         1 /        5      10M /     9.8G

        NETWORK USAGE & QUOTAS                                                          

                  ID               LEASES
                   2         4 /       20

        IMAGE USAGE & QUOTAS                                                            

                  ID          RUNNING VMS
                   3         1 /        6
    "#]],
    );
}

#[test]
fn group() {
    check(
        "GROUP",
        group::render,
        expect![[r#"
        GROUP 100 INFORMATION                                                           
        ID             : 100                 
        NAME           : ops                 

        GROUP TEMPLATE                                                                  


        USER ID ADMIN
              2
              7 *

        VMS USAGE & QUOTAS                                                              

        CLUSTERS       VMS          MEMORY             CPU   PCI DEV   PCI NIC       DISK SIZE
                   0 /   -     0M /      -    0.0 /      -   0 /   -   0 /   -     0M /      -

        VMS USAGE & QUOTAS - RUNNING                                                    

        CLUSTERS   RUN VMS      RUN MEMORY         RUN CPU      RUN PCI  RUN PCI NIC
                   0 /   -     0M /      -    0.0 /      -      0 /   -      0 /   -

        DATASTORE USAGE & QUOTAS                                                        

        NETWORK USAGE & QUOTAS                                                          

        IMAGE USAGE & QUOTAS                                                            

        VLAN RULES                                                                      
        VLAN_ID         SCOPE           VNTEMPLATE     

    "#]],
    );
}

#[test]
fn secgroup() {
    check(
        "SECURITY_GROUP",
        secgroup::render,
        expect![[r#"
        SECURITY GROUP 100 INFORMATION                                                  
        ID             : 100                 
        NAME           : web                 
        USER           : oneadmin            
        GROUP          : oneadmin            
        PERMISSIONS                                                                     
        OWNER          : u--                 
        GROUP          : ---                 
        OTHER          : ---                 

        VIRTUAL MACHINES                                                                
        UPDATED        : 9                   
        OUTDATED       :                     
        ERROR          :                     

        RULES                                                                           
        TYPE     PROTOCOL ICMP_TYPE ICMVP6_TYPE NETWORK                             RANGE           
        INBOUND  TCP                            Any                                 80
        OUTBOUND ALL                            Start: 192.0.2.0, Size: 256

        TEMPLATE CONTENTS                                                               

    "#]],
    );
}

#[test]
fn zone() {
    check(
        "ZONE",
        zone::render,
        expect![[r#"
        ZONE 0 INFORMATION                                                              
        ID                : 0                   
        NAME              : Here                
        STATE             : ENABLED             


        ZONE TEMPLATE                                                                   
        ENDPOINT="http://localhost:2633/RPC2"
    "#]],
    );
}

/// Widths and order as recorded.
#[test]
fn vdc() {
    check(
        "VDC",
        vdc::render,
        expect![[r#"
        VDC 100 INFORMATION                                                             
        ID                : 100                 
        NAME              : east-vdc            

         GROUPS
            100

        CLUSTERS                                                                        
           ZONE   CLUSTER
              0       ALL

        HOSTS                                                                           
           ZONE      HOST
              0         2

        VDC TEMPLATE                                                                    
        NOTE="racks"
    "#]],
    );
}

/// Sections, widths and order as recorded.
#[test]
fn backupjob() {
    check(
        "BACKUPJOB",
        |job| backupjob::render(job, 1_800_000_000),
        expect![[r#"
            BACKUP JOB 0 INFORMATION                                                        
            ID             : 0                   
            NAME           : nightly             
            USER           : oneadmin            
            GROUP          : oneadmin            
            LOCK           : None                
            PERMISSIONS                                                                     
            OWNER          : um-                 
            GROUP          : ---                 
            OTHER          : ---                 

            LAST BACKUP JOB EXECUTION INFORMATION                                           
            TIME           : 01/15 08:00:00      
            DURATION       :   1d 02h03m04s      

            VIRTUAL MACHINE BACKUP STATUS                                                   
            UPDATED        : 0                   
            OUTDATED       : 7,8                 
            ONGOING        : 6                   
            ERROR          :                     

            SCHEDULED ACTIONS                                                               
               ID ACTION  ARGS   SCHEDULED       REPEAT   END STATUS                                            
                3 backup     - 12/28 13:20 Monthly 1,15  None Next in 347.22 days

            TEMPLATE CONTENTS                                                               
            BACKUP_VMS="0,6,7,8"
            BACKUP_VOLATILE="NO"
            DATASTORE_ID="103"
            EXECUTION="SEQUENTIAL"
            FS_FREEZE="NONE"
            KEEP_LAST="3"
            MODE="FULL"
        "#]],
    );
}
