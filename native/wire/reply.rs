//! The one DHCP packet that pxefast sends: a server's reply that gives no address.

use std::net::Ipv4Addr;

use super::dhcp::{code, BOOTREPLY, COOKIE, FILE_AT, SNAME_AT};
use super::value::Value;
use super::writer::Writer;
use super::{Error, What};

/// Every reply is padded to this many bytes: some relays and firmware drop shorter ones (RFC 1542 section 2.1).
pub const MIN_REPLY: usize = 300;
/// What every client must take, in bytes of UDP payload (RFC 2131 section 2).
const MIN_BUDGET: usize = 548;
/// The headers of IP and UDP, in bytes.
const IP_AND_UDP: u16 = 28;
/// What one Ethernet frame carries, in bytes.
const ETHERNET_MTU: u16 = 1500;
/// The fixed part with the cookie, in bytes.
const HEADER: usize = 240;

/// How long a reply may be, in bytes of UDP payload, for a client that sent `option57` (W-8).
///
/// Clients do not agree whether the option counts the headers of IP and UDP, and some name sizes that they
/// do not mean (F-4): so they are taken off, and one Ethernet frame is the most.
pub fn budget(option57: Option<u16>) -> usize {
    let payload = option57.map(|size| size.min(ETHERNET_MTU).saturating_sub(IP_AND_UDP));
    payload.map_or(0, usize::from).max(MIN_BUDGET)
}

/// A reply: `yiaddr` and `hops` are 0, the message type is the first option, options are never overloaded.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    /// The DHCP message type (option 53).
    pub message_type: u8,
    /// The request's hardware type.
    pub htype: u8,
    /// The request's length of the hardware address, in bytes, at most 16.
    pub hlen: u8,
    /// The request's transaction identifier.
    pub xid: u32,
    /// Seconds; 0.
    pub secs: u16,
    /// The flags; 0x8000 makes a relay broadcast (W-11).
    pub flags: u16,
    /// The client's address, if it has one.
    pub ciaddr: Ipv4Addr,
    /// The TFTP server's address.
    pub siaddr: Ipv4Addr,
    /// The request's relay.
    pub giaddr: Ipv4Addr,
    /// The request's field of the hardware address, whole.
    pub chaddr: [u8; 16],
    /// The server's name, at most 63 bytes.
    pub sname: &'a [u8],
    /// The boot file's name, at most 127 bytes.
    pub file: &'a [u8],
    /// Options in the order they go out, without 52, 53 and 82; a value over 255 bytes is split (RFC 3396).
    pub options: &'a [(u8, &'a [u8])],
    /// The request's option 82: copied instance by instance, last (RFC 3046 section 2.2).
    pub relay_agent: Option<Value<'a>>,
}

/// What [`Reply::emit`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The packet's length in bytes.
    pub len: usize,
    /// Option 82 did not fit and is not there (W-50: to be counted).
    pub relay_agent_dropped: bool,
    /// How many options, the last ones first, did not fit.
    pub options_dropped: u8,
}

