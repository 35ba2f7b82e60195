//! [`HostRule`]: a requirements expression and which hosts meet it.

use std::cell::Cell;
use std::collections::HashMap;

use plerion_template::Requirements;

use crate::host_document::{HostDocument, HostLookup};
use crate::hosts::HostRow;

/// What is known of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    Met,
    Unmet,
    /// It was asked for something that changes with what is planned: as of the host's stamp.
    Volatile {
        met: bool,
        stamp: u32,
    },
}

/// A requirements expression and which hosts meet it.
#[derive(Debug)]
pub(crate) struct HostRule {
    requirements: Requirements,
    verdicts: Vec<Cell<Verdict>>,
    volatile: Cell<bool>,
}

impl HostRule {
    /// Whether a host meets it.
    pub(crate) fn is_met<'w>(&self, lookup: &HostLookup<'w>, hosts: &[HostRow<'w>], host: usize) -> bool {
        let (Some(cell), Some(row)) = (self.verdicts.get(host), hosts.get(host)) else {
            return false;
        };
        match cell.get() {
            Verdict::Met => return true,
            Verdict::Unmet => return false,
            Verdict::Volatile { met, stamp } if stamp == row.stamp => return met,
            Verdict::Unknown | Verdict::Volatile { .. } => {}
        }
        let Some(document) = HostDocument::new(lookup, hosts, host) else {
            return false;
        };
        let met = self.requirements.matches(&document);
        cell.set(match (document.is_volatile(), met) {
            (true, met) => {
                self.volatile.set(true);
                Verdict::Volatile {
                    met,
                    stamp: row.stamp,
                }
            }
            (false, true) => Verdict::Met,
            (false, false) => Verdict::Unmet,
        });
        met
    }

    /// Whether a host that does not meet it may do so when more has been planned.
    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile.get()
    }

    /// Why a host does not meet it.
    pub(crate) fn explain<'w>(&self, lookup: &HostLookup<'w>, hosts: &[HostRow<'w>], host: usize) -> String {
        HostDocument::new(lookup, hosts, host)
            .and_then(|document| self.requirements.explain(&document))
            .unwrap_or_default()
    }
}

/// The rules in use; equal texts share one.
#[derive(Debug, Default)]
pub(crate) struct HostRules<'w> {
    rules: Vec<HostRule>,
    by_text: HashMap<&'w str, usize>,
}

impl<'w> HostRules<'w> {
    /// The number of the rule of a text.
    ///
    /// # Errors
    /// The text is no expression.
    pub(crate) fn rule_of(&mut self, text: &'w str, hosts: usize) -> Result<usize, String> {
        if let Some(rule) = self.by_text.get(text) {
            return Ok(*rule);
        }
        let requirements = Requirements::parse(text).map_err(|error| error.to_string())?;
        let number = self.rules.len();
        self.rules.push(HostRule {
            requirements,
            verdicts: vec![Cell::new(Verdict::Unknown); hosts],
            volatile: Cell::new(false),
        });
        self.by_text.insert(text, number);
        Ok(number)
    }

    /// A rule.
    pub(crate) fn get(&self, number: usize) -> Option<&HostRule> {
        self.rules.get(number)
    }
}
