//! `oneuser`.

use std::fmt::Write;
use std::io::IsTerminal;

use plerion_client::Param;
use plerion_credential::dn_escaped;
use roxmltree::{Document, Node};
use sha2::{Digest, Sha256};

use super::{common, user_certificate, user_key};
use crate::convert;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::moment_text;
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::quota;
use crate::session::{FILTER_ALL, Session, password_ask};
use crate::sources;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// The id of the user who has no quotas.
const USER_ADMIN: &str = "0";

/// The table of users.
pub static LIST: ListSpec = ListSpec {
    element: "USER",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the user", "用户编号"),
        Column::left("NAME", 10)
            .expanded()
            .about("Name of the user", "用户名"),
        Column::left("ENABLED", 4).about("Whether the user may log in", "是否启用"),
        Column::left("GROUP", 8).about("The primary group", "主要组"),
        Column::left("AUTH", 8).about("How the user proves identity", "认证方式"),
        Column::right("VMS", 9).about("VMs, used and allowed", "虚拟机数与配额"),
        Column::right("MEMORY", 15).about("Memory, used and allowed", "内存与配额"),
        Column::right("CPU", 10).about("CPUs, used and allowed", "CPU 与配额"),
        Column::right("PCI", 9).about("PCI devices, used and allowed", "PCI 设备与配额"),
        Column::right("PASSWORD", 50).about("The stored password", "保存的密码"),
    ],
    shown: &[
        "ID", "NAME", "ENABLED", "GROUP", "AUTH", "VMS", "MEMORY", "CPU", "PCI",
    ],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, user: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" | "PASSWORD" => xml::text(user, column),
        "ENABLED" => if xml::text(user, "ENABLED") == "1" {
            "yes"
        } else {
            "no"
        }
        .to_owned(),
        "GROUP" => xml::text(user, if context.numeric { "GID" } else { "GNAME" }),
        "AUTH" => xml::text(user, "AUTH_DRIVER"),
        _ if xml::text(user, "ID") == USER_ADMIN => "-".to_owned(),
        _ => quota::usage_text(
            pool_quotas(user),
            pool_defaults(user, "DEFAULT_USER_QUOTAS"),
            column,
            3,
        ),
    }
}

/// The quotas of an object in its pool: the element behind it, else the one with its id.
pub fn pool_quotas<'a, 'i>(object: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    let id = xml::text(object, "ID");
    let is_own = |node: &Node<'a, 'i>| node.has_tag_name("QUOTAS") && xml::text(*node, "ID") == id;
    object
        .next_sibling_element()
        .filter(is_own)
        .or_else(|| object.parent().and_then(|pool| pool.children().find(is_own)))
}

/// The default quotas at the end of a pool.
pub fn pool_defaults<'a, 'i>(object: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    object
        .parent()?
        .last_element_child()
        .filter(|node| node.has_tag_name(name))
}

/// Renders the user.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The user.
pub fn render(user: Node<'_, '_>) -> String {
    let mut fields = Fields::new(16);
    let id = xml::text(user, "ID");
    fields
        .add_head(format!("USER {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", user, "NAME")
        .add_text("GROUP", user, "GNAME");
    let groups = xml::ids(user, "GROUPS");
    if groups.len() > 1 {
        fields.add("SECONDARY GROUPS", groups.join(","));
    }
    fields
        .add_text("PASSWORD", user, "PASSWORD")
        .add_text("AUTH_DRIVER", user, "AUTH_DRIVER")
        .add("ENABLED", layout::yes_no(&xml::text(user, "ENABLED")));
    let template = template_text::template_block(user, &[]);
    let mut text = [
        fields.into_text(),
        "\n".to_owned(),
        layout::head("TOKENS"),
        tokens(user),
        "\n".to_owned(),
        layout::head("USER TEMPLATE"),
        template,
        "\n".to_owned(),
    ]
    .concat();
    if id != USER_ADMIN {
        text.push_str(&quota::sections(user, xml::child(user, "DEFAULT_USER_QUOTAS")));
    }
    text
}

fn tokens(user: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 7).adjusted(),
        Column::left("EGID", 5),
        Column::left("EGROUP", 10),
        Column::left("EXPIRATION", 20),
    ]);
    for token in xml::elements(user).filter(|node| node.has_tag_name("LOGIN_TOKEN")) {
        let expires = xml::number(token, "EXPIRATION_TIME");
        let group = xml::text(token, "EGID");
        table.rows.push(vec![
            xml::text(token, "TOKEN"),
            if group == "-1" { "*".to_owned() } else { group },
            String::new(),
            if expires < 0 {
                "never".to_owned()
            } else {
                moment_text(expires)
            },
        ]);
    }
    if table.rows.is_empty() {
        String::new()
    } else {
        table.render()
    }
}

