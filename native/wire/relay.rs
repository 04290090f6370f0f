//! The relay agent's information, option 82 (RFC 3046): read for what it says, echoed as it came.

use std::net::Ipv4Addr;

use super::dhcp::{code, Packet};
use super::value::{Layout, SubOptions, Value};

const LINK_SELECTION: u8 = 5;
const RELAY_SOURCE_PORT: u8 = 19;

/// Option 82 of a request.
#[derive(Clone, Debug)]
pub struct RelayAgent<'a> {
    value: Value<'a>,
}

impl<'a> RelayAgent<'a> {
    /// What relays or switches put into `packet`.
    pub fn of(packet: &Packet<'a>) -> Option<Self> {
        packet.option(code::RELAY_AGENT).map(|value| Self { value })
    }

    /// The option itself, for [`Reply::relay_agent`](super::reply::Reply::relay_agent).
    pub const fn value(&self) -> &Value<'a> {
        &self.value
    }

    /// Its sub-options, in order.
    pub fn sub_options(&self) -> SubOptions<'a> {
        SubOptions::of(Some(&self.value), Layout::Plain)
    }

    /// Must the answer go to the UDP port that the relay sent from, not 67 (RFC 8357)?
    pub fn relay_source_port(&self) -> bool {
        self.sub_options().get(RELAY_SOURCE_PORT).is_some_and(|value| value.is_empty())
    }

    /// The client's subnet where it is not the relay's `giaddr` (RFC 3527).
    pub fn link_selection(&self) -> Option<Ipv4Addr> {
        self.sub_options().get(LINK_SELECTION)?.array::<4>().map(Ipv4Addr::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::request;

    fn with(option: &str, check: impl Fn(RelayAgent<'_>)) {
        let bytes = request(&format!("35 01 01 {option} ff"));
        check(RelayAgent::of(&Packet::parse(&bytes).unwrap()).unwrap());
    }

    // E-7
    #[test]
    fn reads_what_the_relay_says() {
        with("52 1c 01 06 47 69 30 2f 31 32 02 06 02 00 00 11 22 33 05 04 c6 33 64 00 0b 04 c6 33 64 01", |agent| {
            let codes: Vec<_> = agent.sub_options().map(|(code, value)| (code, value.len())).collect();
            assert_eq!(codes, [(1, 6), (2, 6), (5, 4), (11, 4)]);
            assert!(agent.sub_options().get(1).unwrap().bytes().eq(*b"Gi0/12"));
            assert_eq!(agent.link_selection(), Some(Ipv4Addr::new(198, 51, 100, 0)));
            assert!(!agent.relay_source_port());
            assert_eq!(agent.value().len(), 28);
        });
    }

    #[test]
    fn a_relay_that_wants_its_own_port_sends_an_empty_sub_option() {
        with("52 04 01 00 13 00", |agent| assert!(agent.relay_source_port()));
        with("52 03 13 01 07", |agent| assert!(!agent.relay_source_port()));
        with("52 00", |agent| assert_eq!(agent.link_selection(), None));
        with("52 04 05 02 c6 33", |agent| assert_eq!(agent.link_selection(), None));
    }

    #[test]
    fn a_packet_without_option_82_has_no_relay_agent() {
        assert!(RelayAgent::of(&Packet::parse(&request("35 01 01 ff")).unwrap()).is_none());
    }
}
