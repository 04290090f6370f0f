//! What an answer holds: Microsoft's shape, or everything in the offer (W-1, W-9, W-10, W-29, W-33, W-40, F-30).

use std::net::Ipv4Addr;

use crate::wire::dhcp::{budget, code, message, Emitted, Packet, Reply};
use crate::wire::pxe::{Ask, Reading};
use crate::wire::Error;

/// What the decision wants said.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What was asked: an OFFER answers discovery, an ACK a request.
    pub ask: Ask,
    /// Our address.
    pub server: Ipv4Addr,
    /// The boot program's full name; empty in an offer that only sends the client to port 4011.
    pub boot_file: &'a [u8],
}

const BROADCAST: u16 = 0x8000;
const CLASS: &[u8] = b"PXEClient";
/// PXE discovery control, bit 3: take the boot file of this very offer (W-36).
const BOOT_FROM_OFFER: &[u8] = &[6, 1, 8, 255];
const BOOT_ITEM: u8 = 71;

/// Writes the answer to `request` into `buffer`.
///
/// # Errors
/// `TooLong` for a boot file beyond 127 bytes; `NoRoom` for a buffer that is too small.
pub fn emit(answer: &Answer<'_>, request: &Packet<'_>, buffer: &mut [u8]) -> Result<Emitted, Error> {
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

    let mut options: [(u8, &[u8]); 5] = [(0, &[]); 5];
    let mut count = 0;
    let wanted = [
        Some((code::SERVER_IDENTIFIER, &server[..])),
        machine.as_ref().map(|machine| (code::MACHINE, &machine[..])),
        Some((code::CLASS, CLASS)),
        identifier.map(|identifier| (code::CLIENT_IDENTIFIER, identifier)),
        vendor.map(|vendor| (code::VENDOR, vendor)),
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
    use crate::wire::examples::hex;

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

    fn answered(ask: Ask, boot_file: &[u8], request: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 1500];
        let request = Packet::parse(request).unwrap();
        let emitted = emit(&Answer { ask, server: SERVER, boot_file }, &request, &mut buffer).unwrap();
        buffer[..emitted.len].to_vec()
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
        let answer = Answer { ask: Ask::Discover, server: SERVER, boot_file: &[b'x'; 128] };
        assert!(emit(&answer, &request, &mut [0; 1500]).is_err());
    }
}
