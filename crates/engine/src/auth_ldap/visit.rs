//! What is asked of one server.

use std::time::Duration;

use ldap3::Scope;
use percent_encoding::percent_decode_str;
use plerion_world::VouchedGroup;

use super::answer::{Asked, Found};
use super::conf::Server;
use super::line::{Bound, Entry, Line};
use super::mapping::Mapping;
use super::names::{dn_below, dn_same, equals};
use crate::auth_verdict::Credential;

/// Groups of a user that are looked at.
const GROUPS_MAX: usize = 1000;
/// The attribute in which users name their groups.
const MEMBER_OF: &str = "memberOf";

/// Who is searched.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The name.
    pub(super) name: String,
    secret: String,
    /// Whether there is a user of this name.
    known: bool,
}

impl Wanted {
    /// Who a credential is about. Name and secret may be percent-encoded, as `oneuser encode` writes them.
    ///
    /// # Errors
    /// For an empty secret: directories let logins without one through, as nobody's.
    pub(super) fn new(credential: &Credential<'_>, known: bool) -> Result<Self, String> {
        let (name, secret) = (decoded(credential.name), decoded(credential.secret));
        if name.is_empty() || secret.is_empty() || secret.contains('\0') {
            return Err("a name or a password that is empty proves nothing to a directory".to_owned());
        }
        Ok(Self { name, secret, known })
    }
}

fn decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), |text| text.into_owned())
}

/// Asks a server, within a time.
pub(super) fn visit(server: &Server, wanted: &Wanted, mapping: &Mapping, time: Duration) -> Asked {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Asked::Failed(format!("nothing can be asked: {error}")),
    };
    let (server, wanted, mapping) = (server.clone(), wanted.clone(), mapping.clone());
    let ended = runtime.block_on(async move {
        // A task of its own: the library panics where an answer makes no sense.
        let talk = tokio::spawn(async move { talk(&server, &wanted, &mapping).await });
        tokio::time::timeout(time, talk).await
    });
    // It may still be resolving a name; nobody waits for that.
    runtime.shutdown_background();
    match ended {
        Ok(Ok(Ok(found))) => Asked::Good(found),
        Ok(Ok(Err(asked))) => asked,
        Ok(Err(_)) => Asked::Failed("the server gave an answer that cannot be read".to_owned()),
        Err(_) => Asked::Failed(format!("no answer within {} s", time.as_secs())),
    }
}

/// The password is tried last, so that all else is asked as who searches.
async fn talk(server: &Server, wanted: &Wanted, mapping: &Mapping) -> Result<Found, Asked> {
    let mut line = Line::open(server).await.map_err(Asked::Failed)?;
    let entry = find(&mut line, server, wanted).await?;
    group_check(&mut line, server, &entry).await?;
    let directory = groups(&mut line, server, &entry).await?;
    match line
        .bind(&entry.dn, &wanted.secret)
        .await
        .map_err(Asked::Failed)?
    {
        Bound::Good => {}
        Bound::Refused(why) => return Err(Asked::Refused(why)),
    }
    let mut groups = mapping.groups(&directory, server.admin_group.as_deref());
    if groups.is_empty() {
        let id = server.mapping_default.ok_or_else(|| {
            Asked::Refused("the user is in no group that is mapped, and :mapping_default is false".to_owned())
        })?;
        groups.push(VouchedGroup { id, admin: false });
    }
    Ok(Found { dn: entry.dn, groups })
}

/// Finds the entry: by the attribute with the name, or, as in 7.4, by a name that is the entry's.
async fn find(line: &mut Line, server: &Server, wanted: &Wanted) -> Result<Entry, Asked> {
    let attributes = [
        server.user_field.as_str(),
        server.user_group_field.as_str(),
        MEMBER_OF,
    ];
    let filter = equals(&server.user_field, &wanted.name);
    let found = line
        .search(&server.base, Scope::Subtree, &filter, &attributes, 1)
        .await;
    match found.map_err(Asked::Failed)? {
        None => Err(Asked::Refused(format!(
            "more than one entry has the {} of the user",
            server.user_field
        ))),
        Some(mut entries) => match entries.pop() {
            Some(entry) => spelled(entry, &server.user_field, wanted),
            None if wanted.name.contains('=') => find_named(line, server, wanted, &attributes).await,
            None => Err(Asked::Unknown),
        },
    }
}

