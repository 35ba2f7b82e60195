//! [`HostDocument`]: a host as expressions see it, with what is planned for it.
//!
//! A name is looked for beneath the base paths of a host, in document order. Plain names are answered from the typed
//! fields; names with a `/` from the XML form, which is made for those only.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;

use plerion_template::{Attributes, Markup};
use plerion_world::{Measurements, World};

use crate::columns::{Column, Columns, singles};
use crate::hosts::HostRow;
use crate::path::{Path, Tree};
use crate::view::PlanView;

/// Beneath these a name is looked for.
const BASES: [&str; 7] = [
    "HOST/TEMPLATE",
    "HOST/HOST_SHARE",
    "HOST/HOST_SHARE/DATASTORES",
    "HOST/MONITORING/CAPACITY",
    "HOST/MONITORING/SYSTEM",
    "HOST",
    "HOST/CLUSTER_TEMPLATE",
];

/// Most values of paths that are kept, over all hosts.
const PATH_VALUES_MAX: usize = 200_000;

/// Values of paths, by host and path, with the host's stamp.
type PathValues = HashMap<(usize, Box<str>), (u32, Vec<String>)>;

/// What documents of all hosts share.
pub(crate) struct HostLookup<'w> {
    world: &'w World,
    measurements: &'w Measurements,
    columns: Columns<'w>,
    path_values: RefCell<PathValues>,
}

impl<'w> HostLookup<'w> {
    pub(crate) fn new(world: &'w World, measurements: &'w Measurements) -> Self {
        Self {
            world,
            measurements,
            columns: Columns::default(),
            path_values: RefCell::default(),
        }
    }
}

/// A host as expressions see it.
pub(crate) struct HostDocument<'a, 'w> {
    lookup: &'a HostLookup<'w>,
    hosts: &'a [HostRow<'w>],
    index: usize,
    row: &'a HostRow<'w>,
    volatile: Cell<bool>,
}

impl<'a, 'w> HostDocument<'a, 'w> {
    /// The document of a host; `None` when there is none of that number.
    pub(crate) fn new(lookup: &'a HostLookup<'w>, hosts: &'a [HostRow<'w>], index: usize) -> Option<Self> {
        Some(Self {
            lookup,
            hosts,
            index,
            row: hosts.get(index)?,
            volatile: Cell::new(false),
        })
    }

    /// Whether something was asked for that changes with what is planned.
    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile.get()
    }

    /// A field that changes with what is planned: of HOST_SHARE.
    fn share_planned(&self, name: &str) -> Option<i64> {
        let usage = &self.row.usage;
        let number = match name {
            "MEM_USAGE" => usage.memory_kib,
            "CPU_USAGE" => usage.cpu,
            "RUNNING_VMS" => usage.vms,
            _ => return None,
        };
        self.volatile.set(true);
        Some(number)
    }

    /// A field that changes with what is planned: of MONITORING/CAPACITY.
    fn measured_planned(&self, name: &str) -> Option<i64> {
        let sample = self.row.sample?;
        let number = match name {
            "FREE_CPU" => self.row.cpu_planned(sample).1,
            "FREE_MEMORY" => self.row.memory_planned(sample).1,
            "USED_CPU" => self.row.cpu_planned(sample).0,
            "USED_MEMORY" => self.row.memory_planned(sample).0,
            _ => return None,
        };
        self.volatile.set(true);
        Some(number)
    }

    /// A field of MONITORING/SYSTEM.
    fn measured(&self, name: &str) -> Option<u64> {
        match name {
            "NETRX" => self.row.sample.map(|sample| sample.net_rx_bytes),
            "NETTX" => self.row.sample.map(|sample| sample.net_tx_bytes),
            _ => None,
        }
    }

    fn plain(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        if let Some(number) = self.share_planned(name) {
            visit(&number.to_string())?;
        }
        let columns = &self.lookup.columns;
        let column = columns.column(name, || Column::new(self.hosts, name, |row| field(row, name)));
        match &column {
            Some(column) => column.of_host(self.index).try_for_each(&mut *visit)?,
            None => {
                field(self.row, name).iter().try_for_each(|text| visit(text))?;
                singles(&self.row.host.template, name).try_for_each(&mut *visit)?;
            }
        }
        if let Some(number) = self.measured_planned(name) {
            visit(&number.to_string())?;
        }
        if let Some(number) = self.measured(name) {
            visit(&number.to_string())?;
        }
        match (&column, self.row.cluster) {
            (Some(column), _) => column.of_cluster(self.row.cluster_row).try_for_each(visit),
            (None, Some(cluster)) => singles(&cluster.template, name).try_for_each(visit),
            (None, None) => ControlFlow::Continue(()),
        }
    }

    /// Values of a name with a `/`.
    fn path(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        self.volatile.set(true);
        let mut kept = self.lookup.path_values.borrow_mut();
        let key = (self.index, Box::from(name));
        if let Some((stamp, values)) = kept.get(&key)
            && *stamp == self.row.stamp
        {
            let _ = values.iter().try_for_each(|value| visit(value));
            return;
        }
        let tree = self.tree();
        let values: Vec<String> = Path::find(&Path::of_name(name, &BASES), &tree)
            .into_iter()
            .map(|node| tree.text_of(node).to_owned())
            .collect();
        let _ = values.iter().try_for_each(|value| visit(value));
        if kept.len() >= PATH_VALUES_MAX {
            kept.clear();
        }
        kept.insert(key, (self.row.stamp, values));
    }

    /// The host's XML form, as the scheduler of old was given it: with the attributes of its cluster at the end.
    fn tree(&self) -> Tree {
        let view = PlanView::new(self.lookup.world, self.lookup.measurements, Some(self.row));
        let mut tree = Tree::default();
        self.row.host.render(&mut tree, &view);
        tree.reopen();
        tree.open("CLUSTER_TEMPLATE");
        if let Some(cluster) = self.row.cluster {
            tree.packed(&cluster.template);
        }
        tree.close("CLUSTER_TEMPLATE");
        tree
    }
}

