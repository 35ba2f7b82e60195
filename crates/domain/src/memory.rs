//! Sizes of memory.

/// Largest memory of a guest in MiB (1 PiB).
pub(crate) const MAX_MEMORY_MIB: u64 = 1 << 30;
/// KiB in a MiB.
pub(crate) const KIB_PER_MIB: u64 = 1024;
