//! `onehook`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node};

use super::accounting::{time_parse, wire_time};
use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::{moment_text, time_text};
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// The table of hooks.
pub static LIST: ListSpec = ListSpec {
    element: "HOOK",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the hook", "hook 编号"),
        Column::left("NAME", 19)
            .expanded()
            .about("Name of the hook", "hook 名称"),
        Column::left("TYPE", 8).about("What it is about: api or state", "类型：api 或 state"),
    ],
    shown: &["ID", "NAME", "TYPE"],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(_context: &Context, hook: Node<'_, '_>, column: &str) -> String {
    xml::text(hook, column)
}

/// Renders the hook, or one of its executions.
pub fn show(_session: &mut Session, input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    let hook = document.root_element();
    let Some(number) = input.value("execution") else {
        return Ok(render(hook));
    };
    let found = executions(hook).find(|execution| xml::text(*execution, "EXECUTION_ID") == number);
    let execution = found.ok_or_else(|| {
        CliError::text(format!(
            "Hook {} has no execution {number} in its log: `onehook show {0}` lists them.",
            xml::text(hook, "ID")
        ))
    })?;
    Ok(execution_render(hook, execution))
}

fn executions<'a, 'i: 'a>(hook: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    xml::children(hook, "HOOKLOG").flat_map(|log| xml::children(log, "HOOK_EXECUTION_RECORD"))
}

fn information(hook: Node<'_, '_>) -> Fields {
    let mut fields = Fields::new(18);
    let id = xml::text(hook, "ID");
    fields
        .add_head(format!("HOOK {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", hook, "NAME")
        .add_text("TYPE", hook, "TYPE")
        .add_lock(hook);
    fields
}

/// The hook.
pub fn render(hook: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 5),
        Column::right("TIMESTAMP", 15),
        Column::right("RC", 5),
        Column::left("EXECUTION", 9),
    ]);
    for execution in executions(hook) {
        table.rows.push(row(execution, false));
    }
    [
        information(hook).into_text(),
        "\n".to_owned(),
        layout::head("HOOK TEMPLATE"),
        template_text::template_block(hook, &[]),
        "\n".to_owned(),
        "EXECUTION LOG\n".to_owned(),
        table.render(),
        "\n".to_owned(),
    ]
    .concat()
}

/// Number, time, exit status and outcome; the hook before them where it is asked for.
fn row(execution: Node<'_, '_>, hook: bool) -> Vec<String> {
    let code = xml::number(execution, "EXECUTION_RESULT/CODE");
    let mut cells = Vec::new();
    if hook {
        cells.push(xml::text(execution, "HOOK_ID"));
    }
    cells.extend([
        xml::text(execution, "EXECUTION_ID"),
        moment_text(xml::number(execution, "TIMESTAMP")),
        code.to_string(),
        if code == 0 { "SUCCESS" } else { "ERROR" }.to_owned(),
    ]);
    cells
}

fn execution_render(hook: Node<'_, '_>, execution: Node<'_, '_>) -> String {
    let mut fields = Fields::new(18);
    let result = |name: &str| xml::text(execution, &format!("EXECUTION_RESULT/{name}"));
    fields
        .add_head("HOOK EXECUTION RECORD")
        .add("EXECUTION ID", xml::text(execution, "EXECUTION_ID"))
        .add(
            "TIMESTAMP",
            time_text(xml::number(execution, "TIMESTAMP"), "%m/%d %H:%M:%S"),
        )
        .add("COMMAND", result("COMMAND"));
    let host = xml::text(execution, "REMOTE_HOST");
    if !host.is_empty() {
        fields.add("REMOTE HOST", &host);
    }
    let mut out = [information(hook).into_text(), "\n".to_owned(), fields.into_text()].concat();
    out += &format!("ARGUMENTS         : \n{}\n", xml::text(execution, "ARGUMENTS"));
    for (title, text) in [("STDOUT", result("STDOUT")), ("STDERR", result("STDERR"))] {
        out += &format!("\nEXECUTION {title}\n{}\n", decoded(&text));
    }
    out
}

/// The text of base64; what is none is shown as it is.
fn decoded(text: &str) -> String {
    let digits: String = text.split_whitespace().collect();
    STANDARD.decode(digits).map_or_else(
        |_| text.to_owned(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    if input.has("dry") {
        return session.print(&format!("{}\n", sources::required(input.text(0))?));
    }
    common::create_from_template(session, input, Vec::new())?;
    // The answer is the id alone: whoever reads it must not find anything else in its place.
    if std::fs::read_to_string(input.text(0)).is_ok_and(|text| is_about_poweroff(&text)) {
        eprintln!("{}", session.language.pick(RESUMES));
    }
    Ok(())
}

/// Said of a hook on POWEROFF, as old guides have it for VMs that are to start again.
const RESUMES: (&str, &str) = (
    "Note: VMs are in POWEROFF also when a user has switched them off. To have VMs run again after a restart of their host, set \
     AUTOSTART=\"yes\" in their template instead.",
    "注意：用户主动关机的虚拟机也处于 POWEROFF。若想让虚拟机在主机重启后重新运行，请改为在其模板中设置 AUTOSTART=\"yes\"。",
);

fn is_about_poweroff(template: &str) -> bool {
    let word = template.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    word.into_iter().any(|word| word == "POWEROFF")
}

/// `retry`.
pub fn retry(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session
        .call("one.hook.retry", &[input.id(0).into(), input.id(1).into()])
        .map(drop)
}

/// `log`: the newest first.
pub fn log(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let time = |option: &str, end: bool| {
        let time = input
            .value(option)
            .map(|text| time_parse(text, end))
            .transpose()?;
        wire_time(time)
    };
    let result = match (input.has("error"), input.has("success")) {
        (true, false) => -1,
        (false, true) => 1,
        _ => 0,
    };
    let params = [
        time("since", false)?.into(),
        time("until", true)?.into(),
        input.number("hook-id").unwrap_or(-1).into(),
        result.into(),
    ];
    let text = session.call_text("one.hooklog.info", &params)?;
    if input.has("xml") {
        return session.print(&format!("{text}\n"));
    }
    let document = xml::document_parse(&text)?;
    let mut found: Vec<Node<'_, '_>> = xml::elements(document.root_element()).collect();
    found.sort_by_key(|execution| {
        std::cmp::Reverse((
            xml::number(*execution, "HOOK_ID"),
            xml::number(*execution, "EXECUTION_ID"),
        ))
    });
    let mut table = Table::new(&[
        Column::right("HOOK", 5),
        Column::right("ID", 5),
        Column::right("TIMESTAMP", 15),
        Column::right("RC", 5),
        Column::right("EXECUTION", 9),
    ]);
    table
        .rows
        .extend(found.into_iter().map(|execution| row(execution, true)));
    session.print(&table.render())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn output_is_read_from_base64() {
        for (text, expect) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9v\nYmFy", "foobar"),
            ("no!", "no!"),
        ] {
            assert_eq!(decoded(text), expect);
        }
    }
}
