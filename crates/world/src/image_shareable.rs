//! Persistent images that several VMs may use at a time (`PERSISTENT_TYPE = SHAREABLE`), as clusters of guests do.

use plerion_model::datastore::Datastore;
use plerion_model::image::Image;

/// Whether several VMs may use the image although it is persistent.
pub(crate) fn is_shareable(image: &Image) -> bool {
    image.persistent
        && image
            .template
            .get("PERSISTENT_TYPE")
            .is_some_and(|text| text.eq_ignore_ascii_case("SHAREABLE"))
}

/// Why an image cannot be shared in truth: each of two VMs would write on something of its own, or the one over what the
/// other one keeps in memory. (7.4 looks at neither.)
pub(crate) fn shareable_refusal(image: &Image, store: &Datastore) -> Option<String> {
    let id = image.id;
    if store.tm_mad == "ssh" {
        return Some(format!(
            "Image [{id}] is SHAREABLE, but its datastore {} has the transfer driver ssh: each VM would write to a copy of its \
             own. Move the image to a datastore of the driver shared.",
            store.id
        ));
    }
    (image.format == "qcow2").then(|| {
        format!(
            "Image [{id}] is SHAREABLE, but of the format qcow2, which VMs that write at the same time would destroy. Make it of \
             the format raw."
        )
    })
}
