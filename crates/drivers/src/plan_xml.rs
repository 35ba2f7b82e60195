//! The XML of a VM, of its domain and of its devices, and the bridges that they are plugged into.

use plerion_domain::{ContextDisk, DomainError, DomainInput, HostFacts, Hypervisor, Metadata};
use plerion_protocol::{Bridge, ContextFile};
use plerion_template::{PackedTemplate, PlainXml, Template, Vector};
use plerion_world::{Measurements, Scope, Snapshot};

use crate::plan::{Environment, Stay};

/// What a VM's domain is made of, for a function that makes XML of it; values that are kept encrypted are in clear.
pub(crate) fn with_input<T>(
    stay: &Stay<'_>,
    environment: &Environment<'_>,
    make: impl FnOnce(&DomainInput<'_>) -> Result<T, DomainError>,
) -> Result<T, String> {
    let secrets = &stay.world.config.secrets;
    let opened = |scope: Scope, template: &PackedTemplate| match secrets.template_opened(scope, template) {
        Some(opened) => opened.unpack(),
        None => template.unpack(),
    };
    with_templates(stay, environment, opened, make)
}

/// As [`with_input`], of values as they are kept: for people.
pub(crate) fn with_input_sealed<T>(
    stay: &Stay<'_>,
    environment: &Environment<'_>,
    make: impl FnOnce(&DomainInput<'_>) -> Result<T, DomainError>,
) -> Result<T, String> {
    with_templates(stay, environment, |_, template| template.unpack(), make)
}

fn with_templates<T>(
    stay: &Stay<'_>,
    environment: &Environment<'_>,
    unpack: impl Fn(Scope, &PackedTemplate) -> Template,
    make: impl FnOnce(&DomainInput<'_>) -> Result<T, DomainError>,
) -> Result<T, String> {
    let world = stay.world;
    let template = unpack(Scope::Vm, &stay.vm.template);
    let host = unpack(Scope::Host, &stay.host.template);
    let cluster = world
        .clusters
        .get(stay.host.cluster_id)
        .map(|cluster| unpack(Scope::Cluster, &cluster.template))
        .unwrap_or_default();
    let hypervisor = if stay.host.vm_mad == "kvm" {
        Hypervisor::Kvm
    } else {
        Hypervisor::Qemu
    };
    let text = |name: &str| stay.host.template.get(name);
    let input = DomainInput {
        vm_id: stay.vm.id,
        name: &stay.vm.name,
        uuid: stay.vm.uuid(),
        vm: &template,
        host: &host,
        cluster: &cluster,
        driver: environment.hypervisor_conf,
        hypervisor,
        directory: &stay.directory,
        context_disk: ContextDisk::File,
        host_facts: HostFacts {
            architecture: text("ARCH"),
            cgroups_version: text("CGROUPS_VERSION").and_then(|version| version.parse().ok()),
        },
        metadata: Some(Metadata {
            system_datastore: &stay.directory,
            uname: world.users.get(stay.vm.owned.uid).map_or("", |user| &user.name),
            uid: stay.vm.owned.uid,
            gname: world
                .groups
                .get(stay.vm.owned.gid)
                .map_or("", |group| &group.name),
            gid: stay.vm.owned.gid,
            version: "7.4.0",
            stime: stay.vm.stime,
            deployment_time: environment.now,
        }),
    };
    make(&input).map_err(|error| error.to_string())
}

/// vm.xml and ds.xml, which scripts on hosts read.
pub(crate) fn vm_records(stay: &Stay<'_>) -> Vec<ContextFile> {
    let measurements = Measurements::default();
    let view = Snapshot {
        world: stay.world,
        measurements: &measurements,
    };
    let mut vm = PlainXml::new();
    stay.vm.render(&mut vm, &view);
    let mut datastore = PlainXml::new();
    stay.system.render(&mut datastore, &view);
    vec![
        ContextFile {
            name: "vm.xml".into(),
            text: vm.into_string(),
        },
        ContextFile {
            name: "ds.xml".into(),
            text: datastore.into_string(),
        },
    ]
}

/// Bridges that the network driver `bridge` must find or make.
pub(crate) fn bridges(template: &PackedTemplate) -> Result<Vec<Bridge>, String> {
    let mut bridges: Vec<Bridge> = Vec::new();
    for nic in template.vectors("NIC") {
        bridge_add(&mut bridges, &nic.to_vector())?;
    }
    Ok(bridges)
}

/// Adds the bridge of one NIC.
pub(crate) fn bridge_add(bridges: &mut Vec<Bridge>, nic: &Vector) -> Result<(), String> {
    let name = nic.get("BRIDGE").unwrap_or_default();
    match nic.get("VN_MAD").unwrap_or_default() {
        "dummy" => {}
        "bridge" => {
            if !bridges.iter().any(|bridge| bridge.name == name) {
                let phydev = nic
                    .get("PHYDEV")
                    .filter(|device| !device.is_empty())
                    .map(str::to_owned);
                bridges.push(Bridge {
                    name: name.to_owned(),
                    phydev,
                });
            }
        }
        other => {
            return Err(format!(
                "network driver {other} is not built in yet; use bridge or dummy"
            ));
        }
    }
    Ok(())
}
