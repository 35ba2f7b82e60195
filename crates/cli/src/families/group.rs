//! `onegroup`.

use roxmltree::{Document, Node};

use super::{acl, common, user};
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::quota;
use crate::session::Session;
use crate::sources;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// The id of the group that has no quotas.
const GROUP_ADMIN: &str = "0";
/// What the members of a new group may create, unless `--resources` says otherwise.
const CREATED_BY_MEMBERS: &str = "VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB";
/// Which views a web front-end shows to members and administrators of a new group.
const VIEWS: &str = "FIREEDGE=[ VIEWS=\"cloud\", DEFAULT_VIEW=\"cloud\", GROUP_ADMIN_VIEWS=\"groupadmin\", \
                     GROUP_ADMIN_DEFAULT_VIEW=\"groupadmin\" ]";

/// The table of groups.
pub static LIST: ListSpec = ListSpec {
    element: "GROUP",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the group", "组编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the group", "组名"),
        Column::right("USERS", 5).about("Users in it", "用户数"),
        Column::right("VMS", 9).about("VMs, used and allowed", "虚拟机数与配额"),
        Column::right("MEMORY", 15).about("Memory, used and allowed", "内存与配额"),
        Column::right("CPU", 11).about("CPUs, used and allowed", "CPU 与配额"),
        Column::right("PCI", 9).about("PCI devices, used and allowed", "PCI 设备与配额"),
    ],
    shown: &["ID", "NAME", "USERS", "VMS", "MEMORY", "CPU", "PCI"],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(_context: &Context, group: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" => xml::text(group, column),
        "USERS" => xml::ids(group, "USERS").len().to_string(),
        _ if xml::text(group, "ID") == GROUP_ADMIN => "-".to_owned(),
        _ => {
            let defaults = user::pool_defaults(group, "DEFAULT_GROUP_QUOTAS");
            quota::usage_text(user::pool_quotas(group), defaults, column, 4)
        }
    }
}

/// Renders the group.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The group.
pub fn render(group: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(group, "ID");
    fields
        .add_head(format!("GROUP {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", group, "NAME");
    let template = template_text::template_block(group, &[]);
    let mut members = Table::new(&[Column::right("USER ID", 7), Column::left("ADMIN", 5)]);
    let admins = xml::ids(group, "ADMINS");
    for user in xml::ids(group, "USERS") {
        let mark = if admins.contains(&user) { "*" } else { "" };
        members.rows.push(vec![user, mark.to_owned()]);
    }
    let mut text = [
        fields.into_text(),
        "\n".to_owned(),
        layout::head("GROUP TEMPLATE"),
        template,
        "\n".to_owned(),
        members.render(),
        "\n".to_owned(),
    ]
    .concat();
    if id != GROUP_ADMIN {
        text.push_str(&quota::sections(group, xml::child(group, "DEFAULT_GROUP_QUOTAS")));
        text.push_str(&vlan_rules(group));
    }
    text
}

fn vlan_rules(group: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::left("VLAN_ID", 15),
        Column::left("SCOPE", 15),
        Column::left("VNTEMPLATE", 15),
    ]);
    let rules = xml::child(group, "VLAN_RULES");
    for rule in rules
        .into_iter()
        .flat_map(|list| xml::elements(list).collect::<Vec<_>>())
    {
        if xml::is_branch(rule) {
            table.rows.push(vec![
                xml::text(rule, "ID"),
                xml::text(rule, "SCOPE"),
                xml::text(rule, "VNTEMPLATE"),
            ]);
        }
    }
    format!("{}{}\n", layout::head("VLAN RULES"), table.render())
}

/// `create`: the group, what its members may create, the views of a web front-end, and an administrator if one is
/// named. A group that cannot be finished goes again.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let name = match (input.text(0), input.value("name")) {
        ("", None) => return Err(CliError::text("The group needs a name: onegroup create NAME")),
        ("", Some(name)) | (name, _) => name,
    };
    if input.has("admin_user") && !input.has("admin_password") {
        return Err(CliError::text(
            "The administrator needs a password: --admin_password PASSWORD",
        ));
    }
    let id = number_id(session.call_id("one.group.allocate", &[name.into()])?)?;
    if let Err(error) = finish(session, input, id) {
        if let Err(stays) = session.call("one.group.delete", &[id.into()]) {
            eprintln!("The group {id} is not whole and cannot be deleted: {stays}");
        }
        return Err(error);
    }
    common::id_print(session, i64::from(id))
}

/// All that belongs to a new group.
fn finish(session: &mut Session, input: &Input, group: i32) -> Result<(), CliError> {
    let resources = input.value("resources").unwrap_or(CREATED_BY_MEMBERS).trim();
    if !resources.is_empty() {
        acl::words_add(session, &format!("@{group} {resources}/* CREATE *"))?;
    }
    if let Some(admin) = input.value("admin_user") {
        let password = input.value("admin_password").unwrap_or_default();
        let driver = input.value("admin_driver").unwrap_or("core");
        let groups = plerion_client::Param::List(vec![group.into()]);
        let params = [admin.into(), password.into(), driver.into(), groups];
        let user = number_id(session.call_id("one.user.allocate", &params)?)?;
        session.call("one.group.addadmin", &[group.into(), user.into()])?;
    }
    session
        .call("one.group.update", &[group.into(), VIEWS.into(), 1.into()])
        .map(drop)
}

fn number_id(id: i64) -> Result<i32, CliError> {
    i32::try_from(id).map_err(|_| CliError::text(format!("The id {id} is out of range.")))
}

/// `addadmin`.
pub fn admin_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "addadmin", "admin added")
}

/// `deladmin`.
pub fn admin_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "deladmin", "admin removed")
}

/// `vlan`: sets which VLANs the group may use.
pub fn vlan(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = input.id(0);
    let template = sources::edited(input.text(1), || {
        let text = session.info(Kind::Group, id)?;
        Ok(rules_template(xml::document_parse(&text)?.root_element()))
    })?;
    let Some(template) = template else {
        return Ok(());
    };
    session
        .call("one.group.vlan", &[id.into(), template.into()])
        .map(drop)
}

/// The rules of a group as a template.
fn rules_template(group: Node<'_, '_>) -> String {
    let mut builder = crate::template_build::Builder::default();
    let rules = xml::child(group, "VLAN_RULES");
    for rule in rules
        .into_iter()
        .flat_map(|list| xml::children(list, "RULE").collect::<Vec<_>>())
    {
        let pairs: Vec<String> = xml::elements(rule)
            .map(|part| crate::template_build::pair(part.tag_name().name(), &xml::text_of(part)))
            .collect();
        builder.vector("RULE", &pairs);
    }
    builder.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_edited_as_a_template() {
        let text = "<GROUP><VLAN_RULES><ID>100</ID><RULE><ID>5,7-9</ID><SCOPE>ANY</SCOPE><VNTEMPLATE>-1</VNTEMPLATE></RULE>\
                    </VLAN_RULES></GROUP>";
        let document = Document::parse(text).expect("good");
        let template = rules_template(document.root_element());
        assert_eq!(
            template,
            "RULE=[ ID=\"5,7-9\", SCOPE=\"ANY\", VNTEMPLATE=\"-1\" ]\n"
        );
        assert!(vlan_rules(document.root_element()).contains("5,7-9           ANY             -1"));
    }
}
