//! Which packets are a question to us; all others are dropped with a name to count them by.

use std::net::Ipv4Addr;

use super::dhcp::{code, message, Packet};
use super::pxe::{ClientClass, Reading};

/// More relays than this on the way is a loop (W-55).
const MAX_HOPS: u8 = 16;
/// The bit of a boot item's layer that asks for signed credentials, which nobody here has (W-33).
const WANTS_CREDENTIALS: u16 = 0x8000;

/// The boot item that a client looks for by asking everybody, type and layer, and that is ours: the bootstrap (W-33). No
/// server here announces another one.
const BOOTSTRAP: (u16, u16) = (0, 0);

/// The port that a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// UDP 67, where DHCP servers and ProxyDHCP listen.
    Dhcp67,
    /// UDP 4011, the PXE boot server's.
    Boot4011,
}

/// What the client wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Who serves PXE here: the answer is an OFFER.
    Discover,
    /// What it shall boot: the answer is an ACK.
    Request,
}

names! {
    /// Why a packet is no question to us.
    pub enum Drop {
        /// It is a server's reply.
        ReplyOp => "reply_op",
        /// Its vendor class is not a boot client's.
        NotPxe => "not_pxe",
        /// It wants HTTP Boot, which is not served.
        HttpClient => "http_client",
        /// It passed more than 16 relays.
        Hops => "hops",
        /// It is not Ethernet, or says nowhere which machine it is.
        Hardware => "hardware",
        /// Its message type is none that is answered at this port.
        MessageType => "message_type",
        /// It names another server.
        ServerIdentifier => "server_identifier",
        /// It wants a boot item with credentials (BIS).
        BootItemLayer => "boot_item_layer",
        /// It wants another server's boot item.
        BootItem => "boot_item",
        /// It holds option 82, but no relay's address.
        RelayAgentWithoutGiaddr => "relay_agent_without_giaddr",
    }
}

/// What `packet` asks of the server whose address on its interface is `own` (W-16, W-17).
///
/// At port 67 option 82 without a relay's address is refused unless `accept_82_without_giaddr`: some
/// networks have switches that insert it (W-50). At 4011 no relay takes part and 82 is never judged (W-51).
///
/// # Errors
/// Why it is no question to us.
pub fn asks(
    packet: &Packet<'_>,
    reading: &Reading<'_>,
    door: Door,
    own: Ipv4Addr,
    accept_82_without_giaddr: bool,
) -> Result<Ask, Drop> {
    if !packet.is_request() {
        return Err(Drop::ReplyOp);
    }
    match reading.class {
        Some(ClientClass::Pxe) => {}
        Some(ClientClass::Http) => return Err(Drop::HttpClient),
        None => return Err(Drop::NotPxe),
    }
    if packet.hops() > MAX_HOPS {
        return Err(Drop::Hops);
    }
    if !has_identity(packet, reading) {
        return Err(Drop::Hardware);
    }
    let ask = match (door, packet.message_type()) {
        (_, message::DISCOVER) => Ask::Discover,
        // On port 67 everybody hears a REQUEST; only boot server discovery is for PXE servers (F-13).
        (Door::Dhcp67, message::REQUEST | message::INFORM) if reading.boot_item.is_some() => Ask::Request,
        (Door::Boot4011, message::REQUEST | message::INFORM) => Ask::Request,
        _ => return Err(Drop::MessageType),
    };
    if ask == Ask::Request {
        if names_another_server(packet, own) {
            return Err(Drop::ServerIdentifier);
        }
        if reading.boot_item.is_some_and(|(_, layer)| layer & WANTS_CREDENTIALS != 0) {
            return Err(Drop::BootItemLayer);
        }
        // At 4011 the client asks the server whose address its menu named; at 67 it asks whoever has the item.
        if door == Door::Dhcp67 && reading.boot_item.is_some_and(|item| item != BOOTSTRAP) {
            return Err(Drop::BootItem);
        }
    }
    let direct = door == Door::Dhcp67 && packet.giaddr().is_unspecified();
    if direct && !accept_82_without_giaddr && packet.option(code::RELAY_AGENT).is_some() {
        return Err(Drop::RelayAgentWithoutGiaddr);
    }
    Ok(ask)
}

/// A MAC, or where firmware put its GUID into the hardware address, at least that GUID in option 97 (W-3).
fn has_identity(packet: &Packet<'_>, reading: &Reading<'_>) -> bool {
    reading.mac().is_some() || (packet.htype() == 1 && packet.hlen() == 16 && reading.guid.is_some())
}

