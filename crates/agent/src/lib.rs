//! Placeholder head of plerion-agent.
