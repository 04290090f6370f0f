//! Which address a machine that was offered a boot was given by its DHCP server: it says so when it takes that server's
//! offer, by broadcast or through the relay that its question came through (RFC 2131 section 4.3.2).

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::gate::Session;
use crate::engine::deadline::Time;
use crate::sys::udp::Received;
use crate::wire::dhcp::{code, message, Packet};

/// A machine that gets an address: the same in its DISCOVER and in its REQUEST.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Machine {
    hardware: [u8; 16],
    xid: u32,
    relay: Ipv4Addr,
    source: Ipv4Addr,
    interface: u32,
}

impl Machine {
    fn of(packet: &Packet<'_>, source: Ipv4Addr, interface: u32) -> Machine {
        let hardware = packet.chaddr().first_chunk().copied().unwrap_or_default();
        Machine { hardware, xid: packet.xid(), relay: packet.giaddr(), source, interface }
    }
}

/// The machines that were offered a boot, and the address that each was given, once it has said so.
#[derive(Default)]
pub struct Leases {
    offers: HashMap<Machine, Offer>,
}

#[derive(Clone, Copy)]
struct Offer {
    session: Session,
    at: Time,
    address: Option<Ipv4Addr>,
}

/// How many machines are remembered; then the older half is forgotten.
const MOST: usize = 4_096;
/// Firmware gives up after a minute, in microseconds.
const LIFE: Time = 120_000_000;

impl Leases {
    /// A machine without an address is offered a boot with this session. Returns the address that it was given, where
    /// this is the same offer once more.
    pub fn offered(
        &mut self,
        packet: &Packet<'_>,
        source: Ipv4Addr,
        interface: u32,
        session: Session,
        now: Time,
    ) -> Option<Ipv4Addr> {
        if self.offers.len() >= MOST {
            let mut times: Vec<Time> = self.offers.values().map(|offer| offer.at).collect();
            let middle = times.len() / 2;
            let median = *times.select_nth_unstable(middle).1;
            self.offers.retain(|_, offer| offer.at > median);
        }
        let machine = Machine::of(packet, source, interface);
        let before = self.offers.get(&machine).filter(|offer| offer.session == session);
        let address = before.and_then(|offer| offer.address);
        self.offers.insert(machine, Offer { session, at: now, address });
        address
    }

