//! Domains under a real libvirt. It runs only where the environment says that the libvirt at hand is there for tests
//! (`PLERION_TEST_LIBVIRT=1`), because it starts, kills and destroys domains.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Channel, PATIENCE, Scratch};
use plerion_protocol::{Action, Bridge, ContextFile, DomainState, ErrorKind, FromNode, ToNode, Watch};

const NAME: &str = "one-990001";
const UUID: &str = "5f1c1a52-0c3f-4a3e-9d52-0e3ea1990001";
const OTHER_UUID: &str = "5f1c1a52-0c3f-4a3e-9d52-0e3ea1990002";
const BRIDGE: &str = "plerion-test0";

/// Ends what a failed test leaves behind.
struct Cleanup;

impl Drop for Cleanup {
    fn drop(&mut self) {
        for (program, arguments) in [
            ("virsh", vec!["-q", "-c", "qemu:///system", "destroy", NAME]),
            ("ip", vec!["link", "delete", "dev", BRIDGE]),
        ] {
            let output = Command::new(program).args(&arguments).output();
            assert!(output.is_ok(), "{program} cannot be started");
        }
    }
}

fn available() -> bool {
    if std::env::var_os("PLERION_TEST_LIBVIRT").is_none() {
        common::skipped("no libvirt for tests (PLERION_TEST_LIBVIRT is not set)");
        return false;
    }
    let output = Command::new("virsh")
        .args(["-c", "qemu:///system", "list"])
        .output()
        .expect("virsh");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

fn xml(uuid: &str, disk: &str) -> String {
    format!(
        "<domain type='qemu'><name>{NAME}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type \
         arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator><disk \
         type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' \
         bus='virtio'/></disk><interface type='bridge'><mac address='02:00:0a:00:00:01'/><source bridge='{BRIDGE}'/></interface></devices></domain>"
    )
}

struct Bench {
    scratch: Scratch,
    agent: Channel,
    _cleanup: Cleanup,
}

impl Bench {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let mut agent = Channel::stdio(&scratch);
        scratch.write("ds/1/image", &[0; 4096]);
        std::fs::create_dir_all(scratch.ds("0/990001")).expect("made");
        std::os::unix::fs::symlink(scratch.ds("1/image"), scratch.ds("0/990001/disk.0")).expect("linked");
        agent.say(&ToNode::Watch(Watch {
            interval_s: 3600,
            datastores: Vec::new(),
            hypervisor: true,
            caches: Vec::new(),
            unwanted: Vec::new(),
            leases: Vec::new(),
            looks: Vec::new(),
        }));
        let mut bench = Self {
            scratch,
            agent,
            _cleanup: Cleanup,
        };
        bench.until(|message| matches!(message, FromNode::Sample { .. }));
        bench
    }

    fn until(&mut self, wanted: impl Fn(&FromNode) -> bool) -> FromNode {
        loop {
            let message = self.agent.next().expect("a message");
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Waits until the domain is reported in a state.
    fn state_await(&mut self, state: DomainState) {
        let message =
            self.until(|message| matches!(message, FromNode::Domain { state: now, .. } if *now == state));
        let FromNode::Domain { name, uuid, .. } = message else {
            panic!("not a domain")
        };
        assert_eq!((name.as_str(), uuid.as_str()), (NAME, UUID));
    }

    fn start(&self, uuid: &str) -> Action {
        Action::DomainStart {
            name: NAME.to_owned(),
            uuid: uuid.to_owned(),
            directory: self.scratch.ds_text("0/990001"),
            xml: xml(uuid, &self.scratch.ds_text("0/990001/disk.0")),
            deployment_file: "deployment.0".to_owned(),
            files: vec![ContextFile {
                name: "vm.xml".to_owned(),
                text: "<VM/>".to_owned(),
            }],
            bridges: vec![Bridge {
                name: BRIDGE.to_owned(),
                phydev: None,
            }],
        }
    }

    /// Starts it and waits for the event; the report may come before or after it.
    fn started(&mut self) {
        let start = self.start(UUID);
        let request = self.agent.request(start);
        let key = request.key;
        self.agent.say(&ToNode::Do(Box::new(request)));
        let (mut running, mut done) = (false, false);
        while !(running && done) {
            match self.agent.next().expect("a message") {
                FromNode::Domain {
                    state: DomainState::Running,
                    ..
                } => running = true,
                FromNode::Done(report) if report.key == key => {
                    assert_eq!(report.result.expect("started").uuid.as_deref(), Some(UUID));
                    done = true;
                }
                _ => {}
            }
        }
    }
}

/// Kills the QEMU of the domain, found by the file in which libvirt keeps its process id.
fn guest_kill() {
    let pid = std::fs::read_to_string(format!("/run/libvirt/qemu/{NAME}.pid")).expect("a process id");
    let killed = Command::new("kill")
        .args(["-9", pid.trim()])
        .status()
        .expect("run");
    assert!(killed.success());
}

fn named(make: impl Fn(String, String) -> Action) -> Action {
    make(NAME.to_owned(), UUID.to_owned())
}

#[test]
fn a_domain_lives_and_dies() {
    if !available() {
        return;
    }
    let mut bench = Bench::new("domain");
    bench.started();
    assert_eq!(
        std::fs::read_to_string(bench.scratch.ds("0/990001/vm.xml")).expect("written"),
        "<VM/>"
    );
    let deployed = std::fs::read_to_string(bench.scratch.ds("0/990001/deployment.0")).expect("written");
    assert!(
        deployed.contains(&format!("file='{}'", bench.scratch.ds_text("1/image"))),
        "the link is resolved"
    );
    let start = bench.start(UUID);
    bench.agent.act(start).expect("it runs already");
    let start = bench.start(OTHER_UUID);
    let error = bench.agent.act(start).expect_err("another of that name");
    assert!(error.text.contains(UUID), "{error}");

    bench.agent.say(&ToNode::Watch(Watch {
        interval_s: 3600,
        datastores: Vec::new(),
        hypervisor: true,
        caches: Vec::new(),
        unwanted: Vec::new(),
        leases: Vec::new(),
        looks: Vec::new(),
    }));
    let sample = bench.until(|message| matches!(message, FromNode::Sample { .. }));
    let FromNode::Sample { vms, .. } = sample else {
        panic!("not a sample")
    };
    let vm = vms.iter().find(|vm| vm.name == NAME).expect("measured");
    assert!(vm.memory_kib > 0 && vm.uuid == UUID);

    guest_kill();
    let began = Instant::now();
    bench.state_await(DomainState::Crashed);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "seen after {:?}",
        began.elapsed()
    );

    bench.started();
    bench
        .agent
        .act(named(|name, uuid| Action::DomainReset { name, uuid }))
        .expect("reset");
    let checkpoint = bench.scratch.ds_text("0/990001/checkpoint");
    let save = Action::DomainSave {
        name: NAME.to_owned(),
        uuid: UUID.to_owned(),
        checkpoint: checkpoint.clone(),
    };
    bench.agent.act(save.clone()).expect("saved");
    assert!(std::path::Path::new(&checkpoint).is_file());
    bench.agent.act(save).expect("saved before");
    let disk = bench.scratch.ds_text("0/990001/disk.0");
    let restore = Action::DomainRestore {
        name: NAME.to_owned(),
        uuid: UUID.to_owned(),
        checkpoint: checkpoint.clone(),
        xml: xml(UUID, &disk),
        bridges: Vec::new(),
    };
    bench.agent.act(restore.clone()).expect("restored");
    assert!(!std::path::Path::new(&checkpoint).exists());
    bench.agent.act(restore).expect("restored before");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainDestroy { name, uuid }))
        .expect("destroyed");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainDestroy { name, uuid }))
        .expect("gone already");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainShutdown { name, uuid }))
        .expect("gone already");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainReboot { name, uuid }))
        .expect_err("there is none to reboot");

    a_stranger_is_not_touched(&mut bench);
    a_shutdown_waits(&mut bench);
    events_survive_a_restart_of_libvirtd(&mut bench);
}