impl Attributes for HostDocument<'_, '_> {
    fn for_each_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        if name.contains('/') {
            self.path(name, visit);
        } else {
            // Stopping early is the visitor's wish and nothing to report.
            let _ = self.plain(name, visit);
        }
    }
}

/// A field of the host itself, of HOST_SHARE or its DATASTORES that does not change with what is planned.
fn field<'w>(row: &HostRow<'w>, name: &str) -> Option<Cow<'w, str>> {
    let host = row.host;
    let number = |number: i64| Cow::from(number.to_string());
    let (_, disk_total, disk_used, disk_free) = row
        .sample
        .and_then(|sample| sample.datastores.first().copied())
        .unwrap_or_default();
    Some(match name {
        "ID" => number(i64::from(host.id)),
        "NAME" => Cow::from(&host.name),
        "STATE" => number(i64::from(host.state.number())),
        "PREV_STATE" => number(i64::from(host.prev_state.number())),
        "IM_MAD" => Cow::from(&host.im_mad),
        "VM_MAD" => Cow::from(&host.vm_mad),
        "CLUSTER_ID" => number(i64::from(host.cluster_id)),
        "CLUSTER" => Cow::from(row.cluster.map_or("", |cluster| &cluster.name)),
        "TOTAL_MEM" => number(host.total_memory_kib),
        "TOTAL_CPU" => number(host.total_cpu),
        "MAX_MEM" => number(row.usage.max_memory_kib),
        "MAX_CPU" => number(row.usage.max_cpu),
        "VMS_THREAD" => Cow::from("1"),
        "DISK_USAGE" => Cow::from("0"),
        "FREE_DISK" => Cow::from(disk_free.to_string()),
        "MAX_DISK" => Cow::from(disk_total.to_string()),
        "USED_DISK" => Cow::from(disk_used.to_string()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::host_rows;
    use plerion_model::Kind;
    use plerion_model::view::HostSampleView;
    use plerion_template::Template;
    use plerion_world::{Caller, Command, Config, Context, HostReport, Order, apply, bootstrap};
    use std::sync::Arc;

    fn world() -> World {
        let context = Context::default();
        let empty = World::new(Config::default());
        let (mut world, _) = bootstrap(&empty, &context, ["oneadmin", "serveradmin"], ["x", "y"]);
        let template = |text: &str| Template::parse(text).expect("template");
        let facts = [("HYPERVISOR".to_owned(), "kvm".to_owned())].into();
        for command in [
            Command::HostAllocate {
                name: "node".into(),
                im_mad: "kvm".into(),
                vm_mad: "kvm".into(),
                cluster: -1,
            },
            Command::HostReported {
                id: 0,
                report: HostReport::Up {
                    total_cpu: 800,
                    total_memory_kib: 1 << 23,
                    boot_id: "b".into(),
                    facts,
                },
            },
            Command::Update {
                kind: Kind::Host,
                id: 0,
                template: template(
                    "TAG=\"one\"\nTAG=\"two\"\nID=\"77\"\nFREE_CPU=\"x\"\nRACK=[ROW=\"3\"]\nNETRX=\"own\"",
                ),
                append: true,
            },
            Command::Update {
                kind: Kind::Cluster,
                id: 0,
                template: template("TAG=\"cluster\"\nZONE=\"west\""),
                append: true,
            },
        ] {
            let order = Order {
                caller: Caller::system(),
                command,
            };
            world = apply(&world, &order, &context).expect("applied").world;
        }
        world
    }

    fn measurements() -> Measurements {
        let sample = HostSampleView {
            time: 5,
            cpu_used: 100,
            cpu_free: 700,
            memory_used_kib: 1000,
            memory_free_kib: 2000,
            net_rx_bytes: 11,
            net_tx_bytes: 12,
            datastores: vec![(0, 100, 40, 60), (100, 7, 3, 4)],
            ..HostSampleView::default()
        };
        Measurements {
            hosts: std::iter::once((0, Arc::new(sample))).collect(),
            ..Measurements::default()
        }
    }

    fn values(document: &HostDocument<'_, '_>, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        document.for_each_value(name, &mut |value| {
            values.push(value.to_owned());
            ControlFlow::Continue(())
        });
        values
    }

    /// The typed answers must be those of the XML form, for every name in it and before and after a placement.
    #[test]
    fn plain_names_are_answered_as_the_document_has_them() {
        let (world, measurements) = (world(), measurements());
        let (mut hosts, _) = host_rows(&world, &measurements);
        for vm in [None, Some(9)] {
            if let Some(vm) = vm {
                hosts[0].place(vm, 150, 300);
            }
            let lookup = HostLookup::new(&world, &measurements);
            let document = HostDocument::new(&lookup, &hosts, 0).expect("host");
            let names = [
                "ID",
                "NAME",
                "STATE",
                "PREV_STATE",
                "IM_MAD",
                "VM_MAD",
                "CLUSTER_ID",
                "CLUSTER",
                "MEM_USAGE",
                "CPU_USAGE",
                "TOTAL_MEM",
                "TOTAL_CPU",
                "MAX_MEM",
                "MAX_CPU",
                "RUNNING_VMS",
                "VMS_THREAD",
                "DISK_USAGE",
                "FREE_DISK",
                "MAX_DISK",
                "USED_DISK",
                "FREE_CPU",
                "FREE_MEMORY",
                "USED_CPU",
                "USED_MEMORY",
                "NETRX",
                "NETTX",
                "TAG",
                "ZONE",
                "HYPERVISOR",
                "RESERVED_CPU",
                "TOTALCPU",
                "NOSUCH",
                "TIMESTAMP",
            ];
            let tree = document.tree();
            for name in names {
                let found: Vec<&str> = Path::find(&Path::of_name(name, &BASES), &tree)
                    .into_iter()
                    .map(|node| tree.text_of(node))
                    .collect();
                assert_eq!(values(&document, name), found, "{name}");
            }
        }
    }

    #[test]
    fn every_plain_leaf_of_the_share_and_the_measurements_is_known() {
        let (world, measurements) = (world(), measurements());
        let (hosts, _) = host_rows(&world, &measurements);
        let lookup = HostLookup::new(&world, &measurements);
        let document = HostDocument::new(&lookup, &hosts, 0).expect("host");
        for base in BASES {
            for leaf in document.tree().leaves_of(&format!("/{base}")) {
                assert!(!values(&document, &leaf).is_empty(), "{base}/{leaf}");
            }
        }
    }

    #[test]
    fn names_are_paths_too() {
        let (world, measurements) = (world(), measurements());
        let (hosts, _) = host_rows(&world, &measurements);
        let lookup = HostLookup::new(&world, &measurements);
        let document = HostDocument::new(&lookup, &hosts, 0).expect("host");
        for (name, expect) in [
            ("RACK/ROW", vec!["3"]),
            ("/HOST/TEMPLATE/TAG", vec!["one", "two"]),
            ("/HOST/CLUSTER_TEMPLATE/TAG", vec!["cluster"]),
            ("DS[ID=100]/FREE_MB", vec!["4"]),
            ("VMS/ID", vec![]),
        ] {
            assert_eq!(values(&document, name), expect, "{name}");
            assert_eq!(values(&document, name), expect, "{name}, from what is kept");
        }
    }

    #[test]
    fn names_beyond_the_columns_are_still_found() {
        let (world, measurements) = (world(), measurements());
        let (hosts, _) = host_rows(&world, &measurements);
        let lookup = HostLookup::new(&world, &measurements);
        let document = HostDocument::new(&lookup, &hosts, 0).expect("host");
        for number in 0..300 {
            assert_eq!(values(&document, &format!("NO{number}")), Vec::<String>::new());
        }
        assert_eq!(values(&document, "TAG"), ["one", "two", "cluster"]);
        assert_eq!(values(&document, "ID"), ["0", "77"]);
    }
}
