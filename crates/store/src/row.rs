//! Objects, intents and log entries as rows. The same for all engines.

use std::sync::Arc;

use plerion_model::acl::AclRule;
use plerion_model::backupjob::BackupJob;
use plerion_model::cluster::Cluster;
use plerion_model::datastore::Datastore;
use plerion_model::document::Document;
use plerion_model::group::Group;
use plerion_model::hook::{ExecutionState, Hook, HookExecution, HookType};
use plerion_model::host::Host;
use plerion_model::image::Image;
use plerion_model::marketplace::Marketplace;
use plerion_model::marketplaceapp::MarketplaceApp;
use plerion_model::sched_action::SchedAction;
use plerion_model::secgroup::SecurityGroup;
use plerion_model::user::User;
use plerion_model::vdc::Vdc;
use plerion_model::vmgroup::VmGroup;
use plerion_model::vmtemplate::VmTemplate;
use plerion_model::vnet::Vnet;
use plerion_model::vntemplate::VnTemplate;
use plerion_model::vrouter::Vrouter;
use plerion_model::zone::Zone;
use plerion_model::{Id, Kind, Owned, Permissions, Seconds};
use plerion_template::PackedTemplate;
use plerion_world::{Intent, IntentKey, LogEntry, Object};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::{
    ACLS, BACKUP_JOBS, CHANGE_LOG, CLUSTERS, DATASTORES, DOCUMENTS, GROUPS, HOOK_EXECUTIONS, HOOKS, HOSTS,
    IMAGES, MARKETPLACE_APPS, MARKETPLACES, OUTBOX, POOL_CONTROL, SCHED_ACTIONS, SECGROUPS, TEMPLATES, Table,
    USERS, VDCS, VMGROUPS, VMS, VNETS, VNTEMPLATES, VROUTERS, ZONES, table_of,
};
use crate::{DoneVm, LogRow, StoreError};

/// A value in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Int(i64),
    Text(String),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Cell {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl Cell {
    /// Size of what it holds in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Int(_) => size_of::<i64>(),
            Self::Text(text) => text.len(),
        }
    }
}

/// A change of one row.
#[derive(Debug)]
pub(crate) enum Op {
    /// A new row.
    Insert(&'static Table, Vec<Cell>),
    /// A row, in the place of one of the same key.
    Upsert(&'static Table, Vec<Cell>),
    /// The row of a key goes, if there is one.
    Delete(&'static Table, Vec<Cell>),
}

/// The stored form of an object that is no VM.
#[derive(Debug)]
pub(crate) struct ObjectRow {
    pub(crate) oid: i64,
    pub(crate) body: String,
    /// Empty for kinds without one.
    pub(crate) template: String,
}

pub(crate) fn row_error(table: &'static Table, key: impl ToString, reason: impl ToString) -> StoreError {
    StoreError::Row {
        table: table.name,
        key: key.to_string(),
        reason: reason.to_string(),
    }
}

/// A number that grows from 0, as the database holds it. It would have to be counted up for centuries to not fit.
pub(crate) fn counter_cell(
    table: &'static Table,
    key: impl ToString,
    value: u64,
) -> Result<Cell, StoreError> {
    i64::try_from(value).map(Cell::Int).map_err(|_| {
        row_error(
            table,
            key,
            format!("the number {value} does not fit the database"),
        )
    })
}

pub(crate) fn counter(table: &'static Table, key: impl ToString, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| {
        row_error(
            table,
            key,
            format!("{value} stands where no number below 0 can be"),
        )
    })
}

pub(crate) fn id(table: &'static Table, value: i64) -> Result<Id, StoreError> {
    Id::try_from(value).map_err(|_| row_error(table, value, "the id is too large"))
}

pub(crate) fn body(
    table: &'static Table,
    key: impl ToString,
    object: &impl Serialize,
) -> Result<Cell, StoreError> {
    serde_json::to_string(object)
        .map(Cell::Text)
        .map_err(|error| row_error(table, key, error))
}

pub(crate) fn parse<T: DeserializeOwned>(
    table: &'static Table,
    key: impl ToString,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| row_error(table, key, error))
}

pub(crate) fn template_parse(
    table: &'static Table,
    key: impl ToString,
    text: &str,
) -> Result<PackedTemplate, StoreError> {
    PackedTemplate::from_json(text).map_err(|error| row_error(table, key, error))
}

/// The name of a kind in rows, which is its serde name.
pub(crate) const fn kind_name(kind: Kind) -> &'static str {
    kind.facts().stored_name
}

