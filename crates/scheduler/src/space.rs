//! Space in datastores: what is there, and what a VM's disks need.

use plerion_model::Id;
use plerion_model::datastore::Datastore;
use plerion_model::vm::DiskDemand;
use plerion_template::PackedTemplate;
use plerion_world::World;

/// Space of a datastore in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) used: u64,
}

impl Space {
    /// What was measured, within the datastore's own limit; `None` when it was never measured (all zero).
    pub(crate) fn measured(total: u64, free: u64, used: u64, template: &PackedTemplate) -> Option<Self> {
        if (total, free, used) == (0, 0, 0) {
            return None;
        }
        let limit: Option<u64> = template
            .get("LIMIT_MB")
            .and_then(|text| text.trim().parse().ok())
            .filter(|limit| *limit > 0);
        Some(match limit {
            Some(limit) => Self {
                total: total.min(limit),
                free: free.min(limit.saturating_sub(used)),
                used,
            },
            None => Self { total, free, used },
        })
    }

    /// What is left once some is taken.
    pub(crate) fn less(self, taken: u64) -> Self {
        Self {
            total: self.total,
            free: self.free.saturating_sub(taken),
            used: self.used.saturating_add(taken),
        }
    }
}

/// What disks need, in MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// In the system datastore.
    pub(crate) system: u64,
    /// In image datastores that keep the copies themselves.
    pub(crate) images: Vec<(Id, u64)>,
}

impl Need {
    /// What disks need with a system datastore. `returning` are the disks of a VM that was on a host before: its copies
    /// exist already where image datastores keep them.
    pub(crate) fn of(world: &World, disks: &[DiskDemand], system: &Datastore, returning: bool) -> Self {
        let mut need = Self::default();
        for disk in disks {
            match target(world, disk, system) {
                Target::System => need.system = need.system.saturating_add(disk.size_mib),
                Target::Image if disk.clone && !returning => {
                    match need.images.iter_mut().find(|(id, _)| *id == disk.datastore) {
                        Some((_, mib)) => *mib = mib.saturating_add(disk.size_mib),
                        None => need.images.push((disk.datastore, disk.size_mib)),
                    }
                }
                Target::Image | Target::Nowhere => {}
            }
        }
        need
    }
}

/// Where a disk's copy lies.
enum Target {
    System,
    Image,
    Nowhere,
}

/// A volatile disk lies in the system datastore. Copies of images and links to persistent ones lie where the image
/// datastore says for the system datastore's transfer driver.
fn target(world: &World, disk: &DiskDemand, system: &Datastore) -> Target {
    if disk.image < 0 {
        return Target::System;
    }
    let (key, default) = if disk.clone {
        ("CLONE_TARGET", "SYSTEM")
    } else {
        ("LN_TARGET", "NONE")
    };
    let text = world.datastores.get(disk.datastore).and_then(|store| {
        let special = format!("{key}_{}", system.tm_mad.to_ascii_uppercase());
        let special = store
            .template
            .get(&special)
            .filter(|_| store.tm_mad != system.tm_mad);
        special.or_else(|| store.template.get(key))
    });
    match text.unwrap_or(default).to_ascii_uppercase().as_str() {
        "SYSTEM" => Target::System,
        "SELF" => Target::Image,
        _ => Target::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plerion_template::Template;

    #[test]
    fn space_is_bounded_by_the_limit_and_unknown_when_all_zero() {
        let none = PackedTemplate::default();
        let mut limited = Template::new();
        limited.set("LIMIT_MB", "100");
        let limited = PackedTemplate::new(&limited);
        let space = |total, free, used| Some(Space { total, free, used });
        for (measured, template, expect) in [
            ((0, 0, 0), &none, None),
            ((0, 0, 0), &limited, None),
            ((500, 300, 200), &none, space(500, 300, 200)),
            ((500, 300, 200), &limited, space(100, 0, 200)),
            ((500, 430, 70), &limited, space(100, 30, 70)),
            // As a driver that knows the limit reports it.
            ((100, 30, 70), &limited, space(100, 30, 70)),
            ((50, 20, 30), &limited, space(50, 20, 30)),
        ] {
            let (total, free, used) = measured;
            assert_eq!(
                Space::measured(total, free, used, template),
                expect,
                "{measured:?}"
            );
        }
    }
}
