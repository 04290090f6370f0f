//! A BOOTP/DHCP packet (RFC 951, 2131), its options (RFC 2132), overloaded and split ones resolved (RFC 3396).

use std::net::Ipv4Addr;

use super::cursor::Cursor;
use super::value::Value;
use super::{Error, What};

pub use super::reply::{budget, Emitted, Reply};

/// The op of a client's packet.
pub const BOOTREQUEST: u8 = 1;
/// The op of a server's packet.
pub const BOOTREPLY: u8 = 2;
/// What stands before the options.
pub const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Codes of options that pxefast reads or writes (RFC 2132 and the RFC named).
pub mod code {
    /// Fills, and has no length.
    pub const PAD: u8 = 0;
    /// Vendor-specific information; PXE's sub-options.
    pub const VENDOR: u8 = 43;
    /// The address that a client takes (RFC 2132 section 9.1).
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// Option overload: `file`, `sname` or both hold options.
    pub const OVERLOAD: u8 = 52;
    /// DHCP message type.
    pub const MESSAGE_TYPE: u8 = 53;
    /// Server identifier.
    pub const SERVER_IDENTIFIER: u8 = 54;
    /// Maximum DHCP message size.
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    /// Vendor class identifier.
    pub const CLASS: u8 = 60;
    /// Client identifier.
    pub const CLIENT_IDENTIFIER: u8 = 61;
    /// User class (RFC 3004).
    pub const USER_CLASS: u8 = 77;
    /// Relay agent information (RFC 3046).
    pub const RELAY_AGENT: u8 = 82;
    /// Client system architecture (RFC 4578).
    pub const ARCHITECTURE: u8 = 93;
    /// Client network interface, UNDI (RFC 4578).
    pub const INTERFACE: u8 = 94;
    /// Client machine identifier, GUID (RFC 4578).
    pub const MACHINE: u8 = 97;
    /// iPXE's encapsulated options.
    pub const IPXE: u8 = 175;
    /// Path of the media variables file (Configuration Manager).
    pub const VARIABLES: u8 = 243;
    /// What a Windows loader and its server tell each other.
    pub const LOADER: u8 = 250;
    /// Path of the boot configuration data (BCD).
    pub const BOOT_CONFIGURATION: u8 = 252;
    /// Ends a field, and has no length.
    pub const END: u8 = 255;
}

/// DHCP message types (RFC 2132 section 9.6).
pub mod message {
    /// DHCPDISCOVER
    pub const DISCOVER: u8 = 1;
    /// DHCPOFFER
    pub const OFFER: u8 = 2;
    /// DHCPREQUEST
    pub const REQUEST: u8 = 3;
    /// DHCPACK
    pub const ACK: u8 = 5;
    /// DHCPINFORM
    pub const INFORM: u8 = 8;
}

/// Where `sname` and `file` begin, in bytes from the packet's start.
pub(super) const SNAME_AT: usize = 44;
pub(super) const FILE_AT: usize = 108;

/// A DHCP packet, borrowed from the datagram it came in.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    op: u8,
    htype: u8,
    hlen: u8,
    hops: u8,
    xid: u32,
    secs: u16,
    flags: u16,
    ciaddr: Ipv4Addr,
    yiaddr: Ipv4Addr,
    siaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    chaddr: &'a [u8; 16],
    sname: &'a [u8; 64],
    file: &'a [u8; 128],
    options: Cursor<'a>,
    overload: u8,
    message_type: u8,
}

