//! What oned.conf says of authentication drivers: which there are (`AUTH_MAD`), what their users may do (`AUTH_MAD_CONF`), who
//! decides on users that do not exist yet (`DEFAULT_AUTH`), and for how long it is remembered that a driver said yes.

use plerion_template::{Template, Vector};

/// The driver of passwords that are checked here.
pub const CORE: &str = "core";
/// The driver of users who log in by token, or through a service, only.
pub const PUBLIC: &str = "public";
/// How the drivers of services begin: their users log in as others.
pub const SERVER_PREFIX: &str = "server_";

/// `SESSION_EXPIRATION_TIME` where nothing is said, in seconds.
const SESSION_S: u64 = 900;
/// `DEFAULT_AUTH` where nothing is said.
const DEFAULT_AUTH: &str = "default";
/// `AUTH_MAD/AUTHN` where nothing is said.
const AUTHN: &str = "ssh,x509,ldap,server_cipher,server_x509,saml";
/// Keys of `AUTH_MAD_CONF`, and their values for each driver where nothing is said.
const CONF_KEYS: [&str; 5] = [
    "PASSWORD_CHANGE",
    "PASSWORD_REQUIRED",
    "DRIVER_MANAGED_GROUPS",
    "DRIVER_MANAGED_GROUP_ADMIN",
    "MAX_TOKEN_TIME",
];
/// Drivers, with the values of [`CONF_KEYS`]; an empty one is not said.
const CONFS: [(&str, [&str; 5]); 8] = [
    (CORE, ["YES", "", "NO", "NO", "-1"]),
    (PUBLIC, ["NO", "", "NO", "NO", "-1"]),
    ("ssh", ["YES", "", "NO", "NO", "-1"]),
    ("x509", ["NO", "", "NO", "NO", "-1"]),
    ("ldap", ["YES", "NO", "YES", "YES", "86400"]),
    ("saml", ["YES", "NO", "YES", "YES", "86400"]),
    ("server_cipher", ["NO", "", "NO", "NO", "-1"]),
    ("server_x509", ["NO", "", "NO", "NO", "-1"]),
];

/// What the users of a driver may do, and what of them comes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverConf {
    /// They may set their password.
    pub password_change: bool,
    /// They are not made without one.
    pub password_required: bool,
    /// Their groups are what the driver says at each login.
    pub managed_groups: bool,
    /// So is which of these they administer.
    pub managed_group_admin: bool,
    /// Longest life of their login tokens, in seconds; 0: they have none; below 0: without a limit.
    pub max_token_s: i64,
}

impl Default for DriverConf {
    fn default() -> Self {
        Self {
            password_change: true,
            password_required: true,
            managed_groups: false,
            managed_group_admin: false,
            max_token_s: -1,
        }
    }
}

impl DriverConf {
    fn of(conf: &Vector) -> Self {
        let says = |key: &str, default: bool| {
            conf.get(key)
                .map_or(default, |value| value.trim().eq_ignore_ascii_case("yes"))
        };
        let default = Self::default();
        Self {
            password_change: says("PASSWORD_CHANGE", default.password_change),
            password_required: says("PASSWORD_REQUIRED", default.password_required),
            managed_groups: says("DRIVER_MANAGED_GROUPS", default.managed_groups),
            managed_group_admin: says("DRIVER_MANAGED_GROUP_ADMIN", default.managed_group_admin),
            max_token_s: conf
                .get("MAX_TOKEN_TIME")
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(default.max_token_s),
        }
    }
}

/// The authentication drivers of oned.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthDrivers {
    names: Vec<String>,
    default: String,
    session_s: u64,
    confs: Vec<(String, DriverConf)>,
}

impl AuthDrivers {
    /// Those of the attributes of oned.conf, the defaults already among them.
    pub(crate) fn of(attributes: &Template) -> Self {
        let names = attributes.pair("AUTH_MAD", "AUTHN").unwrap_or_default();
        Self {
            names: names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            default: attributes
                .get("DEFAULT_AUTH")
                .unwrap_or(DEFAULT_AUTH)
                .trim()
                .to_owned(),
            session_s: attributes
                .get("SESSION_EXPIRATION_TIME")
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(SESSION_S),
            confs: attributes
                .vectors("AUTH_MAD_CONF")
                .filter_map(|conf| Some((conf.get("NAME")?.to_owned(), DriverConf::of(conf))))
                .collect(),
        }
    }

