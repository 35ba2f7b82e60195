//! Commands on virtual networks.

use std::sync::Arc;

use plerion_model::vnet::{Vnet, VnetState};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::cluster::cluster_named;
use crate::group_vlan::vlans_allowed;
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::txn::Txn;
use crate::vnet_range::range_add;
use crate::vnet_vlan::{vlans_check, vlans_choose};
use crate::world::World;
use crate::{vnet_range, vnet_reserve};

/// Longest name of a network interface in Linux.
const INTERFACE_NAME_MAX: usize = 15;
/// What can be asked of networks beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum VnetCommand {
    /// `one.vn.update_ar`.
    RangeUpdate {
        /// Network.
        id: Id,
        /// `AR=[AR_ID=…]`.
        template: Template,
    },
    /// `one.vn.free_ar`.
    RangeFree {
        /// Network that is a reservation.
        id: Id,
        /// Range.
        range: Id,
    },
    /// `one.vn.reserve`.
    Reserve {
        /// Network whose addresses are reserved.
        id: Id,
        /// Size, which addresses, and for which network.
        template: Template,
    },
    /// `one.vn.recover`.
    Recover {
        /// Network.
        id: Id,
        /// How.
        recover: VnetRecover,
    },
}

/// How a network that is stuck goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VnetRecover {
    /// What was under way has failed.
    Failure,
    /// What was under way has worked.
    Success,
    /// It goes.
    Delete,
    /// What failed is tried again.
    Retry,
}

/// Carries a command out. Answers the id of the object.
pub(crate) fn vnet_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &VnetCommand,
) -> Result<Id, ApiError> {
    match command {
        VnetCommand::RangeUpdate { id, template } => {
            vnet_range::vnet_range_update(txn, caller, *id, template)
        }
        VnetCommand::RangeFree { id, range } => vnet_range::vnet_range_free(txn, caller, *id, *range),
        VnetCommand::Reserve { id, template } => vnet_reserve::vnet_reserve(txn, caller, *id, template),
        VnetCommand::Recover { id, recover } => vnet_recover(txn, caller, *id, *recover),
    }
}

/// `one.vn.allocate`.
pub(crate) fn vnet_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    cluster: Id,
) -> Result<Id, ApiError> {
    let (cluster, cluster_right) = cluster_named(&txn.world, cluster)?;
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Vnet)), cluster_right],
    )?;
    vlans_allowed(&txn.world, caller, template, &Template::new(), None)?;
    restricted_check(&txn.world, caller, Kind::Vnet, template)?;
    vnet_create(txn, caller, template, vec![cluster], None)
}

/// Makes a network in clusters; of a network template, if one is named.
pub(crate) fn vnet_create(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    clusters: Vec<Id>,
    template_id: Option<Id>,
) -> Result<Id, ApiError> {
    let refused = |reason: &str| ApiError::allocate(Kind::Vnet, reason);
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::Vnet, caller.uid, &name)?;
    let vn_mad = template.get("VN_MAD").unwrap_or_default().to_owned();
    if vn_mad.is_empty() {
        return Err(refused(
            "No VN_MAD in template: name the network driver (bridge, 802.1Q, vxlan, ovswitch, dummy).",
        ));
    }
    vlans_check(&vn_mad, &template).map_err(|reason| refused(&reason))?;
    let id = txn.id_next(Kind::Vnet);
    let bridge = match template.get("BRIDGE").unwrap_or_default() {
        "" if vn_mad == "dummy" || vn_mad.starts_with("ovswitch") => {
            return Err(refused(&format!(
                "No BRIDGE in template: the {vn_mad} driver needs one."
            )));
        }
        // Recorded: a bridge is named by the VLAN that the template names.
        "" => match template.get("VLAN_ID").filter(|vlan| !vlan.is_empty()) {
            Some(vlan) if vn_mad == "802.1Q" => format!("onebr.{vlan}"),
            _ => format!("onebr{id}"),
        },
        given => given.to_owned(),
    };
    interface_check(&bridge).map_err(|reason| refused(&reason))?;
    let vlans = vlans_choose(&txn.world, id, &vn_mad, &mut template).map_err(|reason| refused(&reason))?;
    let mut vnet = Vnet {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        clusters,
        state: VnetState::Ready,
        prev_state: VnetState::Ready,
        bridge_type: bridge_type(&template, &vn_mad),
        vn_mad,
        bridge,
        parent: None,
        template_id,
        vlan_automatic: vlans.inner,
        outer_vlan_automatic: vlans.outer,
        ranges: Vec::new(),
        template: PackedTemplate::default(),
    };
    for range in template.remove("AR") {
        let plerion_template::Value::Vector(range) = range else {
            return Err(refused(
                "AR is not a vector: write AR=[TYPE=\"IP4\", IP=\"…\", SIZE=\"…\"].",
            ));
        };
        range_add(txn, &mut vnet, &range).map_err(|reason| refused(&reason))?;
    }
    complete(&vnet, &mut template);
    vnet.template = PackedTemplate::new(&template);
    txn.create(vnet);
    Ok(id)
}

