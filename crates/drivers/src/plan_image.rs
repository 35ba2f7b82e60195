//! The datastore driver `fs`: what becomes of images.

use plerion_model::datastore::Datastore;
use plerion_model::image::Image;
use plerion_protocol::{Action, DiskFormat};
use plerion_world::{ImageAsk, Intent, World};

use crate::image_source::image_source;
use crate::plan::{COPY_DEADLINE_S, Plan, QUICK_DEADLINE_S};
use crate::plan_backup::Kept;
use crate::plan_script_image::image_scripts;
use crate::plan_snapshot::image_snapshot_plan;

/// Largest image that is taken when the datastore names no limit, in MiB.
const IMAGE_MIB_MAX: u64 = 16 * 1024 * 1024;
/// Size that the dummy driver says an image has, in MiB (recorded).
const DUMMY_MIB: u64 = 1024;

/// Plans an intent of an image.
pub(crate) fn image_plan(world: &World, intent: &Intent, ask: ImageAsk) -> Result<Plan, String> {
    let id = intent.key.id;
    let image = world
        .images
        .get(id)
        .ok_or_else(|| format!("image {id} is gone"))?;
    let store = world
        .datastores
        .get(image.datastore_id)
        .ok_or_else(|| format!("datastore {} is gone", image.datastore_id))?;
    match store.ds_mad.as_str() {
        "dummy" => Ok(dummy(image, ask)),
        "fs" => files(world, image, store, ask),
        _ => image_scripts(world, image, store, ask),
    }
}

/// The dummy driver takes everything at once.
fn dummy(image: &Image, ask: ImageAsk) -> Plan {
    let mut plan = Plan::default();
    match ask {
        ImageAsk::Register => {
            plan.output.source = Some("dummy_path".into());
            if image.size_mib == 0 {
                plan.output.size_mib = Some(DUMMY_MIB);
            }
            if image.format.is_empty() {
                plan.output.format = Some("dummy_format".into());
            }
        }
        ImageAsk::Make | ImageAsk::Clone => plan.output.source = Some("dummy_path".into()),
        ImageAsk::Delete | ImageAsk::Snapshot(_) => {}
    }
    plan
}

fn files(world: &World, image: &Image, store: &Datastore, ask: ImageAsk) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let destination = image.source.clone();
    match ask {
        ImageAsk::Register => {
            let action = Action::ImageRegister {
                source: image_source(&image.path, store),
                destination,
                format: format_given(&image.format)?,
                checksum: checksum(image),
                size_limit_mib: limit(store),
            };
            plan.front_end(action, COPY_DEADLINE_S);
        }
        ImageAsk::Make => {
            let action = Action::DiskMake {
                destination,
                format: format_given(&image.format)?.unwrap_or(DiskFormat::Raw),
                size_mib: image.size_mib,
                file_system: Some(image.fs.clone()).filter(|fs| !fs.is_empty()),
                swap: false,
            };
            plan.front_end(action, COPY_DEADLINE_S);
        }
        ImageAsk::Clone => {
            let source = world
                .images
                .get(image.cloning_id)
                .ok_or_else(|| format!("image {} is gone", image.cloning_id))?;
            if let Some(action) = backup_disk(source, image)? {
                plan.front_end(action, COPY_DEADLINE_S);
                return Ok(plan);
            }
            let action = Action::DiskCopy {
                source: source.source.clone(),
                destination,
                format: format_given(&image.format)?.unwrap_or(DiskFormat::Raw),
                size_mib: None,
            };
            plan.front_end(action, COPY_DEADLINE_S);
        }
        // An image registered by SOURCE may lie outside of its datastore; then its file is not ours to delete.
        ImageAsk::Delete if destination.starts_with(&format!("{}/", store.base_path)) => {
            let increments = image.backup.iter().flat_map(|backup| &backup.increments);
            let more = increments
                .map(|own| own.source.clone())
                .filter(|path| *path != destination);
            for path in std::iter::once(destination.clone()).chain(more) {
                plan.front_end(Action::PathDelete { path }, QUICK_DEADLINE_S);
            }
        }
        ImageAsk::Delete => {}
        ImageAsk::Snapshot(work) => {
            let format = format_given(&image.format)?.unwrap_or(DiskFormat::Raw);
            image_snapshot_plan(&mut plan, &destination, format, &store.tm_mad, work)?;
        }
    }
    Ok(plan)
}

/// Of a backup one disk is taken, whose path says which, and as it was in which increment.
fn backup_disk(backup: &Image, image: &Image) -> Result<Option<Action>, String> {
    let Some(parts) = &backup.backup else {
        return Ok(None);
    };
    let destination = image.source.clone();
    let said = || image.path.rsplit_once("/disk.");
    let increment = parts
        .increments
        .iter()
        .find(|own| said().is_some_and(|(place, _)| place == own.source));
    let disk = said().and_then(|(_, disk)| disk.parse().ok());
    if let (Some(increment), Some(disk)) = (increment, disk)
        && let Kept::Layers(layers) = Kept::of(backup, increment.id, disk)?
    {
        return Ok(Some(Action::LayersMerge { layers, destination }));
    }
    Ok(Some(Action::DiskCopy {
        source: image.path.clone(),
        destination,
        format: format_given(&image.format)?.unwrap_or(DiskFormat::Raw),
        size_mib: None,
    }))
}

fn format_given(format: &str) -> Result<Option<DiskFormat>, String> {
    match format {
        "" => Ok(None),
        "raw" => Ok(Some(DiskFormat::Raw)),
        "qcow2" => Ok(Some(DiskFormat::Qcow2)),
        other => Err(format!(
            "images of format {other} are not supported; use raw or qcow2"
        )),
    }
}

fn checksum(image: &Image) -> Option<String> {
    let of = |name: &str, kind: &str| {
        image
            .template
            .get(name)
            .filter(|digest| !digest.is_empty())
            .map(|digest| format!("{kind}:{digest}"))
    };
    of("SHA256", "sha256").or_else(|| of("MD5", "md5"))
}

fn limit(store: &Datastore) -> u64 {
    store
        .template
        .get("LIMIT_MB")
        .and_then(|text| text.parse().ok())
        .unwrap_or(IMAGE_MIB_MAX)
}
