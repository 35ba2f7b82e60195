//! Networks: whatever is done to ranges, holds, reservations and VMs, each address has one holder, and what is derived is
//! what a recount gives.

use crate::cloud::Cloud;
use plerion_lifecycle::Event;
use plerion_model::Kind;
use plerion_template::Template;
use plerion_world::{Caller, Command, VnetCommand, VrouterCommand};
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
    match what % 16 {
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
            id: i32::from(a % 2),
            template: template(&format!("NETWORK_ID={}\nSIZE={}", 1 + b % 2, 1 + b % 3)),
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
        10 => Command::Vrouter(VrouterCommand::Allocate {
            template: template(&format!(
                "NIC=[NETWORK_ID={vnet},FLOATING_IP=YES]\nNIC=[NETWORK_ID={}]",
                b % 4
            )),
        }),
        11 => Command::Vrouter(VrouterCommand::Instantiate {
            id: range,
            count: 1,
            template: 0,
            name: String::new(),
            hold: true,
            extra: Template::new(),
        }),
        12 => Command::Vrouter(VrouterCommand::NicDetach {
            id: range,
            nic: i32::from(a % 2),
        }),
        13 => Command::VmAllocate {
            template: template(&format!(
                "CPU=1\nMEMORY=64\nNIC=[NETWORK_ID={vnet}]\nNIC=[NETWORK_MODE=auto]\n\
                 NIC_ALIAS=[NETWORK_ID={vnet},PARENT=NIC0]"
            )),
            hold: a % 2 == 0,
        },
        14 => Command::VmDeploy {
            id: vnet,
            host: 0,
            enforce: false,
            datastore: -1,
        },
        _ => Command::Delete {
            kind: if a % 3 == 0 { Kind::Vrouter } else { Kind::Vnet },
            id: vnet,
        },
    }
}

/// The finalizer of splitmix64: draws that have nothing to do with each other.
fn drawn(n: u64) -> (u8, u8, u8) {
    let mut mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bytes = (mixed ^ mixed >> 31).to_le_bytes();
    (bytes[1], bytes[2], bytes[3])
}

#[test]
fn made_up_commands_are_taken() {
    let mut taken = [0u32; 16];
    for life in 0..40u64 {
        let mut cloud = Cloud::new();
        cloud.made("NAME=r\nCPU=1\nMEMORY=64\nVROUTER=YES", |template| {
            Command::TemplateAllocate { template }
        });
        for n in 0..80 {
            let step = drawn(life * 80 + n);
            let given = cloud.give(&Caller::system(), command(step));
            taken[usize::from(step.0 % 16)] += u32::from(given.is_ok());
            cloud.finish();
        }
    }
    assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_derived_is_what_a_recount_gives(steps in prop::collection::vec(any::<(u8, u8, u8)>(), 1..80)) {
        let mut cloud = Cloud::new();
        cloud.made("NAME=r\nCPU=1\nMEMORY=64\nVROUTER=YES", |template| Command::TemplateAllocate { template });
        for step in steps {
            // Most are refused; those that are not must leave the world as a recount makes it.
            let _ = cloud.give(&Caller::system(), command(step));
            cloud.finish();
            prop_assert_eq!(cloud.world.check(), Ok(()));
        }
    }
}
