//! History records of a VM: one for each stay on a host.

use plerion_template::Markup;
use serde::{Deserialize, Serialize};

use crate::wire_enum::wire_enum;
use crate::{Id, Seconds};

wire_enum! {
    /// The action that ended a history record (or is about to).
    HistoryAction {
        None = 0 "none",
        Migrate = 1 "migrate",
        LiveMigrate = 2 "live-migrate",
        Undeploy = 5 "undeploy",
        UndeployHard = 6 "undeploy-hard",
        Hold = 7 "hold",
        Release = 8 "release",
        Stop = 9 "stop",
        Suspend = 10 "suspend",
        Resume = 11 "resume",
        Delete = 13 "delete",
        DeleteRecreate = 14 "delete-recreate",
        Reboot = 15 "reboot",
        RebootHard = 16 "reboot-hard",
        Resched = 17 "resched",
        Unresched = 18 "unresched",
        Poweroff = 19 "poweroff",
        PoweroffHard = 20 "poweroff-hard",
        DiskAttach = 21 "disk-attach",
        DiskDetach = 22 "disk-detach",
        NicAttach = 23 "nic-attach",
        NicDetach = 24 "nic-detach",
        DiskSnapshotCreate = 25 "disk-snapshot-create",
        DiskSnapshotDelete = 26 "disk-snapshot-delete",
        Terminate = 27 "terminate",
        TerminateHard = 28 "terminate-hard",
        DiskResize = 29 "disk-resize",
        Deploy = 30 "deploy",
        Resize = 35 "resize",
        DiskSnapshotRevert = 41 "disk-snapshot-revert",
        Recover = 42 "recover",
        Retry = 43 "retry",
        Monitor = 44 "monitor",
        AliasAttach = 46 "alias-attach",
        AliasDetach = 47 "alias-detach",
        PoweroffMigrate = 48 "poweroff-migrate",
        PoweroffHardMigrate = 49 "poweroff-hard-migrate",
        Backup = 50 "backup",
        NicUpdate = 51 "nic-update",
        PciAttach = 58 "pci-attach",
        PciDetach = 59 "pci-detach",
        Restore = 60 "restore",
        Exec = 61 "exec",
        ExecRetry = 62 "exec-retry",
        ExecCancel = 63 "exec-cancel",
    }
}

/// A stay on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Number, from 0.
    pub seq: i32,
    /// Name of the host.
    pub hostname: String,
    /// Host.
    pub host: Id,
    /// Cluster of the host.
    pub cluster: Id,
    /// System datastore.
    pub datastore: Id,
    /// Hypervisor driver.
    pub vm_mad: String,
    /// Transfer driver of the system datastore.
    pub tm_mad: String,
    /// Start.
    pub stime: Seconds,
    /// End; 0 while it lasts.
    pub etime: Seconds,
    /// Start of the prolog.
    pub pstime: Seconds,
    /// End of the prolog.
    pub petime: Seconds,
    /// Start of running.
    pub rstime: Seconds,
    /// End of running.
    pub retime: Seconds,
    /// Start of the epilog.
    pub estime: Seconds,
    /// End of the epilog.
    pub eetime: Seconds,
    /// Action that ended it.
    pub action: HistoryAction,
    /// Who asked for the action; -1 nobody.
    pub uid: Id,
    /// That user's group.
    pub gid: Id,
    /// The call that asked for it; -1 none.
    pub request_id: i64,
}

impl History {
    /// The record that follows on the same host and datastore, opened at `now`: nothing has been done in it yet.
    #[must_use]
    pub fn next(&self, now: Seconds) -> Self {
        Self {
            seq: self.seq.saturating_add(1),
            hostname: self.hostname.clone(),
            vm_mad: self.vm_mad.clone(),
            tm_mad: self.tm_mad.clone(),
            stime: now,
            etime: 0,
            pstime: 0,
            petime: 0,
            rstime: 0,
            retime: 0,
            estime: 0,
            eetime: 0,
            action: HistoryAction::None,
            uid: -1,
            gid: -1,
            request_id: -1,
            ..*self
        }
    }

    /// Whether any part of the stay lies after `start` and before `end`.
    #[must_use]
    pub fn overlaps(&self, start: Seconds, end: Seconds) -> bool {
        (self.etime == 0 || self.etime > start) && self.stime < end
    }

    /// `<HISTORY>` within a VM's body.
    pub fn render(&self, out: &mut impl Markup, vm: Id) {
        out.open("HISTORY");
        self.render_fields(out, vm);
        out.close("HISTORY");
    }

    /// `<HISTORY>` of accounting, with the VM as it was; `body` writes that.
    pub fn render_accounted<M: Markup>(&self, out: &mut M, vm: Id, body: impl FnOnce(&mut M)) {
        out.open("HISTORY");
        self.render_fields(out, vm);
        body(out);
        out.close("HISTORY");
    }

    fn render_fields(&self, out: &mut impl Markup, vm: Id) {
        out.number("OID", i64::from(vm));
        out.number("SEQ", i64::from(self.seq));
        out.element("HOSTNAME", &self.hostname);
        out.number("HID", i64::from(self.host));
        out.number("CID", i64::from(self.cluster));
        out.number("STIME", self.stime);
        out.number("ETIME", self.etime);
        out.cdata_element("VM_MAD", &self.vm_mad);
        out.cdata_element("TM_MAD", &self.tm_mad);
        out.number("DS_ID", i64::from(self.datastore));
        // Plans of a cluster are not served yet: -2 is "no plan".
        out.number("PLAN_ID", -2);
        out.number("ACTION_ID", -1);
        out.number("PSTIME", self.pstime);
        out.number("PETIME", self.petime);
        out.number("RSTIME", self.rstime);
        out.number("RETIME", self.retime);
        out.number("ESTIME", self.estime);
        out.number("EETIME", self.eetime);
        out.number("ACTION", i64::from(self.action.number()));
        out.number("UID", i64::from(self.uid));
        out.number("GID", i64::from(self.gid));
        out.number("REQUEST_ID", self.request_id);
    }

    /// `<HISTORY>` within the short body of pools.
    pub fn render_short(&self, out: &mut impl Markup, vm: Id) {
        out.open("HISTORY");
        out.number("OID", i64::from(vm));
        out.number("SEQ", i64::from(self.seq));
        out.cdata_element("HOSTNAME", &self.hostname);
        out.number("HID", i64::from(self.host));
        out.number("CID", i64::from(self.cluster));
        out.number("DS_ID", i64::from(self.datastore));
        out.cdata_element("VM_MAD", &self.vm_mad);
        out.cdata_element("TM_MAD", &self.tm_mad);
        out.cdata_element("ACTION", &self.action.number().to_string());
        out.close("HISTORY");
    }
}
