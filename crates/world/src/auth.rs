//! Who may do what with which object. Nothing is allowed by default.

use plerion_model::acl::AclQuestion;
use plerion_model::permissions::Audience;
use plerion_model::user::User;
use plerion_model::{ApiError, Id, Kind, Operation, Owned, Seconds, group};

use crate::object::Object;
use crate::world::World;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub uid: Id,
    /// Its primary group, or the one its token is limited to.
    pub gid: Id,
    /// All its groups, or the one its token is limited to.
    pub groups: Vec<Id>,
    /// What limits the token that it has logged in with; `None` for passwords.
    pub token: Option<TokenLimit>,
}

/// What a login token gives at most; it makes no token that gives more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimit {
    /// When it ends, in seconds; below 0: never.
    pub expires: Seconds,
    /// The only group that it gives; below 0: all of its user's.
    pub egid: Id,
}

impl Caller {
    /// The system itself: user 0.
    #[must_use]
    pub fn system() -> Self {
        Self {
            uid: 0,
            gid: 0,
            groups: vec![0],
            token: None,
        }
    }

    /// A user, with all its groups.
    #[must_use]
    pub fn of(user: &User) -> Self {
        Self {
            uid: user.id,
            gid: user.gid,
            groups: user.groups.clone(),
            token: None,
        }
    }

    /// Whether nothing is refused to it: user 0 and members of the administrators' group.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.uid == 0 || self.groups.contains(&group::ONEADMIN)
    }
}

impl TokenLimit {
    /// Whether it gives one group alone.
    #[must_use]
    pub fn is_of_group(self) -> bool {
        self.egid >= 0
    }
}

/// An object as far as rights are concerned.
#[derive(Clone, Debug)]
pub struct Target {
    kind: Kind,
    id: Id,
    owned: Option<Owned>,
    gid: Id,
    clusters: Vec<Id>,
}

impl Target {
    /// The making of a new object of a kind.
    #[must_use]
    pub fn new_of(kind: Kind) -> Self {
        Self {
            kind,
            id: -1,
            owned: None,
            gid: -1,
            clusters: Vec::new(),
        }
    }

    /// An object with an owner.
    #[must_use]
    pub fn owned(kind: Kind, id: Id, owned: &Owned) -> Self {
        Self {
            kind,
            id,
            owned: Some(owned.clone()),
            gid: owned.gid,
            clusters: Vec::new(),
        }
    }

    /// An object without an owner.
    #[must_use]
    pub fn plain(kind: Kind, id: Id) -> Self {
        Self {
            kind,
            id,
            owned: None,
            gid: -1,
            clusters: Vec::new(),
        }
    }

    /// With the clusters it belongs to.
    #[must_use]
    pub fn in_clusters(mut self, clusters: &[Id]) -> Self {
        self.clusters = clusters.to_vec();
        self
    }

    /// Any object by kind and id.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn of(world: &World, kind: Kind, id: Id) -> Result<Self, ApiError> {
        Ok(Self::of_object(&world.object(kind, id)?))
    }

    /// An object at hand, with its owner, group and clusters.
    #[must_use]
    pub fn of_object(object: &Object) -> Self {
        let (kind, id) = (object.kind(), object.id());
        let target = object
            .owned()
            .map_or_else(|| Self::plain(kind, id), |owned| Self::owned(kind, id, owned));
        match object {
            Object::Vm(vm) => {
                let cluster = vm.last_history().map(|record| record.cluster);
                target.in_clusters(cluster.as_slice())
            }
            Object::Host(host) => target.in_clusters(&[host.cluster_id]),
            Object::Vnet(vnet) => target.in_clusters(&vnet.clusters),
            Object::Datastore(datastore) => target.in_clusters(&datastore.clusters),
            Object::Cluster(_) => target.in_clusters(&[id]),
            // Whoever manages the first group of an administrator would be one by a new password: rules on that group are
            // about ordinary users.
            Object::User(user) => Self {
                gid: if user.groups.contains(&group::ONEADMIN) {
                    group::ONEADMIN
                } else {
                    user.gid
                },
                ..target
            },
            Object::Group(_) => Self { gid: id, ..target },
            _ => target,
        }
    }
}

