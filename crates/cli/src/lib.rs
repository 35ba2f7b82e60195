//! Placeholder head of plerion-cli.
