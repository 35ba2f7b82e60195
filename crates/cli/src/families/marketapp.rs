//! `onemarketapp`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::{moment_text, size_text_mib, time_text};
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::Column;
use crate::template_build::Builder;
use crate::template_text;
use crate::xml;

/// The table of appliances.
pub static LIST: ListSpec = ListSpec {
    element: "MARKETPLACEAPP",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the appliance", "应用编号"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::left("NAME", 20)
            .expanded()
            .about("Name of the appliance", "应用名称"),
        Column::right("VERSION", 10).about("Its version", "版本"),
        Column::right("SIZE", 5).about("Its size", "大小"),
        Column::right("ARCH", 7).about("Processors that it runs on", "处理器架构"),
        Column::left("HYPERVISOR", 10).about("Hypervisors that it runs on", "虚拟化平台"),
        Column::right("STAT", 4).about("Its state", "状态"),
        Column::right("TYPE", 4).about("What it is made of", "类型"),
        Column::right("REGTIME", 8).about("When it was registered", "登记时间"),
        Column::left("MARKET", 10).about("Its marketplace", "应用市场"),
        Column::right("ZONE", 4).about("Its zone", "所属区域"),
    ],
    shown: &[
        "ID",
        "NAME",
        "VERSION",
        "SIZE",
        "ARCH",
        "HYPERVISOR",
        "STAT",
        "TYPE",
        "REGTIME",
        "MARKET",
        "ZONE",
    ],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

const STATES: [&str; 5] = ["ini", "rdy", "lck", "err", "dis"];
const TYPES: [(&str, &str); 4] = [
    ("UNKNOWN", "unk"),
    ("IMAGE", "img"),
    ("VMTEMPLATE", "tpl"),
    ("SERVICE_TEMPLATE", "srv"),
];

fn pick<T: Copy>(table: &[T], number: i64) -> Option<T> {
    usize::try_from(number).ok().and_then(|at| table.get(at)).copied()
}

fn state(app: Node<'_, '_>) -> &'static str {
    pick(&STATES, xml::number(app, "STATE")).unwrap_or("-")
}

fn type_of(app: Node<'_, '_>) -> (&'static str, &'static str) {
    pick(&TYPES, xml::number(app, "TYPE")).unwrap_or(("-", "-"))
}

fn cell(context: &Context, app: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER" => xml::text(app, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(app, if context.numeric { "GID" } else { "GNAME" }),
        "SIZE" => context.size_mib(xml::number(app, "SIZE")),
        "ARCH" => xml::text(app, "TEMPLATE/ARCHITECTURE"),
        "HYPERVISOR" => xml::text(app, "TEMPLATE/HYPERVISOR"),
        "STAT" => state(app).to_owned(),
        "TYPE" => type_of(app).1.to_owned(),
        "REGTIME" => time_text(xml::number(app, "REGTIME"), "%D"),
        "MARKET" => xml::text(app, "MARKETPLACE"),
        "ZONE" => xml::text(app, "ZONE_ID"),
        _ => xml::text(app, column),
    }
}

/// Renders the appliance.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The appliance.
pub fn render(app: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(app, "ID");
    fields
        .add_head(format!("MARKETPLACE APP {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", app, "NAME")
        .add("TYPE", type_of(app).0)
        .add_owner(app)
        .add_text("MARKETPLACE", app, "MARKETPLACE")
        .add("STATE", state(app))
        .add_lock(app);
    let permissions = fields.permissions(app);
    let mut details = Fields::new(15);
    details
        .add_head("DETAILS")
        .add_text("SOURCE", app, "SOURCE")
        .add_text("MD5", app, "MD5")
        .add_text("PUBLISHER", app, "PUBLISHER")
        .add("REGISTER TIME", moment_long(xml::number(app, "REGTIME")))
        .add_text("VERSION", app, "VERSION")
        .add_text("DESCRIPTION", app, "DESCRIPTION")
        .add("SIZE", size_text_mib(xml::number(app, "SIZE")))
        .add_text("ORIGIN_ID", app, "ORIGIN_ID")
        .add_text("FORMAT", app, "FORMAT");
    let import = base64_text(&xml::text(app, "APPTEMPLATE64"));
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        details.into_text(),
        "\n".to_owned(),
        layout::head("IMPORT TEMPLATE"),
        import.unwrap_or_default(),
        "\n".to_owned(),
        layout::head("MARKETPLACE APP TEMPLATE"),
        template_text::template_block(app, &[]),
        "\n".to_owned(),
    ]
    .concat()
}

fn moment_long(seconds: i64) -> String {
    if seconds > 0 {
        time_text(seconds, "%a %b %e %H:%M:%S %Y")
    } else {
        moment_text(seconds)
    }
}

/// The text that is written in base64; `None` when it is none.
fn base64_text(text: &str) -> Option<String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
    {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        bits = bits << 6 & 0xffff | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

/// `create`: from a file, or from an image.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let mut text = String::new();
    let options = ["name", "description", "image"];
    if !input.text(0).is_empty() || !options.iter().any(|option| input.has(option)) {
        text.push_str(&sources::required(input.text(0))?);
        text.push('\n');
    }
    let mut builder = Builder::default();
    for (option, attribute) in [
        ("name", "NAME"),
        ("description", "DESCRIPTION"),
        ("image", "ORIGIN_ID"),
    ] {
        if let Some(value) = input.value(option) {
            builder.single(attribute, value);
        }
    }
    if input.has("image") {
        builder.single("TYPE", "IMAGE");
    }
    text.push_str(&builder.into_text());
    if input.has("dry") {
        return session.print(&text);
    }
    let Some(market) = input.number("marketplace") else {
        return Err(CliError::text(
            "Say which marketplace takes it: --marketplace NAME.",
        ));
    };
    let id = session.call_id("one.marketapp.allocate", &[text.into(), market.into()])?;
    common::id_print(session, id)
}

/// `enable`.
pub fn enable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", true, "enabled")
}

/// `disable`.
pub fn disable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", false, "disabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        let text = base64_text("REVWX1BSRUZJWD0idmQiClRZUEU9Ik9TIgo=");
        assert_eq!(text.as_deref(), Some("DEV_PREFIX=\"vd\"\nTYPE=\"OS\"\n"));
        assert_eq!(base64_text("*"), None);
        assert_eq!(base64_text("").as_deref(), Some(""));
    }

    #[test]
    fn an_appliance_is_shown_as_recorded() {
        let text = "<MARKETPLACEAPP><ID>0</ID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME>\
            <REGTIME>1700000000</REGTIME><NAME>Debian small</NAME><ORIGIN_ID>-1</ORIGIN_ID><SIZE>2048</SIZE>\
            <VERSION>1.0-1</VERSION><FORMAT>raw</FORMAT><MARKETPLACE>local market</MARKETPLACE><STATE>1</STATE>\
            <TYPE>1</TYPE><TEMPLATE><TAGS>debian, small</TAGS></TEMPLATE></MARKETPLACEAPP>";
        let document = Document::parse(text).expect("good");
        let shown = render(document.root_element());
        for line in [
            "TYPE           : IMAGE               \n",
            "MARKETPLACE    : local market        \n",
            "STATE          : rdy                 \n",
            "SIZE           : 2G                  \n",
            "TAGS=\"debian, small\"\n",
        ] {
            assert!(shown.contains(line), "{line:?} is not in\n{shown}");
        }
    }
}
