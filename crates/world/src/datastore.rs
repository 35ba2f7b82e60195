//! Commands on datastores.

use std::sync::Arc;

use plerion_model::datastore::{Datastore, DatastoreState, DatastoreType, DiskType};
use plerion_model::{ApiError, Id, Kind, Operation, Owned, Permissions};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::cluster::cluster_named;
use crate::config::Config;
use crate::index::members;
use crate::name::{driver_name_check, name_check_new};
use crate::txn::Txn;
use crate::world::World;

/// Datastore drivers that are built in; any other name is a script of the old protocol.
const TYPES: &[(&str, DatastoreType)] = &[
    ("IMAGE_DS", DatastoreType::Image),
    ("SYSTEM_DS", DatastoreType::System),
    ("FILE_DS", DatastoreType::File),
    ("BACKUP_DS", DatastoreType::Backup),
];

fn refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::Datastore, reason)
}

fn type_of(template: &Template) -> Result<DatastoreType, ApiError> {
    let Some(text) = template.get("TYPE").filter(|text| !text.is_empty()) else {
        return Ok(DatastoreType::Image);
    };
    TYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            refused(&format!(
                "Unknown TYPE {text}: it is IMAGE_DS, SYSTEM_DS, FILE_DS or BACKUP_DS."
            ))
        })
}

/// `one.datastore.allocate`.
pub(crate) fn datastore_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    cluster: Id,
) -> Result<Id, ApiError> {
    let (cluster, cluster_right) = cluster_named(&txn.world, cluster)?;
    require(
        &txn.world,
        caller,
        &[
            (Operation::Create, Target::new_of(Kind::Datastore)),
            cluster_right,
        ],
    )?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::Datastore, -1, &name)?;
    let kind = type_of(&template)?;
    if kind == DatastoreType::Backup {
        // Recorded: nothing is transferred to hosts from there.
        template.set("TM_MAD", "-");
    }
    let tm_mad = template.get("TM_MAD").unwrap_or_default().to_owned();
    let ds_mad = template.get("DS_MAD").unwrap_or_default().to_owned();
    if tm_mad.is_empty() {
        return Err(refused(
            "No TM_MAD in template: name the transfer driver (ssh, shared, qcow2, …).",
        ));
    }
    if ds_mad.is_empty() && kind != DatastoreType::System {
        return Err(refused(
            "No DS_MAD in template: name the datastore driver (fs, …).",
        ));
    }
    driver_name_check(&tm_mad)
        .and_then(|()| driver_name_check(&ds_mad))
        .map_err(|reason| refused(&reason))?;
    let id = txn.id_next(Kind::Datastore);
    complete(&txn.world.config, &mut template, kind, &tm_mad);
    let datastore = Datastore {
        id,
        name,
        owned: Owned::new(caller.uid, caller.gid, Permissions(0o640)),
        ds_mad: if kind == DatastoreType::System {
            "-".into()
        } else {
            ds_mad
        },
        tm_mad,
        base_path: format!("{}/{id}", txn.world.config.datastore_location),
        kind,
        disk_type: DiskType::from_name(template.get("DISK_TYPE").unwrap_or("FILE")).unwrap_or(DiskType::File),
        state: DatastoreState::Ready,
        clusters: vec![cluster],
        template: PackedTemplate::new(&template),
    };
    txn.create(datastore);
    Ok(id)
}

