//! Wrong passwords cost time: after some of them a user's name is not tried again at once from the same address, nor any
//! name from an address that guesses at many.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong passwords in a row for one name from one address that cost nothing: users mistype, scripts keep old passwords.
const FREE_OF_NAME: u32 = 30;
/// The same for all names from one address, behind which many users may be.
const FREE_OF_SOURCE: u32 = 300;
/// The first wait; each further wrong password doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// After this long without a wrong password all is forgotten.
const FORGET: Duration = Duration::from_secs(900);
/// Most names and most addresses that are kept; the one that was wrong longest ago makes room.
const ENTRIES_MAX: usize = 4096;
/// Longer names are no user's, and are taken as one.
const NAME_BYTES_MAX: usize = 256;

/// Who has failed how often. Times are since the process began, by a clock that does not jump.
pub(crate) struct BackOff {
    tables: Mutex<Tables>,
}

struct Tables {
    names: Table<(IpAddr, String)>,
    sources: Table<IpAddr>,
}

impl BackOff {
    pub(crate) fn new() -> Self {
        Self {
            tables: Mutex::new(Tables {
                names: Table::new(FREE_OF_NAME),
                sources: Table::new(FREE_OF_SOURCE),
            }),
        }
    }

    /// How long this name is not to be tried from this address; `None` when it may be.
    pub(crate) fn wait(&self, name: &str, source: IpAddr, now: Duration) -> Option<Duration> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let source = network_of(source);
        let of_source = tables.sources.wait(&source, now);
        tables.names.wait(&(source, key_of(name)), now).max(of_source)
    }

    /// Notes a wrong password. Gives the wait that it brought about, if any.
    pub(crate) fn failed(&self, name: &str, source: IpAddr, now: Duration) -> Option<Duration> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let source = network_of(source);
        tables.names.failed((source, key_of(name)), now);
        // Web front-ends on this machine speak for all their users.
        if !source.is_loopback() {
            tables.sources.failed(source, now);
        }
        drop(tables);
        self.wait(name, source, now)
    }

    /// A good password ends what was counted for its name. Who guesses at others may know one, so that its address stays counted.
    pub(crate) fn succeeded(&self, name: &str, source: IpAddr) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.names.entries.remove(&(network_of(source), key_of(name)));
    }
}

/// What one party has of its own: an IPv4 address, or an IPv6 /64.
fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        canonical => canonical,
    }
}

fn key_of(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        return String::new();
    }
    name.to_owned()
}

struct Failures {
    count: u32,
    last: Duration,
}

struct Table<K> {
    free: u32,
    entries: HashMap<K, Failures>,
}

impl<K: Eq + Hash + Clone> Table<K> {
    fn new(free: u32) -> Self {
        Self {
            free,
            entries: HashMap::new(),
        }
    }

    fn wait(&self, key: &K, now: Duration) -> Option<Duration> {
        let failures = self.entries.get(key)?;
        let costly = failures
            .count
            .checked_sub(self.free)
            .filter(|costly| *costly > 0)?;
        let doubled = 2u32.saturating_pow(costly.saturating_sub(1));
        let wait = WAIT_FIRST.saturating_mul(doubled).min(WAIT_MAX);
        failures
            .last
            .saturating_add(wait)
            .checked_sub(now)
            .filter(|left| !left.is_zero())
    }

    fn failed(&mut self, key: K, now: Duration) {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&key) {
            self.room_make(now);
        }
        let failures = self
            .entries
            .entry(key)
            .or_insert(Failures { count: 0, last: now });
        if now.saturating_sub(failures.last) >= FORGET {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    fn room_make(&mut self, now: Duration) {
        self.entries
            .retain(|_, failures| now.saturating_sub(failures.last) < FORGET);
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, failures)| failures.last);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failed_often(back_off: &BackOff, name: &str, source: IpAddr, times: u32) -> Option<Duration> {
        (0..times)
            .map(|_| back_off.failed(name, source, at(0)))
            .last()
            .flatten()
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let back_off = BackOff::new();
        assert_eq!(failed_often(&back_off, "a", FAR, FREE_OF_NAME), None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(back_off.failed("a", FAR, at(0)), Some(at(seconds)));
        }
        assert_eq!(back_off.wait("a", FAR, at(59)), Some(at(1)));
        assert_eq!(back_off.wait("a", FAR, at(60)), None);
        assert_eq!(back_off.wait("b", FAR, at(0)), None, "another name");
        assert_eq!(back_off.wait("a", HERE, at(0)), None, "another address");
    }

    #[test]
    fn a_good_password_or_a_quarter_of_an_hour_ends_it() {
        let back_off = BackOff::new();
        assert!(failed_often(&back_off, "a", FAR, FREE_OF_NAME + 1).is_some());
        back_off.succeeded("a", FAR);
        assert_eq!(back_off.failed("a", FAR, at(0)), None);
        assert!(failed_often(&back_off, "a", FAR, FREE_OF_NAME).is_some());
        assert_eq!(back_off.failed("a", FAR, FORGET), None);
    }

    #[test]
    fn an_address_that_guesses_at_many_names_waits_unless_it_is_this_machine() {
        for (source, waits) in [(FAR, true), (HERE, false)] {
            let back_off = BackOff::new();
            for number in 0..=FREE_OF_SOURCE {
                back_off.failed(&number.to_string(), source, at(0));
            }
            assert_eq!(back_off.wait("new", source, at(0)).is_some(), waits, "{source}");
        }
    }

    #[test]
    fn ipv6_neighbours_are_one_and_mapped_addresses_are_ipv4() {
        let network = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), FAR);
        assert!(network("::1").is_loopback());
    }

    #[test]
    fn tables_are_bounded() {
        let back_off = BackOff::new();
        assert!(failed_often(&back_off, "held", HERE, FREE_OF_NAME + 1).is_some());
        for number in 0..2 * ENTRIES_MAX as u64 {
            let now = Duration::from_millis(number);
            back_off.failed(&number.to_string(), HERE, now);
        }
        let tables = back_off.tables.lock().expect("no panic");
        assert_eq!(tables.names.entries.len(), ENTRIES_MAX);
    }
}
