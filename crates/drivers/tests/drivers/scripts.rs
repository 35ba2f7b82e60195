//! What drivers that are not built in are asked: the lines of whole lives of VMs and images.

use crate::common::{Cloud, line};
use base64::Engine as _;
use plerion_drivers::{Plan, datastore_monitor, image_stat, output_of};
use plerion_lifecycle::{Ask, Event};
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, ActionOutput, ScriptArgument, ScriptCall, ScriptReply};
use plerion_world::{Command, ImageAsk, Task};

fn call_of(plan: &Plan) -> &ScriptCall {
    match &plan.steps[..] {
        [step] => match &step.action {
            Action::ScriptRun(call) => call,
            other => panic!("no script: {other:?}"),
        },
        other => panic!("not one step: {other:?}"),
    }
}

fn data(call: &ScriptCall) -> String {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&call.stdin)
        .expect("base64");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_life_on_a_foreign_system_datastore() {
    let mut cloud = Cloud::new();
    let images = cloud.datastore("NAME=i\nDS_MAD=x\nTM_MAD=x");
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=x");
    cloud.image(images, "NAME=os\nPATH=/a", "/ds/100/os");
    cloud.image(images, "NAME=data\nPATH=/a\nPERSISTENT=YES", "pool:data");
    let disks = "DISK=[IMAGE_ID=0]\nDISK=[IMAGE_ID=1]\nDISK=[TYPE=fs,SIZE=10,FORMAT=qcow2]\n\
                 DISK=[TYPE=swap,SIZE=20]\nCONTEXT=[A=b]";
    let vm = cloud.vm(disks, 0, system);
    assert_eq!(
        cloud.lines(vm),
        [
            "Prolog tm/x/clone fe:/ds/100/os node-a:/ds/101/0/disk.0 0 100",
            "Prolog tm/x/ln pool:data node-a:/ds/101/0/disk.1 0 100",
            "Prolog tm/x/mkimage 10 qcow2 node-a:/ds/101/0/disk.2 0 101",
            "Prolog tm/x/mkswap 20 node-a:/ds/101/0/disk.3 0 101",
            "Boot tm/x/context <context.sh> node-a:/ds/101/0/disk.4 0 101",
        ]
    );
    cloud.action(vm, Event::Undeploy { hard: true });
    let moved = |ask: &str, from: &str, to: &str| -> Vec<String> {
        let line = |rest: &str, datastore: Id| {
            format!("{ask} tm/x/mv {from}:/ds/101/0{rest} {to}:/ds/101/0{rest} 0 {datastore}")
        };
        vec![
            line("/disk.0", 100),
            line("/disk.1", 100),
            line("/disk.2", 101),
            line("/disk.3", 101),
            line("", 101),
        ]
    };
    assert_eq!(cloud.lines(vm), moved("ToFrontEnd", "node-a", "fe"));
    cloud.action(vm, Event::Resume);
    cloud.run(Command::VmDeploy {
        id: vm,
        host: 0,
        enforce: true,
        datastore: system,
    });
    let back = cloud.lines(vm);
    assert_eq!(back[..5], moved("ToHost", "fe", "node-a"));
    assert!(back[5].starts_with("Boot tm/x/context "), "{back:?}");
    cloud.action(vm, Event::Terminate { hard: true });
    assert_eq!(
        cloud.lines(vm),
        [
            "Epilog tm/x/delete node-a:/ds/101/0/disk.0 0 100",
            "Epilog tm/x/mvds node-a:/ds/101/0/disk.1 pool:data 0 100",
            "Epilog tm/x/delete node-a:/ds/101/0/disk.2 0 101",
            "Epilog tm/x/delete node-a:/ds/101/0/disk.3 0 101",
            "Epilog tm/x/delete node-a:/ds/101/0 0 101",
        ]
    );
}

#[test]
fn a_foreign_image_on_a_built_in_system_datastore() {
    let mut cloud = Cloud::new();
    let images = cloud.datastore("NAME=i\nDS_MAD=x\nTM_MAD=x\nTM_MAD_SYSTEM=\"ssh,shared\"");
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=ssh");
    cloud.image(images, "NAME=os\nPATH=/a", "/ds/100/os");
    let disks = "DISK=[IMAGE_ID=0]\nDISK=[TYPE=swap,SIZE=20]\nCONTEXT=[A=b]";
    let vm = cloud.vm(disks, 1, system);
    assert_eq!(
        cloud.lines(vm),
        [
            "Prolog (Host(1) DomainAbsent)",
            "Prolog tm/x/clone.ssh|tm/x/clone fe:/ds/100/os node-b:/ds/101/0/disk.0 0 100",
            "Prolog (Host(1) DomainAbsent)",
            "Prolog (Host(1) DiskMake)",
            "Boot (Host(1) ContextMake)",
            "Boot (Host(1) DomainStart)",
        ]
    );
    cloud.action(vm, Event::Terminate { hard: true });
    let end = cloud.lines(vm);
    assert_eq!(
        end[1..],
        [
            "Epilog (Host(1) DomainDestroy)",
            "Epilog tm/x/delete.ssh|tm/x/delete node-b:/ds/101/0/disk.0 0 100",
            "Epilog (Host(1) PathDelete)",
        ]
    );
}

