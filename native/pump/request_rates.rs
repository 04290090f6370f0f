//! Rate limits of ports 67 and 4011: of each client, and of all clients of one network together (safety T12, D15).
//!
//! Recorded machines have a share of their own: senders that invent hardware addresses cannot use it up.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::buckets::{Allowance, Buckets};
use crate::engine::deadline::Time;
use crate::sys::udp::Received;
use crate::wire::dhcp::Packet;
use crate::wire::pxe::Door;

/// Rate limits of both ports.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The limit of each client.
    pub client: Allowance,
    /// The limit of all clients of one network together, at port 67.
    pub network: Allowance,
}

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The MAC addresses of the machines that the site has a record of. Any thread may replace them.
#[derive(Debug, Default)]
pub struct RecordedMachines(Mutex<HashSet<Mac>>);

impl RecordedMachines {
    /// Replaces all addresses.
    pub fn replace(&self, addresses: HashSet<Mac>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn contains(&self, packet: &Packet<'_>) -> bool {
        let Some(mac) = packet.chaddr().first_chunk() else { return false };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(mac)
    }
}

/// The token buckets of all clients and networks.
pub struct RequestRates {
    clients: Buckets,
    networks: Buckets,
    /// The share of each network's recorded machines, as large as the network's own.
    reserved: Buckets,
    recorded: Arc<RecordedMachines>,
}

/// Where a request is in relation to the rate limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Within the limits.
    Within,
    /// The network exceeds its limit, but the request is from a recorded machine and within their share.
    Reserved,
    /// The client exceeds its limit.
    ClientExceeded,
    /// The network exceeds its limit.
    NetworkExceeded,
}

/// Room for so many clients and networks at once; 16 bytes each.
const CLIENTS: usize = 16_384;
const NETWORKS: usize = 1_024;

/// A client: one without an address, and one behind a relay, is known by its hardware address.
#[derive(Hash)]
enum Client {
    Address(Ipv4Addr),
    Hardware(Network, [u8; 16]),
}

/// A network: all clients of a relay, or all of an interface that have no address yet.
#[derive(Clone, Copy, Hash)]
enum Network {
    Relay(Ipv4Addr),
    Interface(u32),
}

impl RequestRates {
    /// Returns full buckets.
    pub fn new(limits: &Limits) -> RequestRates {
        RequestRates {
            clients: Buckets::new(CLIENTS, limits.client),
            networks: Buckets::new(NETWORKS, limits.network),
            reserved: Buckets::new(NETWORKS, limits.network),
            recorded: Arc::default(),
        }
    }

    /// Returns the machines that have the reserved share; none at first.
    pub fn recorded(&self) -> Arc<RecordedMachines> {
        Arc::clone(&self.recorded)
    }

    /// Counts a request that was read at `now`, and returns where it is in relation to the limits.
    pub fn take(&mut self, packet: &Packet<'_>, door: Door, received: &Received, now: Time) -> Rate {
        let source = *received.from.ip();
        let network =
            if source.is_unspecified() { Network::Interface(received.interface) } else { Network::Relay(source) };
        let relayed = door == Door::Dhcp67 && !packet.giaddr().is_unspecified();
        let client = if source.is_unspecified() || relayed {
            Client::Hardware(network, hardware(packet))
        } else {
            Client::Address(source)
        };
        if !self.clients.take(&(door == Door::Boot4011, client), now) {
            return Rate::ClientExceeded;
        }
        // At 4011 no relay takes part (W-51): there each client has an address of its own.
        if door == Door::Boot4011 || self.networks.take(&network, now) {
            return Rate::Within;
        }
        if self.recorded.contains(packet) && self.reserved.take(&network, now) {
            return Rate::Reserved;
        }
        Rate::NetworkExceeded
    }
}