/// `PLERION_TEST_LIBVIRT_RESTART` names a program that stops libvirtd, kills the guest of the domain it is given, and
/// starts libvirtd again.
fn events_survive_a_restart_of_libvirtd(bench: &mut Bench) {
    let Some(program) = std::env::var_os("PLERION_TEST_LIBVIRT_RESTART") else {
        common::skipped("PLERION_TEST_LIBVIRT_RESTART does not name a program that restarts libvirtd");
        return;
    };
    bench.started();
    // The guest dies while nobody listens; the agent finds out when libvirtd is back.
    let script = Command::new(program).arg(NAME).status().expect("run");
    assert!(script.success());
    let gone = |message: &FromNode| matches!(message, FromNode::Domain { state: DomainState::Off | DomainState::Crashed, name, .. } if name == NAME);
    bench.until(gone);
    bench.started();
    guest_kill();
    bench.state_await(DomainState::Crashed);
}

/// A domain of the same name and another UUID belongs to somebody else.
fn a_stranger_is_not_touched(bench: &mut Bench) {
    bench.started();
    let other = |make: fn(String, String) -> Action| make(NAME.to_owned(), OTHER_UUID.to_owned());
    for action in [
        other(|name, uuid| Action::DomainAbsent { name, uuid }),
        other(|name, uuid| Action::DomainDestroy { name, uuid }),
        other(|name, uuid| Action::DomainReset { name, uuid }),
        Action::DomainSave {
            name: NAME.to_owned(),
            uuid: OTHER_UUID.to_owned(),
            checkpoint: bench.scratch.ds_text("0/990001/other"),
        },
    ] {
        let error = bench
            .agent
            .act(action.clone())
            .expect_err("it is not the one meant");
        assert!(!error.text.is_empty(), "{action:?}");
    }
    bench
        .agent
        .act(other(|name, uuid| Action::DomainShutdown { name, uuid }))
        .expect("the one meant does not run");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainReset { name, uuid }))
        .expect("it still runs");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainAbsent { name, uuid }))
        .expect("it is the one meant");
    bench
        .agent
        .act(named(|name, uuid| Action::DomainDestroy { name, uuid }))
        .expect("destroyed");
}

