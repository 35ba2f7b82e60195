//! Users.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::quota::{Limit, Quotas};
use crate::quota_usage::QuotaUsage;
use crate::{Id, Seconds, View};

/// The administrator.
pub const ONEADMIN: Id = 0;

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
            self.render_quotas(out, view);
            render_default_quotas(out, view);
        }
        out.close("USER");
    }

    /// `<QUOTAS>` as it follows each user of a pool.
    pub fn render_pool_quotas(&self, out: &mut impl Markup, view: &impl View) {
        out.open("QUOTAS");
        out.number("ID", i64::from(self.id));
        self.render_quotas(out, view);
        out.close("QUOTAS");
    }

    /// The sections of its quotas; none of user 0, whom nothing limits: the default quotas are kept there.
    fn render_quotas(&self, out: &mut impl Markup, view: &impl View) {
        let none = Quotas::default();
        let quotas = if self.id == ONEADMIN { &none } else { &self.quotas };
        quotas.render(
            out,
            &view.user_usage(self.id),
            view.quota_metrics(),
            Limit::DEFAULT,
        );
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

/// `<DEFAULT_USER_QUOTAS>`.
pub fn render_default_quotas(out: &mut impl Markup, view: &impl View) {
    let none = Quotas::default();
    let quotas = view.default_user_quotas().unwrap_or(&none);
    out.open("DEFAULT_USER_QUOTAS");
    quotas.render(
        out,
        &QuotaUsage::default(),
        view.quota_metrics(),
        Limit::UNLIMITED,
    );
    out.close("DEFAULT_USER_QUOTAS");
}
