//! Users.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::quota::Quotas;
use crate::{Id, Seconds, View};

/// A login token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginToken {
    /// SHA-256 of the token, hexadecimal; the token itself is told once.
    pub hash: String,
    /// When it ends; -1 never.
    pub expires: Seconds,
    /// Group it is limited to; -1 none.
    pub egid: Id,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// Primary group.
    pub gid: Id,
    /// All groups, the primary one included, ascending.
    pub groups: Vec<Id>,
    /// Stored password: an argon2 PHC string, or what the authentication driver needs.
    pub password: String,
    /// Authentication driver: `core`, `public`, …
    pub auth_driver: String,
    /// Whether it may log in.
    pub enabled: bool,
    /// Login tokens.
    #[serde(default)]
    pub tokens: Vec<LoginToken>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
    /// Quotas set for the user.
    #[serde(default)]
    pub quotas: Quotas,
}

crate::entity::entity!(User, template);

impl User {
    /// `<USER>`. In pools the quotas follow as an element of their own (recorded), see [`Self::render_pool_quotas`].
    pub fn render(&self, out: &mut impl Markup, view: &impl View, full: bool) {
        out.open("USER");
        out.number("ID", i64::from(self.id));
        out.number("GID", i64::from(self.gid));
        render_ids(out, "GROUPS", &self.groups);
        out.element("GNAME", view.group_name(self.gid));
        out.element("NAME", &self.name);
        out.cdata_element("PASSWORD", &self.password);
        out.cdata_element("AUTH_DRIVER", &self.auth_driver);
        out.number("ENABLED", i64::from(self.enabled));
        for token in &self.tokens {
            out.open("LOGIN_TOKEN");
            out.element("TOKEN", &token.hash);
            out.number("EXPIRATION_TIME", token.expires);
            out.number("EGID", i64::from(token.egid));
            out.close("LOGIN_TOKEN");
        }
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        if full {
            self.quotas.render(out);
            out.open("DEFAULT_USER_QUOTAS");
            Quotas::default().render(out);
            out.close("DEFAULT_USER_QUOTAS");
        }
        out.close("USER");
    }

    /// `<QUOTAS>` as it follows each user of a pool.
    pub fn render_pool_quotas(&self, out: &mut impl Markup) {
        out.open("QUOTAS");
        out.number("ID", i64::from(self.id));
        self.quotas.render(out);
        out.close("QUOTAS");
    }
}

/// `<name><ID>1</ID>…</name>`.
pub(crate) fn render_ids(out: &mut impl Markup, name: &str, ids: &[Id]) {
    out.open(name);
    for id in ids {
        out.number("ID", i64::from(*id));
    }
    out.close(name);
}