async fn find_named(
    line: &mut Line,
    server: &Server,
    wanted: &Wanted,
    attributes: &[&str],
) -> Result<Entry, Asked> {
    // No entry elsewhere, as one of a service, is a user.
    if !dn_below(&wanted.name, &server.base) {
        return Err(Asked::Unknown);
    }
    let found = line
        .search(&wanted.name, Scope::Base, "(objectClass=*)", attributes, 1)
        .await;
    let entry = found
        .map_err(Asked::Failed)?
        .and_then(|mut entries| entries.pop())
        .ok_or(Asked::Unknown)?;
    if !dn_same(&entry.dn, &wanted.name) {
        return Err(Asked::Unknown);
    }
    spelled(entry, "dn", wanted)
}

/// Directories look at neither case nor blanks, so that one person has many names. Blanks must be right; case, too, where a user
/// would be made, or quotas would hold for none.
fn spelled(entry: Entry, attribute: &str, wanted: &Wanted) -> Result<Entry, Asked> {
    let values = entry.values(attribute);
    let lower = wanted.name.to_lowercase();
    if values.contains(&wanted.name) {
        return Ok(entry);
    }
    match values.iter().find(|value| value.to_lowercase() == lower) {
        Some(_) if wanted.known => Ok(entry),
        Some(value) => Err(Asked::Refused(format!(
            "the directory writes the name \"{value}\", and no user is made for another"
        ))),
        None => Err(Asked::Refused(format!(
            "the entry's {attribute} is not the name as it came"
        ))),
    }
}

async fn group_check(line: &mut Line, server: &Server, entry: &Entry) -> Result<(), Asked> {
    let Some(group) = &server.group else {
        return Ok(());
    };
    let found = match entry.values(&server.user_group_field).first() {
        Some(member) => {
            let filter = equals(&server.group_field, member);
            let found = line.search(group, Scope::Base, &filter, &["1.1"], 1).await;
            found.map_err(Asked::Failed)?.unwrap_or_default()
        }
        None => Vec::new(),
    };
    if found.is_empty() {
        return Err(Asked::Refused(format!("the user is not in the group {group}")));
    }
    Ok(())
}

/// The groups of a user in the directory.
async fn groups(line: &mut Line, server: &Server, entry: &Entry) -> Result<Vec<String>, Asked> {
    if server.has_member_of {
        return Ok(entry.values(MEMBER_OF).to_vec());
    }
    let Some(member) = entry.values(&server.user_group_field).first() else {
        return Ok(Vec::new());
    };
    let filter = equals(&server.group_field, member);
    let found = line
        .search(&server.group_base, Scope::Subtree, &filter, &["1.1"], GROUPS_MAX)
        .await;
    let found = found.map_err(Asked::Failed)?;
    let groups =
        found.ok_or_else(|| Asked::Failed(format!("the user is in more than {GROUPS_MAX} groups")))?;
    Ok(groups.into_iter().map(|entry| entry.dn).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, secret: &str) -> Result<Wanted, String> {
        let credential = Credential {
            name,
            stored: "",
            secret,
        };
        Wanted::new(&credential, false)
    }

    #[test]
    fn what_is_empty_is_no_credential() {
        for (name, secret) in [("ann", ""), ("", "secret"), ("ann", "%00"), ("ann", "\0")] {
            assert!(wanted(name, secret).is_err(), "{name}:{secret}");
        }
    }

    #[test]
    fn percent_encoding_is_taken_off() {
        let wanted = wanted("cn=First%20Name", "100%25 %ff").expect("a credential");
        assert_eq!(
            (wanted.name.as_str(), wanted.secret.as_str()),
            ("cn=First Name", "100%25 %ff")
        );
    }
}
