//! What ldap_auth.conf says. Keys and defaults are those of the documentation of 7.4.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plerion_model::Id;
use regex::{Regex, RegexBuilder};
use saphyr::Yaml;

use super::yaml::{file_read, pairs, text, texts};

/// `:timeout` where nothing is said, in seconds.
const TIMEOUT_S: u64 = 15;

/// The whole file.
#[derive(Debug)]
pub(super) struct Conf {
    /// Which servers are asked.
    pub(super) choice: Choice,
    servers: Vec<Server>,
}

/// Which servers are asked, by name.
#[derive(Debug)]
pub(super) enum Choice {
    /// `:order`: one after the other; of those in one list the first that can be asked.
    Order(Vec<Vec<String>>),
    /// `:match_user_regex`: those of the first pattern that the name of the user matches.
    Match(Vec<(Regex, Vec<String>)>),
}

/// A server and how users are found there.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Who searches, with which password; nobody: without a login.
    pub(super) searcher: Option<(String, String)>,
    pub(super) encryption: Encryption,
    /// Time for all that is asked of it.
    pub(super) time: Duration,
    /// Users are searched below it.
    pub(super) base: String,
    /// Groups are.
    pub(super) group_base: String,
    /// Who is not in it is refused.
    pub(super) group: Option<String>,
    /// The attribute that is the user's name.
    pub(super) user_field: String,
    /// The attribute of groups that names members.
    pub(super) group_field: String,
    /// The attribute of users that it names; `dn` is the entry's name.
    pub(super) user_group_field: String,
    /// Whether users name their groups (`memberOf`), instead of being searched in groups.
    pub(super) has_member_of: bool,
    pub(super) mapping: MappingSource,
    /// The group of who is in no mapped one; without, such users are refused.
    pub(super) mapping_default: Option<Id>,
    /// Who is in it administers the mapped groups.
    pub(super) admin_group: Option<String>,
}

/// How the connection is encrypted; with a file of the authorities to trust, without it those of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    Tls(Option<PathBuf>),
    StartTls(Option<PathBuf>),
}

/// Where groups of the directory are mapped to those of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MappingSource {
    /// By this attribute of groups.
    Attribute(String),
    /// By this file.
    File(String),
}

impl Conf {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or means nothing; the text follows the name of the file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        file_read(path, Self::of)
    }

    fn of(entries: Vec<(&str, &Yaml<'_>)>) -> Result<Self, String> {
        let (mut order, mut matches, mut servers) = (None, None, Vec::new());
        for (key, value) in entries {
            match key {
                ":order" => order = Some(order_of(value)?),
                ":match_user_regex" => matches = Some(matches_of(value)?),
                name => {
                    servers.push(Server::of(name, value).map_err(|why| format!("server \"{name}\": {why}"))?)
                }
            }
        }
        let choice = match (order, matches) {
            (Some(order), None) => Choice::Order(order),
            (None, Some(matches)) => Choice::Match(matches),
            (None, None) => return Err("says neither :order nor :match_user_regex".to_owned()),
            (Some(_), Some(_)) => return Err("says both :order and :match_user_regex".to_owned()),
        };
        let conf = Self { choice, servers };
        let missing = conf.named().find(|name| conf.server(name).is_none()).cloned();
        match missing {
            Some(name) => Err(format!("describes no server \"{name}\", which is to be asked")),
            None => Ok(conf),
        }
    }

    fn named(&self) -> impl Iterator<Item = &String> {
        let lists: Vec<&Vec<String>> = match &self.choice {
            Choice::Order(lists) => lists.iter().collect(),
            Choice::Match(patterns) => patterns.iter().map(|(_, list)| list).collect(),
        };
        lists.into_iter().flatten()
    }

    /// The server of a name.
    pub(super) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }
}

fn order_of(node: &Yaml<'_>) -> Result<Vec<Vec<String>>, String> {
    let Yaml::Sequence(items) = node else {
        return Err(":order is no list".to_owned());
    };
    items
        .iter()
        .map(|item| {
            texts(item).ok_or_else(|| {
                ":order holds something that is neither a server nor a list of them".to_owned()
            })
        })
        .collect()
}

