//! A persistent map of objects by id: cloning it is cheap, and clones share what did not change.

use std::sync::Arc;

use plerion_model::Id;

/// Objects of one kind by id.
#[derive(Debug)]
pub struct Pool<T> {
    objects: imbl::OrdMap<Id, Arc<T>>,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self {
            objects: self.objects.clone(),
        }
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            objects: imbl::OrdMap::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for Pool<T> {
    fn eq(&self, other: &Self) -> bool {
        self.objects == other.objects
    }
}

impl<T> Pool<T> {
    /// The object of an id.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&Arc<T>> {
        self.objects.get(&id)
    }

    /// All objects by ascending id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Id, &Arc<T>)> {
        self.objects.iter().map(|(id, object)| (*id, object))
    }

    /// All objects by ascending id.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> {
        self.objects.iter().map(|(_, object)| object)
    }

    /// Whether both share all of their memory, so that they hold the same objects. It may say no for equal pools.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.objects.ptr_eq(&other.objects)
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(crate) fn put(&mut self, id: Id, object: Arc<T>) -> Option<Arc<T>> {
        self.objects.insert(id, object)
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<Arc<T>> {
        self.objects.remove(&id)
    }
}