pub(crate) fn kind_parse(table: &'static Table, key: impl ToString, name: &str) -> Result<Kind, StoreError> {
    Kind::ALL
        .iter()
        .copied()
        .find(|kind| kind_name(*kind) == name)
        .ok_or_else(|| row_error(table, key, format!("there is no kind {name:?}")))
}

/// The columns of `vms` that a [`DoneVm`] is made of, in the order in which [`done_parse`] takes them.
pub(crate) const DONE_COLUMNS: [&str; 4] = ["oid", "uid", "gid", "perms"];

/// A VM that is DONE, from [`DONE_COLUMNS`].
pub(crate) fn done_parse(cells: [i64; 4]) -> Result<DoneVm, StoreError> {
    let [oid, uid, gid, digits] = cells;
    let id = |column: &str, value: i64| {
        Id::try_from(value).map_err(|_| row_error(&VMS, oid, format!("{column} {value} is no id")))
    };
    let bits = u16::try_from(digits / 100 % 10 * 64 + digits / 10 % 10 * 8 + digits % 10)
        .map_err(|_| row_error(&VMS, oid, format!("perms {digits} are no permissions")))?;
    Ok(DoneVm {
        id: id("oid", oid)?,
        owned: Owned::new(id("uid", uid)?, id("gid", gid)?, Permissions(bits)),
    })
}

/// `oid name uid gid perms`.
fn owned_cells(id: Id, name: &str, owned: &Owned) -> Vec<Cell> {
    let bits = i64::from(owned.permissions.0);
    // As people write them: 640.
    let digits = (bits >> 6) * 100 + (bits >> 3 & 7) * 10 + (bits & 7);
    vec![
        id.into(),
        name.into(),
        owned.uid.into(),
        owned.gid.into(),
        digits.into(),
    ]
}

/// Puts further columns, the body, and the template behind the first cells.
fn finish(
    table: &'static Table,
    mut cells: Vec<Cell>,
    further: &[i64],
    object: &impl Serialize,
    template: &PackedTemplate,
) -> Result<Vec<Cell>, StoreError> {
    cells.extend(further.iter().copied().map(Cell::Int));
    let key = key_text(&cells);
    cells.push(body(table, key, object)?);
    cells.push(template.to_json().into());
    Ok(cells)
}

fn key_text(cells: &[Cell]) -> String {
    match cells.first() {
        Some(Cell::Int(value)) => value.to_string(),
        Some(Cell::Text(text)) => text.clone(),
        None => String::new(),
    }
}

