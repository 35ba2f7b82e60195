//! Placeholder head of plerion-sim.
