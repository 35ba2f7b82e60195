//! Groups of a directory, and the groups of the cloud that they are mapped to.

use std::path::Path;

use plerion_model::Id;
use plerion_template::PackedValue;
use plerion_world::{VouchedGroup, World};

use super::conf::{MappingSource, Server};
use super::names::{dn_normal, dn_same};
use super::yaml::{file_read, text};

/// Names of groups in the directory, in the form in which they are compared, with groups of the cloud.
#[derive(Clone, Debug)]
pub(super) struct Mapping(Vec<(String, Id)>);

impl Mapping {
    /// What holds for a server: by an attribute of groups, or by a file in `directory`. A file that is not there maps
    /// nothing, as in 7.4.
    ///
    /// # Errors
    /// When the file means nothing.
    pub(super) fn of(server: &Server, world: &World, directory: &Path) -> Result<Self, String> {
        match &server.mapping {
            MappingSource::Attribute(key) => Ok(Self(by_attribute(world, key))),
            MappingSource::File(name) => {
                let path = directory.join(name);
                if !path.exists() {
                    return Ok(Self(Vec::new()));
                }
                let read = file_read(&path, |pairs| {
                    pairs
                        .into_iter()
                        .map(|(dn, id)| {
                            let id = text(id).and_then(|text| text.trim().parse().ok());
                            let id =
                                id.ok_or_else(|| format!("maps \"{dn}\" to what is no id of a group"))?;
                            Ok((dn_normal(dn), id))
                        })
                        .collect()
                });
                read.map(Self).map_err(|why| format!("{}: {why}", path.display()))
            }
        }
    }

    /// The groups of the cloud for groups of the directory, in the order of these.
    pub(super) fn groups(&self, directory: &[String], admin_group: Option<&str>) -> Vec<VouchedGroup> {
        let admin = admin_group.is_some_and(|group| directory.iter().any(|dn| dn_same(dn, group)));
        let mut groups: Vec<VouchedGroup> = Vec::new();
        for dn in directory.iter().map(|dn| dn_normal(dn)) {
            for (_, id) in self.0.iter().filter(|(name, _)| *name == dn) {
                if !groups.iter().any(|group| group.id == *id) {
                    groups.push(VouchedGroup { id: *id, admin });
                }
            }
        }
        groups
    }
}

fn by_attribute(world: &World, key: &str) -> Vec<(String, Id)> {
    world
        .groups
        .values()
        .flat_map(|group| {
            let of_key = group
                .template
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(key));
            of_key.filter_map(|(_, value)| match value {
                PackedValue::Single(dn) => Some((dn_normal(dn), group.id)),
                _ => None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_the_directory_and_its_administrators() {
        let mapping = Mapping(vec![(dn_normal("cn=a,dc=x"), 100), (dn_normal("CN=b,DC=x"), 101)]);
        let of = |names: &[&str], admin| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let groups = mapping.groups(&names, admin);
            groups
                .iter()
                .map(|group| (group.id, group.admin))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&["cn=B, dc=x", "cn=c,dc=x", "cn=a,dc=x", "cn=a,dc=x"], None),
            [(101, false), (100, false)]
        );
        assert_eq!(
            of(&["cn=a,dc=x", "cn=boss,dc=x"], Some("CN=boss,dc=x")),
            [(100, true)]
        );
        assert_eq!(of(&["cn=a,dc=x"], Some("cn=boss,dc=x")), [(100, false)]);
        assert_eq!(of(&["cn=boss,dc=x"], Some("cn=boss,dc=x")), []);
    }
}
