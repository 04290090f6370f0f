//! Rate limits of ports 67 and 4011: of each client, and of all clients of one network together (safety T12, D15).

use std::net::Ipv4Addr;

use super::stats::Counter;
use crate::engine::buckets::{Allowance, Buckets};
use crate::engine::deadline::Time;
use crate::sys::udp::Received;
use crate::wire::dhcp::Packet;
use crate::wire::pxe::Door;

/// The limits of both ports.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one client.
    pub client: Allowance,
    /// Of all clients of one network, at port 67.
    pub network: Allowance,
}

/// The token buckets of all clients and networks.
pub struct Excess {
    clients: Buckets,
    networks: Buckets,
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

impl Excess {
    /// Returns full buckets.
    pub fn new(limits: &Limits) -> Excess {
        Excess { clients: Buckets::new(CLIENTS, limits.client), networks: Buckets::new(NETWORKS, limits.network) }
    }

    /// The limit that a question exceeds, if it does.
    pub fn of(&mut self, packet: &Packet<'_>, door: Door, received: &Received, now: Time) -> Option<Counter> {
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
            return Some(Counter::DhcpClientRate);
        }
        // At 4011 no relay takes part (W-51): there each client has an address of its own.
        let free = door == Door::Boot4011 || self.networks.take(&network, now);
        (!free).then_some(Counter::DhcpNetworkRate)
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
        excess: &mut Excess,
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
            match excess.of(&Packet::parse(&bytes).unwrap(), door, &received, 1_000_000) {
                None => sums.0 += 1,
                Some(Counter::DhcpClientRate) => sums.1 += 1,
                Some(_) => sums.2 += 1,
            }
        }
        sums
    }

    #[test]
    fn one_sender_is_cut_whatever_hardware_address_it_says() {
        for door in [Door::Dhcp67, Door::Boot4011] {
            let mut excess = Excess::new(&LIMITS);
            assert_eq!(taken(&mut excess, door, (RELAY, NONE), 20_000, |n| n), (100, 19_900, 0));
            assert_eq!(taken(&mut excess, door, (Ipv4Addr::new(192, 0, 2, 9), NONE), 10, |n| n), (10, 0, 0));
        }
    }

    #[test]
    fn a_thousand_machines_that_start_behind_one_relay_or_on_one_wire_are_all_heard() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut excess = Excess::new(&LIMITS);
            assert_eq!(taken(&mut excess, Door::Dhcp67, from, 4_000, |n| n / 4), (4_000, 0, 0));
        }
    }

    #[test]
    fn one_machine_behind_a_relay_is_cut_and_the_others_are_heard() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut excess = Excess::new(&LIMITS);
            assert_eq!(taken(&mut excess, Door::Dhcp67, from, 20_000, |_| 1), (100, 19_900, 0));
            assert_eq!(taken(&mut excess, Door::Dhcp67, from, 1_000, |n| 2 + n), (1_000, 0, 0));
        }
    }

    #[test]
    fn what_comes_with_ever_new_hardware_addresses_is_bounded_by_its_network() {
        for from in [(RELAY, RELAY), (NONE, NONE)] {
            let mut excess = Excess::new(&LIMITS);
            assert_eq!(taken(&mut excess, Door::Dhcp67, from, 20_000, |n| n), (4_000, 0, 16_000));
            assert_eq!(taken(&mut excess, Door::Dhcp67, (Ipv4Addr::new(192, 0, 2, 2), RELAY), 9, |n| n), (9, 0, 0));
        }
    }

    #[test]
    fn relay_addresses_that_a_sender_invents_do_not_help_it() {
        let mut excess = Excess::new(&LIMITS);
        let sums: u32 = (0..20_000)
            .map(|n| taken(&mut excess, Door::Dhcp67, (RELAY, Ipv4Addr::from(0x0a00_0001 + n)), 1, |_| n).0)
            .sum();
        assert_eq!(sums, 4_000);
    }
}
