//! Placeholder head of plerion-client.
