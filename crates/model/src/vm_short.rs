//! The short body of a VM, as pools carry it: which elements it has is one table.

use plerion_template::{Markup, PackedTemplate, PackedVector};

use crate::View;
use crate::vm::Vm;

/// Keys of a vector that the short body carries.
struct ShortVector {
    name: &'static str,
    keys: &'static [&'static str],
    /// Whether keys that the vector lacks are written empty (recorded for DISK, not for the others).
    missing_as_empty: bool,
    /// Whether all keys are carried.
    whole: bool,
}

/// In wire order.
const TEMPLATE_VECTORS: &[ShortVector] = &[
    ShortVector {
        name: "DISK",
        keys: &[
            "DISK_ID",
            "DATASTORE",
            "DATASTORE_ID",
            "IMAGE",
            "IMAGE_ID",
            "SIZE",
            "TYPE",
            "CLONE",
            "CLONE_TARGET",
            "LN_TARGET",
            "DISK_SNAPSHOT_TOTAL_SIZE",
        ],
        missing_as_empty: true,
        whole: false,
    },
    ShortVector {
        name: "NIC",
        keys: &[
            "IP",
            "IP6_ULA",
            "IP6_LINK",
            "IP6_GLOBAL",
            "MAC",
            "NETWORK",
            "NETWORK_ID",
            "NIC_ID",
            "SECURITY_GROUPS",
        ],
        missing_as_empty: false,
        whole: false,
    },
    ShortVector {
        name: "GRAPHICS",
        keys: &[],
        missing_as_empty: false,
        whole: true,
    },
];

/// Single values of TEMPLATE, written without CDATA (recorded), empty when missing.
const TEMPLATE_SINGLES: &[&str] = &["CPU", "MEMORY", "VCPU"];

/// Single values of USER_TEMPLATE.
const USER_SINGLES: &[&str] = &[
    "ERROR",
    "LABELS",
    "SCHED_MESSAGE",
    "SCHED_RANK",
    "SCHED_REQUIREMENTS",
    "USER_PRIORITY",
];

impl Vm {
    /// `<VM>` as pools carry it: no PERMISSIONS, SCHED_ACTIONS, CONTEXT; only the last history record.
    pub fn render_short(&self, out: &mut impl Markup, view: &impl View) {
        out.open("VM");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        out.number(
            "LAST_POLL",
            view.vm_sample(self.id).map_or(0, |sample| sample.time),
        );
        out.number("STATE", i64::from(self.phase.state.number()));
        out.number("LCM_STATE", i64::from(self.phase.lcm.number()));
        out.number("RESCHED", i64::from(self.resched));
        out.number("STIME", self.stime);
        out.number("ETIME", self.etime);
        out.element("DEPLOY_ID", &self.deploy_id);
        self.owned.render_lock(out);
        render_template(out, &self.template);
        out.empty("MONITORING");
        render_user_template(out, &self.user_template);
        out.open("HISTORY_RECORDS");
        if let Some(record) = self.last_history() {
            record.render_short(out, self.id);
        }
        out.close("HISTORY_RECORDS");
        out.close("VM");
    }
}

fn render_template(out: &mut impl Markup, template: &PackedTemplate) {
    out.open("TEMPLATE");
    for name in TEMPLATE_SINGLES {
        out.element(name, template.get(name).unwrap_or_default());
    }
    for short in TEMPLATE_VECTORS {
        for vector in template.vectors(short.name) {
            render_vector(out, short, vector);
        }
    }
    out.close("TEMPLATE");
}

fn render_vector(out: &mut impl Markup, short: &ShortVector, vector: PackedVector<'_>) {
    out.open(short.name);
    if short.whole {
        for (key, value) in vector.iter() {
            out.cdata_element(key, value);
        }
    }
    for key in short.keys {
        match vector.get(key) {
            Some(value) => out.cdata_element(key, value),
            None if short.missing_as_empty => out.cdata_element(key, ""),
            None => {}
        }
    }
    out.close(short.name);
}

fn render_user_template(out: &mut impl Markup, template: &PackedTemplate) {
    out.open("USER_TEMPLATE");
    for name in USER_SINGLES {
        if let Some(value) = template.get(name) {
            out.cdata_element(name, value);
        }
    }
    out.close("USER_TEMPLATE");
}
