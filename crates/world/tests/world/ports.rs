//! Console ports: one pool for the cloud, so that no two VMs clash wherever they go.

use std::sync::Arc;

use plerion_lifecycle::Event;
use plerion_model::Id;
use plerion_template::Template;
use plerion_world::Config;

use crate::cloud::Cloud;

const SCREEN: &str = "NAME=s\nCPU=0.1\nMEMORY=8\nGRAPHICS=[TYPE=VNC]";

fn with_ports(attributes: &str) -> Cloud {
    let mut cloud = Cloud::new();
    let attributes = Template::parse(attributes).expect("a template");
    cloud.world.config = Arc::new(Config::new(attributes, "/datastores"));
    cloud
}

fn port(cloud: &Cloud, id: Id) -> Option<u16> {
    let vm = cloud.world.vm(id).expect("there");
    vm.template
        .pair("GRAPHICS", "PORT")
        .and_then(|port| port.parse().ok())
}

fn placed(cloud: &mut Cloud) -> Id {
    cloud.placed(SCREEN).expect("placed")
}

#[test]
fn ports_begin_at_the_first_and_leave_out_what_is_reserved() {
    let mut cloud = with_ports("VNC_PORTS=[START=65530,RESERVED=\"65530, 65532:65534\"]");
    let first = placed(&mut cloud);
    let second = placed(&mut cloud);
    assert_eq!(
        (port(&cloud, first), port(&cloud, second)),
        (Some(65531), Some(65535))
    );

    let third = cloud.vm(SCREEN).expect("a vm");
    let refusal = cloud.deploy(third).expect_err("no port is left");
    assert!(refusal.text.contains("VNC_PORTS"), "{}", refusal.text);
    assert_eq!(cloud.phase(third), "PENDING");
    cloud
        .act(first, Event::Terminate { hard: true })
        .expect("possible");
    cloud.finish();
    cloud.deploy(third).expect("its port is free");
    assert_eq!(port(&cloud, third), Some(65531));
    cloud.world.check().expect("derived state holds");
}

#[test]
fn a_port_that_was_given_up_and_taken_is_not_used_twice() {
    let mut cloud = with_ports("VNC_PORTS=[START=65533]");
    let first = placed(&mut cloud);
    let own = port(&cloud, first);
    cloud
        .act(first, Event::Undeploy { hard: true })
        .expect("possible");
    cloud.finish();
    assert_eq!(cloud.phase(first), "UNDEPLOYED");
    let others = [placed(&mut cloud), placed(&mut cloud), placed(&mut cloud)];
    let taken = others.map(|id| port(&cloud, id));
    assert!(taken.contains(&own), "{taken:?}");
    cloud
        .act(others[0], Event::Terminate { hard: true })
        .expect("possible");
    cloud.finish();

    cloud.act(first, Event::Resume).expect("possible");
    cloud.deploy(first).expect("placed again");
    cloud.finish();
    assert_eq!(port(&cloud, first), taken[0], "the one that is free");
}

#[test]
fn a_port_that_nobody_took_is_kept_and_one_that_was_asked_for_stays() {
    let mut cloud = with_ports("VNC_PORTS=[START=65000]");
    let first = placed(&mut cloud);
    let own = port(&cloud, first);
    cloud
        .act(first, Event::Undeploy { hard: true })
        .expect("possible");
    cloud.finish();
    cloud.act(first, Event::Resume).expect("possible");
    cloud.deploy(first).expect("placed again");
    assert_eq!(port(&cloud, first), own);

    let asked = cloud.placed(&SCREEN.replace("TYPE=VNC", "TYPE=SPICE,PORT=65002"));
    let asked = asked.expect("placed");
    assert_eq!(port(&cloud, asked), Some(65002));
    let next = placed(&mut cloud);
    assert_eq!(port(&cloud, next), Some(65003), "not the one that was asked for");
}
