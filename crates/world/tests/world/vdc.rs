//! VDCs, and the rules that they give their groups.

use plerion_model::acl::AclRule;
use plerion_model::vdc::{ALL_RESOURCES, DEFAULT, VdcResource};
use plerion_model::{ApiError, ErrorCode, Id, Kind};
use plerion_template::Template;
use plerion_world::{AclCommand, Caller, Command, Context, VdcCommand, World, vdcs_begin};

use crate::cloud::Cloud;

fn system(cloud: &mut Cloud, command: Command) -> Result<Id, ApiError> {
    cloud.give(&Caller::system(), command)
}

fn vdc_new(cloud: &mut Cloud, name: &str) -> Id {
    cloud.made(&format!("NAME={name}\nNOTE=x"), |template| {
        Command::Vdc(VdcCommand::Allocate { template })
    })
}

fn group_new(cloud: &mut Cloud, name: &str) -> Id {
    system(cloud, Command::GroupAllocate { name: name.into() }).expect("a group")
}

fn group_set(cloud: &mut Cloud, id: Id, group: Id, add: bool) -> Result<Id, ApiError> {
    system(cloud, Command::Vdc(VdcCommand::Group { id, group, add }))
}

fn resource_set(
    cloud: &mut Cloud,
    id: Id,
    resource: VdcResource,
    member: Id,
    add: bool,
) -> Result<Id, ApiError> {
    let command = VdcCommand::Resource {
        id,
        resource,
        zone: 0,
        member,
        add,
    };
    system(cloud, Command::Vdc(command))
}

fn delete(cloud: &mut Cloud, kind: Kind, id: Id) -> Result<Id, ApiError> {
    system(cloud, Command::Delete { kind, id })
}

/// The rules of a group, by id.
fn rules(world: &World, group: Id) -> Vec<String> {
    let who = format!("@{group} ");
    let texts = world.acls.values().map(|rule| rule.text());
    texts
        .filter(|text| text.starts_with(&who))
        .map(|text| text[who.len()..].to_owned())
        .collect()
}

const OF_ALL: [&str; 3] = ["HOST/* MANAGE #0", "NET/* USE #0", "DATASTORE/* USE #0"];

