//! Users of a directory: the driver `ldap`. It finds the user's entry by a search, logs in as this entry with what came with the
//! call, and says which groups follow from the entry's groups.
//!
//! - `conf`: etc/auth/ldap_auth.conf; `yaml`: reading files of its kind
//! - `plan`: which servers are asked, in which order, and what their answers come to
//! - `visit`: what is asked of one server; `line`: the connection to it; `answer`: what it says
//! - `mapping`: groups of the directory to groups of the cloud
//! - `names`: distinguished names and filters

mod answer;
mod conf;
mod line;
mod mapping;
mod names;
mod plan;
mod visit;
mod yaml;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plerion_world::World;

use crate::auth_said::Said;
use crate::auth_verdict::{Credential, Verdict};
use answer::{Asked, Found};
use conf::Conf;
use mapping::Mapping;
use plan::Tally;
use visit::Wanted;

/// The name of the driver.
pub(crate) const LDAP: &str = "ldap";
/// Time for all servers together, as much as a script has.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The driver.
pub(crate) struct Ldap {
    /// The file that describes the servers.
    conf: PathBuf,
    /// Where files are that map groups.
    mappings: PathBuf,
}

impl Ldap {
    /// With a file that describes the servers, which is read at each login, and the directory of files that map groups.
    pub(crate) fn new(conf: PathBuf, mappings: PathBuf) -> Self {
        Self { conf, mappings }
    }

    /// Asks about a user; `known`: who is one already.
    pub(crate) fn ask(&self, world: &World, credential: &Credential<'_>, known: bool) -> Verdict {
        let wanted = match Wanted::new(credential, known) {
            Ok(wanted) => wanted,
            Err(why) => return Verdict::Bad(why),
        };
        match Conf::read(&self.conf) {
            Ok(conf) => self.servers_ask(&conf, world, wanted, credential.name),
            Err(why) => Verdict::Broken(format!("{}: {why}", self.conf.display())),
        }
    }

    fn servers_ask(&self, conf: &Conf, world: &World, mut wanted: Wanted, name: &str) -> Verdict {
        let Some((turns, searched)) = plan::turns(&conf.choice, &wanted.name) else {
            return Verdict::Bad(":match_user_regex has no pattern for the name".to_owned());
        };
        wanted.name = searched;
        let ends = Instant::now() + TIME_MAX;
        let mut tally = Tally::default();
        for turn in turns {
            for server in turn.servers.iter().filter_map(|name| conf.server(name)) {
                let left = ends.saturating_duration_since(Instant::now()).min(server.time);
                let asked = match Mapping::of(server, world, &self.mappings) {
                    Ok(mapping) => visit::visit(server, &wanted, &mapping, left),
                    Err(why) => Asked::Failed(why),
                };
                tracing::debug!(server = server.name, ?asked, "a directory was asked");
                if let Asked::Good(found) = asked {
                    return Verdict::Good(Some(said(found, name)));
                }
                let is_settled = turn.settled_by(&asked);
                tally.add(&server.name, asked);
                if is_settled {
                    break;
                }
            }
        }
        tally.verdict()
    }
}

fn said(found: Found, name: &str) -> Said {
    Said {
        driver: LDAP.to_owned(),
        name: name.to_owned(),
        password: found.dn,
        groups: found.groups,
    }
}
