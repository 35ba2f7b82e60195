//! From the schema that a database has to the one that this program knows.

use crate::StoreError;
use crate::dialect::{self, Dialect};
use crate::schema::{
    BACKUP_JOBS, DOCUMENTS, HISTORY, HOOK_EXECUTIONS, HOOKS, MARKETPLACE_APPS, MARKETPLACES, SCHED_ACTIONS,
    TABLES, Table, VDCS, VM_SHOWBACK, VMGROUPS, VNTEMPLATES, VROUTERS,
};

/// The version of [`TABLES`].
pub(crate) const VERSION: i64 = 4;

/// The step to a version from the one before.
pub(crate) struct Migration {
    /// The version that it leads to.
    pub(crate) version: i64,
    /// Its statements.
    pub(crate) statements: fn(&dyn Dialect) -> Vec<String>,
}

/// All steps, ascending. A new database is not made by them but from [`TABLES`]; both ways must meet.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 2,
        statements: |dialect| tables_create(dialect, SINCE_2),
    },
    Migration {
        version: 3,
        statements: |dialect| tables_create(dialect, SINCE_3),
    },
    Migration {
        version: 4,
        statements: |dialect| tables_create(dialect, SINCE_4),
    },
];

/// Tables that version 2 added.
const SINCE_2: &[&Table] = &[&DOCUMENTS];
/// Tables that version 3 added.
const SINCE_3: &[&Table] = &[
    &MARKETPLACES,
    &MARKETPLACE_APPS,
    &SCHED_ACTIONS,
    &VMGROUPS,
    &VNTEMPLATES,
    &VROUTERS,
];
/// Tables that version 4 added.
const SINCE_4: &[&Table] = &[
    &BACKUP_JOBS,
    &HISTORY,
    &HOOK_EXECUTIONS,
    &HOOKS,
    &VDCS,
    &VM_SHOWBACK,
];

fn tables_create(dialect: &dyn Dialect, tables: &[&Table]) -> Vec<String> {
    tables
        .iter()
        .flat_map(|table| dialect::table_create(dialect, table))
        .collect()
}

/// What a database needs: statements to run in one transaction, and then the version to note. `None` when it is up to
/// date. `found` is the version in the database, none for an empty one.
pub(crate) fn plan(
    dialect: &dyn Dialect,
    found: Option<i64>,
    known: i64,
    migrations: &[Migration],
) -> Result<Option<Vec<String>>, StoreError> {
    let Some(found) = found else {
        return Ok(Some(tables_create(dialect, TABLES)));
    };
    if found > known {
        return Err(StoreError::Version { found, known });
    }
    if found == known {
        return Ok(None);
    }
    let steps = migrations.iter().filter(|step| step.version > found);
    Ok(Some(steps.flat_map(|step| (step.statements)(dialect)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Sqlite;

    const STEPS: &[Migration] = &[
        Migration {
            version: 2,
            statements: |_| vec!["two".into()],
        },
        Migration {
            version: 3,
            statements: |_| vec!["three".into()],
        },
    ];

    #[test]
    fn a_database_gets_the_steps_it_lacks() {
        let steps = |found| plan(&Sqlite, found, 3, STEPS).expect("known version");
        assert_eq!(steps(Some(1)), Some(vec!["two".to_owned(), "three".to_owned()]));
        assert_eq!(steps(Some(2)), Some(vec!["three".to_owned()]));
        assert_eq!(steps(Some(3)), None);
        assert!(steps(None).is_some_and(|all| all.len() >= TABLES.len()));
    }

    #[test]
    fn a_later_database_is_refused() {
        let refusal = plan(&Sqlite, Some(4), 3, STEPS).expect_err("refused");
        assert!(
            matches!(refusal, StoreError::Version { found: 4, known: 3 }),
            "{refusal}"
        );
    }

    #[test]
    fn both_ways_meet() {
        let first: Vec<&Table> = TABLES
            .iter()
            .copied()
            .filter(|table| {
                let mut later = SINCE_2.iter().chain(SINCE_3).chain(SINCE_4);
                !later.any(|added| added.name == table.name)
            })
            .collect();
        let mut stepped = tables_create(&Sqlite, &first);
        stepped.extend(
            plan(&Sqlite, Some(1), VERSION, MIGRATIONS)
                .expect("known")
                .expect("steps"),
        );
        let mut fresh = tables_create(&Sqlite, TABLES);
        stepped.sort();
        fresh.sort();
        assert_eq!(stepped, fresh);
    }

    #[test]
    fn the_steps_lead_to_the_version() {
        let last = MIGRATIONS.last().map_or(1, |step| step.version);
        assert_eq!(last, VERSION);
        assert!(MIGRATIONS.is_sorted_by_key(|step| step.version));
    }
}
