//! What an answer holds: Microsoft's shape, or everything in the offer (W-1, W-9, W-10, W-29, W-33, W-40, F-30).

use std::net::Ipv4Addr;

use crate::wire::dhcp::{budget, code, message, Emitted, Packet, Reply};
use crate::wire::pxe::{Ask, Reading};
use crate::wire::{Error, What};

/// What the decision wants said.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What was asked: an OFFER answers discovery, an ACK a request.
    pub ask: Ask,
    /// Our address.
    pub server: Ipv4Addr,
    /// The boot program's full name; empty in an offer that only sends the client to port 4011.
    pub boot_file: &'a [u8],
    /// Options 243, 250 and 252 for a Windows boot, each at most once, of 1 to 255 bytes (W-7, W-57).
    pub windows: &'a [(u8, &'a [u8])],
}

const BROADCAST: u16 = 0x8000;
const CLASS: &[u8] = b"PXEClient";
/// PXE discovery control, bit 3: take the boot file of this very offer (W-36).
const BOOT_FROM_OFFER: &[u8] = &[6, 1, 8, 255];
const BOOT_ITEM: u8 = 71;

/// Writes the answer to `request` into `buffer`.
///
/// # Errors
/// `TooLong` for a boot file beyond 127 bytes or options that the client's reply cannot hold (W-8); `BadLength` and
/// `Unexpected` for options that are none of Windows; `NoRoom` for a buffer that is too small.
pub fn emit(answer: &Answer<'_>, request: &Packet<'_>, buffer: &mut [u8]) -> Result<Emitted, Error> {
    check(answer.windows)?;
    let reading = Reading::of(request);
    let server = answer.server.octets();
    let offer = answer.ask == Ask::Discover;
    let machine = reading.raw_97();
    let identifier = request.option(code::CLIENT_IDENTIFIER).and_then(|value| value.single());
    let mut name = [0; 15];
    let sname = if answer.boot_file.is_empty() { &[][..] } else { dotted(answer.server, &mut name) };
    let item;
    let vendor = match reading.boot_item {
        Some((kind, layer)) if !offer => {
            let [a, b] = kind.to_be_bytes();
            let [c, d] = layer.to_be_bytes();
            item = [BOOT_ITEM, 4, a, b, c, d, 255];
            Some(&item[..])
        }
        _ if offer && !answer.boot_file.is_empty() => Some(BOOT_FROM_OFFER),
        _ => None,
    };

    let windows = |code| answer.windows.iter().find(|(other, _)| *other == code).copied();
    let mut options: [(u8, &[u8]); 8] = [(0, &[]); 8];
    let mut count = 0;
    let wanted = [
        Some((code::SERVER_IDENTIFIER, &server[..])),
        machine.as_ref().map(|machine| (code::MACHINE, &machine[..])),
        Some((code::CLASS, CLASS)),
        identifier.map(|identifier| (code::CLIENT_IDENTIFIER, identifier)),
        vendor.map(|vendor| (code::VENDOR, vendor)),
        windows(code::VARIABLES),
        windows(code::LOADER),
        windows(code::BOOT_CONFIGURATION),
    ];
    for (place, option) in options.iter_mut().zip(wanted.into_iter().flatten()) {
        *place = option;
        count += 1;
    }
    let reply = Reply {
        message_type: if offer { message::OFFER } else { message::ACK },
        htype: request.htype(),
        hlen: request.hlen(),
        xid: request.xid(),
        secs: 0,
        // A relay would unicast to yiaddr, which a proxy's offer has not (W-11, F-40).
        flags: if offer { request.flags() | BROADCAST } else { request.flags() },
        ciaddr: if offer { Ipv4Addr::UNSPECIFIED } else { request.ciaddr() },
        siaddr: answer.server,
        giaddr: request.giaddr(),
        chaddr: *request.chaddr(),
        sname,
        file: answer.boot_file,
        options: options.get(..count).unwrap_or(&[]),
        relay_agent: request.option(code::RELAY_AGENT),
    };
    let limit = request.option(code::MAX_MESSAGE_SIZE).and_then(|value| value.u16());
    reply.emit(buffer, budget(limit))
}

