//! The same writes on each database: SQLite, and the servers that are named.

use super::{load, write};
use crate::Result;
use crate::cloud::{self, FILLERS};
use crate::options::Options;
use crate::report::{Aim, Report, Row};
use crate::server::Server;

/// VMs that are changed.
const VMS: usize = 1000;

/// The rows of this file.
pub(crate) fn all(options: &Options, report: &mut Report) -> Result<()> {
    engine(options, "SQLite", "", report)?;
    for (name, settings) in &options.databases {
        engine(options, name, settings, report)?;
    }
    Ok(())
}

fn engine(options: &Options, name: &str, settings: &str, report: &mut Report) -> Result<()> {
    let (server, _) = Server::with_settings(options, settings)?;
    let template = write::template_make(&server, "plain", "")?;
    for (callers, text) in [(1, "1 caller"), (FILLERS, "16 callers")] {
        let (times, cost) = write::instantiate(&server, template, load(options, callers, usize::MAX))?;
        report.add(Row {
            what: format!("{name}: one.template.instantiate on hold, {text}"),
            unit: "/s",
            aim: Aim::None,
            reference: "",
            here: times.rate(),
            note: write::note(&times, &cost),
        });
    }
    let vms = options.size(VMS);
    cloud::vms_make(&server, vms, true)?;
    let (times, cost) = write::update_calls(options, &server, vms)?;
    report.add(Row {
        what: format!("{name}: one.vm.update (append), 16 callers"),
        unit: "/s",
        aim: Aim::None,
        reference: "",
        here: times.rate(),
        note: write::note(&times, &cost),
    });
    Ok(())
}
