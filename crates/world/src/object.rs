//! [`Object`]: an object of any kind.

use std::sync::Arc;

use plerion_model::quota::Quotas;
use plerion_model::{Entity, Id, Kind, NameScope, Owned};

use crate::kinds::for_kinds;

macro_rules! object {
    ($($kind:ident $pool:ident ($type:ty) $getter:ident $doc:literal;)*) => {
        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(
                #[doc = concat!("One of: ", $doc)]
                $kind(Arc<$type>),
            )*
        }

        impl Object {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// What it has in common with all others.
            #[must_use]
            pub fn entity(&self) -> &dyn Entity {
                match self {
                    $(Self::$kind(object) => &**object,)*
                }
            }

            /// As [`Self::entity`], to change it.
            pub(crate) fn entity_mut(&mut self) -> &mut dyn Entity {
                match self {
                    $(Self::$kind(object) => {
                        let object: &mut $type = Arc::make_mut(object);
                        object
                    })*
                }
            }
        }

        $(
            impl From<$type> for Object {
                fn from(object: $type) -> Self {
                    Self::$kind(Arc::new(object))
                }
            }

            impl From<Arc<$type>> for Object {
                fn from(object: Arc<$type>) -> Self {
                    Self::$kind(object)
                }
            }
        )*
    };
}

for_kinds!(object);

impl Object {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.entity().id()
    }

    /// Its owner, group, permissions and lock. `None` for kinds that have no owner.
    #[must_use]
    pub fn owned(&self) -> Option<&Owned> {
        self.entity().owned()
    }

    /// The owner among whose objects its name must differ: -1 where that is the whole pool. `None` where names need
    /// not differ.
    pub(crate) fn name_owner(&self) -> Option<Id> {
        name_scope(self.kind(), self.owned().map_or(-1, |owned| owned.uid))
    }

    /// The quotas of a user or a group, to change them.
    pub(crate) fn quotas_mut(&mut self) -> Option<&mut Quotas> {
        match self {
            Self::User(user) => Some(&mut Arc::make_mut(user).quotas),
            Self::Group(group) => Some(&mut Arc::make_mut(group).quotas),
            _ => None,
        }
    }
}

/// Whose names must differ: those of the whole pool (-1), those of one owner, or nobody's.
pub(crate) fn name_scope(kind: Kind, owner: Id) -> Option<Id> {
    match kind.facts().names {
        NameScope::Pool => Some(-1),
        NameScope::Owner => Some(owner),
        NameScope::Free => None,
    }
}