/// The row of an object in the table of its kind. (The templates of a VM are in a row of their own.)
pub(crate) fn object_row(object: &Object) -> Result<Vec<Cell>, StoreError> {
    let named = |id: Id, name: &str| vec![id.into(), name.into()];
    match object {
        Object::Vm(vm) => {
            let mut cells = owned_cells(vm.id, &vm.name, &vm.owned);
            cells.push(vm.phase.state.number().into());
            cells.push(vm.phase.lcm.number().into());
            cells.push(vm.stime.into());
            cells.push(vm.etime.into());
            cells.push(body(&VMS, vm.id, vm)?);
            Ok(cells)
        }
        Object::Host(host) => {
            let further = [host.state.number().into(), host.cluster_id.into()];
            finish(&HOSTS, named(host.id, &host.name), &further, host, &host.template)
        }
        Object::Vnet(vnet) => {
            let cells = owned_cells(vnet.id, &vnet.name, &vnet.owned);
            finish(&VNETS, cells, &[vnet.state.number().into()], vnet, &vnet.template)
        }
        Object::Image(image) => {
            let cells = owned_cells(image.id, &image.name, &image.owned);
            let further = [image.state.number().into(), image.datastore_id.into()];
            finish(&IMAGES, cells, &further, image, &image.template)
        }
        Object::User(user) => {
            let further = [user.gid.into(), user.enabled.into()];
            finish(&USERS, named(user.id, &user.name), &further, user, &user.template)
        }
        Object::Template(template) => {
            let cells = owned_cells(template.id, &template.name, &template.owned);
            finish(&TEMPLATES, cells, &[], template, &template.template)
        }
        Object::Group(group) => finish(&GROUPS, named(group.id, &group.name), &[], group, &group.template),
        Object::Acl(rule) => Ok(vec![
            rule.id.into(),
            rule.text().into(),
            body(&ACLS, rule.id, &**rule)?,
        ]),
        Object::Marketplace(market) => {
            let cells = owned_cells(market.id, &market.name, &market.owned);
            let further = [market.state.number().into()];
            finish(&MARKETPLACES, cells, &further, market, &market.template)
        }
        Object::MarketplaceApp(app) => {
            let cells = owned_cells(app.id, &app.name, &app.owned);
            let further = [app.state.number().into(), app.market_id.into()];
            finish(&MARKETPLACE_APPS, cells, &further, app, &app.template)
        }
        Object::Hook(hook) => {
            let cells = owned_cells(hook.id, &hook.name, &hook.owned);
            let further = [i64::from(hook.kind == HookType::Api)];
            finish(&HOOKS, cells, &further, hook, &hook.template)
        }
        Object::HookExecution(execution) => Ok(vec![
            execution.id.into(),
            execution.hook.into(),
            i64::from(execution.number).into(),
            match execution.state {
                ExecutionState::Waiting => "waiting",
                ExecutionState::Running => "running",
                ExecutionState::Over => "over",
            }
            .into(),
            execution.time.into(),
            body(&HOOK_EXECUTIONS, execution.id, &**execution)?,
        ]),
        Object::BackupJob(job) => {
            let cells = owned_cells(job.id, &job.name, &job.owned);
            finish(&BACKUP_JOBS, cells, &[job.priority.into()], job, &job.template)
        }
        Object::SchedAction(action) => Ok(vec![
            action.id.into(),
            kind_name(action.parent_kind).into(),
            action.parent.into(),
            action.time.into(),
            action.done.unwrap_or(-1).into(),
            body(&SCHED_ACTIONS, action.id, &**action)?,
        ]),
        Object::Datastore(datastore) => {
            let cells = owned_cells(datastore.id, &datastore.name, &datastore.owned);
            let further = [datastore.state.number().into()];
            finish(&DATASTORES, cells, &further, datastore, &datastore.template)
        }
        Object::Cluster(cluster) => {
            let cells = named(cluster.id, &cluster.name);
            finish(&CLUSTERS, cells, &[], cluster, &cluster.template)
        }
        Object::Document(document) => {
            let cells = owned_cells(document.id, &document.name, &document.owned);
            let further = [document.document_type.into()];
            finish(&DOCUMENTS, cells, &further, document, &document.template)
        }
        Object::Zone(zone) => {
            let cells = named(zone.id, &zone.name);
            finish(&ZONES, cells, &[zone.state.into()], zone, &zone.template)
        }
        Object::Vrouter(vrouter) => {
            let cells = owned_cells(vrouter.id, &vrouter.name, &vrouter.owned);
            finish(&VROUTERS, cells, &[], vrouter, &vrouter.template)
        }
        Object::VmGroup(group) => {
            let cells = owned_cells(group.id, &group.name, &group.owned);
            finish(&VMGROUPS, cells, &[], group, &group.template)
        }
        Object::VnTemplate(template) => {
            let cells = owned_cells(template.id, &template.name, &template.owned);
            finish(&VNTEMPLATES, cells, &[], template, &template.template)
        }
        Object::Vdc(vdc) => finish(&VDCS, named(vdc.id, &vdc.name), &[], vdc, &vdc.template),
        Object::SecurityGroup(group) => {
            let cells = owned_cells(group.id, &group.name, &group.owned);
            finish(&SECGROUPS, cells, &[], group, &group.template)
        }
    }
}

/// An object that is no VM, from its row.
pub(crate) fn object_parse(kind: Kind, row: &ObjectRow) -> Result<Object, StoreError> {
    let table = table_of(kind);
    macro_rules! with_template {
        ($variant:ident, $type:ty) => {{
            let mut object: $type = parse(table, row.oid, &row.body)?;
            object.template = template_parse(table, row.oid, &row.template)?;
            Object::$variant(Arc::new(object))
        }};
    }
    let object = match kind {
        Kind::Vm => return Err(row_error(table, row.oid, "a VM has two templates")),
        Kind::Acl => Object::Acl(Arc::new(parse::<AclRule>(table, row.oid, &row.body)?)),
        Kind::Marketplace => with_template!(Marketplace, Marketplace),
        Kind::MarketplaceApp => with_template!(MarketplaceApp, MarketplaceApp),
        Kind::Hook => with_template!(Hook, Hook),
        Kind::HookExecution => {
            Object::HookExecution(Arc::new(parse::<HookExecution>(table, row.oid, &row.body)?))
        }
        Kind::BackupJob => with_template!(BackupJob, BackupJob),
        Kind::SchedAction => Object::SchedAction(Arc::new(parse::<SchedAction>(table, row.oid, &row.body)?)),
        Kind::Host => with_template!(Host, Host),
        Kind::Vnet => with_template!(Vnet, Vnet),
        Kind::Image => with_template!(Image, Image),
        Kind::User => with_template!(User, User),
        Kind::Template => with_template!(Template, VmTemplate),
        Kind::Group => with_template!(Group, Group),
        Kind::Datastore => with_template!(Datastore, Datastore),
        Kind::Cluster => with_template!(Cluster, Cluster),
        Kind::Document => with_template!(Document, Document),
        Kind::Zone => with_template!(Zone, Zone),
        Kind::Vrouter => with_template!(Vrouter, Vrouter),
        Kind::VmGroup => with_template!(VmGroup, VmGroup),
        Kind::VnTemplate => with_template!(VnTemplate, VnTemplate),
        Kind::Vdc => with_template!(Vdc, Vdc),
        Kind::SecurityGroup => with_template!(SecurityGroup, SecurityGroup),
    };
    id_check(table, row.oid, object.id())?;
    Ok(object)
}

