//! Understanding `virsh domstats --raw`.

use plerion_protocol::{DomainState, WildSample};

use crate::names::{domain_is_ours, domain_is_shown};

/// What libvirt measures of one domain. Only those of a cloud are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DomainStat {
    pub(crate) name: String,
    /// libvirt's number for the state.
    state: u32,
    pub(crate) cpu_ns: u64,
    pub(crate) memory_kib: u64,
    pub(crate) net_rx_bytes: u64,
    pub(crate) net_tx_bytes: u64,
    pub(crate) disk_read_bytes: u64,
    pub(crate) disk_write_bytes: u64,
    pub(crate) disk_read_ops: u64,
    pub(crate) disk_write_ops: u64,
}

impl DomainStat {
    /// The state; `None` for a domain that is only defined.
    pub(crate) fn state(&self) -> Option<DomainState> {
        match self.state {
            1 | 2 | 4 => Some(DomainState::Running),
            3 | 7 => Some(DomainState::Paused),
            6 => Some(DomainState::Crashed),
            _ => None,
        }
    }

    fn line_take(&mut self, key: &str, value: u64) {
        let parts: Vec<&str> = key.split('.').collect();
        match parts.as_slice() {
            ["state", "state"] => self.state = u32::try_from(value).unwrap_or(0),
            ["cpu", "time"] => self.cpu_ns = value,
            ["balloon", "rss"] => self.memory_kib = value,
            ["net", _, "rx", "bytes"] => self.net_rx_bytes += value,
            ["net", _, "tx", "bytes"] => self.net_tx_bytes += value,
            ["block", _, "rd", "bytes"] => self.disk_read_bytes += value,
            ["block", _, "wr", "bytes"] => self.disk_write_bytes += value,
            ["block", _, "rd", "reqs"] => self.disk_read_ops += value,
            ["block", _, "wr", "reqs"] => self.disk_write_ops += value,
            _ => {}
        }
    }
}

/// What is measured of a host's domains.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Those of a cloud, with their UUIDs.
    pub(crate) ours: Vec<(DomainStat, String)>,
    /// Names of the others that run.
    pub(crate) wilds: Vec<String>,
}

/// Reads the output of domstats: the domains of a cloud, and the names of others that run.
pub(crate) fn domstats_read(text: &str) -> (Vec<DomainStat>, Vec<String>) {
    let mut stats: Vec<DomainStat> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("Domain: '")
            .and_then(|rest| rest.strip_suffix('\''))
        {
            stats.push(DomainStat {
                name: name.to_owned(),
                ..DomainStat::default()
            });
        } else if let Some((key, value)) = line.trim().split_once('=')
            && let (Some(stat), Ok(value)) = (stats.last_mut(), value.parse())
        {
            stat.line_take(key, value);
        }
    }
    let (ours, others): (Vec<_>, Vec<_>) = stats.into_iter().partition(|stat| domain_is_ours(&stat.name));
    let wilds = others
        .into_iter()
        .filter(|stat| stat.state().is_some() && domain_is_shown(&stat.name))
        .map(|stat| stat.name);
    (ours, wilds.collect())
}

/// Reads the output of `dominfo`.
pub(crate) fn dominfo_read(name: &str, text: &str) -> Option<WildSample> {
    let field = |wanted: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| value.trim())
    };
    Some(WildSample {
        name: name.to_owned(),
        uuid: field("UUID")?.to_owned(),
        cpus: field("CPU(s)")?.parse().ok()?,
        memory_kib: field("Max memory")?.strip_suffix(" KiB")?.parse().ok()?,
    })
}

/// Reads the output of `list --uuid --name`: name and UUID.
pub(crate) fn uuids_read(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(' '));
    let ours = pairs.map(|(uuid, name)| (name.trim().to_owned(), uuid.to_owned()));
    ours.filter(|(name, _)| domain_is_ours(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read() {
        let text = "Domain: 'one-7'\n  state.state=1\n  state.reason=1\n  cpu.time=190000000\n  balloon.rss=39820\n  \
                    net.count=2\n  net.0.name=one-7-0\n  net.0.rx.bytes=5\n  net.1.rx.bytes=6\n  net.0.tx.bytes=7\n  \
                    block.count=1\n  block.0.rd.reqs=3\n  block.0.rd.bytes=4096\n  block.0.wr.reqs=1\n  \
                    block.0.wr.bytes=512\n\nDomain: 'other'\n  state.state=1\n  cpu.time=1\n\nDomain: 'one-8'\n  \
                    state.state=5\n\nDomain: 'defined'\n  state.state=5\n";
        let (stats, wilds) = domstats_read(text);
        assert_eq!(stats.len(), 2);
        assert_eq!(wilds, ["other"], "one that only is defined is not among them");
        assert_eq!(stats[0].state(), Some(DomainState::Running));
        assert_eq!((stats[0].cpu_ns, stats[0].memory_kib), (190_000_000, 39820));
        assert_eq!((stats[0].net_rx_bytes, stats[0].net_tx_bytes), (11, 7));
        assert_eq!((stats[0].disk_read_bytes, stats[0].disk_write_bytes), (4096, 512));
        assert_eq!((stats[0].disk_read_ops, stats[0].disk_write_ops), (3, 1));
        assert_eq!(stats[1].state(), None);
    }

    #[test]
    fn what_a_wild_domain_is_is_read() {
        let text = "Id:             3\nName:           other\nUUID:           u-1\nOS Type:        hvm\nState:          \
                    running\nCPU(s):         2\nCPU time:       1.1s\nMax memory:     524288 KiB\nUsed memory:    262144 \
                    KiB\nPersistent:     no\n\n";
        let wild = WildSample {
            name: "other".to_owned(),
            uuid: "u-1".to_owned(),
            cpus: 2,
            memory_kib: 524_288,
        };
        assert_eq!(dominfo_read("other", text), Some(wild));
        assert_eq!(dominfo_read("other", "error"), None);
    }

    #[test]
    fn uuids_are_read() {
        let text =
            "11111111-2222-3333-4444-555555555507 one-7\n22222222-2222-3333-4444-555555555507 other\n\n";
        assert_eq!(
            uuids_read(text),
            [(
                "one-7".to_owned(),
                "11111111-2222-3333-4444-555555555507".to_owned()
            )]
        );
    }
}
