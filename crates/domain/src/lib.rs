//! Placeholder head of plerion-domain.