/// Refuses unless the caller has every right asked for; the text names all that lack, as recorded.
pub(crate) fn require(
    world: &World,
    caller: &Caller,
    rights: &[(Operation, Target)],
) -> Result<(), ApiError> {
    let missing: Vec<String> = rights
        .iter()
        .filter(|(operation, target)| !allows(world, caller, *operation, target))
        .map(|(operation, target)| missing_text(*operation, target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ApiError::authorization(caller.uid, &missing.join("; ")))
}

fn missing_text(operation: Operation, target: &Target) -> String {
    let what = format!(
        "Not authorized to perform {} {}",
        operation.as_str(),
        target.kind.acl_name()
    );
    if target.id < 0 {
        what
    } else {
        format!("{what} [{}]", target.id)
    }
}

/// Whether the caller has a right, and no lock blocks it. (Recorded: locks bind administrators, too.)
pub(crate) fn allows(world: &World, caller: &Caller, operation: Operation, target: &Target) -> bool {
    let locked = target.owned.as_ref().and_then(|owned| owned.lock.as_ref());
    if locked.is_some_and(|lock| lock.level.blocks(operation)) {
        return false;
    }
    allows_unlocked(world, caller, operation, target)
}

/// The same, locks aside: for the calls that may look at locked objects, and for unlocking.
pub(crate) fn allows_unlocked(world: &World, caller: &Caller, operation: Operation, target: &Target) -> bool {
    caller.is_admin()
        || by_itself(caller, operation, target)
        || target
            .owned
            .as_ref()
            .is_some_and(|owned| by_permissions(caller, operation, owned))
        || by_rules(world, caller, operation, target)
}

/// Users may see and change themselves, and see their groups. With a token of one group they cannot change themselves: what
/// they are is theirs in all groups.
fn by_itself(caller: &Caller, operation: Operation, target: &Target) -> bool {
    let of_group = caller.token.is_some_and(TokenLimit::is_of_group);
    match target.kind {
        Kind::User if target.id == caller.uid => match operation {
            Operation::Use => true,
            Operation::Manage => !of_group,
            Operation::Admin | Operation::Create => false,
        },
        Kind::User => false,
        Kind::Group => operation == Operation::Use && caller.groups.contains(&target.id),
        _ => false,
    }
}

/// Whether the bits of an object give its owner, its group or others what the caller wants.
pub(crate) fn by_permissions(caller: &Caller, operation: Operation, owned: &Owned) -> bool {
    let permissions = owned.permissions;
    (owned.uid == caller.uid && permissions.allows(Audience::Owner, operation))
        || (caller.groups.contains(&owned.gid) && permissions.allows(Audience::Group, operation))
        || permissions.allows(Audience::Other, operation)
}

/// What is new will be of the caller's group: rules on objects of that group are about making it, too. (So administrators of
/// a group make its users.)
fn by_rules(world: &World, caller: &Caller, operation: Operation, target: &Target) -> bool {
    let gid = match operation {
        Operation::Create => caller.gid,
        Operation::Use | Operation::Manage | Operation::Admin => target.gid,
    };
    let question = AclQuestion {
        uid: caller.uid,
        groups: &caller.groups,
        kind: target.kind,
        oid: target.id,
        gid,
        clusters: &target.clusters,
        right: operation.bit(),
    };
    question
        .names()
        .flat_map(|who| world.rules_for(who))
        .any(|rule| rule.grants(&question, plerion_model::zone::LOCAL))
}

/// Whether a caller may see an object, locks aside. Lists are filtered by it.
#[must_use]
pub fn may_see(world: &World, caller: &Caller, target: &Target) -> bool {
    allows_unlocked(world, caller, Operation::Use, target)
}

/// Refuses unless the caller may see an object, locks aside.
///
/// # Errors
/// When it may not.
pub fn require_see(world: &World, caller: &Caller, target: &Target) -> Result<(), ApiError> {
    require_see_all(world, caller, std::slice::from_ref(target))
}

/// The same for several objects; the text names all that the caller may not see.
pub(crate) fn require_see_all(world: &World, caller: &Caller, targets: &[Target]) -> Result<(), ApiError> {
    let missing: Vec<String> = targets
        .iter()
        .filter(|target| !may_see(world, caller, target))
        .map(|target| missing_text(Operation::Use, target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ApiError::authorization(caller.uid, &missing.join("; ")))
}

/// Refuses unless the caller has a right on an object, locks aside.
///
/// # Errors
/// When it has not.
pub fn require_right(
    world: &World,
    caller: &Caller,
    right: Operation,
    target: &Target,
) -> Result<(), ApiError> {
    if allows_unlocked(world, caller, right, target) {
        return Ok(());
    }
    Err(ApiError::authorization(caller.uid, &missing_text(right, target)))
}
