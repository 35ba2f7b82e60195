//! A cloud whose intents are planned and ended without agents.

use std::collections::BTreeMap;

use plerion_drivers::{Environment, Place, Plan, intent_plan};
use plerion_lifecycle::Event;
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, ScriptArgument, SshTarget};
use plerion_template::Template;
use plerion_world::{
    Caller, Command, Config, Context, HostReport, ImageSpec, Intent, Order, Output, Reply, Task, World,
    apply, bootstrap,
};

pub const CONTEXT: Context = Context { now: 1000, random: 7 };

pub struct Cloud {
    pub world: World,
    /// What random names come from: the same ones as long as it stays.
    pub random: u128,
}

impl Cloud {
    /// Two hosts: 0 a dummy one, 1 with KVM.
    pub fn new() -> Self {
        let config = Config::new(template("HOSTNAME=fe\nPORT=99"), "/ds");
        let (world, _) = bootstrap(
            &World::new(config),
            &CONTEXT,
            ["oneadmin", "serveradmin"],
            ["x", "y"],
        );
        let mut cloud = Self {
            world,
            random: CONTEXT.random,
        };
        cloud.host("node-a", "dummy");
        cloud.host("node-b", "kvm");
        cloud
    }

    pub fn run(&mut self, command: Command) -> Id {
        let order = Order {
            caller: Caller::system(),
            command,
        };
        let context = Context {
            random: self.random,
            ..CONTEXT
        };
        let applied = apply(&self.world, &order, &context).expect("done");
        self.world = applied.world;
        match applied.reply {
            Reply::Id(id) => id,
            Reply::Text(_) | Reply::Nothing => -1,
        }
    }

    /// Why a command is refused.
    pub fn refused(&self, command: Command) -> String {
        let order = Order {
            caller: Caller::system(),
            command,
        };
        match apply(&self.world, &order, &CONTEXT) {
            Err(error) => error.text,
            Ok(_) => panic!("{:?} is not refused", order.command),
        }
    }

    pub fn host(&mut self, name: &str, driver: &str) {
        let id = self.run(Command::HostAllocate {
            name: name.into(),
            im_mad: driver.into(),
            vm_mad: driver.into(),
            cluster: -1,
        });
        let report = HostReport::Up {
            total_cpu: 800,
            total_memory_kib: 8 << 20,
            boot_id: "b".into(),
            facts: BTreeMap::new(),
        };
        self.run(Command::HostReported { id, report });
    }

    pub fn datastore(&mut self, text: &str) -> Id {
        self.run(Command::DatastoreAllocate {
            template: template(text),
            cluster: -1,
        })
    }

    pub fn image_asked(&mut self, datastore: Id, text: &str) -> Id {
        self.run(Command::ImageAllocate {
            template: template(text),
            datastore,
            spec: ImageSpec { size_mib: Some(64) },
        })
    }

    /// An image that is ready.
    pub fn image(&mut self, datastore: Id, text: &str, source: &str) -> Id {
        let format = template(text).get("FORMAT").unwrap_or("raw").to_owned();
        let id = self.image_asked(datastore, text);
        let intent = self.intent(Kind::Image, id);
        self.end(
            &intent,
            Output {
                source: Some(source.into()),
                format: Some(format),
                ..Output::default()
            },
        );
        id
    }

    pub fn intent(&self, kind: Kind, id: Id) -> Intent {
        let found = self
            .world
            .outbox
            .values()
            .find(|intent| intent.key.kind == kind && intent.key.id == id);
        found.expect("an intent").as_ref().clone()
    }

    pub fn end(&mut self, intent: &Intent, output: Output) {
        self.run(Command::IntentEnded {
            key: intent.key,
            result: Ok(output),
        });
    }

    pub fn plan(&self, intent: &Intent) -> Plan {
        let ssh_target = |host: &str| SshTarget {
            host: host.into(),
            options: Vec::new(),
            program: "/p".into(),
        };
        let environment = Environment {
            hypervisor_conf: &Template::new(),
            now: 1000,
            ssh_target: &ssh_target,
        };
        intent_plan(&self.world, intent, &environment).expect("planned")
    }

    /// Ends all that the VM waits for, up to its rest; the plans' lines, each begun with the ask.
    pub fn lines(&mut self, vm: Id) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(intent) = self
            .world
            .outbox
            .values()
            .find(|intent| intent.key.kind == Kind::Vm && intent.key.id == vm)
            .cloned()
        {
            let Task::Vm(ask) = intent.task else {
                panic!("not about a VM")
            };
            let plan = self.plan(&intent);
            for step in &plan.steps {
                lines.push(format!("{ask:?} {}", line(step.place, &step.action)));
            }
            self.end(&intent, plan.output);
        }
        lines
    }

    pub fn vm(&mut self, text: &str, host: Id, datastore: Id) -> Id {
        let id = self.run(Command::VmAllocate {
            template: template(&format!("CPU=1\nMEMORY=64\n{text}")),
            hold: false,
        });
        self.run(Command::VmDeploy {
            id,
            host,
            enforce: true,
            datastore,
        });
        id
    }

    pub fn action(&mut self, id: Id, event: Event) {
        self.run(Command::VmAction {
            id,
            name: format!("{event:?}"),
            event,
        });
    }
}

pub fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

/// A call of a script as a line; other actions by their kind.
pub fn line(place: Place, action: &Action) -> String {
    let Action::ScriptRun(call) = action else {
        let name = format!("{action:?}");
        let kind = name.split_whitespace().next().unwrap_or_default();
        return format!("({place:?} {kind})");
    };
    assert_eq!(place, Place::FrontEnd, "scripts run on the front-end");
    let arguments: Vec<String> = call.arguments.iter().map(argument).collect();
    format!("{} {}", call.programs.join("|"), arguments.join(" "))
}

fn argument(argument: &ScriptArgument) -> String {
    match argument {
        ScriptArgument::Text(text) => text.clone(),
        ScriptArgument::Here(path) => format!("HERE:{path}"),
        ScriptArgument::File(file) => format!("<{}>", file.name),
    }
}
