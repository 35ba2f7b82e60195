//! `list` and `top`: which columns, which rows, and in what form.

use std::io::IsTerminal;
use std::time::Duration;

use roxmltree::{Document, Node};

use crate::convert;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::filter::Filter;
use crate::session::Session;
use crate::table::{Column, Table};
use crate::xml;

/// How wide the terminal is taken to be when nobody says.
const TERMINAL_WIDTH: usize = 80;
/// Seconds between two pictures of `top`, unless said otherwise.
const TOP_SECONDS: i32 = 5;

/// Nothing more is needed.
pub fn prepare_nothing(
    _session: &mut Session,
    _context: &mut Context,
    _columns: &[&'static str],
) -> Result<(), CliError> {
    Ok(())
}

/// Fetches all the objects of the command's kind that the caller may use.
pub fn fetch_all(session: &mut Session, input: &Input) -> Result<String, CliError> {
    session.pool(input.family.kind, crate::session::FILTER_ALL)
}

/// Fetches the objects the filter argument asks for.
pub fn fetch_filtered(session: &mut Session, input: &Input) -> Result<String, CliError> {
    let filter = session.filter_resolve(input.text(0))?;
    session.pool(input.family.kind, filter)
}

/// `list`.
pub fn run(session: &mut Session, input: &Input) -> Result<(), CliError> {
    if input.has("describe") {
        return describe_print(session, input);
    }
    match input.number("delay") {
        Some(seconds) => repeat(session, input, seconds),
        None => {
            let text = render(session, input)?;
            session.print(&text)
        }
    }
}

/// `top`.
pub fn run_top(session: &mut Session, input: &Input) -> Result<(), CliError> {
    repeat(session, input, input.number("delay").unwrap_or(TOP_SECONDS))
}

/// Shows the table again and again until the caller ends it.
fn repeat(session: &mut Session, input: &Input, seconds: i32) -> Result<(), CliError> {
    let pause = Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(1));
    loop {
        let text = render(session, input)?;
        let clear = if std::io::stdout().is_terminal() {
            "\x1b[H\x1b[2J"
        } else {
            ""
        };
        session.print(&format!("{clear}{text}"))?;
        std::thread::sleep(pause);
        session.now += i64::from(seconds.max(1));
    }
}

/// Prints what the columns of the family's table are.
pub fn describe_print(session: &Session, input: &Input) -> Result<(), CliError> {
    session.print(&describe(input.family.list, session.language.is_chinese()))
}

fn describe(spec: &ListSpec, chinese: bool) -> String {
    spec.columns
        .iter()
        .map(|column| {
            let about = if chinese { column.about.1 } else { column.about.0 };
            format!("{:<20}: {about}\n", column.name)
        })
        .collect()
}

fn render(session: &mut Session, input: &Input) -> Result<String, CliError> {
    let spec = input.family.list;
    let columns = columns_pick(spec, spec.shown, input)?;
    let filter = Filter::parse(&input.list("filter"), input.value("operator"))?;
    for name in filter.columns() {
        column_find(spec, name)?;
    }
    let pool = (spec.fetch)(session, input)?;
    let document = xml::document_parse(&pool)?;
    if let Some(text) = convert::as_asked(input, &document) {
        return Ok(text);
    }
    let mut context = Context::new(input, session.now);
    let mut names: Vec<&'static str> = columns.iter().map(|column| column.name).collect();
    for name in filter.columns() {
        names.push(column_find(spec, name)?.name);
    }
    (spec.prepare)(session, &mut context, &names)?;
    table_render(table_fill(spec, &context, columns, &filter, &document), input)
}

/// The rows of a pool that the filter picks.
fn table_fill(
    spec: &ListSpec,
    context: &Context,
    columns: Vec<Column>,
    filter: &Filter,
    pool: &Document<'_>,
) -> Table {
    let mut table = Table::new(&columns);
    for object in xml::children(pool.root_element(), spec.element) {
        if filter.accepts(|name| (spec.cell)(context, object, name)) {
            table.rows.push(
                columns
                    .iter()
                    .map(|column| (spec.cell)(context, object, column.name))
                    .collect(),
            );
        }
    }
    table
}

/// What `list` prints for a pool that needs nothing beyond itself.
#[cfg(test)]
pub fn pool_render(input: &Input, pool: &str, now: i64) -> Result<String, CliError> {
    let spec = input.family.list;
    let columns = columns_pick(spec, spec.shown, input)?;
    let filter = Filter::parse(&input.list("filter"), input.value("operator"))?;
    let document = xml::document_parse(pool)?;
    if let Some(text) = convert::as_asked(input, &document) {
        return Ok(text);
    }
    table_render(
        table_fill(spec, &Context::new(input, now), columns, &filter, &document),
        input,
    )
}

