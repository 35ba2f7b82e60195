//! Virtual data centres: groups, and the clusters, hosts, datastores and networks that they may use.

use std::collections::BTreeSet;

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::acl::{ALL, AclRule, CLUSTER, GROUP, INDIVIDUAL, id_bits, rights_parse};
use crate::user::render_ids;
use crate::{Id, Kind};

/// The VDC that every new group is in.
pub const DEFAULT: Id = 0;

/// The id that stands for all resources of a kind in a zone.
pub const ALL_RESOURCES: Id = -10;

/// A kind of resource that a VDC has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VdcResource {
    /// A cluster, with its hosts, networks and datastores.
    Cluster,
    /// A host.
    Host,
    /// A datastore.
    Datastore,
    /// A virtual network.
    Vnet,
}

impl VdcResource {
    /// All of them, in the order in which their rules are given (recorded).
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Host, Self::Datastore, Self::Vnet];

    /// The kind of object.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Cluster => Kind::Cluster,
            Self::Host => Kind::Host,
            Self::Datastore => Kind::Datastore,
            Self::Vnet => Kind::Vnet,
        }
    }

    /// The one of a kind of object; `None` for kinds that VDCs do not have.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.kind() == kind)
    }

    /// Names of the list, of its members and of their ids.
    const fn elements(self) -> [&'static str; 3] {
        match self {
            Self::Cluster => ["CLUSTERS", "CLUSTER", "CLUSTER_ID"],
            Self::Host => ["HOSTS", "HOST", "HOST_ID"],
            Self::Datastore => ["DATASTORES", "DATASTORE", "DATASTORE_ID"],
            Self::Vnet => ["VNETS", "VNET", "VNET_ID"],
        }
    }
}

/// What the groups of a VDC may do with its resources: rights as in rules, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VdcRights {
    /// On hosts.
    pub host: u64,
    /// On networks.
    pub vnet: u64,
    /// On datastores.
    pub datastore: u64,
    /// On the hosts of clusters.
    pub cluster_host: u64,
    /// On the networks of clusters.
    pub cluster_vnet: u64,
    /// On the datastores of clusters.
    pub cluster_datastore: u64,
}

/// The settings of oned.conf that say so, and what they are where nothing is said.
pub const RIGHTS_DEFAULT: [(&str, &str); 6] = [
    ("DEFAULT_VDC_HOST_ACL", "MANAGE"),
    ("DEFAULT_VDC_VNET_ACL", "USE"),
    ("DEFAULT_VDC_DATASTORE_ACL", "USE"),
    ("DEFAULT_VDC_CLUSTER_HOST_ACL", "MANAGE"),
    ("DEFAULT_VDC_CLUSTER_NET_ACL", "USE"),
    ("DEFAULT_VDC_CLUSTER_DATASTORE_ACL", "USE"),
];

impl VdcRights {
    /// As the settings say. One that is not understood gives no right.
    #[must_use]
    pub fn of_settings<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Self {
        let [
            host,
            vnet,
            datastore,
            cluster_host,
            cluster_vnet,
            cluster_datastore,
        ] = RIGHTS_DEFAULT.map(|(name, default)| rights_parse(setting(name).unwrap_or(default)).unwrap_or(0));
        Self {
            host,
            vnet,
            datastore,
            cluster_host,
            cluster_vnet,
            cluster_datastore,
        }
    }

    /// What a resource lets groups do with which kinds, in the order of the rules (recorded).
    fn on(&self, resource: VdcResource) -> Vec<(Kind, u64)> {
        match resource {
            VdcResource::Cluster => vec![
                (Kind::Host, self.cluster_host),
                (Kind::Vnet, self.cluster_vnet),
                (Kind::Datastore, self.cluster_datastore),
            ],
            VdcResource::Host => vec![(Kind::Host, self.host)],
            VdcResource::Datastore => vec![(Kind::Datastore, self.datastore)],
            VdcResource::Vnet => vec![(Kind::Vnet, self.vnet)],
        }
    }
}

/// Resources of one kind: zone and id, [`ALL_RESOURCES`] for all of the zone.
pub type ZoneIds = BTreeSet<(Id, Id)>;

/// A VDC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vdc {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// Its groups.
    pub groups: BTreeSet<Id>,
    /// Its clusters.
    pub clusters: ZoneIds,
    /// Its hosts.
    pub hosts: ZoneIds,
    /// Its datastores.
    pub datastores: ZoneIds,
    /// Its networks.
    pub vnets: ZoneIds,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Vdc, template);

impl Vdc {
    /// Its resources of a kind.
    #[must_use]
    pub const fn resources(&self, resource: VdcResource) -> &ZoneIds {
        match resource {
            VdcResource::Cluster => &self.clusters,
            VdcResource::Host => &self.hosts,
            VdcResource::Datastore => &self.datastores,
            VdcResource::Vnet => &self.vnets,
        }
    }

    /// As [`Self::resources`], to change them.
    pub const fn resources_mut(&mut self, resource: VdcResource) -> &mut ZoneIds {
        match resource {
            VdcResource::Cluster => &mut self.clusters,
            VdcResource::Host => &mut self.hosts,
            VdcResource::Datastore => &mut self.datastores,
            VdcResource::Vnet => &mut self.vnets,
        }
    }

