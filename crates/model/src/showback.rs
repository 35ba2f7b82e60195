//! What a VM cost in a month.

use plerion_template::Markup;
use serde::{Deserialize, Serialize};

use crate::Id;

/// The cost of a VM in a month, in whatever unit the prices are in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Showback {
    /// VM.
    pub vm: Id,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub uid: Id,
    /// Its group.
    pub gid: Id,
    /// Name of the owner.
    pub uname: String,
    /// Name of the group.
    pub gname: String,
    /// Year.
    pub year: i16,
    /// Month, 1 to 12.
    pub month: i8,
    /// Cost of CPU.
    pub cpu_cost: f64,
    /// Cost of memory.
    pub memory_cost: f64,
    /// Cost of disks.
    pub disk_cost: f64,
    /// Hours on hosts.
    pub hours: f64,
    /// Hours of running.
    pub running_hours: f64,
}

impl Showback {
    /// `<SHOWBACK>`.
    pub fn render(&self, out: &mut impl Markup) {
        let total = self.cpu_cost + self.memory_cost + self.disk_cost;
        out.open("SHOWBACK");
        out.number("VMID", i64::from(self.vm));
        out.element("VMNAME", &self.name);
        out.number("UID", i64::from(self.uid));
        out.number("GID", i64::from(self.gid));
        out.element("UNAME", &self.uname);
        out.element("GNAME", &self.gname);
        out.number("YEAR", i64::from(self.year));
        out.number("MONTH", i64::from(self.month));
        out.element("CPU_COST", &amount(self.cpu_cost));
        out.element("MEMORY_COST", &amount(self.memory_cost));
        out.element("DISK_COST", &amount(self.disk_cost));
        out.element("TOTAL_COST", &amount(total));
        out.element("HOURS", &amount(self.hours));
        out.element("RHOURS", &amount(self.running_hours));
        out.close("SHOWBACK");
    }
}

/// Two digits behind the point, none for a whole number (recorded).
fn amount(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_recorded() {
        let texts = [0.0, 3.0, 0.001, 0.27, 12.345, 1.0 / 3.0].map(amount);
        assert_eq!(texts, ["0", "3", "0.00", "0.27", "12.35", "0.33"]);
    }
}
