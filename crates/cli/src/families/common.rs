//! What most families do alike: show, rename, delete, owners, permissions, templates, locks.

use crate::convert;
use crate::error::CliError;
use crate::family::Input;
use crate::kind::Kind;
use crate::session::Session;
use crate::sources;
use crate::template_text;
use crate::xml;

/// `show`: one object for people, or its document in the form asked for.
pub fn show(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    let id = input.id(0);
    let text = match kind {
        Kind::Template => {
            let params = [
                id.into(),
                input.has("extended").into(),
                input.has("decrypt").into(),
            ];
            session.call_text(&kind.method("info"), &params)?
        }
        _ if input.has("decrypt") => session.call_text(&kind.method("info"), &[id.into(), true.into()])?,
        _ => session.info(kind, id)?,
    };
    let document = xml::document_parse(&text)?;
    let shown = match convert::as_asked(input, &document) {
        Some(shown) => shown,
        None => (input.family.show)(session, input, &document)?,
    };
    session.print(&shown)
}

/// `rename`.
pub fn rename(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), "renamed", |session, id| {
        session
            .call(&kind.method("rename"), &[id.into(), input.text(1).into()])
            .map(drop)
    })
}

/// `delete`, for objects that need nothing but their id.
pub fn delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), "deleted", |session, id| {
        session.call(&kind.method("delete"), &[id.into()]).map(drop)
    })
}

/// `chown`; without a group that one stays.
pub fn chown(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), "owner changed", |session, id| {
        session
            .call(
                &kind.method("chown"),
                &[id.into(), input.id(1).into(), input.id(2).into()],
            )
            .map(drop)
    })
}

/// `chgrp`.
pub fn chgrp(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), "group changed", |session, id| {
        session
            .call(
                &kind.method("chown"),
                &[id.into(), (-1).into(), input.id(1).into()],
            )
            .map(drop)
    })
}

/// `chmod`.
pub fn chmod(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    let bits = octet_parse(input.text(1))?;
    session.each(kind, &input.ids(0), "permissions changed", |session, id| {
        let mut params = vec![id.into()];
        params.extend(bits.iter().map(|bit| (*bit).into()));
        if kind == Kind::Template {
            params.push(input.has("recursive").into());
        }
        session.call(&kind.method("chmod"), &params).map(drop)
    })
}

/// `640` as nine ones and zeros: use, manage, admin of owner, group, other.
fn octet_parse(text: &str) -> Result<Vec<i32>, CliError> {
    let digits: Option<Vec<i32>> = text
        .chars()
        .map(|letter| letter.to_digit(8).and_then(|digit| i32::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len() == 3 => Ok(digits
            .iter()
            .flat_map(|digit| [digit >> 2 & 1, digit >> 1 & 1, digit & 1])
            .collect()),
        _ => Err(CliError::text("Error in permissions format")),
    }
}

/// `update`: replaces the template, or adds to it.
pub fn update(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    let id = input.id(0);
    let append = input.has("append");
    let template = sources::edited(input.text(1), || {
        if append {
            Ok(String::new())
        } else {
            template_read(session, kind, id)
        }
    })?;
    let Some(template) = template else { return Ok(()) };
    let params = [id.into(), template.into(), i32::from(append).into()];
    session.call(&kind.method("update"), &params)?;
    if session.verbose {
        session.print(&format!("{} {id}: updated\n", kind.element()))?;
    }
    Ok(())
}

/// The part of an object's template that `update` replaces.
fn template_read(session: &mut Session, kind: Kind, id: i32) -> Result<String, CliError> {
    let text = session.info(kind, id)?;
    let document = xml::document_parse(&text)?;
    let name = if kind == Kind::Vm {
        "USER_TEMPLATE"
    } else {
        "TEMPLATE"
    };
    let template = xml::child(document.root_element(), name);
    Ok(template
        .map(|node| template_text::template_render(node, &[]))
        .unwrap_or_default())
}

/// `lock`; without an option everything but looking is forbidden.
pub fn lock(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    let level = if input.has("all") {
        4
    } else if input.has("admin") {
        3
    } else if input.has("manage") {
        2
    } else {
        1
    };
    session.each(kind, &input.ids(0), "locked", |session, id| {
        session
            .call(&kind.method("lock"), &[id.into(), level.into(), false.into()])
            .map(drop)
    })
}

/// `unlock`.
pub fn unlock(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), "unlocked", |session, id| {
        session.call(&kind.method("unlock"), &[id.into()]).map(drop)
    })
}

/// Sets a switch of each object: `method(id, on)`.
pub fn switch(
    session: &mut Session,
    input: &Input,
    method: &str,
    on: bool,
    done: &str,
) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), done, |session, id| {
        session
            .call(&kind.method(method), &[id.into(), on.into()])
            .map(drop)
    })
}

/// Relates an object to another: `method(id, other)`.
pub fn relate(session: &mut Session, input: &Input, method: &str, done: &str) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), done, |session, id| {
        session
            .call(&kind.method(method), &[id.into(), input.id(1).into()])
            .map(drop)
    })
}

/// Creates an object from the template of a file or standard input, and prints its id.
pub fn create_from_template(
    session: &mut Session,
    input: &Input,
    more: Vec<plerion_client::Param>,
) -> Result<(), CliError> {
    let template = sources::required(input.text(0))?;
    let mut params = vec![template.into()];
    params.extend(more);
    let id = session.call_id(&input.family.kind.method("allocate"), &params)?;
    id_print(session, id)
}

/// Prints the id of a new object.
pub fn id_print(session: &mut Session, id: i64) -> Result<(), CliError> {
    session.print(&format!("ID: {id}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets() {
        assert_eq!(octet_parse("640").expect("good"), [1, 1, 0, 1, 0, 0, 0, 0, 0]);
        for bad in ["", "64", "6400", "abc", "u+m", "999", "-64"] {
            assert_eq!(
                octet_parse(bad).expect_err(bad).to_string(),
                "Error in permissions format"
            );
        }
    }
}