/// EDK2 reads the first instance of an option only, so that none may be split (W-7).
fn check(windows: &[(u8, &[u8])]) -> Result<(), Error> {
    for (place, (code, value)) in windows.iter().enumerate() {
        let known = matches!(*code, code::VARIABLES | code::LOADER | code::BOOT_CONFIGURATION);
        if !known || windows.iter().skip(place + 1).any(|(other, _)| other == code) {
            return Err(Error::new(What::Unexpected, 0));
        }
        if !(1..=255).contains(&value.len()) {
            return Err(Error::new(What::BadLength, 0));
        }
    }
    Ok(())
}

fn dotted(address: Ipv4Addr, buffer: &mut [u8; 15]) -> &[u8] {
    let mut length = 0;
    let mut push = |byte| {
        if let Some(place) = buffer.get_mut(length) {
            *place = byte;
            length += 1;
        }
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            push(b'.');
        }
        for divisor in [100, 10, 1] {
            if octet >= divisor || divisor == 1 {
                push(b'0' + octet / divisor % 10);
            }
        }
    }
    buffer.get(..length).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{hex, wdsmgfw_request};
    use crate::wire::loader::Loader;

    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const CHADDR: &str = "02 00 00 11 22 33 00 00 00 00 00 00 00 00 00 00";

    fn packet(head: &str, options: &str) -> Vec<u8> {
        let mut bytes = hex(head);
        bytes.extend(hex(CHADDR));
        bytes.resize(236, 0);
        bytes.extend(hex(options));
        bytes
    }

    fn discover() -> Vec<u8> {
        packet(
            "01 01 06 00 00 11 22 33 00 04 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
            "63 82 53 63 35 01 01 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 5d 02 00 00
             3c 20 50 58 45 43 6c 69 65 6e 74 3a 41 72 63 68 3a 30 30 30 30 30 3a 55 4e 44 49 3a 30 30 32 30 30 31 ff",
        )
    }

    type Windows<'a> = &'a [(u8, &'a [u8])];

    fn try_answer(
        ask: Ask,
        boot_file: &[u8],
        windows: Windows<'_>,
        request: &[u8],
    ) -> Result<(Vec<u8>, Emitted), Error> {
        let mut buffer = [0; 1500];
        let request = Packet::parse(request).unwrap();
        let emitted = emit(&Answer { ask, server: SERVER, boot_file, windows }, &request, &mut buffer)?;
        Ok((buffer[..emitted.len].to_vec(), emitted))
    }

    fn answered(ask: Ask, boot_file: &[u8], request: &[u8]) -> Vec<u8> {
        try_answer(ask, boot_file, &[], request).unwrap().0
    }

    #[test]
    fn an_offer_in_microsofts_shape_is_example_e3_byte_for_byte() {
        let mut wanted = packet(
            "02 01 06 00 00 11 22 33 00 00 80 00 00 00 00 00 00 00 00 00 c0 00 02 0a 00 00 00 00",
            "63 82 53 63 35 01 02 36 04 c0 00 02 0a 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff
             3c 09 50 58 45 43 6c 69 65 6e 74 ff",
        );
        wanted.resize(300, 0);
        assert_eq!(answered(Ask::Discover, b"", &discover()), wanted);
    }

    #[test]
    fn the_answer_on_4011_is_example_e5_byte_for_byte() {
        let request = packet(
            "01 01 06 00 5a 5a 00 01 00 00 00 00 c0 00 02 32 00 00 00 00 00 00 00 00 00 00 00 00",
            "63 82 53 63 35 01 03 39 02 05 b8 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 5d 02 00 07
             3c 20 50 58 45 43 6c 69 65 6e 74 3a 41 72 63 68 3a 30 30 30 30 37 3a 55 4e 44 49 3a 30 30 33 30 31 36 ff",
        );
        let mut wanted = packet(
            "02 01 06 00 5a 5a 00 01 00 00 00 00 c0 00 02 32 00 00 00 00 c0 00 02 0a 00 00 00 00",
            "63 82 53 63 35 01 05 36 04 c0 00 02 0a 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff
             3c 09 50 58 45 43 6c 69 65 6e 74 ff",
        );
        wanted.resize(300, 0);
        wanted[44..54].copy_from_slice(b"192.0.2.10");
        wanted[108..108 + 23].copy_from_slice(b"smsboot\\x64\\wdsmgfw.efi");
        assert_eq!(answered(Ask::Request, b"smsboot\\x64\\wdsmgfw.efi", &request), wanted);
    }

    const VARIABLES: &[u8] = b"\x01\x1a\\SMSTemp\\0001.{0}.boot.var";
    const BCD: &[u8] = b"\\SMSTemp\\0001.{0}.boot.bcd\0";

    #[test]
    fn wdsmgfw_is_answered_with_example_e6_byte_for_byte_in_whatever_order_its_options_are_given() {
        let mut wanted = packet(
            "02 01 06 00 40 e2 01 00 00 00 00 00 c0 00 02 32 00 00 00 00 c0 00 02 0a 00 00 00 00",
            "63 82 53 63 35 01 05 36 04 c0 00 02 0a 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff
             3c 09 50 58 45 43 6c 69 65 6e 74 f3 1c 01 1a 5c 53 4d 53 54 65 6d 70 5c 30 30 30 31 2e 7b 30 7d
             2e 62 6f 6f 74 2e 76 61 72 fc 1b 5c 53 4d 53 54 65 6d 70 5c 30 30 30 31 2e 7b 30 7d 2e 62 6f 6f
             74 2e 62 63 64 00 ff",
        );
        assert_eq!(wanted.len(), 339);
        wanted[44..54].copy_from_slice(b"192.0.2.10");
        wanted[108..108 + 24].copy_from_slice(b"smsboot\\x64\\bootmgfw.efi");
        let given = [(code::BOOT_CONFIGURATION, BCD), (code::VARIABLES, VARIABLES)];
        let (bytes, _) = try_answer(Ask::Request, b"smsboot\\x64\\bootmgfw.efi", &given, &wdsmgfw_request()).unwrap();
        assert_eq!(bytes, wanted);
    }

    #[test]
    fn a_machine_that_waits_is_told_to_poll_as_in_example_e7() {
        let pending =
            hex("02 01 01 05 04 00 00 00 07 03 02 00 0a 04 02 00 1e 06 08 50 65 6e 64 69 6e 67 00 0e 01 00 ff");
        let windows = [(code::LOADER, &pending[..])];
        let (bytes, _) = try_answer(Ask::Request, b"smsboot\\x64\\wdsmgfw.efi", &windows, &wdsmgfw_request()).unwrap();
        let ack = Packet::parse(&bytes).unwrap();
        assert_eq!(ack.options().last().unwrap(), (code::LOADER, &pending[..]));
        let loader = Loader::of(&ack.option(code::LOADER).unwrap()).unwrap();
        assert_eq!((loader.request_id, loader.action_done), (Some(7), Some(false)));
    }

    #[test]
    fn the_options_of_a_windows_boot_are_never_left_out_but_refused() {
        // 548 bytes, for there is no option 57: the fixed part 240, options 3, 6, 19 and 11, and the end.
        let long = [b'x'; 255];
        let attempt = |length: usize| {
            let windows = [(code::VARIABLES, &long[..length]), (code::BOOT_CONFIGURATION, &long[..])];
            try_answer(Ask::Request, b"x", &windows, &wdsmgfw_request())
        };
        let (whole, emitted) = attempt(9).unwrap();
        assert_eq!((whole.len(), emitted.options_dropped), (548, 0));
        let (without_97, emitted) = attempt(28).unwrap();
        assert_eq!((without_97.len(), emitted.options_dropped), (548, 1));
        assert!(Packet::parse(&without_97).unwrap().option(code::MACHINE).is_none());
        assert_eq!(attempt(29).unwrap_err().what, What::TooLong);
        // Option 82 makes room, as RFC 3046 says.
        let mut relayed = wdsmgfw_request();
        relayed.truncate(305);
        relayed.extend(hex("52 04 01 02 61 62 ff"));
        let windows = [(code::VARIABLES, &long[..28]), (code::BOOT_CONFIGURATION, &long[..])];
        let (bytes, emitted) = try_answer(Ask::Request, b"x", &windows, &relayed).unwrap();
        assert!(emitted.relay_agent_dropped && Packet::parse(&bytes).unwrap().option(code::RELAY_AGENT).is_none());
        let (bytes, _) = try_answer(Ask::Request, b"x", &[(code::BOOT_CONFIGURATION, BCD)], &relayed).unwrap();
        assert_eq!(Packet::parse(&bytes).unwrap().options().last().unwrap().0, code::RELAY_AGENT);
    }

    #[test]
    fn other_options_two_of_one_kind_empty_and_split_ones_are_refused() {
        for (windows, what) in [
            (&[(43, BCD)][..], What::Unexpected),
            (&[(252, BCD), (243, VARIABLES), (252, BCD)], What::Unexpected),
            (&[(252, b"")], What::BadLength),
            (&[(252, &[b'x'; 256])], What::BadLength),
        ] {
            assert_eq!(try_answer(Ask::Request, b"x", windows, &wdsmgfw_request()).unwrap_err().what, what);
        }
    }

    #[test]
    fn a_direct_offer_names_the_file_and_says_to_take_it() {
        let bytes = answered(Ask::Discover, b"SMSImages/PS100001/boot.ipxe", &discover());
        let offer = Packet::parse(&bytes).unwrap();
        assert_eq!(offer.file(), b"SMSImages/PS100001/boot.ipxe");
        assert_eq!(offer.sname(), b"192.0.2.10");
        assert!(offer.option(code::VENDOR).unwrap().is(BOOT_FROM_OFFER));
    }

    #[test]
    fn what_the_client_sent_of_61_71_and_82_comes_back_and_82_is_last() {
        let request = packet(
            "01 01 06 01 00 00 00 00 00 04 80 00 c0 00 02 32 00 00 00 00 00 00 00 00 c6 33 64 01",
            "63 82 53 63 35 01 03 5d 02 00 00 3c 09 50 58 45 43 6c 69 65 6e 74 3d 07 01 02 00 00 11 22 33
             2b 07 47 04 80 00 00 00 ff 52 04 01 02 61 62 ff",
        );
        let bytes = answered(Ask::Request, b"x", &request);
        let ack = Packet::parse(&bytes).unwrap();
        assert!(ack.option(code::CLIENT_IDENTIFIER).unwrap().is(&[1, 2, 0, 0, 0x11, 0x22, 0x33]));
        assert!(ack.option(code::VENDOR).unwrap().is(&[71, 4, 0x80, 0, 0, 0, 255]));
        let (last, value) = ack.options().last().unwrap();
        assert_eq!((last, value), (code::RELAY_AGENT, &[1, 2, b'a', b'b'][..]));
        assert_eq!(ack.giaddr(), Ipv4Addr::new(198, 51, 100, 1));
        assert_eq!((ack.yiaddr(), ack.hops()), (Ipv4Addr::UNSPECIFIED, 0));
    }

    #[test]
    fn a_boot_file_that_does_not_fit_the_header_is_an_error() {
        let request = discover();
        let request = Packet::parse(&request).unwrap();
        let answer = Answer { ask: Ask::Discover, server: SERVER, boot_file: &[b'x'; 128], windows: &[] };
        assert!(emit(&answer, &request, &mut [0; 1500]).is_err());
    }
}