/// No guest system runs, so nothing reacts to the power button.
fn a_shutdown_waits(bench: &mut Bench) {
    bench.started();
    let mut request = bench
        .agent
        .request(named(|name, uuid| Action::DomainShutdown { name, uuid }));
    request.deadline_s = 2;
    let error = bench.agent.ask(request).expect_err("too late");
    assert_eq!(error.kind, ErrorKind::Deadline);
    assert!(error.text.contains("ACPI"), "{error}");
    let waiting = bench
        .agent
        .request(named(|name, uuid| Action::DomainShutdown { name, uuid }));
    let destroy = bench
        .agent
        .request(named(|name, uuid| Action::DomainDestroy { name, uuid }));
    bench.agent.say(&ToNode::Do(Box::new(waiting.clone())));
    bench.agent.say(&ToNode::Do(Box::new(destroy.clone())));
    let began = Instant::now();
    let (mut ended, mut reports) = (Vec::new(), 0);
    while reports < 2 {
        if let FromNode::Done(report) = bench.agent.next().expect("a message") {
            report.result.expect("both succeed");
            ended.push(report.key);
            reports += 1;
        }
    }
    assert!(ended.contains(&waiting.key) && ended.contains(&destroy.key));
    assert!(
        began.elapsed() < Duration::from_secs(10) && began.elapsed() < PATIENCE,
        "told by the event"
    );
}
