//! What the administrator's probes print, as attributes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plerion_model::Id;
use plerion_protocol::{ProbeFamily, ProbeRound};
use plerion_template::{PackedTemplate, Template};

/// Attributes that one host's probes may give to it or to a VM.
const ATTRIBUTES_MAX: usize = 200;
/// Bytes of their faults that are shown.
const FAULT_BYTES_MAX: usize = 1000;
/// Names in measurements that are the agent's.
const MEASURED: &[&str] = &[
    "CAPACITY",
    "CPU",
    "DISKRDBYTES",
    "DISKRDIOPS",
    "DISKWRBYTES",
    "DISKWRIOPS",
    "DISK_SIZE",
    "FREE_CPU",
    "FREE_MEMORY",
    "GUEST_HOSTNAME",
    "GUEST_IP",
    "GUEST_IP_ADDRESSES",
    "GUEST_OS",
    "HUGEPAGE",
    "ID",
    "MEMORY",
    "MEMORY_NODE",
    "MONITORING",
    "NETRX",
    "NETTX",
    "NUMA_NODE",
    "STATE",
    "SYSTEM",
    "TIMESTAMP",
    "USED_CPU",
    "USED_MEMORY",
    "VM",
];

/// Attributes of a host or a VM.
pub(crate) type Own = Arc<PackedTemplate>;

/// What the probes of one host have said last.
#[derive(Debug, Default)]
struct Said {
    host: Option<Own>,
    vms: HashMap<Id, Own>,
    faults: BTreeMap<ProbeFamily, Vec<String>>,
}

/// What the probes of all hosts have said last.
#[derive(Debug, Default)]
pub(crate) struct ProbeIntake {
    hosts: HashMap<Id, Said>,
}

/// What of a round concerns the host itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostWord {
    /// Attributes of its template.
    pub(crate) attributes: Template,
    /// What is wrong with its probes; empty when nothing is.
    pub(crate) faults: String,
}

impl ProbeIntake {
    /// Takes a round in; `reserved` are names in a host's template that no probe may set.
    pub(crate) fn round(&mut self, host: Id, round: &ProbeRound, reserved: &[&str]) -> HostWord {
        let said = self.hosts.entry(host).or_default();
        let mut faults = Vec::new();
        let mut attributes = Template::new();
        for (path, printed) in &round.outcomes {
            let name = path
                .split_once("-probes.d/")
                .map_or(path.as_str(), |(_, name)| name);
            let read = printed
                .clone()
                .and_then(|printed| printed_read(round.family, &printed));
            match read {
                Ok(read) => attributes.merge_all(&read),
                Err(reason) => faults.push(format!("{name}: {reason}")),
            }
        }
        match round.family {
            ProbeFamily::HostBeacon | ProbeFamily::VmStatus => attributes = Template::new(),
            ProbeFamily::HostSystem => faults.extend(names_take(&mut attributes, reserved)),
            ProbeFamily::HostMonitor => {
                faults.extend(names_take(&mut attributes, MEASURED));
                said.host = own(&std::mem::take(&mut attributes));
            }
            ProbeFamily::VmMonitor => {
                said.vms = vms_read(&std::mem::take(&mut attributes), &mut faults);
            }
        }
        if said
            .faults
            .get(&round.family)
            .is_none_or(|before| *before != faults)
        {
            for fault in &faults {
                tracing::warn!(host, fault, "a probe of the administrator's is at fault");
            }
        }
        said.faults.insert(round.family, faults);
        let faults: Vec<&str> = said.faults.values().flatten().map(String::as_str).collect();
        HostWord {
            attributes,
            faults: shortened(faults.join("; ")),
        }
    }

    /// What probes have measured of a host.
    pub(crate) fn of_host(&self, host: Id) -> Option<Own> {
        self.hosts.get(&host)?.host.clone()
    }

    /// What probes of its host have measured of a VM.
    pub(crate) fn of_vm(&self, host: Id, vm: Id) -> Option<Own> {
        self.hosts.get(&host)?.vms.get(&vm).cloned()
    }

    /// Forgets a host.
    pub(crate) fn host_gone(&mut self, host: Id) {
        self.hosts.remove(&host);
    }
}

/// All attributes of another template beside those that are there.
trait MergeAll {
    fn merge_all(&mut self, other: &Template);
}

impl MergeAll for Template {
    fn merge_all(&mut self, other: &Template) {
        for attribute in other.iter() {
            self.add(&attribute.name, attribute.value.clone());
        }
    }
}

/// Heartbeats and states print what they like: links and libvirt are believed.
fn printed_read(family: ProbeFamily, printed: &str) -> Result<Template, String> {
    match family {
        ProbeFamily::HostBeacon | ProbeFamily::VmStatus => Ok(Template::new()),
        ProbeFamily::HostSystem | ProbeFamily::HostMonitor | ProbeFamily::VmMonitor => {
            Template::parse_or_empty(printed)
                .map_err(|error| format!("it must print NAME=\"value\" lines: {error}"))
        }
    }
}

/// Takes away what is not the probes' to say, and says so.
fn names_take(attributes: &mut Template, reserved: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for name in reserved {
        if !attributes.remove(name).is_empty() {
            faults.push(format!(
                "{name} is measured by Plerion itself; give it another name"
            ));
        }
    }
    if attributes.len() > ATTRIBUTES_MAX {
        faults.push(format!(
            "{} attributes are more than the {ATTRIBUTES_MAX} allowed",
            attributes.len()
        ));
        *attributes = Template::new();
    }
    faults
}