impl Reply<'_> {
    /// Writes the packet into `buf`, no longer than `budget` bytes.
    ///
    /// What does not fit is left out: first options from the end of the list, but never 54 and 60 and those of a
    /// Windows boot, then option 82 as a whole, for which the options come back.
    pub fn emit(&self, buf: &mut [u8], budget: usize) -> Result<Emitted, Error> {
        self.check()?;
        let limit = budget.min(buf.len());
        let optional = self.options.iter().filter(|(code, _)| is_optional(*code)).count();
        let fitting =
            |reserved: usize| (0..=optional).rev().find(|&kept| self.length(kept).saturating_add(reserved) <= limit);
        let with_relay_agent = self
            .relay_agent
            .as_ref()
            .and_then(|value| fitting(relay_agent_length(value)).map(|kept| (kept, Some(value))));
        let (kept, relay_agent) =
            with_relay_agent.or_else(|| fitting(0).map(|kept| (kept, None))).ok_or(Error::new(What::TooLong, limit))?;

        let mut out = Writer::new(buf);
        self.put_header(&mut out)?;
        put_option(&mut out, code::MESSAGE_TYPE, &[self.message_type])?;
        for (code, value) in self.kept(kept) {
            put_option(&mut out, code, value)?;
        }
        for piece in relay_agent.into_iter().flat_map(Value::pieces) {
            put_option(&mut out, code::RELAY_AGENT, piece)?;
        }
        out.put(&[code::END])?;
        out.zeros_to(MIN_REPLY)?;
        Ok(Emitted {
            len: out.len(),
            relay_agent_dropped: self.relay_agent.is_some() && relay_agent.is_none(),
            options_dropped: u8::try_from(optional.saturating_sub(kept)).unwrap_or(u8::MAX),
        })
    }

    fn check(&self) -> Result<(), Error> {
        if usize::from(self.hlen) > self.chaddr.len() {
            return Err(Error::new(What::BadHardwareLength, 2));
        }
        for (text, at, room) in [(self.sname, SNAME_AT, 64), (self.file, FILE_AT, 128)] {
            if text.len() >= room {
                return Err(Error::new(What::TooLong, at));
            }
        }
        let reserved = [code::PAD, code::OVERLOAD, code::MESSAGE_TYPE, code::RELAY_AGENT, code::END];
        if self.options.iter().any(|(code, _)| reserved.contains(code)) {
            return Err(Error::new(What::Unexpected, HEADER));
        }
        Ok(())
    }

    /// The options when only the first `optional` of those that may be left out are kept.
    fn kept(&self, mut optional: usize) -> impl Iterator<Item = (u8, &[u8])> {
        self.options.iter().copied().filter(move |&(code, _)| {
            let kept = optional > 0 || !is_optional(code);
            optional = optional.saturating_sub(usize::from(is_optional(code)));
            kept
        })
    }

    fn length(&self, kept: usize) -> usize {
        let options = self.kept(kept).map(|(_, value)| encoded(value));
        options.fold(HEADER, usize::saturating_add).saturating_add(encoded(&[0])).saturating_add(1)
    }

    fn put_header(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        out.put(&[BOOTREPLY, self.htype, self.hlen, 0])?;
        out.put(&self.xid.to_be_bytes())?;
        out.put(&self.secs.to_be_bytes())?;
        out.put(&self.flags.to_be_bytes())?;
        for address in [self.ciaddr, Ipv4Addr::UNSPECIFIED, self.siaddr, self.giaddr] {
            out.put(&address.octets())?;
        }
        out.put(&self.chaddr)?;
        out.text(self.sname)?;
        out.zeros_to(FILE_AT)?;
        out.text(self.file)?;
        out.zeros_to(HEADER.saturating_sub(COOKIE.len()))?;
        out.put(&COOKIE)
    }
}

/// A client that gets no 54 or no 60 does not boot (firmware-observed 4), nor does Windows without the paths and
/// orders that it was meant to get; any other is a lack that a client bears.
fn is_optional(code: u8) -> bool {
    !matches!(code, code::SERVER_IDENTIFIER | code::CLASS | code::VARIABLES | code::LOADER | code::BOOT_CONFIGURATION)
}

/// The length of `value` as option instances: each holds at most 255 bytes after its code and length.
fn encoded(value: &[u8]) -> usize {
    let instances = value.len().div_ceil(255).max(1);
    instances.saturating_mul(2).saturating_add(value.len())
}

fn relay_agent_length(value: &Value<'_>) -> usize {
    value.pieces().map(encoded).fold(0, usize::saturating_add)
}

