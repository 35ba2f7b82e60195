//! `DB` of oned.conf: which database, and where.

use std::path::PathBuf;
use std::sync::Arc;

use plerion_store::{ServerKind, ServerSettings, ServerStore, SqliteStore, Store, StoreReader};
use plerion_template::Vector;
use plerion_world::Config;

use crate::places::Places;

/// Connections for reading, unless `CONNECTIONS` says otherwise.
const READERS: usize = 4;
/// Most of them: servers serve some hundred clients in all.
const READERS_MAX: usize = 100;
/// As the reference has it, unless `USER` and `PASSWD` say otherwise.
const USER: &str = "oneadmin";
/// Unless `DB_NAME` says otherwise. Not the reference's, whose schema is another one.
const DATABASE: &str = "plerion";

/// The writer of a database, and a reader of it.
pub(crate) type Opened = (Box<dyn Store>, Arc<dyn StoreReader>);

/// Opens the database that oned.conf names.
pub(crate) fn open(places: &Places, config: &Config) -> Result<Opened, String> {
    let conf = config.attributes.vectors("DB").last();
    let Some(settings) = settings(conf)? else {
        let database = places.database();
        let (store, reader) =
            SqliteStore::open(&database).map_err(|error| format!("{}: {error}", database.display()))?;
        return Ok((Box::new(store), Arc::new(reader)));
    };
    let lock = places.var.join("front-end.lock");
    let (store, reader) = ServerStore::open(&settings, &lock).map_err(|error| error.to_string())?;
    Ok((Box::new(store), Arc::new(reader)))
}

/// Where a server is; none for SQLite.
fn settings(conf: Option<&Vector>) -> Result<Option<ServerSettings>, String> {
    let text = |key: &str| {
        conf.and_then(|conf| conf.get(key))
            .filter(|text| !text.is_empty())
    };
    let kind = match text("BACKEND").unwrap_or("sqlite").to_ascii_lowercase().as_str() {
        "sqlite" => return Ok(None),
        "mysql" | "mariadb" => ServerKind::Mysql,
        "postgresql" => ServerKind::Postgres,
        other => {
            return Err(format!(
                "oned.conf: DB: there is no BACKEND \"{other}\": write sqlite, mysql or postgresql"
            ));
        }
    };
    if text("COMPARE_BINARY").is_some_and(|text| text.eq_ignore_ascii_case("no")) {
        tracing::info!(
            "oned.conf: DB: COMPARE_BINARY has no effect: names are always told apart by their bytes"
        );
    }
    let number = |key: &str| {
        text(key)
            .map(|text| {
                text.parse::<u16>()
                    .map_err(|_| format!("oned.conf: DB: {key} \"{text}\" is no number from 0 to 65535"))
            })
            .transpose()
    };
    Ok(Some(ServerSettings {
        kind,
        host: text("SERVER").unwrap_or("localhost").to_owned(),
        port: number("PORT")?.unwrap_or(0),
        socket: text("SOCKET").map(PathBuf::from),
        user: text("USER").unwrap_or(USER).to_owned(),
        password: text("PASSWD").unwrap_or_default().to_owned(),
        database: text("DB_NAME").unwrap_or(DATABASE).to_owned(),
        readers: number("CONNECTIONS")?.map_or(READERS, |count| usize::from(count).clamp(1, READERS_MAX)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<ServerSettings>, String> {
        settings(Some(&pairs.iter().copied().collect()))
    }

    #[test]
    fn nothing_is_sqlite_and_servers_are_named() {
        assert!(settings(None).expect("fine").is_none());
        assert!(
            read(&[("BACKEND", "sqlite"), ("TIMEOUT", "2500")])
                .expect("fine")
                .is_none()
        );
        let found = read(&[
            ("BACKEND", "mysql"),
            ("SERVER", "db.example"),
            ("PORT", "3307"),
            ("PASSWD", "secret"),
            ("CONNECTIONS", "0"),
        ]);
        let found = found.expect("fine").expect("a server");
        assert_eq!(found.kind, ServerKind::Mysql);
        assert_eq!(
            (found.host.as_str(), found.port, found.readers),
            ("db.example", 3307, 1)
        );
        assert_eq!((found.user.as_str(), found.database.as_str()), (USER, DATABASE));
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pairs, words) in [
            ([("BACKEND", "oracle"), ("PORT", "0")], "oracle"),
            ([("BACKEND", "postgresql"), ("PORT", "many")], "many"),
        ] {
            let refusal = read(&pairs).expect_err("refused");
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
