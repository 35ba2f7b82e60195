//! A cloud with an object of every kind, none of which is the stranger's.

use plerion_lifecycle::Event;
use plerion_model::acl::{self, AclRule};
use plerion_model::{Id, Kind};
use plerion_template::Template;
use plerion_world::{
    AclCommand, BackupJobCommand, Caller, Command, DocumentCommand, HookCommand, ImageSpec, MarketCommand,
    SchedCommand, VdcCommand, VmDeviceCommand, VmGroupCommand, VnTemplateCommand, VnetCommand,
    VrouterCommand,
};

use super::{Cloud, VM};

/// A cloud, and the ids in it.
pub struct Stage {
    pub cloud: Cloud,
    /// A user of the group `users`, who owns the VM and nothing else.
    pub owner: Caller,
    /// A user of a group that has no rule.
    pub stranger: Caller,
    /// A user who may do everything, and is no administrator.
    pub mighty: Caller,
    pub vm: Id,
    pub image: Id,
    pub job: Id,
    pub cluster: Id,
    pub document: Id,
    pub hook: Id,
    pub market: Id,
    pub app: Id,
    pub action: Id,
    pub secgroup: Id,
    pub template: Id,
    pub router_template: Id,
    pub vdc: Id,
    pub vmgroup: Id,
    pub vntemplate: Id,
    pub reservation: Id,
    pub vrouter: Id,
    pub backups: Id,
}

/// A template of a text.
pub fn t(text: &str) -> Template {
    Template::parse_or_empty(text).expect("a template")
}

fn user(cloud: &mut Cloud, name: &str) -> Caller {
    let command = Command::UserAllocate {
        name: name.into(),
        password: "p".into(),
        driver: "core".into(),
        groups: Vec::new(),
    };
    let id = cloud.give(&Caller::system(), command).expect("a user");
    Caller::of(cloud.world.user(id).expect("there"))
}

impl Stage {
    pub fn new() -> Self {
        let mut cloud = Cloud::new();
        let (owner, other, mighty) = (
            user(&mut cloud, "owner"),
            user(&mut cloud, "stranger"),
            user(&mut cloud, "mighty"),
        );
        let stranger = Caller {
            gid: 500,
            groups: vec![500],
            ..other
        };
        let everything = AclRule {
            id: -1,
            user: acl::INDIVIDUAL | acl::id_bits(mighty.uid),
            resource: Kind::ALL
                .iter()
                .fold(acl::ALL, |bits, kind| bits | kind.acl_bit()),
            rights: 0xf,
            zone: acl::ALL,
        };
        let give = Command::Acl(AclCommand::Add(everything));
        cloud.give(&Caller::system(), give).expect("given");
        let cluster = cloud
            .give(&Caller::system(), Command::ClusterAllocate { name: "c".into() })
            .expect("a cluster");
        let backups = cloud.made("NAME=backups\nTYPE=BACKUP_DS\nDS_MAD=dummy", |template| {
            Command::DatastoreAllocate {
                template,
                cluster: -1,
            }
        });
        let image = cloud.made("NAME=kept\nPATH=/x\nPERSISTENT=YES", |template| {
            Command::ImageAllocate {
                template,
                datastore: 101,
                spec: ImageSpec { size_mib: Some(10) },
            }
        });
        cloud.finish();
        let vm = cloud.placed(VM).expect("a VM");
        cloud
            .give(
                &Caller::system(),
                Command::Chown {
                    kind: Kind::Vm,
                    id: vm,
                    uid: owner.uid,
                    gid: 1,
                },
            )
            .expect("given");
        let mut made = |text: &str, command: &dyn Fn(Template) -> Command| cloud.made(text, command);
        let job = made("NAME=job\nDATASTORE_ID=0\nBACKUP_VMS=\"0\"", &|template| {
            Command::BackupJob(BackupJobCommand::Allocate { template })
        });
        let document = made("NAME=doc", &|template| {
            Command::Document(DocumentCommand::Allocate {
                template,
                document_type: 100,
            })
        });
        let hook = made("NAME=hook\nTYPE=api\nCALL=one.vm.info\nCOMMAND=x", &|template| {
            Command::Hook(HookCommand::Allocate { template })
        });
        let market = made("NAME=market\nMARKET_MAD=dummy", &|template| {
            Command::Market(MarketCommand::Allocate { template })
        });
        let app = made("NAME=app\nTYPE=IMAGE\nORIGIN_ID=1", &|template| {
            Command::Market(MarketCommand::AppAllocate { template, market })
        });
        let action = made("SCHED_ACTION=[ACTION=hold,TIME=99999999]", &|template| {
            Command::Sched(SchedCommand::Add {
                kind: Kind::Vm,
                id: vm,
                template,
            })
        });
        let secgroup = made("NAME=sg\nRULE=[PROTOCOL=TCP,RULE_TYPE=INBOUND]", &|template| {
            Command::SecgroupAllocate { template }
        });
        let template = made("NAME=tmpl\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]", &|template| {
            Command::TemplateAllocate { template }
        });
        let router_template = made("NAME=router\nCPU=1\nMEMORY=64\nVROUTER=YES", &|template| {
            Command::TemplateAllocate { template }
        });
        let vdc = made("NAME=vdc", &|template| {
            Command::Vdc(VdcCommand::Allocate { template })
        });
        let vmgroup = made("NAME=vmgroup\nROLE=[NAME=a]\nROLE=[NAME=b]", &|template| {
            Command::VmGroup(VmGroupCommand::Allocate { template })
        });
        let vntemplate = made("NAME=vnt\nVN_MAD=dummy\nBRIDGE=br1", &|template| {
            Command::VnTemplate(VnTemplateCommand::Allocate { template })
        });
        let reservation = made("NAME=mine\nSIZE=1", &|template| {
            Command::Vnet(VnetCommand::Reserve { id: 0, template })
        });
        let vrouter = made("NAME=vrouter", &|template| {
            Command::Vrouter(VrouterCommand::Allocate { template })
        });
        Self {
            cloud,
            owner,
            stranger,
            mighty,
            vm,
            image,
            job,
            cluster,
            document,
            hook,
            market,
            app,
            action,
            secgroup,
            template,
            router_template,
            vdc,
            vmgroup,
            vntemplate,
            reservation,
            vrouter,
            backups,
        }
    }

