//! The schema, stated once for all engines: tables, columns, keys, indexes.
//!
//! Columns beside `body` and the templates repeat what the body says, for people and tools that read the database;
//! the body is what is loaded.

use plerion_model::Kind;

use ColumnType::{Int, Name, Text};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// A whole number of 64 bits.
    Int,
    /// A short text that keys and indexes may hold.
    Name,
    /// A text of any length.
    Text,
}

/// A column; never NULL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: ColumnType,
}

/// An index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// How many of the first columns are the primary key.
    pub(crate) key: usize,
    pub(crate) indexes: &'static [Index],
}

impl Table {
    /// The columns of the primary key.
    pub(crate) fn key_columns(&self) -> &'static [Column] {
        self.columns
            .split_at_checked(self.key)
            .map_or(&[], |(key, _)| key)
    }

    /// Where a column stands.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind }
}

macro_rules! tables {
    ($($constant:ident $name:literal key $key:literal ($($column:ident $kind:ident),*) $(index $index:literal ($($on:literal),*))*;)*) => {
        $(
            pub(crate) static $constant: Table = Table {
                name: $name,
                columns: &[$(column(stringify!($column), $kind)),*],
                key: $key,
                indexes: &[$(Index { name: $index, columns: &[$($on),*] }),*],
            };
        )*

        /// Every table.
        pub(crate) static TABLES: &[&Table] = &[$(&$constant),*];
    };
}

tables! {
    DB_VERSION "db_version" key 1 (version Int);
    SETTINGS "settings" key 1 (name Name, value Text);
    // One row, id 0. `seq` is the number of the last row of the change log, `commits` counts transactions, so that
    // each of them changes the row and an interrupted one can be asked for. `expires` is 0 where a lock beside the
    // database takes the place of a lease.
    LEADER "leader" key 1 (id Int, epoch Int, holder Text, seq Int, commits Int, since Int, expires Int);
    CHANGE_LOG "change_log" key 1 (
        seq Int, time Int, kind Name, oid Int, operation Name, old_state Name, new_state Name, message Text
    );
    OUTBOX "outbox" key 4 (kind Name, oid Int, step Int, part Int, body Text);
    POOL_CONTROL "pool_control" key 1 (kind Name, last_oid Int);
    VMS "vms" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, state Int, lcm_state Int, stime Int, etime Int, body Text
    ) index "vms_state" ("state", "oid");
    // Apart from the VM, so that a change of state does not write kilobytes again.
    VM_ATTRIBUTES "vm_attributes" key 1 (oid Int, template Text, user_template Text);
    // Stays on hosts that ended, with the VM as it was then. The stays themselves are in the body of their VM. The
    // templates are empty where the VM was over, too: its own row has them.
    HISTORY "history" key 2 (
        oid Int, seq Int, stime Int, etime Int, body Text, template Text, user_template Text, sample Text
    );
    // What VMs cost in a month. `slot` is month and VM as one number, so that pages of rows are ranges of it.
    VM_SHOWBACK "vm_showback" key 1 (slot Int, oid Int, year Int, month Int, uid Int, gid Int, body Text);
    HOSTS "hosts" key 1 (oid Int, name Name, state Int, cluster Int, body Text, template Text);
    VNETS "vnets" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, state Int, body Text, template Text
    );
    IMAGES "images" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, state Int, datastore Int, body Text, template Text
    );
    USERS "users" key 1 (oid Int, name Name, gid Int, enabled Int, body Text, template Text);
    TEMPLATES "templates" key 1 (oid Int, name Name, uid Int, gid Int, perms Int, body Text, template Text);
    GROUPS "groups" key 1 (oid Int, name Name, body Text, template Text);
    ACLS "acls" key 1 (oid Int, rule Text, body Text);
    DATASTORES "datastores" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, state Int, body Text, template Text
    );
    CLUSTERS "clusters" key 1 (oid Int, name Name, body Text, template Text);
    DOCUMENTS "documents" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, type Int, body Text, template Text
    );
    MARKETPLACES "marketplaces" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, state Int, body Text, template Text
    );
    MARKETPLACE_APPS "marketplace_apps" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, state Int, marketplace Int, body Text, template Text
    );
    HOOKS "hooks" key 1 (oid Int, name Name, uid Int, gid Int, perms Int, type Int, body Text, template Text);
    HOOK_EXECUTIONS "hook_executions" key 1 (oid Int, hook Int, number Int, state Name, time Int, body Text);
    BACKUP_JOBS "backup_jobs" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, priority Int, body Text, template Text
    );
    SCHED_ACTIONS "sched_actions" key 1 (oid Int, parent_kind Name, parent Int, time Int, done Int, body Text);
    ZONES "zones" key 1 (oid Int, name Name, state Int, body Text, template Text);
    VROUTERS "vrouters" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, body Text, template Text
    );
    VMGROUPS "vmgroups" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, body Text, template Text
    );
    VNTEMPLATES "vntemplates" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, body Text, template Text
    );
    VDCS "vdcs" key 1 (oid Int, name Name, body Text, template Text);
    SECGROUPS "secgroups" key 1 (
        oid Int, name Name, uid Int, gid Int, perms Int, body Text, template Text
    );
}

