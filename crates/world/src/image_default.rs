//! Whether images are persistent where nothing is said of it: `DEFAULT_IMAGE_PERSISTENT` and `DEFAULT_IMAGE_PERSISTENT_NEW`.

use plerion_template::PackedTemplate;

use crate::auth::Caller;
use crate::world::World;

/// For copies of images and of disks.
pub(crate) const OF_COPIES: &str = "DEFAULT_IMAGE_PERSISTENT";
/// For new images.
pub(crate) const OF_NEW: &str = "DEFAULT_IMAGE_PERSISTENT_NEW";

/// What the caller's template says, else that of its group, else oned.conf; `None` where nobody does, or what comes first is
/// empty. (As 7.4: anything but YES is a no.)
pub(crate) fn persistent_default(world: &World, caller: &Caller, setting: &str) -> Option<bool> {
    let of = |template: &PackedTemplate| template.get(setting).map(str::to_owned);
    let user = world.users.get(caller.uid).and_then(|user| of(&user.template));
    let group = || world.groups.get(caller.gid).and_then(|group| of(&group.template));
    let text = user
        .or_else(group)
        .or_else(|| world.config.attributes.get(setting).map(str::to_owned))?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.eq_ignore_ascii_case("yes"))
}