impl<'a> Packet<'a> {
    /// Reads one datagram, a client's or a server's.
    ///
    /// An option that runs past its field ends that field. The packet is refused only if a message type,
    /// vendor class or architecture (53, 60, 93) is lost by it or may be.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        let mut packet = Self {
            op: cursor.u8()?,
            htype: cursor.u8()?,
            hlen: cursor.u8()?,
            hops: cursor.u8()?,
            xid: cursor.u32()?,
            secs: cursor.u16()?,
            flags: cursor.u16()?,
            ciaddr: cursor.array()?.into(),
            yiaddr: cursor.array()?.into(),
            siaddr: cursor.array()?.into(),
            giaddr: cursor.array()?.into(),
            chaddr: cursor.chunk()?,
            sname: cursor.chunk()?,
            file: cursor.chunk()?,
            options: cursor,
            overload: 0,
            message_type: 0,
        };
        if cursor.array()? != COOKIE {
            return Err(packet.options.error(What::BadCookie));
        }
        if !matches!(packet.op, BOOTREQUEST | BOOTREPLY) {
            return Err(Error::new(What::BadOp, 0));
        }
        if usize::from(packet.hlen) > packet.chaddr.len() {
            return Err(Error::new(What::BadHardwareLength, 2));
        }
        packet.options = cursor;
        packet.overload = overload(cursor.rest());
        packet.check_overruns()?;
        let message_type = packet.option(code::MESSAGE_TYPE).and_then(|value| value.array());
        [packet.message_type] = message_type.ok_or_else(|| cursor.error(What::NoMessageType))?;
        Ok(packet)
    }

    /// 1: from a client, 2: from a server.
    pub const fn op(&self) -> u8 {
        self.op
    }

    /// Is it from a client?
    pub const fn is_request(&self) -> bool {
        self.op == BOOTREQUEST
    }

    /// The hardware type; 1 is Ethernet.
    pub const fn htype(&self) -> u8 {
        self.htype
    }

    /// The length of the hardware address in bytes, at most 16.
    pub const fn hlen(&self) -> u8 {
        self.hlen
    }

    /// How many relays it passed.
    pub const fn hops(&self) -> u8 {
        self.hops
    }

    /// The transaction identifier, the client's own.
    pub const fn xid(&self) -> u32 {
        self.xid
    }

    /// Seconds since the client began, as it says.
    pub const fn secs(&self) -> u16 {
        self.secs
    }

    /// The flags; 0x8000 asks for a broadcast answer.
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// The address that the client already has.
    pub const fn ciaddr(&self) -> Ipv4Addr {
        self.ciaddr
    }

    /// The address that a server gives the client.
    pub const fn yiaddr(&self) -> Ipv4Addr {
        self.yiaddr
    }

    /// The address of the next server, TFTP's.
    pub const fn siaddr(&self) -> Ipv4Addr {
        self.siaddr
    }

    /// The relay's address on the client's subnet.
    pub const fn giaddr(&self) -> Ipv4Addr {
        self.giaddr
    }

    /// The field of the hardware address, whole.
    pub const fn chaddr(&self) -> &'a [u8; 16] {
        self.chaddr
    }

    /// The hardware address: the first `hlen` bytes of `chaddr`.
    pub fn hardware_address(&self) -> &'a [u8] {
        self.chaddr.get(..self.hlen.into()).unwrap_or_default()
    }

    /// The server's name up to its NUL; empty when the field holds options.
    pub fn sname(&self) -> &'a [u8] {
        if self.overload & 2 == 0 {
            until_nul(self.sname)
        } else {
            &[]
        }
    }

    /// The boot file's name up to its NUL; empty when the field holds options.
    pub fn file(&self) -> &'a [u8] {
        if self.overload & 1 == 0 {
            until_nul(self.file)
        } else {
            &[]
        }
    }

    /// The DHCP message type (option 53), see [`message`].
    pub const fn message_type(&self) -> u8 {
        self.message_type
    }

    /// Every option instance in RFC 3396 order: the options field, then `file`, then `sname`.
    pub fn options(&self) -> Options<'a> {
        let [options, file, sname] = self.fields();
        Options { field: options, then: [file.rest(), sname.rest()] }
    }

    /// The value of option `code` over all its instances.
    pub fn option(&self, code: u8) -> Option<Value<'a>> {
        let mut options = self.options();
        let (_, first) = options.find(|&(other, _)| other == code)?;
        Some(Value::starting(code, first, options))
    }

    fn fields(&self) -> [Cursor<'a>; 3] {
        let file: &[u8] = if self.overload & 1 == 0 { &[] } else { self.file };
        let sname: &[u8] = if self.overload & 2 == 0 { &[] } else { self.sname };
        [self.options, Cursor::new_at(file, FILE_AT), Cursor::new_at(sname, SNAME_AT)]
    }

    fn check_overruns(&self) -> Result<(), Error> {
        for mut field in self.fields() {
            let Err(overrun) =
                std::iter::from_fn(|| step(&mut field).transpose()).try_for_each(|option| option.map(drop))
            else {
                continue;
            };
            let needed = [code::MESSAGE_TYPE, code::CLASS, code::ARCHITECTURE];
            if needed.into_iter().any(|code| overrun.code == code || self.option(code).is_none()) {
                return Err(Error::new(What::OptionOverrun, overrun.at));
            }
        }
        Ok(())
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Only the options field can say that other fields hold options, so that none can point to itself.
fn overload(options: &[u8]) -> u8 {
    let valid = |option: (u8, &[u8])| match option {
        (code::OVERLOAD, &[fields @ 1..=3]) => Some(fields),
        _ => None,
    };
    Options::field(options).find_map(valid).unwrap_or(0)
}

/// Option instances in order: an iterator over (code, bytes).
#[derive(Clone, Debug)]
pub struct Options<'a> {
    field: Cursor<'a>,
    then: [&'a [u8]; 2],
}

impl<'a> Options<'a> {
    /// The options in one field of code, length, value.
    pub const fn field(bytes: &'a [u8]) -> Self {
        Self { field: Cursor::new(bytes), then: [&[], &[]] }
    }

    /// The value of each of `codes`, found in one pass.
    pub fn values<const N: usize>(mut self, codes: [u8; N]) -> [Option<Value<'a>>; N] {
        let mut values = [const { None }; N];
        while let Some((code, first)) = self.next() {
            let slot = codes.iter().zip(&mut values).find(|(wanted, _)| **wanted == code);
            if let Some((_, slot @ None)) = slot {
                *slot = Some(Value::starting(code, first, self.clone()));
            }
        }
        values
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Ok(Some(option)) = step(&mut self.field) {
                return Some(option);
            }
            let [next, last] = self.then;
            self.field = Cursor::new(next);
            self.then = [last, &[]];
            if next.is_empty() && last.is_empty() {
                return None;
            }
        }
    }
}