/// Some objects of an answer, in the columns and the form asked for; `shown` are the columns unless others are asked for.
pub fn rows_render(
    input: &Input,
    shown: &[&str],
    context: &Context,
    objects: &[Node<'_, '_>],
) -> Result<String, CliError> {
    let spec = input.family.list;
    let columns = columns_pick(spec, shown, input)?;
    let mut table = Table::new(&columns);
    for object in objects {
        let cells = columns
            .iter()
            .map(|column| (spec.cell)(context, *object, column.name));
        table.rows.push(cells.collect());
    }
    table_render(table, input)
}

/// The table of some objects of a pool with the default columns, for the `show` of other objects.
pub fn table_plain(spec: &ListSpec, context: &Context, objects: &[Node<'_, '_>]) -> Result<String, CliError> {
    let columns: Vec<Column> = spec
        .shown
        .iter()
        .map(|name| column_find(spec, name))
        .collect::<Result<_, _>>()?;
    let mut table = Table::new(&columns);
    for object in objects {
        table.rows.push(
            columns
                .iter()
                .map(|column| (spec.cell)(context, *object, column.name))
                .collect(),
        );
    }
    Ok(table.render())
}

fn table_render(mut table: Table, input: &Input) -> Result<String, CliError> {
    let with_head = !input.has("no-header");
    if input.has("csv") {
        return Ok(table.csv(input.value("csv-del").unwrap_or(","), with_head));
    }
    table.columns_adjust();
    expand(&mut table, input)?;
    let head = match (with_head, std::io::stdout().is_terminal()) {
        (false, _) => String::new(),
        (true, true) => format!("\x1b[1m\x1b[4m{}\x1b[0m\n", table.head()),
        (true, false) => format!("{}\n", table.head()),
    };
    Ok(head + &table.body())
}

/// Columns take the room that is left: always on a terminal, elsewhere only when asked to.
fn expand(table: &mut Table, input: &Input) -> Result<(), CliError> {
    let asked = input.has("expand");
    if input.has("no-expand") || !(asked || std::io::stdout().is_terminal()) {
        return Ok(());
    }
    let mut shares = Vec::new();
    for item in input.list("expand") {
        let (name, share) = item.split_once('=').unwrap_or((&item, "1"));
        let share: f64 = share.parse().map_err(|_| {
            CliError::text(format!(
                "invalid argument: --expand {item}: the share is no number"
            ))
        })?;
        let index = table
            .columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| CliError::Column(format!("The column {name} is not shown and cannot expand.")))?;
        shares.push((index, share));
    }
    if shares.is_empty() {
        let flagged = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.expand);
        shares = flagged.map(|(index, _)| (index, 1.0)).collect();
    }
    table.columns_expand(terminal_width(), &shares);
    Ok(())
}

fn terminal_width() -> usize {
    let asked = rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col));
    asked
        .filter(|width| *width > 0)
        .or_else(|| std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()))
        .unwrap_or(TERMINAL_WIDTH)
}

fn columns_pick(spec: &ListSpec, shown: &[&str], input: &Input) -> Result<Vec<Column>, CliError> {
    let asked = input.list("list");
    let mut columns: Vec<Column> = if asked.is_empty() {
        shown
            .iter()
            .map(|name| column_find(spec, name))
            .collect::<Result<_, _>>()?
    } else {
        asked
            .iter()
            .map(|name| column_find(spec, name))
            .collect::<Result<_, _>>()?
    };
    if input.has("kilobytes") {
        // A number without unit means another amount once it is cut.
        columns
            .iter_mut()
            .filter(|column| column.right)
            .for_each(|column| column.adjust = true);
    }
    for item in input.list("size") {
        let (name, width) = item.split_once('=').unwrap_or((&item, ""));
        let width = width
            .parse()
            .map_err(|_| CliError::text(format!("invalid argument: --size {item}: use COLUMN=NUMBER")))?;
        let found = column_find(spec, name)?;
        for column in columns.iter_mut().filter(|column| column.name == found.name) {
            column.width = width;
        }
    }
    for name in input.list("adjust") {
        let found = column_find(spec, &name)?;
        for column in columns.iter_mut().filter(|column| column.name == found.name) {
            column.adjust = true;
        }
    }
    Ok(columns)
}

fn column_find(spec: &ListSpec, name: &str) -> Result<Column, CliError> {
    let found = spec
        .columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = spec.columns.iter().map(|column| column.name).collect();
        CliError::Column(format!(
            "There is no column '{name}'. The columns are: {}.",
            names.join(", ")
        ))
    })
}
