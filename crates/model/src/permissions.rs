//! Owner, group, the nine permission bits, and locks.

use plerion_template::Markup;
use serde::{Deserialize, Serialize};

use crate::{Id, Seconds, View};

/// A right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// See it, use it.
    Use = 1,
    /// Change it.
    Manage = 2,
    /// Change who may do what with it.
    Admin = 4,
    /// Make new ones.
    Create = 8,
}

impl Operation {
    /// The bit of the right in ACL rules.
    #[must_use]
    pub const fn bit(self) -> u64 {
        self as u64
    }

    /// Its name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Use => "USE",
            Self::Manage => "MANAGE",
            Self::Admin => "ADMIN",
            Self::Create => "CREATE",
        }
    }
}

/// Nine bits in octal order: owner, group, other × use (4), manage (2), admin (1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions(pub u16);

/// Whom a permission triple is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The owner.
    Owner,
    /// Members of the object's group.
    Group,
    /// Everybody else.
    Other,
}

impl Permissions {
    /// Owner may use and manage (`um- --- ---`): what new objects have under the default umask 177.
    pub const OWNER: Self = Self(0o600);

    /// Whether `audience` has the right. Nobody has CREATE by permission bits.
    #[must_use]
    pub const fn allows(self, audience: Audience, operation: Operation) -> bool {
        let bit = match operation {
            Operation::Use => 4,
            Operation::Manage => 2,
            Operation::Admin => 1,
            Operation::Create => return false,
        };
        let shift = match audience {
            Audience::Owner => 6,
            Audience::Group => 3,
            Audience::Other => 0,
        };
        (self.0 >> shift) & bit != 0
    }

    /// The nine bits in wire order (owner use, manage, admin, group …).
    #[must_use]
    pub fn bits(self) -> [bool; 9] {
        std::array::from_fn(|index| self.0 & (0o400 >> index) != 0)
    }

    /// The permissions after a chmod: for each bit 1 sets, 0 clears, -1 keeps.
    #[must_use]
    pub fn changed(self, bits: &[i32; 9]) -> Self {
        let mut value = self.0;
        for (index, bit) in bits.iter().enumerate() {
            let mask = 0o400u16 >> index;
            match bit {
                1 => value |= mask,
                0 => value &= !mask,
                _ => {}
            }
        }
        Self(value)
    }

    /// `<PERMISSIONS>` with nine elements.
    pub fn render(self, out: &mut impl Markup) {
        const NAMES: [&str; 9] = [
            "OWNER_U", "OWNER_M", "OWNER_A", "GROUP_U", "GROUP_M", "GROUP_A", "OTHER_U", "OTHER_M", "OTHER_A",
        ];
        out.open("PERMISSIONS");
        for (name, set) in NAMES.iter().zip(self.bits()) {
            out.element(name, if set { "1" } else { "0" });
        }
        out.close("PERMISSIONS");
    }
}

/// How much a lock blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LockLevel {
    /// Blocks use, manage and admin.
    Use = 1,
    /// Blocks manage and admin.
    Manage = 2,
    /// Blocks admin.
    Admin = 3,
}

impl LockLevel {
    /// Whether it blocks an operation.
    #[must_use]
    pub const fn blocks(self, operation: Operation) -> bool {
        match operation {
            Operation::Use => matches!(self, Self::Use),
            Operation::Manage => matches!(self, Self::Use | Self::Manage),
            Operation::Admin => true,
            Operation::Create => false,
        }
    }
}

/// A lock on an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// What it blocks.
    pub level: LockLevel,
    /// Who locked it.
    pub owner: Id,
    /// When.
    pub time: Seconds,
}

impl Lock {
    /// `<LOCK>`.
    pub fn render(&self, out: &mut impl Markup) {
        out.open("LOCK");
        out.number("LOCKED", i64::from(self.level as i32));
        out.number("OWNER", i64::from(self.owner));
        out.number("TIME", self.time);
        out.number("REQ_ID", -1);
        out.close("LOCK");
    }
}

/// Owner, group, permissions and lock of an object that has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Owner.
    pub uid: Id,
    /// Group.
    pub gid: Id,
    /// Permission bits.
    pub permissions: Permissions,
    /// Lock, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
}

impl Owned {
    /// Unlocked, of an owner and a group.
    #[must_use]
    pub const fn new(uid: Id, gid: Id, permissions: Permissions) -> Self {
        Self {
            uid,
            gid,
            permissions,
            lock: None,
        }
    }

    /// `UID GID UNAME GNAME`.
    pub fn render_owner(&self, out: &mut impl Markup, view: &impl View) {
        out.number("UID", i64::from(self.uid));
        out.number("GID", i64::from(self.gid));
        out.element("UNAME", view.user_name(self.uid));
        out.element("GNAME", view.group_name(self.gid));
    }

    /// `<LOCK>` where there is one.
    pub fn render_lock(&self, out: &mut impl Markup) {
        if let Some(lock) = &self.lock {
            lock.render(out);
        }
    }
}
