//! Where images come from.

use plerion_model::datastore::Datastore;
use plerion_protocol::ImageSource;

/// Where an image comes from, with the directories that its datastore allows.
#[must_use]
pub fn image_source(path: &str, store: &Datastore) -> ImageSource {
    if path.starts_with("http://") || path.starts_with("https://") {
        let private_allowed = store
            .template
            .get("ALLOW_PRIVATE_URLS")
            .is_some_and(|text| text.eq_ignore_ascii_case("yes"));
        return ImageSource::Url {
            url: path.to_owned(),
            private_allowed,
        };
    }
    let safe = store.template.get("SAFE_DIRS").unwrap_or_default();
    let safe_dirs = safe.split_whitespace().map(str::to_owned).collect();
    ImageSource::Path {
        path: path.to_owned(),
        safe_dirs,
    }
}
