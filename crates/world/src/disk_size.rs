//! How large disks and images may be.

/// Largest one, in MiB: beyond what any file system holds, and leaves room for sums.
const SIZE_MAX: u64 = 1 << 42;

/// A size in MiB, as it is given; `None` where the text is no size that a disk could have.
pub(crate) fn size_read(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|size| *size <= SIZE_MAX)
}