/// The driver the options name: one for passwords unless a key or certificate is used.
fn driver_of(input: &Input) -> &str {
    match input.value("driver") {
        Some(driver) => driver,
        None if input.has("ssh") => "ssh",
        None if input.has("x509") => "x509",
        None => "core",
    }
}

/// The password of argument `index`, of the file it names, or typed; of a user who logs in by a key or a
/// certificate, the public key or the subject.
fn password_of(input: &Input, index: usize, driver: &str) -> Result<String, CliError> {
    let given = input.text(index);
    let password = if input.has("read-file") {
        sources::file_read(given)?
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    } else if given.is_empty() && driver == "ssh" {
        return user_key::stored(input);
    } else if given.is_empty() && user_certificate::is_asked(input, driver) {
        return user_certificate::stored(input);
    } else if given.is_empty() && std::io::stdin().is_terminal() {
        password_ask("Password: ")?
    } else {
        given.to_owned()
    };
    Ok(if input.has("sha256") {
        sha256_text(&password)
    } else if user_certificate::is_driver(driver) {
        dn_escaped(&password)
    } else {
        password
    })
}

fn sha256_text(password: &str) -> String {
    Sha256::digest(password.as_bytes())
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let password = password_of(input, 1, driver_of(input))?;
    let mut params: Vec<Param> = vec![input.text(0).into(), password.into(), driver_of(input).into()];
    if let Some(group) = input.number("group") {
        params.push(Param::List(vec![group.into()]));
    }
    let id = session.call_id("one.user.allocate", &params)?;
    common::id_print(session, id)
}

/// `passwd`.
pub fn passwd(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let password = password_of(input, 1, driver_of(input))?;
    session
        .call("one.user.passwd", &[input.id(0).into(), password.into()])
        .map(drop)
}

/// `chauth`.
pub fn chauth(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let driver = match input.text(1) {
        "" if ["driver", "ssh", "x509"].iter().any(|name| input.has(name)) => driver_of(input),
        "" => return session.print("An Auth driver should be specified\n"),
        driver => driver,
    };
    let password = match input.text(2) {
        "" if !by_file(input, driver) => String::new(),
        _ => password_of(input, 2, driver)?,
    };
    let params = [input.id(0).into(), driver.into(), password.into()];
    session.call("one.user.chauth", &params).map(drop)
}

/// Whether what is stored comes from a file.
fn by_file(input: &Input, driver: &str) -> bool {
    driver == "ssh" || input.has("read-file") || user_certificate::is_asked(input, driver)
}

/// `chgrp`.
pub fn chgrp(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "chgrp", "group changed")
}

/// `addgroup`.
pub fn group_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "addgroup", "group added")
}

/// `delgroup`.
pub fn group_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "delgroup", "group deleted")
}

/// `enable`.
pub fn enable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", true, "enabled")
}

/// `disable`.
pub fn disable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", false, "disabled")
}

/// `quota`: sets the quotas of one user.
pub fn quota(session: &mut Session, input: &Input) -> Result<(), CliError> {
    quota_set(session, input)
}

