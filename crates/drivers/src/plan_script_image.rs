//! Images in datastores whose driver is not built in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plerion_model::datastore::{Datastore, DatastoreType};
use plerion_model::image::Image;
use plerion_protocol::{Action, ScriptReply};
use plerion_template::{Markup as _, PackedTemplate, PlainXml};
use plerion_world::{ImageAsk, ImageSnapshot, Measurements, Scope, Snapshot, TRANSFER_BUILT_IN, World};

use crate::image_source::image_source;
use crate::plan::{COPY_DEADLINE_S, Plan};
use crate::plan_script::{DATASTORE_BUILT_IN, Family, Script, text};

/// Root of the document that scripts of datastores read.
const ACTION_DATA: &str = "DS_DRIVER_ACTION_DATA";

/// Plans an intent of an image. What scripts are told of a new image has no SOURCE: they choose it.
pub(crate) fn image_scripts(
    world: &World,
    image: &Image,
    store: &Datastore,
    ask: ImageAsk,
) -> Result<Plan, String> {
    let mut told = image.clone();
    let (name, reply) = match ask {
        ImageAsk::Register => ("cp", ScriptReply::Source),
        ImageAsk::Make => ("mkfs", ScriptReply::Source),
        ImageAsk::Clone => {
            let source = world
                .images
                .get(image.cloning_id)
                .ok_or_else(|| format!("image {} is gone", image.cloning_id))?;
            told.path.clone_from(&source.source);
            ("clone", ScriptReply::Source)
        }
        ImageAsk::Delete => ("rm", ScriptReply::Nothing),
        ImageAsk::Snapshot(ImageSnapshot::Delete(_)) => ("snap_delete", ScriptReply::Nothing),
        ImageAsk::Snapshot(ImageSnapshot::Revert(_)) => ("snap_revert", ScriptReply::Nothing),
        ImageAsk::Snapshot(ImageSnapshot::Flatten(_)) => ("snap_flatten", ScriptReply::Nothing),
    };
    let mut plan = Plan::default();
    if reply == ScriptReply::Source {
        told.source.clear();
        // The script's own word for it, if it has one, replaces this.
        if image.format.is_empty() {
            plan.output.format = Some("raw".into());
        }
    } else if image.source.is_empty() {
        // It was never stored.
        return Ok(plan);
    }
    template_open(world, Scope::Image, &mut told.template);
    let data = action_data(world, store, |out, view| {
        told.render(out, view);
        if let ImageAsk::Snapshot(work) = ask {
            // Where the fact is silent: beside IMAGE and DATASTORE.
            out.element("TARGET_SNAPSHOT", &work.id().to_string());
        }
    });
    let action = script(store, name).action(world, vec![text(image.id)], data, reply);
    plan.front_end(action, COPY_DEADLINE_S);
    Ok(plan)
}

/// The action that finds out the size of what a new image is to be made of; `None` where nobody can tell.
#[must_use]
pub fn image_stat(world: &World, store: &Datastore, path: &str) -> Option<Action> {
    match store.ds_mad.as_str() {
        "dummy" => None,
        "fs" => Some(Action::ImageStat {
            source: image_source(path, store),
        }),
        _ => {
            let data = action_data(world, store, |out, _| {
                out.open("IMAGE");
                out.element("PATH", path);
                out.close("IMAGE");
            });
            // There is no image yet that could have an id.
            Some(script(store, "stat").action(world, vec![text(-1)], data, ScriptReply::Size))
        }
    }
}

/// Whether the space of a datastore is measured by its driver's script: [`datastore_monitor`] has an action for it.
#[must_use]
pub fn datastore_is_scripted(store: &Datastore) -> bool {
    if store.kind == DatastoreType::System {
        !TRANSFER_BUILT_IN.contains(&store.tm_mad.as_str())
    } else {
        !DATASTORE_BUILT_IN.contains(&store.ds_mad.as_str())
    }
}

/// The action that measures the space of a datastore by its driver's script; `None` for datastores that agents measure
/// by themselves.
#[must_use]
pub fn datastore_monitor(world: &World, store: &Datastore) -> Option<Action> {
    if !datastore_is_scripted(store) {
        return None;
    }
    let script = if store.kind == DatastoreType::System {
        Script {
            family: Family::Transfer,
            driver: &store.tm_mad,
            name: "monitor",
            suffix: None,
        }
    } else {
        script(store, "monitor")
    };
    let data = action_data(world, store, |_, _| {});
    Some(script.action(world, vec![text(store.id)], data, ScriptReply::Space))
}

fn script<'a>(store: &'a Datastore, name: &'a str) -> Script<'a> {
    Script {
        family: Family::Datastore,
        driver: &store.ds_mad,
        name,
        suffix: None,
    }
}

/// Drivers are told the values that are kept encrypted.
fn template_open(world: &World, scope: Scope, template: &mut PackedTemplate) {
    if let Some(opened) = world.config.secrets.template_opened(scope, template) {
        *template = opened;
    }
}

/// The document that scripts of datastores read on their standard input, in base64.
fn action_data(world: &World, store: &Datastore, image: impl FnOnce(&mut PlainXml, &Snapshot<'_>)) -> String {
    let measurements = Measurements::default();
    let view = Snapshot {
        world,
        measurements: &measurements,
    };
    let mut out = PlainXml::new();
    out.open(ACTION_DATA);
    image(&mut out, &view);
    let mut store = store.clone();
    template_open(world, Scope::Datastore, &mut store.template);
    store.render(&mut out, &view);
    out.close(ACTION_DATA);
    STANDARD.encode(out.into_string())
}