/// That a body is the one of its row.
pub(crate) fn id_check(table: &'static Table, oid: i64, found: Id) -> Result<(), StoreError> {
    if oid == i64::from(found) {
        return Ok(());
    }
    Err(row_error(table, oid, format!("its body is that of {found}")))
}

/// The key of an intent's row.
pub(crate) fn intent_key_row(key: &IntentKey) -> Result<Vec<Cell>, StoreError> {
    Ok(vec![
        kind_name(key.kind).into(),
        key.id.into(),
        counter_cell(&OUTBOX, key.id, key.step)?,
        i64::from(key.part).into(),
    ])
}

/// The row of an intent.
pub(crate) fn intent_row(intent: &Intent) -> Result<Vec<Cell>, StoreError> {
    let mut cells = intent_key_row(&intent.key)?;
    cells.push(body(&OUTBOX, intent.key.id, intent)?);
    Ok(cells)
}

/// An intent from the body of its row.
pub(crate) fn intent_parse(oid: i64, text: &str) -> Result<Intent, StoreError> {
    parse(&OUTBOX, oid, text)
}

/// The row of the highest id of a kind.
pub(crate) fn last_id_row(kind: Kind, id: Id) -> Vec<Cell> {
    vec![kind_name(kind).into(), id.into()]
}

/// The highest id of a kind, from its row.
pub(crate) fn last_id_parse(kind: &str, last: i64) -> Result<(Kind, Id), StoreError> {
    Ok((kind_parse(&POOL_CONTROL, kind, kind)?, id(&POOL_CONTROL, last)?))
}

/// The row of an entry of the change log.
pub(crate) fn log_row(seq: u64, time: Seconds, entry: &LogEntry) -> Result<Vec<Cell>, StoreError> {
    Ok(vec![
        counter_cell(&CHANGE_LOG, seq, seq)?,
        time.into(),
        kind_name(entry.kind).into(),
        entry.id.into(),
        entry.operation.as_str().into(),
        entry.old_state.as_str().into(),
        entry.new_state.as_str().into(),
        entry.message.as_str().into(),
    ])
}

/// An entry of the change log, from its row.
pub(crate) fn log_parse(cells: Vec<Cell>) -> Result<LogRow, StoreError> {
    let cells: Result<[Cell; 8], Vec<Cell>> = cells.try_into();
    let Ok(
        [
            Cell::Int(seq),
            Cell::Int(time),
            Cell::Text(kind),
            Cell::Int(oid),
            Cell::Text(operation),
            Cell::Text(old_state),
            Cell::Text(new_state),
            Cell::Text(message),
        ],
    ) = cells
    else {
        return Err(row_error(&CHANGE_LOG, "?", "its columns are of other types"));
    };
    Ok(LogRow {
        seq: counter(&CHANGE_LOG, seq, seq)?,
        time,
        entry: LogEntry {
            kind: kind_parse(&CHANGE_LOG, seq, &kind)?,
            id: id(&CHANGE_LOG, oid)?,
            operation,
            old_state,
            new_state,
            message,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_in_bodies() {
        for kind in Kind::ALL {
            let name = serde_json::to_string(kind).expect("a name");
            assert_eq!(name, format!("{:?}", kind_name(*kind)));
            assert_eq!(kind_parse(&OUTBOX, 1, kind_name(*kind)), Ok(*kind));
        }
        assert!(kind_parse(&OUTBOX, 1, "virus").is_err());
    }

    #[test]
    fn log_entries_come_back() {
        let entry = LogEntry {
            kind: Kind::SecurityGroup,
            id: 7,
            operation: "state".into(),
            old_state: "A".into(),
            new_state: "B".into(),
            message: "why\n\u{1f980}".into(),
        };
        let cells = log_row(9, 1_700_000_000, &entry).expect("fits");
        let row = log_parse(cells).expect("reads");
        assert_eq!((row.seq, row.time), (9, 1_700_000_000));
        assert_eq!(row.entry, entry);
        assert!(log_row(u64::MAX, 0, &entry).is_err());
    }
}
