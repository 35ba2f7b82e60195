//! What objects of all kinds have in common.

use plerion_template::PackedTemplate;

use crate::{Id, Owned};

/// An object of any kind, as far as all kinds are alike.
pub trait Entity {
    /// Its id.
    fn id(&self) -> Id;
    /// Its name; empty for kinds without one.
    fn name(&self) -> &str;
    /// Renames it. Nothing happens to kinds without a name.
    fn name_set(&mut self, name: String);
    /// Owner, group, permissions and lock. `None` for kinds that have no owner.
    fn owned(&self) -> Option<&Owned>;
    /// As [`Self::owned`], to change it.
    fn owned_mut(&mut self) -> Option<&mut Owned>;
    /// The template that `one.*.update` changes. `None` for kinds without one.
    fn template(&self) -> Option<&PackedTemplate>;
    /// As [`Self::template`], to change it.
    fn template_mut(&mut self) -> Option<&mut PackedTemplate>;
}

/// Says which fields of a type are what [`Entity`] asks for: whether it has `owned`, and the field of its template. A
/// type alone is one that has neither name nor owner nor template.
macro_rules! entity {
    ($type:ty) => {
        impl $crate::entity::Entity for $type {
            fn id(&self) -> $crate::Id {
                self.id
            }
            fn name(&self) -> &str {
                ""
            }
            fn name_set(&mut self, _name: String) {}
            fn owned(&self) -> Option<&$crate::Owned> {
                None
            }
            fn owned_mut(&mut self) -> Option<&mut $crate::Owned> {
                None
            }
            fn template(&self) -> Option<&plerion_template::PackedTemplate> {
                None
            }
            fn template_mut(&mut self) -> Option<&mut plerion_template::PackedTemplate> {
                None
            }
        }
    };
    ($type:ty, owned, $template:ident) => {
        $crate::entity::entity!(@ $type, $template, Some(owned));
    };
    ($type:ty, $template:ident) => {
        $crate::entity::entity!(@ $type, $template, None);
    };
    (@ $type:ty, $template:ident, $($owned:tt)*) => {
        impl $crate::entity::Entity for $type {
            fn id(&self) -> $crate::Id {
                self.id
            }
            fn name(&self) -> &str {
                &self.name
            }
            fn name_set(&mut self, name: String) {
                self.name = name;
            }
            fn owned(&self) -> Option<&$crate::Owned> {
                $crate::entity::entity!(@ref self, $($owned)*)
            }
            fn owned_mut(&mut self) -> Option<&mut $crate::Owned> {
                $crate::entity::entity!(@mut self, $($owned)*)
            }
            fn template(&self) -> Option<&plerion_template::PackedTemplate> {
                Some(&self.$template)
            }
            fn template_mut(&mut self) -> Option<&mut plerion_template::PackedTemplate> {
                Some(&mut self.$template)
            }
        }
    };
    (@ref $self:ident, Some($field:ident)) => { Some(&$self.$field) };
    (@ref $self:ident, None) => { None };
    (@mut $self:ident, Some($field:ident)) => { Some(&mut $self.$field) };
    (@mut $self:ident, None) => { None };
}
pub(crate) use entity;
