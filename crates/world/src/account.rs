//! [`Account`]: whose quotas something counts for.

use plerion_model::{Id, Owned, group, user};

/// Whose quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Account {
    User(Id),
    Group(Id),
}

/// Who pays for an object. Nothing limits user 0 and group 0, and nothing is counted for them (recorded).
pub(crate) fn accounts(owned: &Owned) -> impl Iterator<Item = Account> + use<> {
    let user = (owned.uid != user::ONEADMIN).then_some(Account::User(owned.uid));
    let group = (owned.gid != group::ONEADMIN).then_some(Account::Group(owned.gid));
    user.into_iter().chain(group)
}