struct Overrun {
    code: u8,
    at: usize,
}

/// The next option of a field; `None` at its end.
fn step<'a>(field: &mut Cursor<'a>) -> Result<Option<(u8, &'a [u8])>, Overrun> {
    loop {
        let at = field.at();
        let code = match field.u8() {
            Ok(code::PAD) => continue,
            Ok(code::END) | Err(_) => return Ok(None),
            Ok(code) => code,
        };
        let length = field.u8().map_err(|_| Overrun { code, at })?;
        return match field.take(length.into()) {
            Ok(value) => Ok(Some((code, value))),
            Err(_) => Err(Overrun { code, at }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{bios_discover, dhcp, hex, request, torment, uefi_request, wdsmgfw_request};

    fn error(bytes: &[u8]) -> (What, u16) {
        let error = Packet::parse(bytes).map(|packet| panic!("accepted: {packet:?}")).unwrap_err();
        (error.what, error.at)
    }

    fn value(packet: &Packet<'_>, code: u8) -> Option<Vec<u8>> {
        packet.option(code).map(|value| value.bytes().collect())
    }

    #[test]
    fn reads_the_bios_discover() {
        let bytes = bios_discover();
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.is_request());
        assert_eq!((packet.op(), packet.htype(), packet.hlen(), packet.hops()), (1, 1, 6, 0));
        assert_eq!((packet.xid(), packet.secs(), packet.flags()), (0x0011_2233, 4, 0x8000));
        assert_eq!([packet.ciaddr(), packet.yiaddr(), packet.siaddr(), packet.giaddr()], [Ipv4Addr::UNSPECIFIED; 4]);
        assert_eq!(packet.hardware_address(), hex("02 00 00 11 22 33"));
        assert_eq!((packet.sname(), packet.file()), (&b""[..], &b""[..]));
        assert_eq!(packet.message_type(), message::DISCOVER);
        assert!(packet.options().map(|(code, _)| code).eq([53, 55, 57, 97, 93, 94, 60]));
        assert_eq!(packet.option(57).unwrap().u16(), Some(1260));
        assert_eq!(value(&packet, 60).unwrap(), b"PXEClient:Arch:00000:UNDI:002001");
        assert!(packet.option(82).is_none());
    }

    #[test]
    fn reads_the_requests_to_4011() {
        let bytes = uefi_request();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.xid(), packet.ciaddr()), (0x5a5a_0001, Ipv4Addr::new(192, 0, 2, 50)));
        assert_eq!(packet.message_type(), message::REQUEST);
        let bytes = wdsmgfw_request();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.xid(), packet.secs(), packet.flags()), (0x40e2_0100, 0xffff, 0));
        assert_eq!(packet.siaddr(), Ipv4Addr::new(192, 0, 2, 10));
        assert!(packet.options().map(|(code, _)| code).eq([93, 97, 53, 60, 55, 250]));
    }

    #[test]
    fn every_field_is_read_at_its_own_offset() {
        let mut bytes = request("35 01 01 ff");
        (0..bytes[..236].len()).for_each(|at| bytes[at] = at as u8);
        bytes[..3].copy_from_slice(&[1, 7, 16]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.htype(), packet.hops(), packet.xid()), (7, 3, 0x0405_0607));
        assert_eq!((packet.secs(), packet.flags()), (0x0809, 0x0a0b));
        assert_eq!(packet.ciaddr().octets()[0], 12);
        assert_eq!(packet.yiaddr().octets()[0], 16);
        assert_eq!(packet.siaddr().octets()[0], 20);
        assert_eq!(packet.giaddr().octets()[0], 24);
        assert_eq!(packet.hardware_address(), &bytes[28..44]);
        assert_eq!(packet.sname(), &bytes[44..108]);
        assert_eq!(packet.file(), &bytes[108..236]);
    }

    #[test]
    fn overloaded_fields_hold_options_and_no_names() {
        let head = format!("01 01 06 00 00 11 22 33 {}", "00".repeat(20));
        for (which, codes, file, sname) in [
            (1, &[53, 52, 60, 77][..], &b""[..], &b"\x61\x02\x03\x04\xff"[..]),
            (2, &[53, 52, 60, 97], b"\x4d\x01\x05\xff", b""),
            (3, &[53, 52, 60, 77, 97], b"", b""),
            (9, &[53, 52, 60], b"\x4d\x01\x05\xff", b"\x61\x02\x03\x04\xff"),
        ] {
            let options = format!("35 01 01 34 01 0{which} 3c 01 50 ff 0c 01 00");
            let bytes = dhcp(&head, b"\x61\x02\x03\x04\xff", b"\x4d\x01\x05\xff", &options, 300);
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(packet.options().map(|(code, _)| code).collect::<Vec<_>>(), codes, "overload {which}");
            assert_eq!((packet.file(), packet.sname()), (file, sname));
        }
    }

    #[test]
    fn an_overload_inside_an_overloaded_field_is_not_followed() {
        let head = format!("01 01 06 00 00 11 22 33 {}", "00".repeat(20));
        let bytes = dhcp(&head, b"\x61\x01\x07\xff", b"\x34\x01\x03\xff", "35 01 01 34 01 01 ff", 300);
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.options().map(|(code, _)| code).eq([53, 52, 52]));
    }

    #[test]
    fn split_options_are_concatenated_in_the_order_of_the_fields() {
        let head = format!("01 01 06 00 00 11 22 33 {}", "00".repeat(20));
        let bytes = dhcp(&head, b"\xfc\x01e\xff", b"\xfc\x02cd\xff", "fc 01 61 35 01 01 34 01 03 fc 01 62 ff", 300);
        let packet = Packet::parse(&bytes).unwrap();
        let joined = packet.option(252).unwrap();
        assert!(joined.pieces().eq([&b"a"[..], b"b", b"cd", b"e"]));
        assert_eq!((joined.len(), joined.single()), (5, None));
        let mut buf = [0; 6];
        assert_eq!((joined.copy_to(&mut buf), &buf), (Some(5), b"abcde\0"));
        assert_eq!(joined.copy_to(&mut buf[..4]), None);
        assert_eq!((joined.array(), joined.array::<4>()), (Some(*b"abcde"), None));
        assert!(joined.is(b"abcde") && joined.starts_with(b"abc") && !joined.starts_with(b"abd"));
        assert_eq!(packet.option(52).unwrap().single(), Some(&[3][..]));
    }

    #[test]
    fn three_hundred_bytes_in_two_instances_are_one_value() {
        let text = format!("35 01 01 fc ff {} fc 2d {} ff", "61".repeat(255), "62".repeat(45));
        let bytes = dhcp(&format!("01 01 06 00 {}", "00".repeat(24)), b"", b"", &text, 600);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(value(&packet, 252).unwrap(), [vec![b'a'; 255], vec![b'b'; 45]].concat());
    }

    #[test]
    fn pads_fill_and_nothing_counts_after_the_end() {
        let bytes = request("00 00 35 01 01 00 3c 00 ff 3d 01 01");
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.options().eq([(53, &[1][..]), (60, &[])]));
        assert!(packet.option(60).unwrap().is_empty());
        let mut options = Options::field(b"\xff\x01\x01\x01");
        assert_eq!([options.next(), options.next()], [None, None]);
        // The last option of a packet may lack the end after it.
        let unended = dhcp(&format!("01 01 06 00 {}", "00".repeat(24)), b"", b"", "35 01 01", 243);
        assert_eq!(Packet::parse(&unended).unwrap().message_type(), 1);
    }

    #[test]
    fn an_overrun_that_hides_nothing_needed_ends_its_field() {
        let bytes =
            dhcp(&format!("01 01 06 00 {}", "00".repeat(24)), b"", b"", "35 01 01 3c 01 50 5d 02 00 07 61 11 00", 253);
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.options().map(|(code, _)| code).eq([53, 60, 93]));
        assert!(packet.option(97).is_none());
    }

    #[test]
    fn an_overrun_that_hides_what_decides_refuses_the_packet() {
        let head = format!("01 01 06 00 {}", "00".repeat(24));
        for (options, length, at) in [
            ("35 02 01", 243, 240),                            // the type itself
            ("35", 241, 240),                                  // its length too
            ("61 11 00", 243, 240),                            // the type would stand behind
            ("35 01 01 3c 09 50", 246, 243),                   // the class
            ("35 01 01 3c 01 50 61 11 00", 249, 246),          // the architecture would stand behind
            ("35 01 01 3c 01 50 5d 02 00 07 3c 20", 252, 250), // a second piece of the class
        ] {
            assert_eq!(error(&dhcp(&head, b"", b"", options, length)), (What::OptionOverrun, at), "{options}");
        }
        let in_file = dhcp(&head, b"", &[0x3d, 200], "35 01 01 34 01 01 3c 01 50 ff", 300);
        assert_eq!(error(&in_file), (What::OptionOverrun, 108));
    }

    #[test]
    fn refuses_what_is_no_packet() {
        let good = request("35 01 01 ff");
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            error(&bytes)
        };
        for length in 0..240 {
            assert_eq!(error(&good[..length]).0, What::Truncated, "{length} bytes");
        }
        assert_eq!(error(&good[..240]), (What::NoMessageType, 240));
        assert_eq!(with(0, 3), (What::BadOp, 0));
        assert_eq!(with(2, 17), (What::BadHardwareLength, 2));
        assert_eq!(with(2, 255), (What::BadHardwareLength, 2));
        assert_eq!(with(238, 0), (What::BadCookie, 236));
        assert_eq!(error(&request("3c 01 50 ff")), (What::NoMessageType, 240));
        assert_eq!(error(&request("35 02 01 01 ff")), (What::NoMessageType, 240));
        assert_eq!(error(&request("35 00 ff")), (What::NoMessageType, 240));
        assert_eq!(error(b"default send string").0, What::Truncated); // a load balancer's probe
    }

    #[test]
    fn no_hostile_packet_panics() {
        let head = format!("01 01 06 00 00 11 22 33 {}", "00".repeat(20));
        let overloaded =
            dhcp(&head, b"\xfc\x01e\xff", b"\xfc\x02cd\xff", "fc 01 61 35 01 01 34 01 03 fc 01 62 ff", 300);
        torment(&[bios_discover(), wdsmgfw_request(), overloaded], |bytes| {
            let Ok(packet) = Packet::parse(bytes) else { return };
            assert!(packet.hardware_address().len() <= 16);
            assert!(packet.options().count() <= bytes.len());
            for (code, _) in packet.options() {
                let value = packet.option(code).unwrap();
                assert_eq!(value.bytes().count(), value.len());
                assert!(value.copy_to(&mut [0; 2048]).is_some());
            }
            let _ = (packet.sname(), packet.file());
        });
    }
}
