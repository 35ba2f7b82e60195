//! The system datastore in what depends on it in a VM's template.

use std::sync::Arc;

use plerion_model::datastore::Datastore;
use plerion_model::vm::{Demand, Vm};
use plerion_template::{PackedTemplate, Template, Vector};

/// The system datastore in what depends on it.
pub(crate) fn system_take(vm: &mut Vm, system: &Datastore) {
    let mut template = vm.template.unpack();
    system_set(&mut template, system);
    vm.template = PackedTemplate::new(&template);
    vm.demand = Arc::new(Demand::read(&vm.template));
}

/// The system datastore in what depends on it (recorded): volatile disks, TM_MAD_SYSTEM.
pub(crate) fn system_set(template: &mut Template, system: &Datastore) {
    for disk in template
        .vectors_mut("DISK")
        .filter(|disk| disk.get("IMAGE_ID").is_none())
    {
        volatile_set(disk, system);
    }
    template.set("TM_MAD_SYSTEM", system.tm_mad.clone());
}

/// The system datastore in a volatile disk.
pub(crate) fn volatile_set(disk: &mut Vector, system: &Datastore) {
    let from_store = |name: &str, default: &str| system.template.get(name).unwrap_or(default).to_owned();
    disk.set("ALLOW_ORPHANS", from_store("ALLOW_ORPHANS", "NO"));
    disk.set("CLUSTER_ID", crate::vm_disk_image::join(&system.clusters));
    disk.set("DATASTORE", system.name.clone());
    disk.set("DATASTORE_ID", system.id.to_string());
    disk.set("DISK_TYPE", system.disk_type.as_str());
    let format = disk.get("FORMAT").unwrap_or("raw").to_owned();
    disk.set("DRIVER", format);
    disk.set("PERSISTENT_SNAPSHOTS", from_store("PERSISTENT_SNAPSHOTS", "YES"));
    disk.set("TM_MAD", system.tm_mad.clone());
}