fn put_option(out: &mut Writer<'_>, code: u8, value: &[u8]) -> Result<(), Error> {
    let mut rest = value;
    loop {
        let (piece, next) = rest.split_at_checked(255).unwrap_or((rest, &[]));
        out.put(&[code, u8::try_from(piece.len()).unwrap_or(u8::MAX)])?;
        out.put(piece)?;
        rest = next;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dhcp::{message, Options, Packet};
    use crate::wire::examples::{
        bios_discover, dhcp, hex, request, torment, uefi_request, wdsmgfw_request, MACHINE, OWN,
    };

    const OPTIONS: &str = "35 01 02 36 04 c0 00 02 0a 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff
        3c 09 50 58 45 43 6c 69 65 6e 74 ff";
    const OFFER_HEAD: &str = "02 01 06 00 00 11 22 33 00 00 80 00 00 00 00 00 00 00 00 00 c0 00 02 0a 00 00 00 00";

    fn reply_to<'a>(packet: &Packet<'a>) -> Reply<'a> {
        Reply {
            message_type: message::OFFER,
            htype: packet.htype(),
            hlen: packet.hlen(),
            xid: packet.xid(),
            secs: 0,
            flags: packet.flags(),
            ciaddr: packet.ciaddr(),
            siaddr: OWN,
            giaddr: packet.giaddr(),
            chaddr: *packet.chaddr(),
            sname: b"",
            file: b"",
            options: &[],
            relay_agent: packet.option(code::RELAY_AGENT),
        }
    }

    fn emit(reply: &Reply<'_>, budget: usize) -> (Vec<u8>, Emitted) {
        let mut buf = [0xEE; 1500];
        let emitted = reply.emit(&mut buf, budget).unwrap();
        (buf[..emitted.len].to_vec(), emitted)
    }

    /// The reply, made from `bytes` and changed by `change`, is exactly `expected`.
    fn assert_reply(bytes: &[u8], change: impl Fn(&mut Reply<'_>), options: &[(u8, &[u8])], expected: &[u8]) {
        let packet = Packet::parse(bytes).unwrap();
        let mut reply = Reply { options, ..reply_to(&packet) };
        change(&mut reply);
        let (bytes, emitted) = emit(&reply, 548);
        assert_eq!(bytes, expected);
        assert_eq!((emitted.relay_agent_dropped, emitted.options_dropped), (false, 0));
    }

    #[test]
    fn offers_in_microsofts_shape() {
        let options: [(u8, &[u8]); 3] = [(54, &[192, 0, 2, 10]), (97, &hex(MACHINE)), (60, b"PXEClient")];
        assert_reply(&bios_discover(), |_| {}, &options, &dhcp(OFFER_HEAD, b"", b"", OPTIONS, 300));
    }

    #[test]
    fn offers_in_direct_shape() {
        let machine = hex(MACHINE);
        let options: [(u8, &[u8]); 4] =
            [(54, &[192, 0, 2, 10]), (60, b"PXEClient"), (97, &machine), (43, &[6, 1, 8, 255])];
        let expected = dhcp(
            OFFER_HEAD,
            b"192.0.2.10",
            b"smsboot\\x64\\wdsnbp.com",
            "35 01 02 36 04 c0 00 02 0a 3c 09 50 58 45 43 6c 69 65 6e 74 61 11 00 33 22 11 00 55
             44 77 66 88 99 aa bb cc dd ee ff 2b 04 06 01 08 ff ff",
            300,
        );
        let names = |reply: &mut Reply<'_>| {
            reply.sname = b"192.0.2.10";
            reply.file = b"smsboot\\x64\\wdsnbp.com";
        };
        assert_reply(&bios_discover(), names, &options, &expected);
    }

    #[test]
    fn acknowledges_the_firmwares_request() {
        let machine = hex(MACHINE);
        let options: [(u8, &[u8]); 3] = [(54, &[192, 0, 2, 10]), (97, &machine), (60, b"PXEClient")];
        let expected = dhcp(
            "02 01 06 00 5a 5a 00 01 00 00 00 00 c0 00 02 32 00 00 00 00 c0 00 02 0a 00 00 00 00",
            b"192.0.2.10",
            b"smsboot\\x64\\wdsmgfw.efi",
            &OPTIONS.replacen("35 01 02", "35 01 05", 1),
            300,
        );
        let acknowledge = |reply: &mut Reply<'_>| {
            reply.message_type = message::ACK;
            reply.sname = b"192.0.2.10";
            reply.file = b"smsboot\\x64\\wdsmgfw.efi";
        };
        assert_reply(&uefi_request(), acknowledge, &options, &expected);
    }

    #[test]
    fn acknowledges_wdsmgfw_with_the_paths_of_its_store_and_variables() {
        let machine = hex(MACHINE);
        let options: [(u8, &[u8]); 5] = [
            (54, &[192, 0, 2, 10]),
            (97, &machine),
            (60, b"PXEClient"),
            (243, b"\x01\x1a\\SMSTemp\\0001.{0}.boot.var"),
            (252, b"\\SMSTemp\\0001.{0}.boot.bcd\0"),
        ];
        let expected = dhcp(
            "02 01 06 00 40 e2 01 00 00 00 00 00 c0 00 02 32 00 00 00 00 c0 00 02 0a 00 00 00 00",
            b"192.0.2.10",
            b"smsboot\\x64\\bootmgfw.efi",
            "35 01 05 36 04 c0 00 02 0a 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff
             3c 09 50 58 45 43 6c 69 65 6e 74 f3 1c 01 1a 5c 53 4d 53 54 65 6d 70 5c 30 30 30 31 2e 7b 30 7d
             2e 62 6f 6f 74 2e 76 61 72 fc 1b 5c 53 4d 53 54 65 6d 70 5c 30 30 30 31 2e 7b 30 7d 2e 62 6f 6f
             74 2e 62 63 64 00 ff",
            339,
        );
        let acknowledge = |reply: &mut Reply<'_>| {
            reply.message_type = message::ACK;
            reply.sname = b"192.0.2.10";
            reply.file = b"smsboot\\x64\\bootmgfw.efi";
        };
        assert_reply(&wdsmgfw_request(), acknowledge, &options, &expected);
    }

    #[test]
    fn offers_a_url_to_http_boot() {
        let url = b"http://192.0.2.10/efi/boot/bootx64.efi";
        let options: [(u8, &[u8]); 3] = [(54, &[192, 0, 2, 10]), (60, b"HTTPClient"), (67, url)];
        let expected = dhcp(
            &format!("02 01 06 00 00 11 22 44 00 00 80 00 {}", "00".repeat(16)),
            b"",
            b"",
            "35 01 02 36 04 c0 00 02 0a 3c 0a 48 54 54 50 43 6c 69 65 6e 74 43 26 68 74 74 70 3a
             2f 2f 31 39 32 2e 30 2e 32 2e 31 30 2f 65 66 69 2f 62 6f 6f 74 2f 62 6f 6f 74 78 36 34 2e 65 66
             69 ff",
            302,
        );
        assert_reply(&request("35 01 01 ff"), |reply| reply.siaddr = Ipv4Addr::UNSPECIFIED, &options, &expected);
    }

    #[test]
    fn option_82_goes_back_instance_by_instance_and_last() {
        let agent = "52 02 01 00 3d 01 09 52 00 52 03 02 01 07";
        let bytes = request(&format!("35 01 01 {agent} ff"));
        let packet = Packet::parse(&bytes).unwrap();
        let (bytes, _) = emit(&Reply { options: &[(60, b"PXEClient")], ..reply_to(&packet) }, 548);
        let codes: Vec<_> =
            Packet::parse(&bytes).unwrap().options().map(|(code, value)| (code, value.to_vec())).collect();
        let expected =
            [(53, vec![2]), (60, b"PXEClient".to_vec()), (82, vec![1, 0]), (82, vec![]), (82, vec![2, 1, 7])];
        assert_eq!(codes, expected);
    }

    #[test]
    fn long_values_are_split() {
        let long = [b'x'; 300];
        let packet = request("35 01 01 ff");
        let packet = Packet::parse(&packet).unwrap();
        for (length, pieces) in [(0, &[0][..]), (255, &[255]), (256, &[255, 1]), (300, &[255, 45])] {
            let (bytes, _) = emit(&Reply { options: &[(252, &long[..length])], ..reply_to(&packet) }, 1472);
            let reply = Packet::parse(&bytes).unwrap();
            assert!(reply.option(252).unwrap().pieces().map(<[u8]>::len).eq(pieces.iter().copied()));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_from_the_end_but_never_54_60_or_a_part_of_82() {
        let bytes = request(&format!("35 01 01 52 1e {} ff", "07".repeat(30)));
        let packet = Packet::parse(&bytes).unwrap();
        let options: [(u8, &[u8]); 4] = [(97, &[1; 17]), (54, &[2; 4]), (43, &[3; 100]), (60, b"PXEClient")];
        let reply = Reply { options: &options, ..reply_to(&packet) };
        // 240 and 53 and the end; 97; 54; 43; 60; 82
        let all = 240 + 3 + 1 + 19 + 6 + 102 + 11 + 32;
        for (budget, codes, agent_dropped, options_dropped) in [
            (all, &[53, 97, 54, 43, 60, 82][..], false, 0),
            (all - 1, &[53, 97, 54, 60, 82], false, 1),
            (all - 102, &[53, 97, 54, 60, 82], false, 1),
            (all - 103, &[53, 54, 60, 82], false, 2),
            (all - 102 - 19, &[53, 54, 60, 82], false, 2),
            (all - 102 - 20, &[53, 97, 54, 60], true, 1),
            (240 + 3 + 1 + 6 + 11, &[53, 54, 60], true, 2),
        ] {
            let (bytes, emitted) = emit(&reply, budget);
            let sent = Packet::parse(&bytes).unwrap();
            assert_eq!(sent.options().map(|(code, _)| code).collect::<Vec<_>>(), codes, "budget {budget}");
            assert_eq!((emitted.relay_agent_dropped, emitted.options_dropped), (agent_dropped, options_dropped));
            assert!(bytes.len() <= budget.max(MIN_REPLY));
        }
        // An option of no bytes takes two.
        let bare = Reply { options: &[(43, &[3; 100]), (80, b"")], relay_agent: None, ..reply.clone() };
        let all = 240 + 3 + 1 + 102 + 2;
        assert_eq!([all, all - 1].map(|budget| emit(&bare, budget).1.options_dropped), [0, 1]);
        let error = reply.emit(&mut [0; 1500], 260).unwrap_err();
        assert_eq!(error, Error::new(What::TooLong, 260));
    }

    #[test]
    fn the_budget_is_what_every_client_takes_or_a_frame() {
        for (option57, expected) in [
            (None, 548),
            (Some(0), 548),
            (Some(64), 548),
            (Some(576), 548),
            (Some(577), 549),
            (Some(1260), 1232),
            (Some(1472), 1444),
            (Some(1500), 1472),
            (Some(0xff00), 1472),
            (Some(65535), 1472),
        ] {
            assert_eq!(budget(option57), expected, "{option57:?}");
        }
    }

    #[test]
    fn refuses_to_write_what_no_client_could_read() {
        let packet = request("35 01 01 ff");
        let packet = Packet::parse(&packet).unwrap();
        let error = |change: &dyn Fn(&mut Reply<'_>)| {
            let mut reply = reply_to(&packet);
            change(&mut reply);
            let error = reply.emit(&mut [0; 600], 548).unwrap_err();
            (error.what, error.at)
        };
        assert_eq!(error(&|reply| reply.hlen = 17), (What::BadHardwareLength, 2));
        assert_eq!(error(&|reply| reply.sname = &[b'x'; 64]), (What::TooLong, 44));
        assert_eq!(error(&|reply| reply.file = &[b'x'; 128]), (What::TooLong, 108));
        assert_eq!(error(&|reply| reply.file = b"a\0b"), (What::Unexpected, 108));
        for code in [0, 52, 53, 82, 255] {
            let options: [(u8, &[u8]); 1] = [(code, b"x")];
            let error = Reply { options: &options, ..reply_to(&packet) }.emit(&mut [0; 600], 548).unwrap_err();
            assert_eq!(error, Error::new(What::Unexpected, 240), "option {code}");
        }
        let mut longest = Reply { sname: &[b's'; 63], file: &[b'f'; 127], ..reply_to(&packet) };
        assert_eq!(longest.emit(&mut [0; 299], 548).unwrap_err().what, What::NoRoom);
        longest.relay_agent = Some(Value::whole(b"\x01\0"));
        let (bytes, _) = emit(&longest, 548);
        let reply = Packet::parse(&bytes).unwrap();
        assert_eq!((reply.sname(), reply.file()), (&[b's'; 63][..], &[b'f'; 127][..]));
    }

    #[test]
    fn whatever_option_82_comes_in_goes_out_the_same() {
        let bytes = request(&format!("35 01 01 52 1c 01 06 {} 52 03 05 04 c6 3d 01 01 52 00 ff", "61".repeat(26)));
        torment(&[bytes], |bytes| {
            let Ok(packet) = Packet::parse(bytes) else { return };
            let mut buf = [0; 1500];
            let emitted = reply_to(&packet).emit(&mut buf, 1472).unwrap();
            assert!(!emitted.relay_agent_dropped);
            let sent = Packet::parse(&buf[..emitted.len]).unwrap();
            let agent = |options: Options<'_>| {
                options.filter(|(code, _)| *code == 82).map(|(_, piece)| piece.to_vec()).collect::<Vec<_>>()
            };
            assert_eq!(agent(sent.options()), agent(packet.options()));
        });
    }
}
