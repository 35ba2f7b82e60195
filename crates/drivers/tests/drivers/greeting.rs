//! An agent that never greets is given up.

#![allow(clippy::expect_used, reason = "test")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use plerion_drivers::{LinkEvent, LinkMaker, LinkTarget, ProcessLinks, SshSettings};
use plerion_protocol::{PROTOCOL_VERSION, ServerHello, Watch};

/// Far longer than the greeting may take here; the test waits for the event, not for this time.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_agent_that_never_greets_is_given_up_with_the_reason() {
    let directory = std::env::temp_dir().join(format!("plerion-greeting-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let program = directory.join("mute");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("executable");
    let links = ProcessLinks::new(SshSettings {
        options: Vec::new(),
        program,
        identity: "none".into(),
        state_dir: directory.clone(),
        greeting: Duration::from_secs(1),
    });
    let (sender, events) = channel();
    let hello = ServerHello {
        protocol: PROTOCOL_VERSION,
        cloud: "mute".into(),
        epoch: 1,
        roots: Vec::new(),
    };
    let link = links.open(
        LinkTarget::front_end(),
        hello,
        Watch::default(),
        Arc::new(move |_, event| {
            // The test may have ended.
            let _ = sender.send(event);
        }),
    );
    let event = events.recv_timeout(PATIENCE);
    drop(link);
    std::fs::remove_dir_all(&directory).expect("removed");
    match event.expect("the link is given up") {
        LinkEvent::Down(reason) => assert!(reason.contains("said nothing for 1 s"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
