//! Has the caches of images pruned now and then, in a thread: deleting large files takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plerion_protocol::CacheWatch;

use crate::roots::Roots;
use crate::storage::cache_prune;

/// Pause between two looks at the caches.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Caches that are looked at.
const CACHES_MAX: usize = 1000;

/// When it looked last, and whether it still does.
#[derive(Default)]
pub(crate) struct Pruner {
    last: Option<Instant>,
    busy: Arc<AtomicBool>,
}

impl Pruner {
    /// Looks at the caches, if it is time.
    pub(crate) fn look(&mut self, caches: &[CacheWatch], roots: &Roots) {
        let due = self.last.is_none_or(|last| last.elapsed() >= PRUNE_EVERY);
        if caches.is_empty() || !due || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        self.last = Some(Instant::now());
        let (busy, roots) = (Arc::clone(&self.busy), roots.clone());
        let caches: Vec<CacheWatch> = caches.iter().take(CACHES_MAX).cloned().collect();
        std::thread::spawn(move || {
            for cache in &caches {
                one_prune(cache, &roots);
            }
            busy.store(false, Ordering::Release);
        });
    }
}

fn one_prune(cache: &CacheWatch, roots: &Roots) {
    let pruned = roots
        .target(&cache.directory)
        .and_then(|directory| cache_prune(&directory, cache));
    match pruned {
        Ok(pruned) if pruned.names.is_empty() => {}
        Ok(pruned) => tracing::info!(
            directory = cache.directory,
            bytes = pruned.bytes,
            images = pruned.names.join(" "),
            "images have been removed from the cache"
        ),
        Err(error) => tracing::warn!(
            directory = cache.directory,
            %error,
            "the cache of images is not pruned"
        ),
    }
}