fn matches_of(node: &Yaml<'_>) -> Result<Vec<(Regex, Vec<String>)>, String> {
    let patterns = pairs(node).ok_or(":match_user_regex is no mapping of patterns to servers")?;
    patterns
        .into_iter()
        .map(|(pattern, servers)| {
            // The reference looks at no case.
            let regex = RegexBuilder::new(pattern).case_insensitive(true).build();
            let regex = regex.map_err(|error| format!(":match_user_regex: {error}"))?;
            let servers =
                texts(servers).ok_or_else(|| format!(":match_user_regex: \"{pattern}\" names no server"))?;
            Ok((regex, servers))
        })
        .collect()
}

impl Server {
    fn of(name: &str, node: &Yaml<'_>) -> Result<Self, String> {
        let keys = Keys(pairs(node).ok_or("is no mapping of keys to values")?);
        if keys
            .symbol(":auth_method")
            .is_some_and(|method| method != "simple")
        {
            return Err(":auth_method can only be :simple".to_owned());
        }
        let base = keys
            .owned(":base")
            .ok_or("says no :base, below which users are")?;
        Ok(Self {
            name: name.to_owned(),
            host: keys.owned_or(":host", "localhost"),
            port: keys.number(":port", 389)?,
            searcher: keys.searcher()?,
            encryption: keys.encryption()?,
            time: Duration::from_secs(keys.number(":timeout", TIMEOUT_S)?.max(1)),
            group_base: keys.owned_or(":group_base", &base),
            base,
            group: keys.owned(":group"),
            user_field: keys.attribute(":user_field", "cn")?,
            group_field: keys.attribute(":group_field", "member")?,
            user_group_field: keys.attribute(":user_group_field", "dn")?,
            has_member_of: keys.is_on(":rfc2307bis", true),
            mapping: keys.mapping(),
            mapping_default: match keys.get(":mapping_default") {
                Some("false") => None,
                _ => Some(keys.number(":mapping_default", 1)?),
            },
            admin_group: keys.owned(":group_admin_group_dn"),
        })
    }
}

/// The keys of a server.
struct Keys<'a>(Vec<(&'a str, &'a Yaml<'a>)>);

impl Keys<'_> {
    fn node(&self, key: &str) -> Option<&Yaml<'_>> {
        self.0
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, node)| *node)
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.node(key).and_then(text)
    }

    fn owned(&self, key: &str) -> Option<String> {
        self.get(key).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn owned_or(&self, key: &str, default: &str) -> String {
        self.owned(key).unwrap_or_else(|| default.to_owned())
    }

    fn symbol(&self, key: &str) -> Option<&str> {
        self.get(key).map(symbol)
    }

    fn is_on(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |text| {
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes")
        })
    }

    fn number<T: std::str::FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        match self.get(key) {
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| format!("{key} \"{text}\" is no number that it can be")),
            None => Ok(default),
        }
    }

    /// The name of an attribute, which becomes part of filters.
    fn attribute(&self, key: &str, default: &str) -> Result<String, String> {
        let name = self.owned_or(key, default);
        let is_name = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | ':' | '_'));
        is_name
            .then_some(name)
            .ok_or_else(|| format!("{key} is no name of an attribute"))
    }

    /// A login without a password would be none, and searches would see what strangers see.
    fn searcher(&self) -> Result<Option<(String, String)>, String> {
        match (self.owned(":user"), self.owned(":password")) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (Some(_), None) => Err(":user has no :password".to_owned()),
            (None, _) => Ok(None),
        }
    }

    /// `:encryption` is a word, or a mapping with `:method` and `:tls_options`, of which `:ca_file` is known.
    fn encryption(&self) -> Result<Encryption, String> {
        let Some(node) = self.node(":encryption") else {
            return Ok(Encryption::None);
        };
        let more = Keys(pairs(node).unwrap_or_default());
        let options = more.node(":tls_options").and_then(pairs).map(Keys);
        let authorities = options
            .and_then(|options| options.owned(":ca_file"))
            .map(PathBuf::from);
        match text(node).map(symbol).or_else(|| more.symbol(":method")) {
            Some("simple_tls") => Ok(Encryption::Tls(authorities)),
            Some("start_tls") => Ok(Encryption::StartTls(authorities)),
            _ => Err(":encryption is neither :simple_tls nor :start_tls".to_owned()),
        }
    }

    /// The name of the file has two keys: one in the documentation's text, one in its example.
    fn mapping(&self) -> MappingSource {
        if self.is_on(":mapping_generate", true) {
            return MappingSource::Attribute(self.owned_or(":mapping_key", "GROUP_DN"));
        }
        let file = self
            .owned(":mapping_file")
            .or_else(|| self.owned(":mapping_filename"));
        MappingSource::File(file.unwrap_or_else(|| "server1.yaml".to_owned()))
    }
}