    /// The session of the machine that says here which address it takes, and that address. It counts the first time: who
    /// says so later for it changes nothing.
    pub fn taken(&mut self, packet: &Packet<'_>, received: &Received, now: Time) -> Option<(Session, Ipv4Addr)> {
        if packet.message_type() != message::REQUEST {
            return None;
        }
        let machine = Machine::of(packet, *received.from.ip(), received.interface);
        // Without a relay the client has no address yet and asks everybody: who could say so from elsewhere is refused.
        let by_broadcast = machine.source.is_unspecified() && received.to != received.local;
        if machine.relay.is_unspecified() && !by_broadcast {
            return None;
        }
        let offer = self.offers.get_mut(&machine)?;
        let octets: [u8; 4] = packet.option(code::REQUESTED_ADDRESS)?.array()?;
        let address = Ipv4Addr::from(octets);
        let is_host = !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast();
        if !is_host || now.saturating_sub(offer.at) > LIFE || offer.address.is_some() {
            return None;
        }
        offer.address = Some(address);
        Some((offer.session, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{datagrams, dhcp};
    use crate::wire::name::Name;
    use std::net::SocketAddrV4;

    const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
    const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const RELAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const TAKES: &str = "35 01 03 32 04 0a 4d 00 64 36 04 0a 4d 00 02";

    fn session(n: u32) -> Session {
        Session::split(&Name::fold(format!("SMSImages/A/{n:032x}/x").as_bytes()).unwrap()).unwrap().0
    }

    /// A packet of machine `n` through `relay`.
    fn packet(n: u32, relay: Ipv4Addr, xid: u32, options: &str) -> Vec<u8> {
        let [a, b, c, d] = relay.octets();
        let head = format!(
            "01 01 06 00 {xid:08x} 0000 8000 {} {a:02x}{b:02x}{c:02x}{d:02x} 0200{n:08x} {}",
            "00".repeat(12),
            "00".repeat(10)
        );
        dhcp(&head, b"", b"", &format!("{options} ff"), 300)
    }

    fn received(source: Ipv4Addr, to: Ipv4Addr) -> Received {
        Received { to, ..Received::untold(300, SocketAddrV4::new(source, 68), OURS, 2) }
    }

    /// What a machine that was offered session 1 without a relay says by this packet.
    fn said(bytes: &[u8], received: &Received, now: Time) -> Option<Ipv4Addr> {
        let mut leases = Leases::default();
        let discover = packet(1, NONE, 7, "35 01 01");
        leases.offered(&Packet::parse(&discover).unwrap(), NONE, 2, session(1), 0);
        let (found, address) = leases.taken(&Packet::parse(bytes).unwrap(), received, now)?;
        assert!(found == session(1));
        Some(address)
    }

    #[test]
    fn a_machine_says_which_address_it_takes() {
        let takes = packet(1, NONE, 7, TAKES);
        assert_eq!(said(&takes, &received(NONE, Ipv4Addr::BROADCAST), LIFE), Some(GIVEN));
        assert_eq!(said(&takes, &received(NONE, Ipv4Addr::BROADCAST), LIFE + 1), None);
    }

    #[test]
    fn who_is_elsewhere_or_another_says_nothing_for_it() {
        let everybody = received(NONE, Ipv4Addr::BROADCAST);
        for (bytes, from) in [
            (packet(2, NONE, 7, TAKES), everybody),
            (packet(1, NONE, 8, TAKES), everybody),
            (packet(1, NONE, 7, TAKES), received(NONE, OURS)),
            (packet(1, NONE, 7, TAKES), received(Ipv4Addr::new(10, 9, 9, 9), OURS)),
            (packet(1, NONE, 7, TAKES), received(Ipv4Addr::new(10, 77, 0, 66), Ipv4Addr::BROADCAST)),
            (packet(1, RELAY, 7, TAKES), received(RELAY, OURS)),
            (packet(1, NONE, 7, TAKES), Received { interface: 3, ..everybody }),
            (packet(1, NONE, 7, "35 01 03"), everybody),
            (packet(1, NONE, 7, "35 01 03 32 04 00 00 00 00"), everybody),
            (packet(1, NONE, 7, "35 01 03 32 04 ff ff ff ff"), everybody),
            (packet(1, NONE, 7, "35 01 03 32 04 e0 00 00 01"), everybody),
            (packet(1, NONE, 7, "35 01 08 32 04 0a 4d 00 64"), everybody),
        ] {
            assert_eq!(said(&bytes, &from, 1), None, "{from:?}");
        }
    }

    #[test]
    fn the_first_address_counts_for_an_offer_and_a_new_offer_begins_anew() {
        let mut leases = Leases::default();
        let everybody = received(NONE, Ipv4Addr::BROADCAST);
        let discover = |xid| packet(1, NONE, xid, "35 01 01");
        let offered = |leases: &mut Leases, xid, n| {
            leases.offered(&Packet::parse(&discover(xid)).unwrap(), NONE, 2, session(n), 0)
        };
        let takes = |leases: &mut Leases, xid| {
            leases.taken(&Packet::parse(&packet(1, NONE, xid, TAKES)).unwrap(), &everybody, 1).is_some()
        };
        assert_eq!(offered(&mut leases, 7, 1), None);
        assert!(takes(&mut leases, 7) && !takes(&mut leases, 7));
        assert_eq!(offered(&mut leases, 7, 1), Some(GIVEN), "the same offer");
        assert!(!takes(&mut leases, 7));
        assert_eq!(offered(&mut leases, 7, 2), None, "another session");
        assert!(takes(&mut leases, 7));
        assert_eq!(offered(&mut leases, 8, 1), None, "another boot");
        assert!(takes(&mut leases, 8));
    }

    #[test]
    fn through_a_relay_the_same_relay_counts() {
        let mut leases = Leases::default();
        let discover = packet(1, RELAY, 7, "35 01 01");
        leases.offered(&Packet::parse(&discover).unwrap(), RELAY, 2, session(1), 0);
        let takes = packet(1, RELAY, 7, TAKES);
        let takes = Packet::parse(&takes).unwrap();
        assert!(leases.taken(&takes, &received(Ipv4Addr::new(10, 9, 9, 9), OURS), 1).is_none());
        assert_eq!(leases.taken(&takes, &received(RELAY, OURS), 1).map(|found| found.1), Some(GIVEN));
    }

    #[test]
    fn of_a_flood_of_offers_the_newest_are_remembered() {
        let mut leases = Leases::default();
        for n in 0..20_000u32 {
            let discover = packet(n, NONE, 7, "35 01 01");
            leases.offered(&Packet::parse(&discover).unwrap(), NONE, 2, session(n), Time::from(n));
            assert!(leases.offers.len() <= MOST);
        }
        let takes = packet(19_999, NONE, 7, TAKES);
        let taken = leases.taken(&Packet::parse(&takes).unwrap(), &received(NONE, Ipv4Addr::BROADCAST), 20_000);
        assert!(taken.is_some_and(|(found, _)| found == session(19_999)));
    }

    #[test]
    fn real_firmware_says_so() {
        for pcap in [
            include_bytes!("../../tests/data/pcap/bios.pcap").as_slice(),
            include_bytes!("../../tests/data/pcap/ipxe-rom.pcap"),
            include_bytes!("../../tests/data/pcap/uefi-x64.pcap"),
            include_bytes!("../../tests/data/pcap/uefi-arm64.pcap"),
        ] {
            let mut leases = Leases::default();
            let mut settled = Vec::new();
            for (_, bytes) in datagrams(pcap).into_iter().filter(|(port, _)| *port == 67) {
                let packet = Packet::parse(bytes).unwrap();
                if packet.message_type() == message::DISCOVER {
                    leases.offered(&packet, NONE, 2, session(1), 0);
                }
                settled.extend(leases.taken(&packet, &received(NONE, Ipv4Addr::BROADCAST), 1));
            }
            assert_eq!(settled.len(), 1);
            assert_eq!(settled[0].1.octets()[..3], [10, 77, 0]);
        }
    }
}