fn hardware(packet: &Packet<'_>) -> [u8; 16] {
    packet.chaddr().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::dhcp;
    use std::net::SocketAddrV4;

    const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const LIMITS: Limits = Limits {
        client: Allowance { per_second: 50, burst: 100 },
        network: Allowance { per_second: 2_000, burst: 4_000 },
    };

    /// How many of `count` questions are taken, each of the client that `mac` says, and why the rest is not.
    fn taken(
        rates: &mut RequestRates,
        door: Door,
        (source, giaddr): (Ipv4Addr, Ipv4Addr),
        count: u32,
        mac: impl Fn(u32) -> u32,
    ) -> (u32, u32, u32) {
        let mut sums = (0, 0, 0);
        for n in 0..count {
            let head =
                format!("01 01 06 00 00000000 0000 8000 {} 0200{:08x} {}", "00".repeat(16), mac(n), "00".repeat(10));
            let mut bytes = dhcp(&head, b"", b"", "35 01 01 ff", 300);
            bytes[24..28].copy_from_slice(&giaddr.octets());
            let received = Received::untold(bytes.len(), SocketAddrV4::new(source, 68), RELAY, 7);
            match rates.take(&Packet::parse(&bytes).unwrap(), door, &received, 1_000_000) {
                Rate::Within | Rate::Reserved => sums.0 += 1,
                Rate::ClientExceeded => sums.1 += 1,
                Rate::NetworkExceeded => sums.2 += 1,
            }
        }
        sums
    }

    #[test]
    fn one_sender_is_cut_whatever_hardware_address_it_says() {
        for door in [Door::Dhcp67, Door::Boot4011] {
            let mut rates = RequestRates::new(&LIMITS);
            assert_eq!(taken(&mut rates, door, (RELAY, NONE), 20_000, |n| n), (100, 19_900, 0));
            assert_eq!(taken(&mut rates, door, (Ipv4Addr::new(192, 0, 2, 9), NONE), 10, |n| n), (10, 0, 0));
        }
    }

    #[test]
    fn a_thousand_machines_that_start_behind_one_relay_or_on_one_wire_are_all_heard() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut rates = RequestRates::new(&LIMITS);
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 4_000, |n| n / 4), (4_000, 0, 0));
        }
    }

    #[test]
    fn one_machine_behind_a_relay_is_cut_and_the_others_are_heard() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut rates = RequestRates::new(&LIMITS);
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 20_000, |_| 1), (100, 19_900, 0));
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 1_000, |n| 2 + n), (1_000, 0, 0));
        }
    }

    #[test]
    fn what_comes_with_ever_new_hardware_addresses_is_bounded_by_its_network() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut rates = RequestRates::new(&LIMITS);
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 20_000, |n| n), (4_000, 0, 16_000));
            assert_eq!(taken(&mut rates, Door::Dhcp67, (Ipv4Addr::new(192, 0, 2, 2), RELAY), 9, |n| n), (9, 0, 0));
        }
    }

    #[test]
    fn recorded_machines_are_heard_though_a_sender_invents_hardware_addresses() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut rates = RequestRates::new(&LIMITS);
            rates.recorded().replace((0..5_000).map(mac).collect());
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 20_000, |n| 1_000_000 + n), (4_000, 0, 16_000));
            // A recorded machine has no more than any other client, and all together have one network's share.
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 101, |_| 1), (100, 1, 0));
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 4_000, |n| 2 + n), (3_900, 0, 100));
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 9, |n| 6_000 + n), (0, 0, 9));
            rates.recorded().replace(HashSet::new());
            assert_eq!(taken(&mut rates, Door::Dhcp67, from, 1, |_| 4_500), (0, 0, 1));
        }
    }

    fn mac(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        [2, 0, a, b, c, d]
    }

    #[test]
    fn relay_addresses_that_a_sender_invents_do_not_help_it() {
        let mut rates = RequestRates::new(&LIMITS);
        let sums: u32 = (0..20_000)
            .map(|n| taken(&mut rates, Door::Dhcp67, (RELAY, Ipv4Addr::from(0x0a00_0001 + n)), 1, |_| n).0)
            .sum();
        assert_eq!(sums, 4_000);
    }
}
