//! `NETWORK_MODE = "auto"`: what a NIC says that has no network yet.

use plerion_template::{Rank, Requirements, Vector};

/// Whether a NIC waits for a network.
pub(crate) fn is_auto(nic: &Vector) -> bool {
    let mode = nic.get("NETWORK_MODE").unwrap_or_default();
    mode.eq_ignore_ascii_case("auto") && nic.get("NETWORK_ID").is_none_or(str::is_empty)
}

/// Looks at a NIC of a new VM: it names no network, and its expressions are some.
pub(crate) fn auto_check(nic: &mut Vector) -> Result<(), String> {
    // What names a network is of no interest, as the network is chosen.
    for name in ["NETWORK", "NETWORK_ID", "NETWORK_UID", "NETWORK_UNAME"] {
        nic.remove(name);
    }
    Wish::read(nic).map(|_| ())
}

/// What a NIC wants of its network.
pub(crate) struct Wish {
    pub(crate) requirements: Requirements,
    pub(crate) rank: Option<Rank>,
}

impl Wish {
    pub(crate) fn read(nic: &Vector) -> Result<Self, String> {
        let text = |name: &str| nic.get(name).unwrap_or_default().trim();
        let requirements = Requirements::parse(text("SCHED_REQUIREMENTS"))
            .map_err(|error| format!("SCHED_REQUIREMENTS of a NIC is no expression: {error}."))?;
        let rank = match text("SCHED_RANK") {
            "" => None,
            text => Some(
                Rank::parse(text)
                    .map_err(|error| format!("SCHED_RANK of a NIC is no expression: {error}."))?,
            ),
        };
        Ok(Self { requirements, rank })
    }
}
