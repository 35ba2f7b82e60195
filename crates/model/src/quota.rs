//! Quotas: limits of users and groups. What they use of them is derived from what exists, and never stored.

use std::collections::BTreeMap;

use plerion_template::{Markup, Vector};
use serde::{Deserialize, Serialize};

use crate::Id;
use crate::numbers::id_list;
use crate::quota_section::{PlaceUse, Section};
use crate::quota_usage::{QuotaUsage, VmUse};

/// A limit, in hundredths (CPUs are counted in hundredths; so one sum serves all).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Limit(i64);

impl Limit {
    /// The default quota holds (-1 on the wire).
    pub const DEFAULT: Self = Self(-100);
    /// There is no limit (-2 on the wire).
    pub const UNLIMITED: Self = Self(-200);

    /// Reads a limit: a number from 0, -1 (default) or -2 (unlimited).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number: f64 = text.trim().parse().ok()?;
        let scaled = (number * 100.0).round();
        // Beyond 9e15 hundredths a float does not hold every whole number.
        if !scaled.is_finite() || scaled > 9.0e15 {
            return None;
        }
        let limit = Self(scaled as i64);
        (limit.0 >= 0 || limit == Self::DEFAULT || limit == Self::UNLIMITED).then_some(limit)
    }

    /// What may be used at most, in hundredths. `None` where there is no limit of its own.
    #[must_use]
    pub const fn amount(self) -> Option<i64> {
        if self.0 >= 0 { Some(self.0) } else { None }
    }

    /// As it is written: without decimals where there are none.
    #[must_use]
    pub fn text(self) -> String {
        amount_text(self.0)
    }
}

/// An amount of hundredths as it is written (recorded: `0.10`, `64`).
#[must_use]
pub fn amount_text(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let (whole, rest) = (hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100);
    if rest == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{rest:02}")
    }
}

/// A vector of quotas names no limit that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLimit;

/// Limits of one thing by metric. A metric that is not in it has the default quota.
pub type Limits = BTreeMap<String, Limit>;

/// Limits of a user or a group; of user 0 and group 0, whom nothing limits, it holds the default quotas of all others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quotas {
    /// By datastore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub datastores: BTreeMap<Id, Limits>,
    /// By network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<Id, Limits>,
    /// By image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<Id, Limits>,
    /// Of VMs, by the clusters that they hold for: ids as in `0,100`, ascending; empty for all VMs wherever they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vms: BTreeMap<String, Limits>,
}

impl Quotas {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limits of a section.
    #[must_use]
    pub const fn section(&self, section: Section) -> &BTreeMap<Id, Limits> {
        match section {
            Section::Datastore => &self.datastores,
            Section::Network => &self.networks,
            Section::Image => &self.images,
        }
    }

    /// Takes in a section's vector as `one.user.quota` gets it. What it does not name is reset (recorded).
    ///
    /// # Errors
    /// When it has no good id, or a limit is none.
    pub fn set_place(&mut self, section: Section, vector: &Vector) -> Result<(), BadLimit> {
        let id = vector
            .get("ID")
            .and_then(|text| text.trim().parse().ok())
            .filter(|id| *id >= 0);
        let names: Vec<&str> = section
            .metrics(PlaceUse::default())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let limits = limits_read(vector, &names)?;
        let limited = match section {
            Section::Datastore => &mut self.datastores,
            Section::Network => &mut self.networks,
            Section::Image => &mut self.images,
        };
        put(limited, id.ok_or(BadLimit)?, limits);
        Ok(())
    }

    /// Takes in a `VM` vector; `generic` are the metrics that the configuration adds.
    ///
    /// # Errors
    /// When a limit or the list of clusters is none.
    pub fn set_vm(&mut self, vector: &Vector, generic: &[String]) -> Result<(), BadLimit> {
        let names = vm_metric_names(generic);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let limits = limits_read(vector, &names)?;
        let clusters = clusters_read(vector.get("CLUSTER_IDS").unwrap_or_default())?;
        put(&mut self.vms, clusters, limits);
        Ok(())
    }