fn names_another_server(packet: &Packet<'_>, own: Ipv4Addr) -> bool {
    packet.option(code::SERVER_IDENTIFIER).is_some_and(|server| !server.is(&own.octets()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{
        bios_discover, datagrams, dhcp, uefi_discover, uefi_request, wdsmgfw_request, MACHINE, OWN,
    };
    use Door::{Boot4011, Dhcp67};

    const CLASS: &str = "3c 09 50 58 45 43 6c 69 65 6e 74";
    const ITEM: &str = "2b 07 47 04 00 00 00 00 ff";

    fn judge(bytes: &[u8], door: Door, own: Ipv4Addr) -> Result<Ask, Drop> {
        let packet = Packet::parse(bytes).unwrap();
        asks(&packet, &Reading::of(&packet), door, own, false)
    }

    /// A request of this op, hardware type, hardware length and hops.
    fn packet(head: &str, options: &str) -> Vec<u8> {
        dhcp(&format!("{head} 00 11 22 33 {}", "00".repeat(20)), b"", b"", &format!("{options} ff"), 400)
    }

    fn of_type(message_type: u8, options: &str) -> Vec<u8> {
        packet("01 01 06 00", &format!("35 01 {message_type:02x} {CLASS} {options}"))
    }

    #[test]
    fn the_examples_are_questions() {
        assert_eq!(judge(&bios_discover(), Dhcp67, OWN), Ok(Ask::Discover));
        assert_eq!(judge(&uefi_discover(), Dhcp67, OWN), Ok(Ask::Discover));
        assert_eq!(judge(&uefi_request(), Boot4011, OWN), Ok(Ask::Request));
        assert_eq!(judge(&wdsmgfw_request(), Boot4011, OWN), Ok(Ask::Request));
    }

    #[test]
    fn at_4011_discover_request_and_inform_are_answered() {
        for (message_type, expected) in [
            (1, Ok(Ask::Discover)),
            (3, Ok(Ask::Request)),
            (8, Ok(Ask::Request)),
            (4, Err(Drop::MessageType)),
            (7, Err(Drop::MessageType)),
            (2, Err(Drop::MessageType)),
            (0, Err(Drop::MessageType)),
            (255, Err(Drop::MessageType)),
        ] {
            assert_eq!(judge(&of_type(message_type, ""), Boot4011, OWN), expected, "type {message_type}");
        }
    }

    #[test]
    fn at_67_only_a_discover_or_boot_server_discovery_is_answered() {
        assert_eq!(judge(&of_type(3, ""), Dhcp67, OWN), Err(Drop::MessageType));
        assert_eq!(judge(&of_type(3, "36 04 c0 00 02 0a"), Dhcp67, OWN), Err(Drop::MessageType));
        assert_eq!(judge(&of_type(8, ""), Dhcp67, OWN), Err(Drop::MessageType));
        assert_eq!(judge(&of_type(7, ITEM), Dhcp67, OWN), Err(Drop::MessageType));
        for message_type in [3, 8] {
            assert_eq!(judge(&of_type(message_type, ITEM), Dhcp67, OWN), Ok(Ask::Request));
            assert_eq!(
                judge(&of_type(message_type, &format!("{ITEM} 36 04 c0 00 02 0a")), Dhcp67, OWN),
                Ok(Ask::Request)
            );
        }
    }

    #[test]
    fn a_request_that_names_another_server_is_not_for_us() {
        for door in [Dhcp67, Boot4011] {
            for other in ["36 04 c0 00 02 01", "36 03 c0 00 02", "36 00"] {
                let bytes = of_type(3, &format!("{ITEM} {other}"));
                assert_eq!(judge(&bytes, door, OWN), Err(Drop::ServerIdentifier), "{other}");
            }
        }
        assert_eq!(judge(&of_type(3, "36 04 c0 00 02 0a"), Boot4011, OWN), Ok(Ask::Request));
    }

    #[test]
    fn a_boot_item_with_credentials_is_left_unanswered() {
        for door in [Dhcp67, Boot4011] {
            assert_eq!(judge(&of_type(3, "2b 07 47 04 00 01 80 00 ff"), door, OWN), Err(Drop::BootItemLayer));
        }
    }

    // W-33
    #[test]
    fn a_boot_item_of_another_servers_menu_is_ours_only_where_the_menu_named_our_address() {
        for item in ["00 01 00 00", "00 08 00 00", "80 00 00 00", "80 01 00 00", "ff ff 00 00", "00 00 00 01"] {
            for message_type in [3, 8] {
                let bytes = of_type(message_type, &format!("2b 07 47 04 {item} ff"));
                assert_eq!(judge(&bytes, Dhcp67, OWN), Err(Drop::BootItem), "{item}");
                assert_eq!(judge(&bytes, Boot4011, OWN), Ok(Ask::Request), "{item}");
            }
        }
    }

    #[test]
    fn only_pxe_clients_are_heard() {
        let packet = |options: &str| judge(&packet("01 01 06 00", &format!("35 01 01 {options}")), Dhcp67, OWN);
        assert_eq!(packet(""), Err(Drop::NotPxe));
        assert_eq!(packet("3c 08 4d 53 46 54 20 35 2e 30"), Err(Drop::NotPxe));
        assert_eq!(packet("3c 0a 48 54 54 50 43 6c 69 65 6e 74"), Err(Drop::HttpClient));
    }

    #[test]
    fn replies_loops_and_unknown_hardware_are_dropped() {
        let guid = format!("61 11 {MACHINE}");
        let nil = format!("61 11 {}", "00".repeat(17));
        for (head, options, expected) in [
            ("02 01 06 00", "", Err(Drop::ReplyOp)),
            ("01 01 06 10", "", Ok(Ask::Discover)),
            ("01 01 06 11", "", Err(Drop::Hops)),
            ("01 06 06 00", guid.as_str(), Err(Drop::Hardware)),
            ("01 20 00 00", guid.as_str(), Err(Drop::Hardware)),
            ("01 01 00 00", guid.as_str(), Err(Drop::Hardware)),
            ("01 01 07 00", guid.as_str(), Err(Drop::Hardware)),
            ("01 01 10 00", "", Err(Drop::Hardware)),
            ("01 01 10 00", nil.as_str(), Err(Drop::Hardware)),
            ("01 01 10 00", guid.as_str(), Ok(Ask::Discover)),
            ("01 01 10 00", "3d 07 01 02 00 00 11 22 33", Ok(Ask::Discover)),
        ] {
            assert_eq!(
                judge(&packet(head, &format!("35 01 01 {CLASS} {options}")), Dhcp67, OWN),
                expected,
                "{head} {options}"
            );
        }
    }

    #[test]
    fn option_82_comes_with_a_relay_unless_the_network_says_otherwise() {
        let bytes = of_type(1, "52 02 01 00");
        assert_eq!(judge(&bytes, Dhcp67, OWN), Err(Drop::RelayAgentWithoutGiaddr));
        assert_eq!(judge(&bytes, Boot4011, OWN), Ok(Ask::Discover));
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(asks(&packet, &Reading::of(&packet), Dhcp67, OWN, true), Ok(Ask::Discover));
        let mut relayed = bytes;
        relayed[24..28].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(judge(&relayed, Dhcp67, OWN), Ok(Ask::Discover));
    }

    /// What a PXE server at `own` makes of a capture: asks, then drops by name.
    fn tally(pcap: &[u8], own: [u8; 4]) -> (usize, usize, Vec<&'static str>) {
        let (mut discovers, mut requests, mut drops) = (0, 0, Vec::new());
        for (port, payload) in datagrams(pcap) {
            let door = match port {
                67 => Dhcp67,
                4011 => Boot4011,
                _ => continue,
            };
            match judge(payload, door, own.into()) {
                Ok(Ask::Discover) => discovers += 1,
                Ok(Ask::Request) => requests += 1,
                Err(drop) => drops.push(drop.name()),
            }
        }
        drops.sort_unstable();
        drops.dedup();
        (discovers, requests, drops)
    }

    #[test]
    fn of_real_firmwares_packets_just_the_questions_are_taken() {
        macro_rules! capture {
            ($name:literal) => {
                include_bytes!(concat!("../../tests/data/pcap/", $name, ".pcap"))
            };
        }
        let server = [10, 77, 0, 3];
        assert_eq!(tally(capture!("bios"), server), (1, 1, vec!["message_type"]));
        assert_eq!(tally(capture!("uefi-x64"), server), (1, 1, vec!["message_type", "reply_op"]));
        assert_eq!(tally(capture!("ipxe-rom"), server), (1, 0, vec!["message_type"]));
        assert_eq!(tally(capture!("uefi-arm64-relay-server"), server), (2, 1, vec!["message_type", "reply_op"]));
        assert_eq!(tally(capture!("uefi-x64-http"), server), (1, 0, vec!["http_client", "message_type"]));
        // Here the DHCP server has the same address as the PXE server (F-41).
        assert_eq!(tally(capture!("bios-same-host"), server), (1, 2, vec!["message_type"]));
        assert_eq!(tally(capture!("uefi-ia32-same-host"), server), (1, 1, vec!["message_type", "reply_op"]));
    }
}
