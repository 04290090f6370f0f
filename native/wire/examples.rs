//! What the tests of several files share: the worked examples of a BIOS and a UEFI client (server 192.0.2.10,
//! lease 192.0.2.50, MAC 02:00:00:11:22:33), captures of real firmware, and a source of hostile packets.

use std::fmt::Debug;
use std::net::Ipv4Addr;

/// The GUID 00112233-4455-6677-8899-aabbccddeeff as option 97 carries it.
pub const MACHINE: &str = "00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff";
/// The server.
pub const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Any seed does; a failure prints the seed that made it.
pub const SEED: u64 = 0x5EED_0FB0_0700;

const CHADDR: &str = "02 00 00 11 22 33 00 00 00 00 00 00 00 00 00 00";

/// The bytes that `text` spells in hexadecimal digits and spaces.
pub fn hex(text: &str) -> Vec<u8> {
    let mut digits = text.chars().filter(|letter| !letter.is_whitespace()).map(|letter| letter.to_digit(16).unwrap());
    std::iter::from_fn(|| Some((digits.next()? << 4 | digits.next()?) as u8)).collect()
}

/// A DHCP packet of `length` bytes: `head` is op to giaddr, `options` comes after the cookie.
pub fn dhcp(head: &str, sname: &[u8], file: &[u8], options: &str, length: usize) -> Vec<u8> {
    let mut packet = [hex(head), hex(CHADDR)].concat();
    packet.extend_from_slice(sname);
    packet.resize(108, 0);
    packet.extend_from_slice(file);
    packet.resize(236, 0);
    packet.extend(hex("63 82 53 63"));
    packet.extend(hex(options));
    packet.resize(length, 0);
    packet
}

/// A request of a client without a lease, with these options.
pub fn request(options: &str) -> Vec<u8> {
    dhcp(&format!("01 01 06 00 00 11 22 44 00 04 80 00 {}", "00".repeat(16)), b"", b"", options, 300)
}

/// E-1
pub fn bios_discover() -> Vec<u8> {
    dhcp(
        &format!("01 01 06 00 00 11 22 33 00 04 80 00 {}", "00".repeat(16)),
        b"",
        b"",
        "35 01 01 37 18 01 02 03 05 06 0b 0c 0d 0f 10 11 12 2b 36 3c 43 80 81 82 83 84 85 86
         87 39 02 04 ec 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 5d 02 00 00 5e 03 01 02
         01 3c 20 50 58 45 43 6c 69 65 6e 74 3a 41 72 63 68 3a 30 30 30 30 30 3a 55 4e 44 49 3a 30 30 32
         30 30 31 ff",
        548,
    )
}

/// E-2
pub fn uefi_discover() -> Vec<u8> {
    dhcp(
        &format!("01 01 06 00 00 11 22 33 00 04 80 00 {}", "00".repeat(16)),
        b"",
        b"",
        "35 01 01 37 18 01 02 03 05 06 0b 0c 0d 0f 10 11 12 2b 36 3c 43 80 81 82 83 84 85 86
         87 39 02 05 b8 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 5d 02 00 07 5e 03 01 03
         10 3c 20 50 58 45 43 6c 69 65 6e 74 3a 41 72 63 68 3a 30 30 30 30 37 3a 55 4e 44 49 3a 30 30 33
         30 31 36 ff",
        548,
    )
}

/// E-5, the request
pub fn uefi_request() -> Vec<u8> {
    dhcp(
        "01 01 06 00 5a 5a 00 01 00 00 00 00 c0 00 02 32 00 00 00 00 00 00 00 00 00 00 00 00",
        b"",
        b"",
        "35 01 03 39 02 05 b8 37 10 01 03 2b 36 3c 42 43 61 80 81 82 83 84 85 86 87 61 11 00
         33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 5e 03 01 03 10 5d 02 00 07 3c 20 50 58 45 43 6c
         69 65 6e 74 3a 41 72 63 68 3a 30 30 30 30 37 3a 55 4e 44 49 3a 30 30 33 30 31 36 ff",
        328,
    )
}

/// E-6, the request
pub fn wdsmgfw_request() -> Vec<u8> {
    dhcp(
        "01 01 06 00 40 e2 01 00 ff ff 00 00 c0 00 02 32 00 00 00 00 c0 00 02 0a 00 00 00 00",
        b"",
        b"",
        "5d 02 00 07 61 11 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 35 01 03 3c 09
         50 58 45 43 6c 69 65 6e 74 37 09 3c 80 81 82 83 84 85 86 87 fa 0f 0c 01 00 0d 02 08 00 01 02 00
         07 0e 01 00 ff ff",
        306,
    )
}

/// The UDP datagrams of an Ethernet capture: destination port and payload.
pub fn datagrams(pcap: &[u8]) -> Vec<(u16, &[u8])> {
    let mut records = &pcap[24..];
    let mut found = Vec::new();
    while let Some((head, rest)) = records.split_first_chunk::<16>() {
        let captured = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        let (frame, rest) = rest.split_at(captured);
        records = rest;
        if frame[12..14] == [8, 0] && frame[23] == 17 {
            let udp = &frame[14 + usize::from(frame[14] & 15) * 4..];
            let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
            found.push((u16::from_be_bytes([udp[2], udp[3]]), &udp[8..length]));
        }
    }
    found
}

/// Marsaglia's xorshift: the same numbers from the same seed.
pub struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % limit.max(1)
    }

    /// `packet` with a few bytes changed, and now and then cut short or grown.
    pub fn spoil(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        for _ in 0..=self.below(8) {
            let at = self.below(packet.len());
            match self.below(6) {
                0 => packet.truncate(at),
                1 => packet.insert(at, self.below(256) as u8),
                _ => {
                    if let Some(byte) = packet.get_mut(at) {
                        *byte = self.below(256) as u8;
                    }
                }
            }
        }
        packet
    }
}

/// Gives `check` every prefix of each packet and many spoilt forms of it; a panic names the seed.
pub fn torment(packets: &[Vec<u8>], check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let attempt = |bytes: &[u8], origin: &dyn Debug| {
        let outcome = std::panic::catch_unwind(|| check(bytes));
        assert!(outcome.is_ok(), "panicked on {origin:?}: {bytes:02x?}");
    };
    for packet in packets {
        (0..packet.len()).for_each(|end| attempt(&packet[..end], &("cut at", end)));
    }
    for round in 0..20_000 {
        let seed = SEED.wrapping_add(round);
        let mut random = Random(seed);
        let packet = &packets[random.below(packets.len())];
        attempt(&random.spoil(packet), &("seed", seed));
    }
}