    /// Whether `AUTHN` names a driver. `core` and `public` are always there and need no name in it.
    #[must_use]
    pub fn offers(&self, driver: &str) -> bool {
        self.names.iter().any(|name| name == driver)
    }

    /// The driver that is asked about users that do not exist; `None` where `AUTHN` does not name it.
    #[must_use]
    pub fn for_unknown(&self) -> Option<&str> {
        let default = self.default.as_str();
        (self.offers(default) && !default.starts_with(SERVER_PREFIX)).then_some(default)
    }

    /// For how long it is remembered that a driver said yes, in seconds; 0: each call asks again.
    #[must_use]
    pub fn session_s(&self) -> u64 {
        self.session_s
    }

    /// What holds for the users of a driver.
    #[must_use]
    pub fn conf(&self, driver: &str) -> DriverConf {
        self.confs
            .iter()
            .find(|(name, _)| name == driver)
            .map(|(_, conf)| *conf)
            .unwrap_or_default()
    }
}

/// Adds what oned.conf does not say.
pub(crate) fn auth_defaults_set(attributes: &mut Template) {
    attributes.set_if_missing("DEFAULT_AUTH", DEFAULT_AUTH);
    attributes.set_if_missing("SESSION_EXPIRATION_TIME", SESSION_S.to_string());
    if !attributes.contains("AUTH_MAD") {
        attributes.add_vector(
            "AUTH_MAD",
            [("AUTHN", AUTHN), ("EXECUTABLE", "one_auth_mad")]
                .into_iter()
                .collect(),
        );
    }
    for (name, values) in CONFS {
        let known = attributes
            .vectors("AUTH_MAD_CONF")
            .any(|conf| conf.get("NAME") == Some(name));
        if !known {
            let said = CONF_KEYS
                .into_iter()
                .zip(values)
                .filter(|(_, value)| !value.is_empty());
            let mut conf: Vector = said.collect();
            conf.set("NAME", name);
            attributes.add_vector("AUTH_MAD_CONF", conf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn drivers(text: &str) -> AuthDrivers {
        Config::new(Template::parse_config(text).expect("a configuration"), "/x").auth
    }

    #[test]
    fn an_empty_file_has_the_drivers_of_the_reference() {
        let drivers = Config::default().auth;
        assert!(drivers.offers("server_cipher") && drivers.offers("ldap") && !drivers.offers("default"));
        assert_eq!(drivers.for_unknown(), None);
        assert_eq!(drivers.session_s(), 900);
        let ldap = drivers.conf("ldap");
        assert!(ldap.managed_groups && ldap.managed_group_admin && !ldap.password_required);
        assert_eq!(ldap.max_token_s, 86400);
        assert!(!drivers.conf("x509").password_change && drivers.conf("core").password_change);
        assert_eq!(drivers.conf("mine"), DriverConf::default());
    }

    #[test]
    fn what_the_file_says_is_put_before() {
        let drivers = drivers(
            "AUTH_MAD = [ EXECUTABLE = \"one_auth_mad\", AUTHN = \"ldap, mine,\" ]\nDEFAULT_AUTH = \"mine\"\n\
             SESSION_EXPIRATION_TIME = 0\n\
             AUTH_MAD_CONF = [ NAME = \"ldap\", PASSWORD_CHANGE = \"no\", MAX_TOKEN_TIME = \"0\" ]\n\
             AUTH_MAD_CONF = [ NAME = \"mine\", DRIVER_MANAGED_GROUPS = \"yes\" ]\n",
        );
        assert!(drivers.offers("mine") && !drivers.offers("ssh") && !drivers.offers(""));
        assert_eq!(drivers.for_unknown(), Some("mine"));
        assert_eq!(drivers.session_s(), 0);
        let ldap = drivers.conf("ldap");
        assert!(!ldap.password_change && !ldap.managed_groups && ldap.password_required);
        assert_eq!(ldap.max_token_s, 0);
        assert!(drivers.conf("mine").managed_groups);
    }

    #[test]
    fn services_are_not_asked_about_unknown_users() {
        assert_eq!(drivers("DEFAULT_AUTH = \"server_cipher\"\n").for_unknown(), None);
    }
}