    /// Adds a resource. All of a zone take the place of single ones of that zone (as in OpenNebula). Returns false where it
    /// has it already.
    pub fn resource_add(&mut self, resource: VdcResource, zone: Id, id: Id) -> bool {
        let resources = self.resources_mut(resource);
        if !resources.insert((zone, id)) {
            return false;
        }
        if id == ALL_RESOURCES {
            resources.retain(|(other, single)| *other != zone || *single == ALL_RESOURCES);
        }
        true
    }

    /// The rules that a group of it has, in the order in which they are given. Their ids come later.
    #[must_use]
    pub fn rules_of(&self, group: Id, rights: &VdcRights) -> Vec<AclRule> {
        let mut rules = Vec::new();
        for resource in VdcResource::ALL {
            for (zone, id) in self.resources(resource) {
                let which = match (*id, resource) {
                    (ALL_RESOURCES, _) => ALL,
                    (id, VdcResource::Cluster) => CLUSTER | id_bits(id),
                    (id, _) => INDIVIDUAL | id_bits(id),
                };
                let given = rights.on(resource).into_iter().filter(|(_, right)| *right != 0);
                rules.extend(given.map(|(kind, right)| AclRule {
                    id: -1,
                    user: GROUP | id_bits(group),
                    resource: kind.acl_bit() | which,
                    rights: right,
                    zone: INDIVIDUAL | id_bits(*zone),
                }));
            }
        }
        rules
    }

    /// The rules of all its groups.
    #[must_use]
    pub fn rules(&self, rights: &VdcRights) -> Vec<AclRule> {
        let groups = self.groups.iter();
        groups.flat_map(|group| self.rules_of(*group, rights)).collect()
    }

    /// `<VDC>`.
    pub fn render(&self, out: &mut impl Markup) {
        out.open("VDC");
        out.number("ID", i64::from(self.id));
        out.element("NAME", &self.name);
        let groups: Vec<Id> = self.groups.iter().copied().collect();
        render_ids(out, "GROUPS", &groups);
        for resource in VdcResource::ALL {
            let [list, member, member_id] = resource.elements();
            out.open(list);
            for (zone, id) in self.resources(resource) {
                out.open(member);
                out.number("ZONE_ID", i64::from(*zone));
                out.number(member_id, i64::from(*id));
                out.close(member);
            }
            out.close(list);
        }
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("VDC");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vdc(groups: &[Id]) -> Vdc {
        Vdc {
            id: 100,
            groups: groups.iter().copied().collect(),
            ..Vdc::default()
        }
    }

    fn texts(vdc: &Vdc, rights: &VdcRights) -> Vec<String> {
        vdc.rules(rights).iter().map(AclRule::text).collect()
    }

    #[test]
    fn the_rules_of_a_vdc_read_as_recorded() {
        let mut vdc = vdc(&[100]);
        for (resource, id) in [
            (VdcResource::Vnet, 0),
            (VdcResource::Datastore, 100),
            (VdcResource::Host, 0),
            (VdcResource::Cluster, 100),
        ] {
            assert!(vdc.resource_add(resource, 0, id));
            assert!(!vdc.resource_add(resource, 0, id));
        }
        let rights = VdcRights::of_settings(|_| None);
        assert_eq!(
            texts(&vdc, &rights),
            [
                "@100 HOST/%100 MANAGE #0",
                "@100 NET/%100 USE #0",
                "@100 DATASTORE/%100 USE #0",
                "@100 HOST/#0 MANAGE #0",
                "@100 DATASTORE/#100 USE #0",
                "@100 NET/#0 USE #0",
            ]
        );
    }

    #[test]
    fn all_of_a_zone_take_the_place_of_single_ones_there() {
        let mut vdc = vdc(&[1]);
        for (zone, id) in [(0, 3), (0, 4), (100, 3), (0, ALL_RESOURCES)] {
            assert!(vdc.resource_add(VdcResource::Host, zone, id));
        }
        assert_eq!(vdc.hosts, [(0, ALL_RESOURCES), (100, 3)].into());
        let rights = VdcRights::of_settings(|_| None);
        assert_eq!(
            texts(&vdc, &rights),
            ["@1 HOST/* MANAGE #0", "@1 HOST/#3 MANAGE #100"]
        );
    }

    #[test]
    fn settings_say_what_groups_may_do() {
        let mut vdc = vdc(&[1]);
        vdc.resource_add(VdcResource::Cluster, 0, ALL_RESOURCES);
        let rights = VdcRights::of_settings(|name| match name {
            "DEFAULT_VDC_CLUSTER_HOST_ACL" => Some("-"),
            "DEFAULT_VDC_CLUSTER_NET_ACL" => Some("use+Manage"),
            "DEFAULT_VDC_CLUSTER_DATASTORE_ACL" => Some("everything"),
            _ => None,
        });
        assert_eq!(texts(&vdc, &rights), ["@1 NET/* USE+MANAGE #0"]);
    }
}