fn symbol(text: &str) -> &str {
    text.strip_prefix(':').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::super::yaml::text_read;
    use super::*;

    fn conf(text: &str) -> Result<Conf, String> {
        text_read(text, Conf::of)
    }

    fn server(keys: &str) -> Result<Server, String> {
        let text = format!("one:\n    :base: 'dc=x'\n{keys}:order: [one]\n");
        conf(&text).map(|conf| conf.server("one").expect("the server").clone())
    }

    #[test]
    fn an_almost_empty_server_has_the_defaults_of_the_reference() {
        let server = server("").expect("good");
        assert_eq!(
            (server.host.as_str(), server.port, server.time.as_secs()),
            ("localhost", 389, 15)
        );
        assert_eq!(
            (server.base.as_str(), server.group_base.as_str()),
            ("dc=x", "dc=x")
        );
        let fields = [&server.user_field, &server.group_field, &server.user_group_field];
        assert_eq!(fields, ["cn", "member", "dn"]);
        assert!(server.searcher.is_none() && server.has_member_of && server.group.is_none());
        assert_eq!(server.mapping, MappingSource::Attribute("GROUP_DN".into()));
        assert_eq!(
            (server.mapping_default, server.encryption),
            (Some(1), Encryption::None)
        );
    }

    #[test]
    fn scalars_stay_as_they_are_written() {
        let server = server(
            "    :user: admin\n    :password: 0123\n    :mapping_default: false\n    :rfc2307bis: false\n",
        );
        let server = server.expect("good");
        assert_eq!(server.searcher, Some(("admin".into(), "0123".into())));
        assert!(server.mapping_default.is_none() && !server.has_member_of);
    }

    #[test]
    fn encryption_is_a_word_or_says_whom_to_trust() {
        let of = |text: &str| server(text).map(|server| server.encryption);
        assert_eq!(of("    :encryption: :simple_tls\n"), Ok(Encryption::Tls(None)));
        let long = "    :encryption:\n        :method: :start_tls\n        :tls_options:\n            :ca_file: /ca.pem\n";
        assert_eq!(of(long), Ok(Encryption::StartTls(Some("/ca.pem".into()))));
        assert!(of("    :encryption: :ssl\n").is_err());
    }

    #[test]
    fn what_means_nothing_is_refused_with_the_place() {
        for (text, words) in [
            ("one:\n    :base: x\n", "neither :order"),
            (":order: [one]\n", "no server \"one\""),
            (":order: one\n", "no list"),
            ("one:\n    :host: x\n:order: [one]\n", "says no :base"),
            (
                "one:\n    :base: x\n    :user: me\n:order: [one]\n",
                "has no :password",
            ),
            (
                "one:\n    :base: x\n    :user: me\n    :password: ''\n:order: [one]\n",
                "has no :password",
            ),
            ("one:\n    :base: x\n    :port: 99999\n:order: [one]\n", ":port"),
            (
                "one:\n    :base: x\n    :user_field: 'cn)(a'\n:order: [one]\n",
                ":user_field",
            ),
            (
                "one:\n    :base: x\n    :auth_method: :sasl\n:order: [one]\n",
                ":auth_method",
            ),
            (":match_user_regex:\n    '(': one\n", ":match_user_regex"),
            ("one: [\n", "is no YAML"),
            ("- one\n", "holds no mapping"),
        ] {
            let why = conf(text).expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn servers_come_in_order_and_by_pattern() {
        let servers = "a:\n    :base: x\nb:\n    :base: x\n";
        let Choice::Order(order) = conf(&format!("{servers}:order:\n    - a\n    - [b, a]\n"))
            .expect("good")
            .choice
        else {
            panic!("no order");
        };
        assert_eq!(order, [vec!["a"], vec!["b", "a"]]);
        let text = format!("{servers}:match_user_regex:\n    '^(.*)@A$': a\n    '^(.*)@b$': ['b', a]\n");
        let Choice::Match(patterns) = conf(&text).expect("good").choice else {
            panic!("no patterns");
        };
        assert!(patterns[0].0.is_match("ann@a") && patterns[1].1 == ["b", "a"]);
    }
}