#[test]
fn new_groups_are_in_the_default_vdc() {
    let mut cloud = Cloud::new();
    let group = group_new(&mut cloud, "dev");
    let vdc = cloud.world.vdc(DEFAULT).expect("there");
    assert_eq!(vdc.name, "default");
    assert_eq!(vdc.groups, [1, group].into());
    assert_eq!(vdc.clusters, [(0, ALL_RESOURCES)].into());
    assert_eq!(rules(&cloud.world, group), OF_ALL);
    // Recorded: the ids of its first rules.
    let first = cloud.world.acls.values().map(|rule| rule.id).take(6);
    assert_eq!(first.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(vdc_new(&mut cloud, "first"), 100);
}

#[test]
fn rules_come_and_go_with_resources_and_groups() {
    let mut cloud = Cloud::new();
    let group = group_new(&mut cloud, "dev");
    let vdc = vdc_new(&mut cloud, "east");
    group_set(&mut cloud, DEFAULT, group, false).expect("out");
    assert_eq!(rules(&cloud.world, group), [""; 0]);
    resource_set(&mut cloud, vdc, VdcResource::Datastore, 100, true).expect("in");
    assert_eq!(rules(&cloud.world, group), [""; 0]);
    group_set(&mut cloud, vdc, group, true).expect("in");
    resource_set(&mut cloud, vdc, VdcResource::Host, 0, true).expect("in");
    resource_set(&mut cloud, vdc, VdcResource::Cluster, 0, true).expect("in");
    assert_eq!(
        rules(&cloud.world, group),
        [
            "DATASTORE/#100 USE #0",
            "HOST/#0 MANAGE #0",
            "HOST/%0 MANAGE #0",
            "NET/%0 USE #0",
            "DATASTORE/%0 USE #0",
        ]
    );
    resource_set(&mut cloud, vdc, VdcResource::Cluster, 0, false).expect("out");
    resource_set(&mut cloud, vdc, VdcResource::Host, ALL_RESOURCES, true).expect("in");
    assert_eq!(
        rules(&cloud.world, group),
        ["DATASTORE/#100 USE #0", "HOST/* MANAGE #0"]
    );
    delete(&mut cloud, Kind::Vdc, vdc).expect("gone");
    assert_eq!(rules(&cloud.world, group), [""; 0]);
}

#[test]
fn a_rule_stays_while_another_vdc_gives_it() {
    let mut cloud = Cloud::new();
    let group = group_new(&mut cloud, "dev");
    let before: Vec<AclRule> = cloud.world.acls.values().map(|rule| (**rule).clone()).collect();
    let vdc = vdc_new(&mut cloud, "east");
    resource_set(&mut cloud, vdc, VdcResource::Host, ALL_RESOURCES, true).expect("in");
    group_set(&mut cloud, vdc, group, true).expect("in");
    resource_set(&mut cloud, vdc, VdcResource::Host, ALL_RESOURCES, false).expect("out");
    let after: Vec<AclRule> = cloud.world.acls.values().map(|rule| (**rule).clone()).collect();
    assert_eq!(after, before);
    group_set(&mut cloud, DEFAULT, group, false).expect("out");
    assert_eq!(rules(&cloud.world, group), [""; 0]);
}

#[test]
fn what_is_gone_is_in_no_vdc_and_in_no_rule() {
    let mut cloud = Cloud::new();
    let group = group_new(&mut cloud, "dev");
    let cluster = system(&mut cloud, Command::ClusterAllocate { name: "east".into() }).expect("a cluster");
    let host = cloud.host("node-b");
    let vdc = vdc_new(&mut cloud, "east");
    group_set(&mut cloud, DEFAULT, group, false).expect("out");
    group_set(&mut cloud, vdc, group, true).expect("in");
    let members = [
        (VdcResource::Cluster, cluster),
        (VdcResource::Host, host),
        (VdcResource::Datastore, 100),
        (VdcResource::Vnet, 0),
    ];
    for (resource, id) in members {
        resource_set(&mut cloud, vdc, resource, id, true).expect("in");
    }
    let own = AclRule::parse(
        "0x100000005",
        &format!("{:x}", 0x21_0000_0000_u64 | u64::try_from(host).expect("id")),
        "1",
        "",
    );
    system(&mut cloud, Command::Acl(AclCommand::Add(own.expect("good")))).expect("a rule");
    for (resource, id) in members {
        delete(&mut cloud, resource.kind(), id).expect("gone");
        assert!(
            cloud
                .world
                .vdc(vdc)
                .expect("there")
                .resources(resource)
                .is_empty()
        );
    }
    assert_eq!(rules(&cloud.world, group), [""; 0]);
    assert!(
        !cloud
            .world
            .acls
            .values()
            .any(|rule| rule.text().starts_with("#5 "))
    );
    delete(&mut cloud, Kind::Group, group).expect("gone");
    assert!(cloud.world.vdc(vdc).expect("there").groups.is_empty());
}

#[test]
fn refusals_read_as_recorded() {
    let mut cloud = Cloud::new();
    let group = group_new(&mut cloud, "dev");
    let vdc = vdc_new(&mut cloud, "east");
    group_set(&mut cloud, vdc, group, true).expect("in");
    resource_set(&mut cloud, vdc, VdcResource::Host, 0, true).expect("in");
    let mut refusals = vec![
        group_set(&mut cloud, vdc, group, true),
        group_set(&mut cloud, vdc, 0, false),
        group_set(&mut cloud, vdc, 99, true),
        resource_set(&mut cloud, vdc, VdcResource::Host, 0, true),
        resource_set(&mut cloud, vdc, VdcResource::Host, 7, false),
        resource_set(&mut cloud, vdc, VdcResource::Host, 7, true),
        resource_set(&mut cloud, vdc, VdcResource::Vnet, -3, true),
        delete(&mut cloud, Kind::Vdc, DEFAULT),
    ];
    let command = VdcCommand::Resource {
        id: vdc,
        resource: VdcResource::Cluster,
        zone: 9,
        member: 100,
        add: true,
    };
    refusals.push(system(&mut cloud, Command::Vdc(command)));
    let template = Template::parse("NAME=east").expect("good");
    refusals.push(system(
        &mut cloud,
        Command::Vdc(VdcCommand::Allocate { template }),
    ));
    let found: Vec<(ErrorCode, String)> = refusals
        .into_iter()
        .map(|refusal| refusal.expect_err("refused"))
        .map(|error| (error.code, error.text))
        .collect();
    let expected = [
        (
            ErrorCode::Internal,
            "Group 100 is already assigned to the VDC 100",
        ),
        (ErrorCode::Internal, "Group 0 is not assigned to the VDC 100"),
        (ErrorCode::NoExists, "Error getting group [99]."),
        (
            ErrorCode::Internal,
            "HOST 0 from Zone 0 is already assigned to the VDC",
        ),
        (
            ErrorCode::Internal,
            "HOST 7 from Zone 0 is not assigned to the VDC ",
        ),
        (ErrorCode::NoExists, "Error getting host [7]."),
        (ErrorCode::NoExists, "Error getting virtual network [-3]."),
        (
            ErrorCode::Action,
            "Cannot delete VDC. System VDCs (ID < 100) cannot be deleted.",
        ),
        (ErrorCode::NoExists, "Error getting zone [9]."),
        (ErrorCode::Allocate, "NAME is already taken by Vdc 100."),
    ];
    assert_eq!(found, expected.map(|(code, text)| (code, text.to_owned())));
}

#[test]
fn a_world_from_before_gets_the_default_vdc() {
    let mut cloud = Cloud::new();
    let (kept, lost) = (group_new(&mut cloud, "kept"), group_new(&mut cloud, "lost"));
    let text = format!("@{lost} NET/* USE #0");
    let rule = cloud.world.acls.values().find(|rule| rule.text() == text);
    let id = rule.expect("a rule").id;
    system(&mut cloud, Command::Acl(AclCommand::Delete(id))).expect("gone");
    let mut world = cloud.world.clone();
    world.remove(Kind::Vdc, DEFAULT);
    world.last_ids.remove(&Kind::Vdc);
    let context = Context { now: 1, random: 1 };
    let (begun, change) = vdcs_begin(&world, &context).expect("something to do");
    assert_eq!(begun.vdc(DEFAULT).expect("there").groups, [1, kept].into());
    assert_eq!(begun.acls, world.acls);
    assert_eq!(change.last_ids, [(Kind::Vdc, 99)]);
    assert!(vdcs_begin(&begun, &context).is_none());
}