/// Sets what follows from the transfer driver, and the directories that images may come from.
fn complete(config: &Config, template: &mut Template, kind: DatastoreType, tm_mad: &str) {
    template.set_if_missing("RESTRICTED_DIRS", "/");
    template.set_if_missing("SAFE_DIRS", "/var/tmp");
    if kind == DatastoreType::Backup {
        return;
    }
    let driver = config.transfer_driver(tm_mad).cloned().unwrap_or_default();
    let of_driver = |name: &str, default: &str| driver.get(name).unwrap_or(default).to_owned();
    template.set_if_missing("ALLOW_ORPHANS", of_driver("ALLOW_ORPHANS", "NO"));
    template.set_if_missing("DISK_TYPE", of_driver("DISK_TYPE", "FILE"));
    template.set_if_missing("PERSISTENT_SNAPSHOTS", "YES");
    if let Some(format) = driver.get("DRIVER") {
        template.set_if_missing("DRIVER", format);
    }
    if kind == DatastoreType::System {
        template.remove("DS_MAD");
        template.set_if_missing("DS_LIVE_MIGRATE", of_driver("DS_LIVE_MIGRATE", "NO"));
        template.set_if_missing("DS_MIGRATE", of_driver("DS_MIGRATE", "NO"));
        template.set_if_missing("DS_MIGRATE_SNAP", of_driver("DS_MIGRATE_SNAP", "NO"));
        template.set_if_missing("SHARED", of_driver("SHARED", "NO"));
    } else {
        for (name, value) in driver.iter() {
            if name.starts_with("CLONE_TARGET")
                || name.starts_with("LN_TARGET")
                || name.starts_with("DISK_TYPE_")
            {
                template.set_if_missing(name, value);
            }
        }
        if let Some(systems) = driver.get("TM_MAD_SYSTEM") {
            template.set_if_missing("TM_MAD_SYSTEM", systems);
        }
    }
}

/// An update may change drivers while the datastore is empty; what follows from them is set anew.
pub(crate) fn datastore_updated(
    world: &World,
    datastore: &mut Datastore,
    old: &Template,
    mut new: Template,
) -> Result<(), ApiError> {
    for name in ["DS_MAD", "TM_MAD", "TYPE", "DISK_TYPE"] {
        if let Some(value) = old.get(name) {
            new.set_if_missing(name, value);
        }
    }
    let kind = type_of(&new)?;
    // Recorded: an update writes the type, also where none had been named.
    new.set("TYPE", kind.as_str());
    let tm_mad = new.get("TM_MAD").unwrap_or_default().to_owned();
    for name in ["DS_MAD", "TM_MAD"] {
        driver_name_check(new.get(name).unwrap_or_default()).map_err(ApiError::internal)?;
    }
    let in_use = !members(&world.index.datastore_images, datastore.id).is_empty();
    let drivers_change = kind != datastore.kind || tm_mad != datastore.tm_mad;
    if in_use && drivers_change {
        return Err(ApiError::action(
            "The drivers and the type of a datastore that holds images cannot be changed",
        ));
    }
    datastore.kind = kind;
    datastore.ds_mad = if kind == DatastoreType::System {
        "-".into()
    } else {
        new.get("DS_MAD").unwrap_or(&datastore.ds_mad).to_owned()
    };
    if drivers_change {
        for name in [
            "ALLOW_ORPHANS",
            "CLONE_TARGET",
            "LN_TARGET",
            "SHARED",
            "DS_MIGRATE",
            "DS_LIVE_MIGRATE",
            "DRIVER",
        ] {
            new.remove(name);
        }
    }
    datastore.tm_mad = tm_mad;
    let tm_mad = datastore.tm_mad.clone();
    complete(&world.config, &mut new, kind, &tm_mad);
    datastore.template = PackedTemplate::new(&new);
    Ok(())
}

/// `one.datastore.enable`.
pub(crate) fn datastore_enable(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    enable: bool,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Manage, Target::of(&txn.world, Kind::Datastore, id)?)],
    )?;
    let mut datastore = txn.world.datastore(id)?.clone();
    if datastore.kind != DatastoreType::System {
        return Err(ApiError::internal("Only SYSTEM_DS can be disabled or enabled"));
    }
    Arc::make_mut(&mut datastore).state = if enable {
        DatastoreState::Ready
    } else {
        DatastoreState::Disabled
    };
    txn.update(datastore);
    Ok(id)
}

/// A datastore may go when it holds no image and no VM's files.
pub(crate) fn datastore_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    let images = members(&txn.world.index.datastore_images, id);
    if !images.is_empty() {
        return Err(ApiError::action(format!(
            "Cannot delete datastore. Datastore {id} is not empty."
        )));
    }
    let used = txn
        .world
        .vms
        .values()
        .find(|vm| vm.holds().host && vm.places().any(|place| place.datastore == id));
    if let Some(vm) = used {
        return Err(ApiError::action(format!(
            "Cannot delete datastore. VM {} has its files on it.",
            vm.id
        )));
    }
    txn.delete(Kind::Datastore, id);
    Ok(())
}