/// The table of a kind.
pub(crate) const fn table_of(kind: Kind) -> &'static Table {
    match kind {
        Kind::Vm => &VMS,
        Kind::Host => &HOSTS,
        Kind::Vnet => &VNETS,
        Kind::Image => &IMAGES,
        Kind::User => &USERS,
        Kind::Template => &TEMPLATES,
        Kind::Group => &GROUPS,
        Kind::Acl => &ACLS,
        Kind::Datastore => &DATASTORES,
        Kind::Cluster => &CLUSTERS,
        Kind::Document => &DOCUMENTS,
        Kind::Zone => &ZONES,
        Kind::Marketplace => &MARKETPLACES,
        Kind::MarketplaceApp => &MARKETPLACE_APPS,
        Kind::Hook => &HOOKS,
        Kind::HookExecution => &HOOK_EXECUTIONS,
        Kind::BackupJob => &BACKUP_JOBS,
        Kind::SchedAction => &SCHED_ACTIONS,
        Kind::Vrouter => &VROUTERS,
        Kind::VmGroup => &VMGROUPS,
        Kind::VnTemplate => &VNTEMPLATES,
        Kind::Vdc => &VDCS,
        Kind::SecurityGroup => &SECGROUPS,
    }
}

/// Kinds in the order in which they are loaded: what VMs refer to before VMs.
pub(crate) const LOAD_ORDER: &[Kind] = &[
    Kind::Group,
    Kind::User,
    Kind::Acl,
    Kind::Zone,
    Kind::Cluster,
    Kind::Host,
    Kind::Datastore,
    Kind::SecurityGroup,
    Kind::Vnet,
    Kind::Image,
    Kind::Template,
    Kind::Document,
    Kind::Marketplace,
    Kind::MarketplaceApp,
    Kind::Hook,
    Kind::HookExecution,
    Kind::BackupJob,
    Kind::SchedAction,
    Kind::Vrouter,
    Kind::VmGroup,
    Kind::VnTemplate,
    Kind::Vdc,
    Kind::Vm,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_loaded_once() {
        let order: BTreeSet<Kind> = LOAD_ORDER.iter().copied().collect();
        assert_eq!(order.len(), LOAD_ORDER.len());
        assert_eq!(order, Kind::ALL.iter().copied().collect());
        assert_eq!(LOAD_ORDER.last(), Some(&Kind::Vm));
    }

    #[test]
    fn names_are_told_apart_and_indexes_are_on_columns() {
        let names: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(names.len(), TABLES.len());
        for table in TABLES {
            let columns: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(columns.len(), table.columns.len(), "{}", table.name);
            assert_eq!(table.key_columns().len(), table.key, "{}", table.name);
            for column in table.key_columns() {
                assert_ne!(
                    column.kind, Text,
                    "{}.{}: no engine keys by it",
                    table.name, column.name
                );
            }
            for column in table.indexes.iter().flat_map(|index| index.columns) {
                assert!(columns.contains(column), "{}.{column}", table.name);
            }
        }
    }
}
