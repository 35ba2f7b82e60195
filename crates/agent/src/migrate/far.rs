//! The two ends of a live migration on the hosts: `node leave` and `node arrive`.

use super::frames::{Arrival, Arrived, ArrivingDisk, Ask, Departure, Go, Leaving, Left};
use super::sockets::Sockets;
use crate::fault::{Act, failed};
use crate::hypervisor::Virsh;
use crate::limits::Limits;
use crate::names;
use crate::roots::Roots;
use crate::storage::{self, FAR_TIME_MAX, Far};

/// `node leave`: tells libvirt to move a domain to where the sockets lead.
pub(crate) fn leave_main() -> Act<()> {
    let limits = Limits::new(FAR_TIME_MAX);
    let mut far = Far::begin(&limits)?;
    let departure: Departure = far.receive()?;
    names::domain_check(&departure.name)?;
    names::uuid_check(&departure.uuid)?;
    let sockets = Sockets::of(&departure.token)?;
    let virsh = Virsh::default();
    let runs = virsh.is_there(&departure.uuid, &limits)?;
    let mut bytes = Vec::new();
    for target in departure.targets.iter().filter(|_| runs) {
        names::target_check(target)?;
        bytes.push(virsh.disk_bytes(&departure.uuid, target, &limits)?);
    }
    far.send(&Leaving { runs, bytes })?;
    if !runs {
        return Ok(());
    }
    let Go = far.receive()?;
    let moved = virsh.migrate(&departure.uuid, &sockets.route(), &departure.targets, &limits);
    sockets.remove();
    let left = Left {
        error: moved.err().map(|error| error.text),
        runs: virsh.is_there(&departure.uuid, &limits)?,
    };
    far.send(&left)
}

/// `node arrive`: makes what the domain needs here, and afterwards says whether it has come.
pub(crate) fn arrive_main() -> Act<()> {
    let limits = Limits::new(FAR_TIME_MAX);
    let mut far = Far::begin(&limits)?;
    let arrival: Arrival = far.receive()?;
    names::domain_check(&arrival.name)?;
    names::uuid_check(&arrival.uuid)?;
    let sockets = Sockets::of(&arrival.token)?;
    for disk in &arrival.disks {
        disk_make(&far.roots, disk, &limits)?;
    }
    let virsh = Virsh::default();
    far.send(&Arrived {
        runs: virsh.runs(&arrival.uuid, &limits)?,
    })?;
    // Until the front-end's agent has heard enough.
    while let Some(ask) = far.receive_next::<Ask>()? {
        let runs = virsh.runs(&arrival.uuid, &limits)?;
        if matches!(ask, Ask::Undo) && !virsh.is_there(&arrival.uuid, &limits)? {
            storage::path_delete(&far.roots, &far.path)?;
        }
        far.send(&Arrived { runs })?;
    }
    sockets.remove();
    Ok(())
}

/// A disk that libvirt fills while the domain is moved: as large as the one that it is filled from, to the byte.
fn disk_make(roots: &Roots, disk: &ArrivingDisk, limits: &Limits) -> Act<()> {
    let path = roots.target(&disk.path)?;
    storage::disk_make_empty(&path, disk.format, disk.bytes, limits)
}

impl Virsh {
    /// Whether the domain is there, running or about to.
    fn is_there(&self, uuid: &str, limits: &Limits) -> Act<bool> {
        Ok(self.state(uuid, limits)?.is_some_and(|state| state != "shut off"))
    }

    /// Whether the domain runs.
    fn runs(&self, uuid: &str, limits: &Limits) -> Act<bool> {
        Ok(self.state(uuid, limits)?.is_some_and(|state| state == "running"))
    }

    fn state(&self, uuid: &str, limits: &Limits) -> Act<Option<String>> {
        let text = self.ask(&["domstate", uuid], limits)?.done();
        Ok(text.map(|text| text.trim().to_owned()))
    }

    /// Size of a disk in bytes, as the guest sees it.
    fn disk_bytes(&self, uuid: &str, target: &str, limits: &Limits) -> Act<u64> {
        let text = self.ask(&["domblkinfo", uuid, target], limits)?.done();
        let text = text.ok_or_else(|| failed("the domain has ended"))?;
        capacity_read(&text).ok_or_else(|| {
            failed(format!(
                "virsh domblkinfo does not say how large {target} is: {text}"
            ))
        })
    }

    fn migrate(
        &self,
        uuid: &str,
        route: &super::sockets::Route,
        targets: &[String],
        limits: &Limits,
    ) -> Act<()> {
        // libvirt holds a file system unsafe for this that it does not know; where all hosts have the datastore mounted it is
        // shared by what the administrator says.
        let mut arguments = vec!["migrate", "--live", "--unsafe", "--abort-on-error"];
        let list = targets.join(",");
        if !targets.is_empty() {
            arguments.extend(["--copy-storage-all", "--disks-uri", &route.disks]);
            arguments.extend(["--migrate-disks", &list]);
        }
        arguments.extend(["--migrateuri", &route.memory, uuid, &route.libvirt]);
        match self.change(&arguments, limits)?.done() {
            Some(_) => Ok(()),
            None => Err(failed("the domain has ended")),
        }
    }
}

fn capacity_read(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Capacity:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_disk_is_read() {
        let text = "Capacity:       13107200\nAllocation:     4096\nPhysical:       13107200\n";
        assert_eq!(capacity_read(text), Some(13_107_200));
        assert_eq!(capacity_read("Allocation: 1"), None);
    }
}