    /// The four sections, with what is used. `unset` is what a metric without a limit shows: [`Limit::DEFAULT`] for
    /// users and groups, [`Limit::UNLIMITED`] for the default quotas (recorded).
    pub fn render(&self, out: &mut impl Markup, used: &QuotaUsage, generic: &[String], unset: Limit) {
        self.render_places(out, Section::Datastore, used, unset);
        self.render_places(out, Section::Network, used, unset);
        out.open("VM_QUOTA");
        let mut keys: Vec<&str> = self.vms.keys().map(String::as_str).collect();
        if !keys.contains(&"") && used.vms.contains_key(&-1) {
            keys.insert(0, "");
        }
        for clusters in keys {
            let limits = self.vms.get(clusters);
            let vm_use = used.vms_in(clusters);
            out.open("VM");
            if !clusters.is_empty() {
                out.cdata_element("CLUSTER_IDS", clusters);
            }
            let mut metrics = vm_use.metrics(generic);
            metrics.sort_by(|one, other| one.0.cmp(&other.0));
            render_metrics(
                out,
                limits,
                metrics.iter().map(|(name, used)| (name.as_str(), *used)),
                unset,
            );
            out.close("VM");
        }
        out.close("VM_QUOTA");
        self.render_places(out, Section::Image, used, unset);
    }

    fn render_places(&self, out: &mut impl Markup, section: Section, used: &QuotaUsage, unset: Limit) {
        let element = match section {
            Section::Datastore => "DATASTORE_QUOTA",
            Section::Network => "NETWORK_QUOTA",
            Section::Image => "IMAGE_QUOTA",
        };
        out.open(element);
        let limited = self.section(section);
        let mut ids: Vec<Id> = limited.keys().copied().collect();
        ids.extend(used.places(section).map(|(id, _)| id));
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            out.open(section.name());
            out.cdata_element("ID", &id.to_string());
            let metrics = section.metrics(used.place(section, id));
            render_metrics(out, limited.get(&id), metrics.into_iter(), unset);
            out.close(section.name());
        }
        out.close(element);
    }
}

fn render_metrics<'a>(
    out: &mut impl Markup,
    limits: Option<&Limits>,
    metrics: impl Iterator<Item = (&'a str, i64)>,
    unset: Limit,
) {
    for (name, used) in metrics {
        let limit = limits
            .and_then(|limits| limits.get(name))
            .copied()
            .unwrap_or(unset);
        out.cdata_element(name, &limit.text());
        out.cdata_element(&format!("{name}_USED"), &amount_text(used));
    }
}

/// Names of all metrics of VMs.
#[must_use]
pub fn vm_metric_names(generic: &[String]) -> Vec<String> {
    VmUse::default()
        .metrics(generic)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

fn put<K: Ord>(limited: &mut BTreeMap<K, Limits>, key: K, limits: Limits) {
    if limits.is_empty() {
        limited.remove(&key);
    } else {
        limited.insert(key, limits);
    }
}

/// The limits that differ from the default.
fn limits_read(vector: &Vector, names: &[&str]) -> Result<Limits, BadLimit> {
    let mut limits = Limits::new();
    for (name, text) in vector.iter() {
        if names.contains(&name) {
            let limit = Limit::parse(text).ok_or(BadLimit)?;
            if limit != Limit::DEFAULT {
                limits.insert(name.to_owned(), limit);
            }
        }
    }
    Ok(limits)
}

fn clusters_read(text: &str) -> Result<String, BadLimit> {
    let mut ids: Vec<Id> = id_list(text).collect();
    if ids.len() != text.split(',').filter(|part| !part.trim().is_empty()).count() {
        return Err(BadLimit);
    }
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(ids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written() {
        for (text, shown) in [
            ("4", "4"),
            ("0.1", "0.10"),
            ("-1", "-1"),
            ("-2", "-2"),
            ("1.50", "1.50"),
            (" 7 ", "7"),
        ] {
            assert_eq!(
                Limit::parse(text).map(Limit::text).as_deref(),
                Some(shown),
                "{text}"
            );
        }
        for text in ["-5", "-3", "-0.5", "x", "", "1e300", "nan", "inf", "-1.5"] {
            assert_eq!(Limit::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_vector_does_not_name_is_reset() {
        let mut quotas = Quotas::default();
        let vector: Vector = [("VMS", "2"), ("CPU", "1")].into_iter().collect();
        quotas.set_vm(&vector, &[]).expect("good");
        let vector: Vector = [("RUNNING_VMS", "-1")].into_iter().collect();
        quotas.set_vm(&vector, &[]).expect("good");
        assert!(quotas.is_empty());
    }

    #[test]
    fn clusters_are_put_in_order() {
        assert_eq!(clusters_read("100, 0,100"), Ok("0,100".to_owned()));
        assert_eq!(clusters_read(""), Ok(String::new()));
        assert_eq!(clusters_read("0,x"), Err(BadLimit));
    }
}
