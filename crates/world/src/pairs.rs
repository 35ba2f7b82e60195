//! Which image datastores go with which system datastores.

use plerion_model::datastore::{Datastore, DatastoreType};

/// Transfer drivers that are no scripts.
pub const TRANSFER_BUILT_IN: &[&str] = &["dummy", "ssh", "shared", "qcow2"];

/// Why two datastores do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRefusal(pub String);

/// Whether disks of an image datastore can be used on a system datastore: the transfer drivers must be the same, or the
/// image datastore's must say that it can serve the other (`TM_MAD_SYSTEM`).
///
/// # Errors
/// Says what does not fit and what would.
pub fn datastores_fit(image: &Datastore, system: &Datastore) -> Result<(), PairRefusal> {
    if system.kind != DatastoreType::System {
        return Err(PairRefusal(format!(
            "datastore {} is no system datastore",
            system.id
        )));
    }
    let family = |driver: &str| if driver == "qcow2" { "shared" } else { driver }.to_owned();
    if family(&image.tm_mad) == family(&system.tm_mad) {
        return Ok(());
    }
    let served = image.template.get("TM_MAD_SYSTEM").unwrap_or_default();
    if served.split(',').any(|name| name.trim() == system.tm_mad) {
        return Ok(());
    }
    let mut fits = vec![image.tm_mad.clone()];
    fits.extend(
        served
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
    );
    Err(PairRefusal(format!(
        "image datastore {} ({}) needs a system datastore with TM_MAD {}, and datastore {} has {}",
        image.id,
        image.tm_mad,
        fits.join(" or "),
        system.id,
        system.tm_mad
    )))
}
