//! Which names are accepted: of domains, interfaces, files, clouds, hosts.

use crate::fault::{Act, refused};

/// Longest name of a network interface that Linux takes.
const INTERFACE_BYTES_MAX: usize = 15;
/// Longest name of a domain of somebody else that is told to the front-end.
const SHOWN_BYTES_MAX: usize = 128;
/// Longest file name.
const FILE_NAME_BYTES_MAX: usize = 255;
/// Longest cloud id.
const CLOUD_BYTES_MAX: usize = 64;

/// Whether a domain belongs to a cloud: `one-` and a number.
pub(crate) fn domain_is_ours(name: &str) -> bool {
    name.strip_prefix("one-")
        .is_some_and(|id| !id.is_empty() && id.len() <= 10 && digits(id))
}

/// Whether the name of a domain that belongs to no cloud can be shown to people.
pub(crate) fn domain_is_shown(name: &str) -> bool {
    name.len() <= SHOWN_BYTES_MAX && !name.chars().any(char::is_control)
}

/// Checks the name of a domain.
pub(crate) fn domain_check(name: &str) -> Act<()> {
    if domain_is_ours(name) {
        return Ok(());
    }
    Err(refused(format!(
        "{name:?} is not the name of a domain of this cloud (one-NUMBER)"
    )))
}

/// Checks a UUID in its usual form.
pub(crate) fn uuid_check(uuid: &str) -> Act<()> {
    let groups: Vec<&str> = uuid.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Ok(());
    }
    Err(refused(format!("{uuid:?} is not a UUID")))
}

/// Checks the name of a network interface: letters, digits, `.`, `_`, `-`, no leading `-`.
pub(crate) fn interface_check(name: &str) -> Act<()> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let special = name == "." || name == ".." || name.starts_with('-');
    if plain && !special && !name.is_empty() && name.len() <= INTERFACE_BYTES_MAX {
        return Ok(());
    }
    Err(refused(format!(
        "{name:?} is not a name for a network interface: 1 to {INTERFACE_BYTES_MAX} letters, digits, '.', '_', '-', \
         the first not '-'"
    )))
}

/// Checks the name of a drive in a domain: a few small letters, as in `sda`.
pub(crate) fn target_check(name: &str) -> Act<()> {
    if (3..=8).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(refused(format!(
        "{name:?} is not the name of a drive (sda, hdb, vdc, …)"
    )))
}

/// Checks the name of a snapshot: letters, digits, `.`, `_`, `-`, no leading `-`.
pub(crate) fn snapshot_check(name: &str) -> Act<()> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if plain && !name.is_empty() && !name.starts_with('-') && name.len() <= FILE_NAME_BYTES_MAX {
        return Ok(());
    }
    Err(refused(format!("{name:?} is not the name of a snapshot")))
}

/// Checks a plain file name: no directory, not hidden.
pub(crate) fn file_check(name: &str) -> Act<()> {
    let bad = name.is_empty()
        || name.len() > FILE_NAME_BYTES_MAX
        || name.starts_with(['.', '-'])
        || name.contains(['/', '\0', '\n']);
    if bad {
        return Err(refused(format!("{name:?} is not a plain file name")));
    }
    Ok(())
}

/// Checks the name of a deployment file: `deployment.` and a number.
pub(crate) fn deployment_check(name: &str) -> Act<()> {
    if name
        .strip_prefix("deployment.")
        .is_some_and(|number| !number.is_empty() && digits(number))
    {
        return Ok(());
    }
    Err(refused(format!(
        "{name:?} is not the name of a deployment file (deployment.NUMBER)"
    )))
}

/// Checks a cloud id, which becomes a directory name.
pub(crate) fn cloud_check(cloud: &str) -> Act<()> {
    let plain = cloud
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if plain && !cloud.is_empty() && cloud.len() <= CLOUD_BYTES_MAX {
        return Ok(());
    }
    Err(refused(format!(
        "{cloud:?} is not a cloud id: 1 to {CLOUD_BYTES_MAX} letters, digits, '_', '-'"
    )))
}

/// Checks what is given to ssh as the host.
pub(crate) fn host_check(host: &str) -> Act<()> {
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-:@%[]".contains(&byte));
    if plain && !host.is_empty() && !host.starts_with('-') {
        return Ok(());
    }
    Err(refused(format!("{host:?} is not a host name or address")))
}

/// Checks the path of the program on another host: it passes through a login shell there.
pub(crate) fn program_check(path: &str) -> Act<()> {
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain && path.starts_with('/') {
        return Ok(());
    }
    Err(refused(format!(
        "{path:?} is not a path for the program: absolute, of letters, digits, '.', '_', '-'"
    )))
}

/// Checks the name of a file system, which becomes part of the name of a program (mkfs.NAME).
pub(crate) fn file_system_check(name: &str) -> Act<()> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if plain && !name.is_empty() && name.len() <= 16 {
        return Ok(());
    }
    Err(refused(format!("{name:?} is not the name of a file system")))
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["br0", "one-br.100", "_x", "abcdefghijklmno"] {
            assert!(interface_check(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "abcdefghijklmnop", "a b", "a/b", "..", "a;b", "é"] {
            assert!(interface_check(bad).is_err(), "{bad}");
        }
        for bad in ["one-", "one-x", "one-1 ", "two-1", "one--1", "one-12345678901"] {
            assert!(!domain_is_ours(bad), "{bad}");
        }
        assert!(domain_is_ours("one-0"));
        assert!(uuid_check("11111111-2222-3333-4444-555555555507").is_ok());
        assert!(uuid_check("11111111-2222-3333-4444-55555555550g").is_err());
        assert!(deployment_check("deployment.0").is_ok());
        assert!(deployment_check("deployment.0/../x").is_err());
        assert!(host_check("-oProxyCommand=x").is_err());
        assert!(program_check("/var/tmp/one/plerion-0.1").is_ok());
        assert!(program_check("/x;reboot").is_err());
        assert!(cloud_check("../x").is_err());
        assert!(file_check("a/../b").is_err());
        assert!(file_check("context.sh").is_ok());
    }
}