#[test]
fn a_vm_that_is_deleted_has_its_disks_deleted_by_scripts() {
    let mut cloud = Cloud::new();
    let images = cloud.datastore("NAME=i\nDS_MAD=x\nTM_MAD=x");
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=x");
    cloud.image(images, "NAME=data\nPATH=/a\nPERSISTENT=YES", "pool:data");
    let vm = cloud.vm("DISK=[IMAGE_ID=0]", 0, system);
    let mut intent = cloud.intent(Kind::Vm, vm);
    intent.task = Task::Vm(Ask::Cleanup);
    let lines: Vec<String> = cloud
        .plan(&intent)
        .steps
        .iter()
        .map(|step| line(step.place, &step.action))
        .collect();
    assert_eq!(
        lines,
        [
            "tm/x/delete node-a:/ds/101/0/disk.0 0 100",
            "tm/x/delete node-a:/ds/101/0 0 101",
        ]
    );
}

#[test]
fn images_are_made_by_the_scripts_of_their_datastore() {
    let mut cloud = Cloud::new();
    let store = cloud.datastore("NAME=i\nDS_MAD=x\nTM_MAD=x\nPOOL=\"a&b\"");
    let id = cloud.image_asked(store, "NAME=os\nPATH=\"/a/<b>\"");
    let plan = cloud.plan(&cloud.intent(Kind::Image, id));
    let call = call_of(&plan);
    assert_eq!(call.programs, ["datastore/x/cp"]);
    assert_eq!(call.arguments, [ScriptArgument::Text("0".into())]);
    assert_eq!(call.reply, ScriptReply::Source);
    assert_eq!(
        call.environment,
        [("ONE_XMLRPC".to_owned(), "http://127.0.0.1:99/RPC2".to_owned())]
    );
    let text = data(call);
    for wanted in [
        "<DS_DRIVER_ACTION_DATA><IMAGE><ID>0</ID>",
        "<SOURCE><![CDATA[]]></SOURCE>",
        "<PATH><![CDATA[/a/<b>]]></PATH>",
        "<DATASTORE><ID>100</ID>",
        "<POOL><![CDATA[a&b]]></POOL>",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let mut output = plan.output.clone();
    let given = ActionOutput {
        source: Some("pool/one-0".into()),
        format_name: Some("rbd".into()),
        ..ActionOutput::default()
    };
    output_of(&mut output, &given);
    assert_eq!(
        (output.source.as_deref(), output.format.as_deref()),
        (Some("pool/one-0"), Some("rbd"))
    );
    let intent = cloud.intent(Kind::Image, id);
    cloud.end(&intent, output);

    let copy = cloud.run(Command::ImageClone {
        id,
        name: "copy".into(),
        datastore: -1,
    });
    let plan = cloud.plan(&cloud.intent(Kind::Image, copy));
    assert_eq!(call_of(&plan).programs, ["datastore/x/clone"]);
    let text = data(call_of(&plan));
    assert!(text.contains("<PATH><![CDATA[pool/one-0]]></PATH>"), "{text}");
    assert!(text.contains("<SOURCE><![CDATA[]]></SOURCE>"), "{text}");

    let empty = cloud.image_asked(store, "NAME=e\nTYPE=DATABLOCK\nSIZE=8\nFS=ext4");
    let plan = cloud.plan(&cloud.intent(Kind::Image, empty));
    assert_eq!(call_of(&plan).programs, ["datastore/x/mkfs"]);
    assert!(data(call_of(&plan)).contains("<SIZE>8</SIZE>"));

    let mut intent = cloud.intent(Kind::Image, copy);
    intent.key.id = id;
    intent.task = Task::Image(ImageAsk::Delete);
    let plan = cloud.plan(&intent);
    assert_eq!(call_of(&plan).programs, ["datastore/x/rm"]);
    assert_eq!(call_of(&plan).reply, ScriptReply::Nothing);
    assert!(data(call_of(&plan)).contains("<SOURCE><![CDATA[pool/one-0]]></SOURCE>"));
}

#[test]
fn sizes_and_spaces_are_asked_of_scripts_only_where_nothing_is_built_in() {
    let mut cloud = Cloud::new();
    let foreign = cloud.datastore("NAME=i\nDS_MAD=x\nTM_MAD=x");
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=y");
    let files = cloud.datastore("NAME=f\nDS_MAD=fs\nTM_MAD=ssh");
    let store = |id: Id| cloud.world.datastores.get(id).expect("there").clone();
    let stat = image_stat(&cloud.world, &store(foreign), "/a&b");
    let Some(Action::ScriptRun(call)) = stat else {
        panic!("no script: {stat:?}")
    };
    assert_eq!(call.programs, ["datastore/x/stat"]);
    assert_eq!(call.reply, ScriptReply::Size);
    assert!(
        data(&call).starts_with("<DS_DRIVER_ACTION_DATA><IMAGE><PATH>/a&amp;b</PATH></IMAGE><DATASTORE>"),
        "{}",
        data(&call)
    );
    let files_stat = image_stat(&cloud.world, &store(files), "/a");
    assert!(matches!(files_stat, Some(Action::ImageStat { .. })));
    let monitor = |id: Id| match datastore_monitor(&cloud.world, &store(id)) {
        Some(Action::ScriptRun(call)) => call.programs,
        None => Vec::new(),
        other => panic!("{other:?}"),
    };
    assert_eq!(monitor(foreign), ["datastore/x/monitor"]);
    assert_eq!(monitor(system), ["tm/y/monitor"]);
    assert_eq!(monitor(files), [""; 0]);
}
