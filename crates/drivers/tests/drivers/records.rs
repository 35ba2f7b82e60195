//! The files that the front-end keeps of a VM.

use crate::common::Cloud;
use plerion_lifecycle::{Ask, Event};
use plerion_model::Kind;
use plerion_protocol::Action;
use plerion_world::Task;

#[test]
fn each_boot_brings_its_domain_and_its_context() {
    let mut cloud = Cloud::new();
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=ssh");
    let vm = cloud.vm("CONTEXT=[WORD=\"it's\"]", 1, system);
    for seq in 0..2 {
        let boot = loop {
            let intent = cloud.intent(Kind::Vm, vm);
            let plan = cloud.plan(&intent);
            if intent.task == Task::Vm(Ask::Boot) {
                break plan;
            }
            assert!(plan.records.is_empty());
            cloud.end(&intent, plan.output);
        };
        let names: Vec<&str> = boot.records.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["context.sh".to_owned(), format!("deployment.{seq}")]);
        assert!(
            boot.records[0].text.contains("\nWORD='it'\\''s'\n"),
            "{}",
            boot.records[0].text
        );
        let started = boot.steps.iter().find_map(|step| match &step.action {
            Action::DomainStart { xml, .. } => Some(xml),
            _ => None,
        });
        assert_eq!(started, Some(&boot.records[1].text));
        cloud.lines(vm);
        cloud.action(vm, Event::Poweroff { hard: true });
        cloud.lines(vm);
        cloud.action(vm, Event::Resume);
    }
}
