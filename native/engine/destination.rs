//! Where an answer goes (RFC 2131 §4.1, RFC 8357; W-11, W-12, T10, F-20).

use std::net::{Ipv4Addr, SocketAddrV4};

/// The port of DHCP servers and relays.
const SERVER: u16 = 67;
/// The port of DHCP clients.
const CLIENT: u16 = 68;

/// What of a request decides where its answer goes.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// It came to the boot server port (4011), not to DHCP's.
    pub boot_server: bool,
    /// Its source.
    pub from: SocketAddrV4,
    /// Our address that it came to.
    pub local: Ipv4Addr,
    /// The relay's address, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The client's own address, or 0.0.0.0.
    pub ciaddr: Ipv4Addr,
    /// The relay wants its own source port back (option 82, sub-option 19).
    pub relay_port: bool,
}

/// Where the answer goes; `None` where no honest client or relay could be: it would only hit a bystander.
pub fn destination(asked: &Asked) -> Option<SocketAddrV4> {
    let Asked { from, giaddr, ciaddr, .. } = *asked;
    if asked.boot_server {
        let from_client = !from.ip().is_unspecified();
        return match (from_client, ciaddr.is_unspecified()) {
            (true, _) => Some(from),
            (false, false) => Some(SocketAddrV4::new(ciaddr, CLIENT)),
            (false, true) => Some(SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT)),
        };
    }
    if !giaddr.is_unspecified() {
        let plausible =
            is_unicast(giaddr) && giaddr != asked.local && giaddr.is_loopback() == asked.local.is_loopback();
        return plausible.then(|| SocketAddrV4::new(giaddr, if asked.relay_port { from.port() } else { SERVER }));
    }
    // Loopback has no broadcast; who asks over it listens where it asked from.
    if from.ip().is_loopback() {
        return Some(from);
    }
    if !ciaddr.is_unspecified() {
        return is_unicast(ciaddr).then(|| SocketAddrV4::new(ciaddr, CLIENT));
    }
    Some(SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT))
}

fn is_unicast(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 224
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn asked(from: &str, giaddr: &str, ciaddr: &str) -> Asked {
        Asked {
            boot_server: false,
            from: from.parse().unwrap(),
            local: address("192.0.2.10"),
            giaddr: address(giaddr),
            ciaddr: address(ciaddr),
            relay_port: false,
        }
    }

    fn goes(asked: &Asked) -> Option<String> {
        destination(asked).map(|to| to.to_string())
    }

    #[test]
    fn a_relayed_request_is_answered_to_the_relay_and_its_port() {
        let mut relayed = asked("198.51.100.1:1067", "198.51.100.1", "0.0.0.0");
        assert_eq!(goes(&relayed).unwrap(), "198.51.100.1:67");
        relayed.relay_port = true;
        assert_eq!(goes(&relayed).unwrap(), "198.51.100.1:1067");
    }

    #[test]
    fn a_client_without_address_is_answered_by_broadcast_and_one_with_address_there() {
        assert_eq!(goes(&asked("0.0.0.0:68", "0.0.0.0", "0.0.0.0")).unwrap(), "255.255.255.255:68");
        assert_eq!(goes(&asked("192.0.2.50:68", "0.0.0.0", "192.0.2.50")).unwrap(), "192.0.2.50:68");
        assert_eq!(goes(&asked("127.0.0.1:5000", "0.0.0.0", "0.0.0.0")).unwrap(), "127.0.0.1:5000");
    }

    #[test]
    fn port_4011_answers_the_source_address_and_port_never_ciaddr_or_giaddr() {
        let mut request = asked("192.0.2.50:4011", "203.0.113.9", "203.0.113.8");
        request.boot_server = true;
        assert_eq!(goes(&request).unwrap(), "192.0.2.50:4011");
        request.from = "0.0.0.0:68".parse().unwrap();
        assert_eq!(goes(&request).unwrap(), "203.0.113.8:68");
        request.ciaddr = Ipv4Addr::UNSPECIFIED;
        assert_eq!(goes(&request).unwrap(), "255.255.255.255:68");
    }

    #[test]
    fn an_impossible_relay_address_gets_no_answer() {
        for giaddr in ["255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.7", "192.0.2.10", "240.0.0.1"] {
            assert_eq!(goes(&asked("198.51.100.1:67", giaddr, "0.0.0.0")), None, "{giaddr}");
        }
    }
}
