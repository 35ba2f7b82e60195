//! The highest epoch of a front-end that this agent has seen; a lower one is a leader of the past.

use std::path::{Path, PathBuf};

use plerion_protocol::{ActionError, ErrorKind};

use crate::fault::{Act, IoContext, failed};
use crate::state;

/// The epoch on disk.
pub(crate) struct EpochStore {
    path: PathBuf,
    highest: u64,
}

impl EpochStore {
    /// Reads the file `epoch` in `directory`; a missing one means 0.
    ///
    /// # Errors
    /// When it cannot be read or holds no number: the agent must not start, or it would obey a stale leader.
    pub(crate) fn open(directory: &Path) -> Act<Self> {
        let path = directory.join("epoch");
        let highest = epoch_read(&path)?;
        Ok(Self { path, highest })
    }

    /// The highest epoch seen.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Accepts an epoch: a higher one is on disk before this returns, a lower one is refused.
    pub(crate) fn accept(&mut self, epoch: u64) -> Act<()> {
        if epoch < self.highest {
            return Err(epoch_refused(epoch, self.highest));
        }
        if epoch > self.highest {
            state::file_write(&self.path, format!("{epoch}\n").as_bytes(), 0o600)?;
            self.highest = epoch;
        }
        Ok(())
    }
}

/// Reads an epoch file; a missing one means 0.
pub(crate) fn epoch_read(path: &Path) -> Act<u64> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            failed(format!(
                "{} holds no epoch; write into it the epoch of the front-end as a number",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).at("cannot read", path),
    }
}

/// The refusal of an epoch of the past.
pub(crate) fn epoch_refused(epoch: u64, highest: u64) -> ActionError {
    ActionError::new(
        ErrorKind::Epoch,
        format!(
            "the front-end has epoch {epoch}, but this host has obeyed epoch {highest}: another front-end leads, or \
             the database was restored; nothing is done until the epoch is raised above {highest}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    #[test]
    fn the_highest_epoch_is_kept() {
        let scratch = Scratch::new("epoch");
        let mut store = EpochStore::open(scratch.path()).expect("new");
        store.accept(3).expect("higher");
        store.accept(3).expect("the same");
        assert_eq!(store.accept(2).expect_err("lower").kind, ErrorKind::Epoch);
        let mut again = EpochStore::open(scratch.path()).expect("read");
        assert_eq!(again.highest(), 3);
        assert!(again.accept(2).is_err());
        std::fs::write(scratch.path().join("epoch"), "x").expect("written");
        assert!(EpochStore::open(scratch.path()).is_err());
    }
}