    /// What a refusal says lacks; the whole text if it is about something else.
    pub fn lacks(&mut self, caller: &Caller, command: Command) -> String {
        let who = format!("User [{}] : ", caller.uid);
        let lacks = "Not authorized to perform ";
        match self.cloud.give(caller, command) {
            Ok(_) => "nothing".into(),
            Err(refusal) => match refusal.text.strip_prefix(&who) {
                Some(text) if text.starts_with(lacks) => text.trim_end_matches('.').replace(lacks, ""),
                _ => refusal.text,
            },
        }
    }

    pub fn device(&self, command: VmDeviceCommand) -> Command {
        Command::VmDevice { id: self.vm, command }
    }

    pub fn act(&self, event: Event) -> Command {
        Command::VmAction {
            id: self.vm,
            name: "x".into(),
            event,
        }
    }
}

/// Checks that the administrators' command is refused, and that the text says so.
pub fn refuses(stage: &mut Stage, says: &str, command: Command) {
    refuses_to(stage, &Caller::system(), says, command);
}

/// The same for another caller.
pub fn refuses_to(stage: &mut Stage, caller: &Caller, says: &str, command: Command) {
    let asked = format!("{command:?}");
    match stage.cloud.give(caller, command) {
        Ok(_) => panic!("not refused: {asked}"),
        Err(refusal) => assert!(refusal.text.contains(says), "{asked}: {}", refusal.text),
    }
}

/// Gives a command of an administrator that is not refused.
pub fn give(stage: &mut Stage, command: Command) -> Id {
    let asked = format!("{command:?}");
    match stage.cloud.give(&Caller::system(), command) {
        Ok(id) => id,
        Err(refusal) => panic!("{asked}: {}", refusal.text),
    }
}

/// A VM is made.
pub fn vm(text: &str) -> Command {
    Command::VmAllocate {
        template: t(&format!("CPU=1\nMEMORY=64\n{text}")),
        hold: false,
    }
}

/// Attributes are added.
pub fn update(kind: Kind, id: Id, text: &str) -> Command {
    Command::Update {
        kind,
        id,
        template: t(text),
        append: true,
    }
}
