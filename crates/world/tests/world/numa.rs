//! Pinned CPUs, NUMA nodes and huge pages: who gets which, when they are given back, and that no history of a cloud lets two
//! VMs have what is for one.

use std::collections::BTreeMap;

use plerion_lifecycle::{Event, Recover, Relocation};
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{PlainXml, Template};
use plerion_world::{Caller, Command, Measurements, Migration, Snapshot};
use proptest::prelude::*;

use crate::cloud::Cloud;

/// Two nodes of two cores of two threads, with some huge pages of 2 MiB.
const NODES: &str = "CORE=[NODE_ID=0,ID=0,CPUS=\"0,4\"]\nCORE=[NODE_ID=0,ID=1,CPUS=\"1,5\"]
CORE=[NODE_ID=1,ID=0,CPUS=\"2,6\"]\nCORE=[NODE_ID=1,ID=1,CPUS=\"3,7\"]
HUGEPAGE=[NODE_ID=0,SIZE=2048,PAGES=64]\nHUGEPAGE=[NODE_ID=1,SIZE=2048,PAGES=64]
MEMORY_NODE=[NODE_ID=0,TOTAL=1048576,DISTANCE=\"0 1\"]\nMEMORY_NODE=[NODE_ID=1,TOTAL=1048576,DISTANCE=\"1 0\"]";
const THREADS: &str = "NAME=v\nCPU=1\nVCPU=2\nMEMORY=64\nTOPOLOGY=[PIN_POLICY=THREAD]";

fn update(cloud: &mut Cloud, host: Id, text: &str) {
    let command = Command::Update {
        kind: Kind::Host,
        id: host,
        template: Template::parse(text).expect("a template"),
        append: true,
    };
    cloud.give(&Caller::system(), command).expect("updated");
}

/// A cloud with two hosts (0 and 1) for pinned VMs.
fn pinned_cloud() -> Cloud {
    let mut cloud = Cloud::new();
    cloud.host("node-b");
    for host in [0, 1] {
        update(&mut cloud, host, &format!("PIN_POLICY=PINNED\n{NODES}"));
    }
    cloud
}

fn deploy_to(cloud: &mut Cloud, id: Id, host: Id, enforce: bool) -> Result<Id, ApiError> {
    let command = Command::VmDeploy {
        id,
        host,
        enforce,
        datastore: -1,
    };
    cloud.give(&Caller::system(), command)
}

fn migrate(cloud: &mut Cloud, id: Id, host: Id, relocation: Relocation) -> Result<Id, ApiError> {
    let migration = Migration {
        host,
        relocation,
        enforce: false,
        datastore: -1,
    };
    cloud.give(&Caller::system(), Command::VmMigrate { id, migration })
}

/// `node:CPUs` of each node of a VM.
fn places(cloud: &Cloud, id: Id) -> Vec<String> {
    let vm = cloud.world.vm(id).expect("there");
    let nodes = vm.template.vectors("NUMA_NODE");
    nodes
        .map(|node| {
            let text = |name| node.get(name).unwrap_or("-");
            format!("{}:{}", text("NODE_ID"), text("CPUS"))
        })
        .collect()
}

fn on_host(cloud: &Cloud, host: Id) -> BTreeMap<u32, Vec<Id>> {
    cloud.world.host_numa(host).cpus
}

fn resize(cloud: &mut Cloud, id: Id, text: &str) -> Result<Id, ApiError> {
    let command = Command::VmResize {
        id,
        template: Template::parse(text).expect("a template"),
        enforce: true,
    };
    cloud.give(&Caller::system(), command)
}

#[test]
fn a_pinned_vm_gets_cpus_where_it_is_placed_and_gives_them_back() {
    let mut cloud = pinned_cloud();
    let one = cloud.placed(THREADS).expect("placed");
    assert_eq!(places(&cloud, one), ["0:0,4"]);
    let vm = cloud.world.vm(one).expect("there");
    let topology = |name| vm.template.pair("TOPOLOGY", name).map(str::to_owned);
    assert_eq!(
        (topology("SOCKETS"), topology("CORES"), topology("THREADS")),
        (Some("1".into()), Some("1".into()), Some("2".into()))
    );
    assert_eq!(vm.template.get("CPU"), Some("2"));
    assert_eq!(
        vm.template.get("AUTOMATIC_REQUIREMENTS"),
        Some("(PIN_POLICY = PINNED)")
    );
    let measurements = Measurements::default();
    let view = Snapshot {
        world: &cloud.world,
        measurements: &measurements,
    };
    let mut out = PlainXml::default();
    cloud.world.host(0).expect("there").render(&mut out, &view);
    let xml = out.into_string();
    assert!(
        xml.contains("<CPUS><![CDATA[0:0,4:0]]></CPUS><DEDICATED><![CDATA[NO]]>"),
        "{xml}"
    );
    assert!(
        xml.contains("<USAGE><![CDATA[65536]]></USAGE></MEMORY><NODE_ID><![CDATA[0]]>"),
        "{xml}"
    );
    // One that is off keeps them, one that is undeployed does not.
    cloud.act(one, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    assert_eq!(on_host(&cloud, 0), [(0, vec![one]), (4, vec![one])].into());
    cloud
        .act(one, Event::Undeploy { hard: true })
        .expect("undeployed");
    cloud.finish();
    assert_eq!(on_host(&cloud, 0), BTreeMap::new());
    assert!(view_is_empty(&cloud));
    let two = cloud.placed(THREADS).expect("placed");
    assert_eq!(places(&cloud, two), ["0:0,4"]);
    cloud.deploy(one).expect("placed again");
    cloud.finish();
    assert_eq!(places(&cloud, one), ["1:2,6"]);
    for id in [one, two] {
        cloud.act(id, Event::Terminate { hard: true }).expect("over");
        cloud.finish();
    }
    assert!(view_is_empty(&cloud));
}

fn view_is_empty(cloud: &Cloud) -> bool {
    cloud.world.host_numa(0) == Default::default()
}

#[test]
fn a_host_without_a_place_is_refused_with_the_reason_whoever_asks() {
    let mut cloud = pinned_cloud();
    update(&mut cloud, 1, "PIN_POLICY=NONE");
    let id = cloud.vm(THREADS).expect("made");
    let refusal = deploy_to(&mut cloud, id, 1, false).expect_err("not for pinned VMs");
    assert_eq!(
        refusal.text,
        "virtual machine [0] does not fit in host [1]. Cannot allocate NUMA topology: its PIN_POLICY is not PINNED, and \
         the CPUs of the VM are to be pinned"
    );
    let whole = "NAME=w\nCPU=1\nVCPU=4\nMEMORY=64\nTOPOLOGY=[PIN_POLICY=CORE]";
    let refusal = cloud.placed(whole).expect_err("a node has two cores");
    assert!(
        refusal.text.contains("but not with the memory in one node each"),
        "{}",
        refusal.text
    );
    let huge = "NAME=h\nCPU=1\nMEMORY=200\nTOPOLOGY=[HUGEPAGE_SIZE=2]";
    let refusal = cloud.placed(huge).expect_err("no node has so many");
    assert!(
        refusal.text.contains("none of its NUMA nodes has"),
        "{}",
        refusal.text
    );
    let huge = "NAME=h\nCPU=1\nMEMORY=100\nTOPOLOGY=[HUGEPAGE_SIZE=2]";
    let id = cloud.placed(huge).expect("placed");
    assert_eq!(places(&cloud, id), ["0:0,1,4,5"]);
    assert_eq!(cloud.world.host_numa(0).pages, [((0, 2048), 50)].into());
    let text = "NAME=x\nCPU=1\nVCPU=4\nMEMORY=64\nTOPOLOGY=[SOCKETS=2]";
    let refusal = cloud.vm(text).expect_err("half a topology");
    assert!(
        refusal.text.contains("needs to set  SOCKETS, CORES and THREADS"),
        "{}",
        refusal.text
    );
}

#[test]
fn a_move_takes_a_place_there_and_keeps_the_old_one_until_the_vm_has_left() {
    let mut cloud = pinned_cloud();
    let one = cloud.placed(THREADS).expect("placed");
    let other = cloud.vm(THREADS).expect("made");
    deploy_to(&mut cloud, other, 1, true).expect("placed");
    cloud.finish();
    let refusal = migrate(&mut cloud, one, 1, Relocation::Live).expect_err("it is pinned");
    assert!(
        refusal
            .text
            .contains("Cannot live migrate a VM whose CPUs are pinned"),
        "{}",
        refusal.text
    );
    migrate(&mut cloud, one, 1, Relocation::Save).expect("moves");
    assert_eq!(places(&cloud, one), ["1:2,6"]);
    assert_eq!(on_host(&cloud, 0).len(), 2, "its guest is still there");
    assert_eq!(on_host(&cloud, 1).len(), 4);
    // It cannot be saved: it stays where it is, on its old CPUs.
    let key = *cloud.world.outbox.keys().next().expect("asked");
    cloud.end(key, Err("no".into()));
    assert_eq!(cloud.phase(one), "RUNNING");
    assert_eq!(places(&cloud, one), ["0:0,4"]);
    assert_eq!((on_host(&cloud, 0).len(), on_host(&cloud, 1).len()), (2, 2));
    migrate(&mut cloud, one, 1, Relocation::Save).expect("moves");
    cloud.finish();
    assert_eq!(cloud.phase(one), "RUNNING");
    assert_eq!((on_host(&cloud, 0).len(), on_host(&cloud, 1).len()), (0, 4));
    assert_eq!(cloud.world.vm(one).expect("there").numa_left, None);
}

#[test]
fn a_vm_of_another_size_takes_another_place() {
    let mut cloud = pinned_cloud();
    let id = cloud.placed(THREADS).expect("placed");
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    let refusal = resize(&mut cloud, id, "VCPU=3").expect_err("cores have two threads");
    assert!(
        refusal.text.contains("cannot be divided by the 2 threads"),
        "{}",
        refusal.text
    );
    resize(&mut cloud, id, "VCPU=4\nMEMORY=100").expect("resized");
    assert_eq!(places(&cloud, id), ["0:0,4,1,5"]);
    let used = cloud.world.host_numa(0);
    assert_eq!(used.memory_kib, [(0, 102_400)].into());
    let vm = cloud.world.vm(id).expect("there");
    assert_eq!(
        (vm.template.get("CPU"), vm.template.pair("TOPOLOGY", "CORES")),
        (Some("4"), Some("2"))
    );
    assert_eq!(cloud.world.host_usage(0).cpu, 400);
    let refusal = resize(&mut cloud, id, "VCPU=6").expect_err("the host has 4 CPUs to give");
    assert!(refusal.text.contains("does not fit"), "{}", refusal.text);
}

/// What is done to a cloud.
#[derive(Clone, Debug)]
enum Step {
    Make(u8, u8, bool),
    Deploy(usize, Id),
    Act(usize, u8),
    Move(usize, Id, bool),
    Resize(usize, u8),
    End(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..4, 1_u8..4, any::<bool>()).prop_map(|(policy, cpus, huge)| Step::Make(policy, cpus, huge)),
        (0_usize..8, 0..2).prop_map(|(vm, host)| Step::Deploy(vm, host)),
        (0_usize..8, 0_u8..7).prop_map(|(vm, act)| Step::Act(vm, act)),
        (0_usize..8, 0..2, any::<bool>()).prop_map(|(vm, host, save)| Step::Move(vm, host, save)),
        (0_usize..8, 1_u8..5).prop_map(|(vm, cpus)| Step::Resize(vm, cpus)),
        (0_usize..4, prop::bool::weighted(0.8)).prop_map(|(key, good)| Step::End(key, good)),
        (0_usize..4, prop::bool::weighted(0.8)).prop_map(|(key, good)| Step::End(key, good)),
    ]
}

/// Does a step; what is refused changes nothing.
fn take(cloud: &mut Cloud, step: &Step) {
    let ids: Vec<Id> = cloud.world.vms.iter().map(|(id, _)| id).collect();
    let vm = |at: usize| ids.get(at % ids.len().max(1)).copied().unwrap_or(-1);
    let _refused = match step {
        Step::Make(policy, cpus, huge) => {
            let policy = ["CORE", "THREAD", "SHARED", "NONE"][usize::from(*policy)];
            let huge = if *huge { ",HUGEPAGE_SIZE=2" } else { "" };
            cloud.vm(&format!(
                "NAME=v{}\nCPU=1\nVCPU={cpus}\nMEMORY={}\nTOPOLOGY=[PIN_POLICY={policy}{huge}]",
                cloud.now(),
                u32::from(*cpus) * 24,
            ))
        }
        Step::Deploy(at, host) => deploy_to(cloud, vm(*at), *host, false),
        Step::Act(at, act) => {
            let event = [
                Event::Poweroff { hard: true },
                Event::Undeploy { hard: true },
                Event::Resume,
                Event::Terminate { hard: true },
                Event::Suspend,
                Event::Recover(Recover::Success),
                Event::Recover(Recover::Failure),
            ][usize::from(*act)];
            cloud.act(vm(*at), event)
        }
        Step::Move(at, host, save) => {
            let relocation = if *save {
                Relocation::Save
            } else {
                Relocation::Poweroff
            };
            migrate(cloud, vm(*at), *host, relocation)
        }
        Step::Resize(at, cpus) => resize(cloud, vm(*at), &format!("VCPU={cpus}")),
        Step::End(at, good) => {
            let keys: Vec<_> = cloud.world.outbox.keys().copied().collect();
            if let Some(key) = keys.get(at % keys.len().max(1)) {
                let result = if *good {
                    Ok(Default::default())
                } else {
                    Err("no".into())
                };
                cloud.end(*key, result);
            }
            Ok(-1)
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever happens, no thread and no page has two holders, no core that is somebody's own has another, and when all
    /// VMs are gone, so is all that they had.
    #[test]
    fn no_history_gives_away_what_somebody_has(steps in prop::collection::vec(step(), 1..60)) {
        let mut cloud = pinned_cloud();
        update(&mut cloud, 1, "VMS_THREAD=2\nISOLCPUS=\"3\"");
        for step in &steps {
            take(&mut cloud, step);
            cloud.world.check().map_err(TestCaseError::fail)?;
            for (host, most) in [(0, 1), (1, 2)] {
                let used = cloud.world.host_numa(host);
                let body = cloud.world.host(host).expect("there");
                for (cpu, vms) in &used.cpus {
                    prop_assert!(vms.len() <= most, "{step:?}: host {host}, CPU {cpu}: {vms:?}");
                    prop_assert!(host == 0 || *cpu != 3, "set apart");
                }
                for node in body.numa_nodes().iter() {
                    for core in node.cores.iter().filter(|core| used.is_dedicated(core)) {
                        let on: u32 = core.cpus.iter().map(|cpu| used.on_cpu(*cpu)).sum();
                        prop_assert_eq!(on, 1, "{:?}: a core of one's own", step);
                    }
                    let memory = used.memory_kib.get(&node.id).copied().unwrap_or(0);
                    prop_assert!(memory <= node.memory_kib);
                    for pages in &node.pages {
                        let taken = used.pages.get(&(node.id, pages.size_kib)).copied().unwrap_or(0);
                        prop_assert!(taken <= pages.pages, "{step:?}: {taken} of {} pages", pages.pages);
                    }
                }
            }
        }
        cloud.finish();
        let ids: Vec<Id> = cloud.world.vms.iter().map(|(id, _)| id).collect();
        for id in ids {
            let over = cloud.act(id, Event::Terminate { hard: true });
            if over.is_err() {
                cloud.act(id, Event::Recover(Recover::Delete)).expect("deleted");
            }
            cloud.finish();
        }
        for host in [0, 1] {
            prop_assert_eq!(cloud.world.host_numa(host), Default::default());
        }
    }
}
