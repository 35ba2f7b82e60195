//! [`Profile`]: which faults a run has and how often. Every seed draws its own: a run without one kind of fault goes
//! further into the others.

use crate::queue::Millis;
use crate::random::{PerMille, Random};

/// How often what breaks.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Mean time between calls.
    pub(crate) call_every: Millis,
    /// Mean time between faults of machines and links.
    pub(crate) fault_every: Millis,
    /// Weights of these faults.
    pub(crate) link_cut: u64,
    pub(crate) agent_kill: u64,
    pub(crate) host_reboot: u64,
    pub(crate) front_end_pause: u64,
    pub(crate) front_end_takeover: u64,
    pub(crate) front_end_kill: u64,
    pub(crate) disk_full: u64,
    pub(crate) libvirt_restart: u64,
    pub(crate) clock_jump: u64,
    /// A front-end is killed around a commit.
    pub(crate) commit_kill: PerMille,
    /// An action fails.
    pub(crate) action_fails: PerMille,
    /// An action is done and said to have failed.
    pub(crate) action_denied: PerMille,
    /// An action hangs until its deadline.
    pub(crate) action_hangs: PerMille,
    /// An action fails when it is half done.
    pub(crate) action_half: PerMille,
    /// The channel is cut when an action has ended, before that is told.
    pub(crate) answer_lost: PerMille,
    /// A transfer loses its connection.
    pub(crate) transfer_cut: PerMille,
    /// An action takes long.
    pub(crate) action_slow: PerMille,
    /// A message comes twice.
    pub(crate) duplicate: PerMille,
    /// A guest ends by itself.
    pub(crate) guest_ends: PerMille,
    /// A guest does not react to the power button.
    pub(crate) guest_deaf: PerMille,
    /// A sample is sent some time after it was taken.
    pub(crate) sample_slow: PerMille,
    /// An administrator settles VMs by hand: share of calls.
    pub(crate) recover: u64,
}

impl Profile {
    /// The profile of a seed.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut some = |most: u64| {
            if random.chance(300) {
                0
            } else {
                random.below(most) + 1
            }
        };
        let mut profile = Self {
            call_every: 0,
            fault_every: 0,
            link_cut: some(10),
            agent_kill: some(10),
            host_reboot: some(6),
            front_end_pause: some(3),
            front_end_takeover: some(3),
            front_end_kill: some(3),
            disk_full: some(5),
            libvirt_restart: some(5),
            clock_jump: some(3),
            commit_kill: 0,
            action_fails: 0,
            action_denied: 0,
            action_hangs: 0,
            action_half: 0,
            answer_lost: 0,
            transfer_cut: 0,
            action_slow: 0,
            duplicate: 0,
            guest_ends: 0,
            guest_deaf: 0,
            sample_slow: 0,
            recover: some(8),
        };
        let mut some = |most: u64| {
            let drawn = if random.chance(300) {
                0
            } else {
                random.below(most) + 1
            };
            PerMille::try_from(drawn).unwrap_or(0)
        };
        profile.commit_kill = some(25);
        profile.action_fails = some(120);
        profile.action_denied = some(60);
        profile.action_hangs = some(40);
        profile.action_half = some(60);
        profile.answer_lost = some(40);
        profile.transfer_cut = some(120);
        profile.action_slow = some(150);
        profile.duplicate = some(100);
        profile.guest_ends = some(300);
        profile.guest_deaf = some(300);
        profile.sample_slow = some(200);
        profile.call_every = random.between(300, 4000);
        profile.fault_every = random.between(3_000, 60_000);
        profile
    }
}