/// `VM=[ ID=…, MONITOR="base64" ]`; other keys than these are taken as they are.
fn vms_read(printed: &Template, faults: &mut Vec<String>) -> HashMap<Id, Own> {
    let mut vms = HashMap::new();
    for vector in printed.vectors("VM") {
        let Some(id) = vector.get("ID").and_then(|id| id.trim().parse::<Id>().ok()) else {
            faults.push("a VM = [ … ] has no ID".to_owned());
            continue;
        };
        let monitor = vector.get("MONITOR").unwrap_or_default();
        let text = BASE64_STANDARD
            .decode(monitor.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let read = text
            .ok_or_else(|| "MONITOR is not in base64".to_owned())
            .and_then(|text| Template::parse_or_empty(&text).map_err(|error| error.to_string()));
        match read {
            Ok(mut attributes) => {
                faults.extend(names_take(&mut attributes, MEASURED));
                vms.extend(own(&attributes).map(|own| (id, own)));
            }
            Err(reason) => faults.push(format!("VM {id}: {reason}")),
        }
    }
    vms
}

fn own(attributes: &Template) -> Option<Own> {
    (!attributes.is_empty()).then(|| Arc::new(PackedTemplate::new(attributes)))
}

fn shortened(mut text: String) -> String {
    if text.len() > FAULT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(FAULT_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(family: ProbeFamily, printed: &[(&str, Result<&str, &str>)]) -> ProbeRound {
        let outcome = |(path, printed): &(&str, Result<&str, &str>)| {
            let printed = printed.map(str::to_owned).map_err(str::to_owned);
            (format!("im/kvm-probes.d/host/monitor/{path}"), printed)
        };
        ProbeRound {
            family,
            outcomes: printed.iter().map(outcome).collect(),
        }
    }

    #[test]
    fn what_one_probe_prints_wrongly_spoils_no_other() {
        let mut intake = ProbeIntake::default();
        let printed = [
            ("a", Ok("BATTERY=\"80\"\nFAN=[ SPEED=\"1\" ]\n")),
            ("b", Ok("what is this\n")),
            ("c", Err("it ended with 1")),
            ("d", Ok("USED_CPU=\"0\"\nGPU=\"2\"\n")),
            ("e", Ok("")),
        ];
        let word = intake.round(1, &round(ProbeFamily::HostMonitor, &printed), &[]);
        let own = intake.of_host(1).expect("measured");
        assert_eq!((own.get("BATTERY"), own.get("GPU")), (Some("80"), Some("2")));
        assert_eq!((own.pair("FAN", "SPEED"), own.get("USED_CPU")), (Some("1"), None));
        assert!(word.attributes.is_empty());
        for part in [
            "host/monitor/b: it must print",
            "host/monitor/c: it ended with 1",
            "USED_CPU is measured",
        ] {
            assert!(word.faults.contains(part), "{}", word.faults);
        }
        // Another family's round leaves these faults, one without faults ends them.
        let system = [("s", Ok("RACK=\"4\"\nARCH=\"z80\"\n"))];
        let word = intake.round(1, &round(ProbeFamily::HostSystem, &system), &["ARCH"]);
        assert_eq!(
            (word.attributes.get("RACK"), word.attributes.get("ARCH")),
            (Some("4"), None)
        );
        assert!(word.faults.contains("ARCH is measured") && word.faults.contains("it ended with 1"));
        intake.round(1, &round(ProbeFamily::HostSystem, &[]), &[]);
        let word = intake.round(1, &round(ProbeFamily::HostMonitor, &[]), &[]);
        assert_eq!((word.faults.as_str(), intake.of_host(1)), ("", None));
    }

    #[test]
    fn vms_are_measured_by_their_ids() {
        let mut intake = ProbeIntake::default();
        let monitor = BASE64_STANDARD.encode("TEMPERATURE=\"40\"\nMEMORY=\"1\"\n");
        let printed = format!(
            "VM = [ ID=\"5\", DEPLOY_ID=\"x\", MONITOR=\"{monitor}\" ]\nVM=[ ID=\"6\", MONITOR=\"?\" ]\nVM=[ A=\"b\" ]\n"
        );
        let word = intake.round(1, &round(ProbeFamily::VmMonitor, &[("v", Ok(&printed))]), &[]);
        let own = intake.of_vm(1, 5).expect("measured");
        assert_eq!((own.get("TEMPERATURE"), own.get("MEMORY")), (Some("40"), None));
        assert!(intake.of_vm(1, 6).is_none() && intake.of_vm(2, 5).is_none());
        for part in [
            "MEMORY is measured",
            "VM 6: MONITOR is not in base64",
            "has no ID",
        ] {
            assert!(word.faults.contains(part), "{}", word.faults);
        }
        intake.host_gone(1);
        assert!(intake.of_vm(1, 5).is_none());
    }

    #[test]
    fn heartbeats_and_states_may_print_anything() {
        let mut intake = ProbeIntake::default();
        for family in [ProbeFamily::HostBeacon, ProbeFamily::VmStatus] {
            let word = intake.round(
                1,
                &round(family, &[("x", Ok("VM = [ ID=1, STATE=POWEROFF ]\n?"))]),
                &[],
            );
            assert!(word.attributes.is_empty() && word.faults.is_empty());
        }
    }
}