fn bridge_type(template: &Template, vn_mad: &str) -> String {
    let derived = if vn_mad.starts_with("ovswitch") {
        "openvswitch"
    } else {
        "linux"
    };
    template
        .get("BRIDGE_TYPE")
        .filter(|text| !text.is_empty())
        .unwrap_or(derived)
        .to_owned()
}

/// The attributes that every network shows (recorded).
fn complete(vnet: &Vnet, template: &mut Template) {
    template.set("BRIDGE", vnet.bridge.clone());
    template.set("BRIDGE_TYPE", vnet.bridge_type.clone());
    template.set("VN_MAD", vnet.vn_mad.clone());
    for (name, chosen) in [
        ("PHYDEV", None),
        ("VLAN_ID", vnet.vlan_automatic),
        ("OUTER_VLAN_ID", vnet.outer_vlan_automatic),
    ] {
        // Recorded: what was chosen is no attribute of the template.
        match chosen {
            Some(_) => {
                template.remove(name);
            }
            None => {
                template.set_if_missing(name, "");
            }
        }
    }
    template.set_if_missing("SECURITY_GROUPS", "0");
}

/// The names of interfaces become arguments of commands that run as root.
fn interface_check(name: &str) -> Result<(), String> {
    let good = !name.is_empty()
        && name.len() <= INTERFACE_NAME_MAX
        && !name.starts_with(['-', '.'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if good {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" is no name of an interface: at most {INTERFACE_NAME_MAX} letters, digits, '.', '_' and '-'."
    ))
}

/// An update keeps drivers and bridge unless it names them.
pub(crate) fn vnet_updated(
    _world: &World,
    vnet: &mut Vnet,
    _old: &Template,
    mut new: Template,
) -> Result<(), ApiError> {
    if let Some(bridge) = new.get("BRIDGE").filter(|text| !text.is_empty()) {
        interface_check(bridge).map_err(ApiError::internal)?;
        bridge.clone_into(&mut vnet.bridge);
    }
    if let Some(vn_mad) = new.get("VN_MAD").filter(|text| !text.is_empty()) {
        vn_mad.clone_into(&mut vnet.vn_mad);
    }
    vlans_check(&vnet.vn_mad, &new).map_err(ApiError::internal)?;
    vnet.bridge_type = bridge_type(&new, &vnet.vn_mad);
    new.remove("AR");
    complete(vnet, &mut new);
    vnet.template = PackedTemplate::new(&new);
    Ok(())
}

/// `one.vn.recover`.
fn vnet_recover(txn: &mut Txn<'_>, caller: &Caller, id: Id, recover: VnetRecover) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, Kind::Vnet, id)?;
    require(&txn.world, caller, &[(Operation::Manage, target)])?;
    let mut vnet = txn.world.vnet(id)?.clone();
    let Some(state) = recovered(vnet.state, recover) else {
        return Err(ApiError::internal(format!(
            "Could not recover virtual network {id}, wrong state {}: nothing is under way that could be recovered",
            vnet.state
        )));
    };
    if state == VnetState::Done {
        vnet_delete(txn, id)?;
        return Ok(id);
    }
    let own = Arc::make_mut(&mut vnet);
    own.prev_state = own.state;
    own.state = state;
    txn.update(vnet);
    Ok(id)
}

/// The state that a network goes to.
fn recovered(state: VnetState, recover: VnetRecover) -> Option<VnetState> {
    match (state, recover) {
        (VnetState::Init | VnetState::LockCreate | VnetState::LockDelete, VnetRecover::Failure) => {
            Some(VnetState::Error)
        }
        (VnetState::Init | VnetState::LockCreate | VnetState::Error, VnetRecover::Success)
        | (VnetState::UpdateFailure, VnetRecover::Success | VnetRecover::Retry) => Some(VnetState::Ready),
        (VnetState::LockDelete, VnetRecover::Success)
        | (
            VnetState::Init | VnetState::LockCreate | VnetState::LockDelete | VnetState::Error,
            VnetRecover::Delete,
        ) => Some(VnetState::Done),
        (VnetState::Ready | VnetState::Done, _)
        | (VnetState::UpdateFailure, VnetRecover::Failure | VnetRecover::Delete)
        | (VnetState::Error, VnetRecover::Failure)
        | (
            VnetState::Init | VnetState::LockCreate | VnetState::LockDelete | VnetState::Error,
            VnetRecover::Retry,
        ) => None,
    }
}

/// A network may go when none of its leases is in use; an address on hold is.
pub(crate) fn vnet_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if !txn.world.index.vnet_leases(id).is_empty() {
        return Err(ApiError::action(
            "Cannot delete virtual network. Can not remove a virtual network with leases in use",
        ));
    }
    txn.delete(Kind::Vnet, id);
    Ok(())
}
