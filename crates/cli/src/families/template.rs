//! `onetemplate`.

use std::io::{self, IsTerminal, Write};

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::moment_text;
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::Column;
use crate::template_build::{Builder, vm_template};
use crate::template_text;
use crate::xml;

/// How many VMs one call makes at most.
const MULTIPLE_MAX: i32 = 10_000;

/// The table of templates.
pub static LIST: ListSpec = ListSpec {
    element: "VMTEMPLATE",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the template", "模板编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the template", "模板名称"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::right("REGTIME", 15).about("When it was registered", "登记时间"),
    ],
    shown: &["ID", "USER", "GROUP", "NAME", "REGTIME"],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

/// A cell of the tables of VM templates and network templates.
pub(super) fn cell(context: &Context, template: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER" => xml::text(template, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(template, if context.numeric { "GID" } else { "GNAME" }),
        "REGTIME" => moment_text(xml::number(template, "REGTIME")),
        _ => xml::text(template, column),
    }
}

/// Renders the template.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The template: of a VM or of a network.
pub fn render(template: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(template, "ID");
    fields
        .add_head(format!("TEMPLATE {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", template, "NAME")
        .add_owner(template)
        .add_lock(template)
        .add("REGISTER TIME", moment_text(xml::number(template, "REGTIME")));
    let permissions = fields.permissions(template);
    let body = template_text::template_block(template, &[]);
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("TEMPLATE CONTENTS"),
        body,
    ]
    .concat()
}

/// `create`, from a file, standard input or options.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let from_options = vm_template(input, true)?;
    let template = if !input.text(0).is_empty() {
        sources::file_read(input.text(0))? + "\n" + &from_options
    } else if from_options.is_empty() {
        sources::required("")?
    } else {
        from_options
    };
    if input.has("dry") {
        return session.print(&template);
    }
    let id = session.call_id("one.template.allocate", &[template.into()])?;
    common::id_print(session, id)
}

/// `clone`.
pub fn clone(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [
        input.id(0).into(),
        input.text(1).into(),
        input.has("recursive").into(),
    ];
    let id = session.call_id("one.template.clone", &params)?;
    common::id_print(session, id)
}

/// `delete`.
pub fn delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.each(Kind::Template, &input.ids(0), "deleted", |session, id| {
        session
            .call("one.template.delete", &[id.into(), input.has("recursive").into()])
            .map(drop)
    })
}

/// `instantiate`: one VM, or several whose names count up where `%i` stands.
pub fn instantiate(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = input.id(0);
    let count = multiple(input)?;
    let mut extra = vm_template(input, false)?;
    if input.text(1).is_empty() {
        extra.push_str(&user_inputs(session, input, id)?);
    } else {
        extra.push_str(&sources::file_read(input.text(1))?);
    }
    for number in 0..count {
        let name = input
            .value("name")
            .unwrap_or_default()
            .replace("%i", &number.to_string());
        let params = [
            id.into(),
            name.into(),
            input.has("hold").into(),
            extra.as_str().into(),
            input.has("persistent").into(),
        ];
        let vm = session.call_id("one.template.instantiate", &params)?;
        session.print(&format!("VM ID: {vm}\n"))?;
    }
    Ok(())
}

/// How many VMs `--multiple` asks for.
pub fn multiple(input: &Input) -> Result<i32, CliError> {
    match input.number("multiple") {
        None => Ok(1),
        Some(count) if (1..=MULTIPLE_MAX).contains(&count) => Ok(count),
        Some(count) => Err(CliError::text(format!(
            "--multiple {count}: use a number from 1 to {MULTIPLE_MAX}."
        ))),
    }
}

/// A question the template asks before a VM is made of it: `M|list|Size|small,large|small`.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    name: String,
    mandatory: bool,
    text: String,
    default: String,
}

impl Question {
    fn parse(name: &str, text: &str) -> Self {
        let parts: Vec<&str> = text.split('|').collect();
        let part = |index: usize| parts.get(index).map_or("", |part| part.trim());
        Self {
            name: name.to_owned(),
            mandatory: part(0).eq_ignore_ascii_case("M"),
            text: part(2).to_owned(),
            default: part(4).to_owned(),
        }
    }
}

/// The answers to the template's questions: from `--user-inputs`, asked for on a terminal, else defaults.
pub(super) fn user_inputs(session: &mut Session, input: &Input, id: i32) -> Result<String, CliError> {
    let text = session.info(Kind::Template, id)?;
    let document = xml::document_parse(&text)?;
    let Some(list) = xml::at(document.root_element(), "TEMPLATE/USER_INPUTS") else {
        return Ok(String::new());
    };
    let given: Vec<String> = input
        .list("user-inputs")
        .iter()
        .filter_map(|line| {
            line.split_once('=')
                .map(|(name, _)| name.trim().to_ascii_uppercase())
        })
        .collect();
    let mut builder = Builder::default();
    for node in xml::elements(list) {
        let question = Question::parse(node.tag_name().name(), &xml::text_of(node));
        if given.contains(&question.name) {
            continue;
        }
        let answer = question_ask(session, &question)?;
        if !answer.is_empty() {
            builder.single(&question.name, &answer);
        }
    }
    Ok(builder.into_text())
}

fn question_ask(session: &Session, question: &Question) -> Result<String, CliError> {
    if !io::stdin().is_terminal() {
        return match (question.default.is_empty(), question.mandatory) {
            (true, true) => Err(CliError::text(format!(
                "The template asks for {} ({}). Give it with --user-inputs {}=VALUE.",
                question.name, question.text, question.name
            ))),
            _ => Ok(question.default.clone()),
        };
    }
    let hint = if question.default.is_empty() {
        String::new()
    } else {
        format!(" [{}]", question.default)
    };
    session.print(&format!("({}) {}{hint}: ", question.name, question.text))?;
    io::stdout()
        .flush()
        .map_err(|error| CliError::text(error.to_string()))?;
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(|error| CliError::text(format!("The answer cannot be read: {error}")))?;
    let answer = line.trim();
    Ok(if answer.is_empty() {
        question.default.clone()
    } else {
        answer.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let question = Question::parse("SIZE", "M|list|Size|small,large|small");
        assert!(question.mandatory);
        assert_eq!(
            (question.text.as_str(), question.default.as_str()),
            ("Size", "small")
        );
        assert_eq!(Question::parse("X", "O|password|Password").default, "");
    }
}
