//! Files of datastores: disks, images, context disks, transfers between hosts.
//!
//! Everything made here is written under another name beside its place and renamed when it is whole and on disk, so
//! a file under its own name can be trusted after a crash.

mod cache;
mod context;
mod copy;
mod datastore;
mod digest;
mod disk;
mod fetch;
mod file;
mod header;
mod image;
mod iso;
mod layers;
mod part;
mod qemu_img;
mod snapshot;
mod taken;
mod transfer;
mod unpack;

pub(crate) use cache::cache_prune;
pub(crate) use context::context_make;
pub(crate) use datastore::{datastore_space, datastore_stat};
pub(crate) use disk::{
    DiskContent, disk_copy, disk_flatten, disk_link, disk_make, disk_make_empty, disk_overlay,
};
pub(crate) use file::{entry_delete, file_replace, path_delete};
pub(crate) use image::{Wanted, image_output, image_register, image_stat};
pub(crate) use layers::layers_merge;
pub(crate) use part::{directory_make, missing_is_fine};
pub(crate) use snapshot::{Taken, disk_snapshot, snapshot_take};
pub(crate) use taken::{CHECKPOINT, Copies, copies_tidy, filled_path};
pub(crate) use transfer::{
    FAR_TIME_MAX, Far, NearSession, TransferContext, receive_main, send_main, transfer_pull, transfer_push,
};

/// Bytes in a MiB.
pub(crate) const MIB: u64 = 1024 * 1024;

/// A size in MiB as bytes.
pub(crate) fn mib_bytes(size_mib: u64) -> crate::fault::Act<u64> {
    size_mib
        .checked_mul(MIB)
        .filter(|bytes| *bytes <= i64::MAX as u64)
        .ok_or_else(|| crate::fault::refused(format!("{size_mib} MiB is more than a file can hold")))
}