/// Sets the quotas of the objects; without a file the editor starts empty.
pub fn quota_set(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let kind = input.family.kind;
    let Some(template) = sources::edited(input.text(1), || Ok(String::new()))? else {
        return Ok(());
    };
    session.each(kind, &input.ids(0), "quotas set", |session, id| {
        session
            .call(&kind.method("quota"), &[id.into(), template.as_str().into()])
            .map(drop)
    })
}

/// `defaultquota`: shows the default quotas, or sets them from a file.
pub fn quota_default(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let prefix = if input.family.kind == Kind::Group {
        "groupquota"
    } else {
        "userquota"
    };
    let template = sources::edited(input.text(0), || {
        let text = session.call_text(&format!("one.{prefix}.info"), &[])?;
        quota_template(&text)
    })?;
    let Some(template) = template else { return Ok(()) };
    session
        .call(&format!("one.{prefix}.update"), &[template.into()])
        .map(drop)
}

/// Quotas as a template, the figures in use left out.
fn quota_template(text: &str) -> Result<String, CliError> {
    let document = xml::document_parse(text)?;
    let mut builder = crate::template_build::Builder::default();
    for section in xml::elements(document.root_element()) {
        for entry in xml::elements(section) {
            let pairs: Vec<String> = xml::elements(entry)
                .filter(|node| !node.tag_name().name().ends_with("_USED"))
                .map(|node| crate::template_build::pair(node.tag_name().name(), &xml::text_of(node)))
                .collect();
            builder.vector(entry.tag_name().name(), &pairs);
        }
    }
    Ok(builder.into_text())
}

/// `encode`: name and password as one text in which only letters of addresses are left.
pub fn encode(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let mut text = address_escaped(input.text(0));
    if input.args.len() > 1 {
        text.push(':');
        text.push_str(&address_escaped(input.text(1)));
    }
    session.print(&format!("{text}\n"))
}

/// A text with `%XX` for each byte that may not be in an address.
fn address_escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'();/?:@&=+$,[]".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// `passwdsearch`: the users of a driver for whom a text is stored. (The form `-x` shows all users, as it always has.)
pub fn password_search(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (driver, password) = (input.text(0), input.text(1));
    let pool = session.pool(Kind::User, FILTER_ALL)?;
    let document = xml::document_parse(&pool)?;
    if let Some(text) = convert::as_asked(input, &document) {
        return session.print(&text);
    }
    let found: Vec<Node<'_, '_>> = xml::children(document.root_element(), LIST.element)
        .filter(|user| xml::text(*user, "AUTH_DRIVER") == driver && xml::text(*user, "PASSWORD") == password)
        .collect();
    let context = Context::new(input, session.now);
    let shown = ["ID", "NAME", "AUTH", "PASSWORD"];
    session.print(&list::rows_render(input, &shown, &context, &found)?)
}

/// `umask`.
pub fn umask(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let mask = if input.text(1).is_empty() {
        String::new()
    } else {
        format!("UMASK=\"{}\"", input.text(1))
    };
    session.each(Kind::User, &input.ids(0), "umask changed", |session, id| {
        session
            .call("one.user.update", &[id.into(), mask.as_str().into(), 1.into()])
            .map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_on_request() {
        assert_eq!(
            sha256_text("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_letters_of_addresses_are_left() {
        assert_eq!(
            address_escaped("a b:c/d%é[x]\"<>#"),
            "a%20b:c/d%25%C3%A9[x]%22%3C%3E%23"
        );
    }

    #[test]
    fn default_quotas_as_template() {
        let text = "<Q><VM_QUOTA><VM><CPU>-1</CPU><CPU_USED>0</CPU_USED></VM></VM_QUOTA><IMAGE_QUOTA/></Q>";
        assert_eq!(quota_template(text).expect("good"), "VM=[ CPU=\"-1\" ]\n");
    }
}
