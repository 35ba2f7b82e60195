//! Placeholder head of plerion-model.
