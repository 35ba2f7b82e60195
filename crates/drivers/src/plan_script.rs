//! Calls of scripts: how a driver that is not built in is asked, in the terms of the old driver protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use plerion_protocol::{Action, ScriptArgument, ScriptCall, ScriptReply};
use plerion_world::World;

/// Datastore drivers that are built in.
pub(crate) const DATASTORE_BUILT_IN: [&str; 2] = ["dummy", "fs"];

/// Families of scripts, which are directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Scripts of transfer drivers.
    Transfer,
    /// Scripts of datastore drivers.
    Datastore,
}

impl Family {
    fn directory(self) -> &'static str {
        match self {
            Self::Transfer => "tm",
            Self::Datastore => "datastore",
        }
    }
}

/// A script of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Script<'a> {
    pub(crate) family: Family,
    pub(crate) driver: &'a str,
    pub(crate) name: &'a str,
    /// Transfer driver of the system datastore where it is another one: `NAME.SUFFIX` is looked for first.
    pub(crate) suffix: Option<&'a str>,
}

impl Script<'_> {
    fn programs(&self) -> Vec<String> {
        let plain = format!("{}/{}/{}", self.family.directory(), self.driver, self.name);
        let suffixed = self.suffix.map(|suffix| format!("{plain}.{suffix}"));
        suffixed.into_iter().chain([plain]).collect()
    }

    /// The action that runs it.
    pub(crate) fn action(
        &self,
        world: &World,
        arguments: Vec<ScriptArgument>,
        stdin: String,
        reply: ScriptReply,
    ) -> Action {
        Action::ScriptRun(ScriptCall {
            programs: self.programs(),
            arguments,
            stdin,
            environment: variables(world),
            reply,
        })
    }
}

/// An argument as it is.
pub(crate) fn text(text: impl ToString) -> ScriptArgument {
    ScriptArgument::Text(text.to_string())
}

/// A path on the front-end, with the name by which hosts reach it.
pub(crate) fn front_end_path(world: &World, path: &str) -> ScriptArgument {
    match world
        .config
        .attributes
        .get("HOSTNAME")
        .filter(|name| !name.is_empty())
    {
        Some(name) => text(format!("{name}:{path}")),
        None => ScriptArgument::Here(path.to_owned()),
    }
}

/// What scripts need to use the command line against this server. The rest (ONE_LOCATION, ONE_AUTH, HOME) they inherit.
fn variables(world: &World) -> Vec<(String, String)> {
    let text = |name: &str| world.config.attributes.get(name).unwrap_or_default();
    // Port 0 lets the system choose: then only the server's environment can name it.
    let Some(port) = text("PORT").parse().ok().filter(|port: &u16| *port != 0) else {
        return Vec::new();
    };
    let address = match text("LISTEN_ADDRESS").parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => address,
        Ok(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        Ok(IpAddr::V4(_)) | Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    let endpoint = format!("http://{}/RPC2", SocketAddr::new(address, port));
    vec![("ONE_XMLRPC".to_owned(), endpoint)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use plerion_template::Template;
    use plerion_world::Config;

    fn world(pairs: &[(&str, &str)]) -> World {
        let mut attributes = Template::new();
        for (name, value) in pairs {
            attributes.set(name, *value);
        }
        let mut world = World::default();
        world.config = Config::new(attributes, "/ds").into();
        world
    }

    #[test]
    fn scripts_are_told_where_the_server_is() {
        let endpoint = |pairs: &[(&str, &str)]| variables(&world(pairs)).pop().map(|(_, value)| value);
        assert_eq!(endpoint(&[]).as_deref(), Some("http://127.0.0.1:2633/RPC2"));
        assert_eq!(
            endpoint(&[("LISTEN_ADDRESS", "0.0.0.0"), ("PORT", "99")]).as_deref(),
            Some("http://127.0.0.1:99/RPC2")
        );
        assert_eq!(
            endpoint(&[("LISTEN_ADDRESS", "::"), ("PORT", "99")]).as_deref(),
            Some("http://[::1]:99/RPC2")
        );
        assert_eq!(endpoint(&[("PORT", "0")]), None);
    }

    #[test]
    fn the_front_end_has_the_name_it_is_given() {
        assert_eq!(
            front_end_path(&world(&[("HOSTNAME", "fe.example")]), "/ds/1/x"),
            text("fe.example:/ds/1/x")
        );
        assert_eq!(
            front_end_path(&world(&[]), "/ds/1/x"),
            ScriptArgument::Here("/ds/1/x".into())
        );
    }
}
