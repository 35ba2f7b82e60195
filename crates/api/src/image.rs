//! `one.image.allocate`: the source is looked at before the image is made, so that what cannot be taken is refused.

use std::sync::Arc;

use plerion_drivers::image_stat;
use plerion_engine::Engine;
use plerion_model::{ApiError, ErrorCode, Kind};
use plerion_protocol::ActionOutput;
use plerion_template::Template;
use plerion_world::{Caller, Command, ImageSpec, Target, require_see};
use tokio::sync::oneshot;

use crate::decode::template;
use crate::order::order;
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// Seconds to look at a source.
const STAT_DEADLINE_S: u32 = 60;

/// `one.image.allocate`.
pub(crate) async fn image_allocate(
    engine: &Arc<Engine>,
    caller: Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (text, datastore) = (params.string()?, params.int()?);
    let unchecked = params.bool_or(false)? && caller.is_admin();
    let template = template(&text)?;
    let spec = source_look(engine, &caller, &template, datastore, unchecked).await?;
    order(
        engine,
        caller,
        Command::ImageAllocate {
            template,
            datastore,
            spec,
        },
    )
    .await
}

async fn source_look(
    engine: &Arc<Engine>,
    caller: &Caller,
    template: &Template,
    datastore: i32,
    unchecked: bool,
) -> Result<ImageSpec, Reject> {
    let snapshot = engine.snapshot();
    let store = snapshot.world.datastore(datastore)?.clone();
    // Who may not use the datastore does not get its files looked at.
    require_see(
        &snapshot.world,
        caller,
        &Target::of(&snapshot.world, Kind::Datastore, datastore)?,
    )?;
    let path = template.get("PATH").filter(|path| !path.is_empty());
    let (Some(path), None) = (path, template.get("SOURCE")) else {
        return Ok(ImageSpec::default());
    };
    let Some(action) = image_stat(&snapshot.world, &store, path) else {
        return Ok(ImageSpec::default());
    };
    let (sender, receiver) = oneshot::channel();
    engine.front_end_call(
        action,
        STAT_DEADLINE_S,
        Box::new(move |result| {
            // The caller may have gone.
            let _ = sender.send(result);
        }),
    );
    let refused = |reason: String| {
        Reject::from(ApiError::new(
            ErrorCode::Allocate,
            format!("Error allocating a new image. Cannot determine Image SIZE. {reason}"),
        ))
    };
    let given: ActionOutput = receiver
        .await
        .map_err(|_| refused("the front-end is stopping".into()))?
        .map_err(|error| refused(error.text))?;
    space_check(&snapshot, store.id, &given, unchecked)?;
    Ok(ImageSpec {
        size_mib: given.size_mib,
    })
}

/// Refuses what would not fit, unless an administrator says not to look.
fn space_check(
    snapshot: &plerion_engine::Snapshot,
    datastore: i32,
    given: &ActionOutput,
    unchecked: bool,
) -> Result<(), Reject> {
    let checked = snapshot
        .world
        .config
        .attributes
        .get_bool("DATASTORE_CAPACITY_CHECK")
        .unwrap_or(true);
    let space = snapshot.measurements.datastores.get(&datastore);
    let (Some((_, free, _)), Some(size)) = (space, given.size_mib) else {
        return Ok(());
    };
    if unchecked || !checked || size <= *free {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::Allocate,
        format!(
            "Error allocating a new image. Not enough space in datastore: {size} MB wanted, {free} MB free"
        ),
    )
    .into())
}
