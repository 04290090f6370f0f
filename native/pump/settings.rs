//! How a TFTP service is set up.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use crate::engine::deadline::Time;
use crate::engine::limits::Limits;
use crate::engine::negotiate::Bounds;
use crate::engine::timer::Timing;

/// How a TFTP service is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests come to.
    pub address: SocketAddrV4,
    /// How many threads carry transfers, at least one.
    pub workers: usize,
    /// Sizes that are granted.
    pub bounds: Bounds,
    /// How much is granted to whom.
    pub limits: Limits,
    /// Requests a second that are taken up, of all clients together; more wait.
    pub requests_per_second: u32,
    /// Requests that may wait for a place or their turn.
    pub queue: usize,
    /// Who waits and has not asked again for so long is forgotten, in microseconds.
    pub queue_patience: Time,
    /// The retransmission timer's bounds.
    pub timing: Timing,
    /// Who may be sent how much.
    pub caps: Caps,
    /// Where requests are taken from; empty: from everywhere.
    pub networks: Vec<Network>,
}

/// The most that is sent, in bits a second as on Ethernet; 0: no bound.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    /// To all clients together.
    pub point: u64,
    /// By one transfer.
    pub transfer: u64,
    /// To the clients of a network together; of those that hold a client the first counts.
    pub networks: Vec<(Network, u64)>,
}

/// The most threads that `workers = 0` makes: beyond, the network card is what they wait for.
const MOST_WORKERS: usize = 8;

/// As many workers as are asked for; for 0 half as many as this process may use cores, at most [`MOST_WORKERS`]: the
/// kernel's half of the work, the card's interrupts, wants cores of its own. Two workers on two cores cost 1.1 to 1.3
/// times as much a byte as one, and send at most 1.2 times as fast (benches/README.md).
#[must_use]
pub fn workers(asked: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2).min(MOST_WORKERS));
    if asked == 0 {
        cores()
    } else {
        asked
    }
}

/// A network of clients, `address/prefix length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    /// Whether `address` is of it.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.address
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let address = address.parse::<Ipv4Addr>().ok()?.to_bits();
            let length = length.parse::<u32>().ok().filter(|length| *length <= 32)?;
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            (address & mask == address).then_some(Network { address, mask })
        });
        parsed.ok_or_else(|| format!("{text:?} is no network such as 10.1.0.0/16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses_from_the_first_to_the_last() {
        let holds =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(holds("10.1.0.0/16", "10.1.0.0") && holds("10.1.0.0/16", "10.1.255.255"));
        assert!(!holds("10.1.0.0/16", "10.2.0.0") && !holds("10.1.0.0/16", "10.0.255.255"));
        assert!(holds("192.0.2.7/32", "192.0.2.7") && !holds("192.0.2.7/32", "192.0.2.6"));
        assert!(holds("0.0.0.0/0", "255.255.255.255") && holds("0.0.0.0/0", "0.0.0.0"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.1.0.0", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0.1/16", "10.1/16", "a/8", "10.0.0.0/8/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn workers_are_as_many_as_asked_for_or_half_as_many_as_there_are_cores_up_to_eight() {
        assert_eq!((workers(1), workers(64)), (1, 64));
        assert!((1..=MOST_WORKERS).contains(&workers(0)));
    }
}
