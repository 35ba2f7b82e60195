//! [`Places`]: how many consoles are open, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plerion_model::Id;

/// Consoles open at once, each with an ssh of its own.
const CONSOLES_MAX: usize = 64;
/// Consoles of one user open at once.
const CONSOLES_PER_USER_MAX: usize = 16;

/// Why there is no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    #[error("{CONSOLES_MAX} consoles are open already. Try again when somebody has closed one")]
    All,
    #[error("you have {CONSOLES_PER_USER_MAX} consoles open already. Close one first")]
    Own,
}

/// The consoles that are open, by user.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<Id, usize>>>);

/// A console that is open; dropping it gives its place back.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    uid: Id,
}

impl Places {
    /// A place for one more.
    pub(super) fn take(&self, uid: Id) -> Result<Place, NoPlace> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= CONSOLES_MAX {
            return Err(NoPlace::All);
        }
        let own = open.entry(uid).or_default();
        if *own >= CONSOLES_PER_USER_MAX {
            return Err(NoPlace::Own);
        }
        *own += 1;
        Ok(Place {
            places: self.clone(),
            uid,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.uid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let places = Places::default();
        let own: Vec<Place> = (0..CONSOLES_PER_USER_MAX)
            .map(|_| places.take(3).expect("a place"))
            .collect();
        assert_eq!(places.take(3).err(), Some(NoPlace::Own));
        let users = 4..;
        let others: Vec<Place> = users
            .take(CONSOLES_MAX - CONSOLES_PER_USER_MAX)
            .map(|uid| places.take(uid).expect("a place"))
            .collect();
        assert_eq!(places.take(2).err(), Some(NoPlace::All));
        drop(own);
        assert!(places.take(3).is_ok());
        drop(others);
        assert!(places.0.lock().expect("whole").is_empty());
    }
}
