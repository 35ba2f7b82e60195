//! Networks: whatever is done to ranges, holds, reservations and VMs, each address has one holder, and what is derived is
//! what a recount gives.

mod cloud;

use cloud::Cloud;
use plerion_lifecycle::Event;
use plerion_template::Template;
use plerion_world::{Caller, Command, VnetCommand};
use proptest::prelude::*;

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn reserve(cloud: &mut Cloud, text: &str) -> Result<i32, plerion_model::ApiError> {
    let command = VnetCommand::Reserve {
        id: 0,
        template: template(text),
    };
    cloud.give(&Caller::system(), Command::Vnet(command))
}

#[test]
fn a_reservation_takes_and_gives_back() {
    let mut cloud = Cloud::new();
    let first = reserve(&mut cloud, "NAME=r\nSIZE=3").expect("room");
    assert!(reserve(&mut cloud, "NAME=s\nSIZE=2").is_err(), "one is left");
    let free = VnetCommand::RangeFree { id: first, range: 0 };
    cloud
        .give(&Caller::system(), Command::Vnet(free))
        .expect("unused");
    reserve(&mut cloud, "NAME=s\nSIZE=4").expect("all are free again");
    cloud.world.check().expect("derived");
}

fn command(step: (u8, u8, u8)) -> Command {
    let (what, a, b) = step;
    let (vnet, range, size) = (i32::from(a % 4), i32::from(b % 3), b % 6 + 1);
    let lease = format!("LEASES=[IP=10.0.0.{}]", 10 + b % 8);
    match what % 11 {
        0 => Command::VnetHold {
            id: vnet,
            template: template(&lease),
            hold: true,
        },
        1 => Command::VnetHold {
            id: vnet,
            template: template(&lease),
            hold: false,
        },
        2 => Command::Vnet(VnetCommand::Reserve {
            id: vnet,
            template: template(&format!("NAME=r{a}-{b}\nSIZE={size}")),
        }),
        3 => Command::Vnet(VnetCommand::Reserve {
            id: vnet,
            template: template(&format!("NETWORK_ID={}\nSIZE={size}", b % 4)),
        }),
        4 => Command::Vnet(VnetCommand::RangeFree { id: vnet, range }),
        5 => Command::VnetRemoveRange {
            id: vnet,
            range,
            force: a % 2 == 0,
        },
        6 => Command::Vnet(VnetCommand::RangeUpdate {
            id: vnet,
            template: template(&format!("AR=[AR_ID={range},SIZE={size}]")),
        }),
        7 => Command::VnetAddRange {
            id: vnet,
            template: template(&format!("AR=[TYPE=IP4_6,IP=10.0.{b}.10,SIZE={size}]")),
        },
        8 => Command::VmAllocate {
            template: template(&format!("CPU=1\nMEMORY=64\nNIC=[NETWORK_ID={vnet}]")),
            hold: true,
        },
        9 => Command::VmAction {
            id: vnet,
            name: "terminate".into(),
            event: Event::Terminate { hard: true },
        },
        _ => Command::Delete {
            kind: plerion_model::Kind::Vnet,
            id: vnet,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_derived_is_what_a_recount_gives(steps in prop::collection::vec(any::<(u8, u8, u8)>(), 1..60)) {
        let mut cloud = Cloud::new();
        for step in steps {
            // Most are refused; those that are not must leave the world as a recount makes it.
            let _ = cloud.give(&Caller::system(), command(step));
            cloud.finish();
            prop_assert_eq!(cloud.world.check(), Ok(()));
        }
    }
}
