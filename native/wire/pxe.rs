//! What a PXE client says of itself (PXE 2.1 section 2, RFC 4578).

use super::dhcp::{code, Packet};
use super::loader::Loader;
use super::value::{Layout, SubOptions, Value};

pub use super::ask::{asks, Ask, Door, Drop};

/// Option 43's sub-option that names a boot server type and layer.
const BOOT_ITEM: u8 = 71;
const ETHERNET: u8 = 1;
const IPXE: &[u8] = b"iPXE";

/// How the client wants to boot, by the beginning of its vendor class (option 60).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    /// `PXEClient`
    Pxe,
    /// `HTTPClient`
    Http,
}

impl ClientClass {
    /// The beginning of option 60, byte for byte.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Pxe => b"PXEClient",
            Self::Http => b"HTTPClient",
        }
    }

    fn of(class: &Value<'_>) -> Option<Self> {
        [Self::Pxe, Self::Http].into_iter().find(|known| class.starts_with(known.prefix()))
    }
}

/// A request's PXE options, read once. What is malformed is absent.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// The vendor class, if it is one of a boot client.
    pub class: Option<ClientClass>,
    /// The network interface (option 94): type (1 is UNDI), major and minor version.
    pub undi: Option<(u8, u8, u8)>,
    /// The SMBIOS GUID in wire order (option 97), unless it is all 0 or all 0xFF.
    pub guid: Option<[u8; 16]>,
    /// Is the client iPXE (option 77 says so, or 175 is there)?
    pub ipxe: bool,
    /// Boot server type and layer (option 43.71) that the client asks for.
    pub boot_item: Option<(u16, u16)>,
    /// What a Windows loader says (option 250); `None` also where that is malformed.
    pub loader: Option<Loader>,
    architectures: Option<Value<'a>>,
    class_architecture: Option<u16>,
    machine: Option<[u8; 17]>,
    mac: Option<[u8; 6]>,
    vendor: Option<Value<'a>>,
}

impl<'a> Reading<'a> {
    /// Reads the options of `packet`.
    pub fn of(packet: &Packet<'a>) -> Self {
        let [text, user_class, ipxe, vendor, architectures, interface, machine, loader] = packet.options().values([
            code::CLASS,
            code::USER_CLASS,
            code::IPXE,
            code::VENDOR,
            code::ARCHITECTURE,
            code::INTERFACE,
            code::MACHINE,
            code::LOADER,
        ]);
        let class = text.as_ref().and_then(ClientClass::of);
        let machine = machine.and_then(|value| value.array()).filter(|[kind, ..]: &[u8; 17]| *kind == 0);
        Self {
            class,
            undi: interface.and_then(|value| value.array()).map(|[kind, major, minor]| (kind, major, minor)),
            guid: machine.and_then(known_guid),
            ipxe: ipxe.is_some() || user_class.is_some_and(|classes| names_ipxe(&classes)),
            boot_item: sub_options(vendor.as_ref()).get(BOOT_ITEM).and_then(|item| item.array()).map(
                |[type_high, type_low, layer_high, layer_low]| {
                    (u16::from_be_bytes([type_high, type_low]), u16::from_be_bytes([layer_high, layer_low]))
                },
            ),
            loader: loader.as_ref().and_then(Loader::of),
            class_architecture: match (&architectures, class, text) {
                (None, Some(class), Some(text)) => class_architecture(class, &text),
                _ => None,
            },
            architectures,
            machine,
            mac: mac(packet),
            vendor,
        }
    }

    /// The architectures (option 93) in the client's order; none if the option is absent or of odd length.
    pub fn architectures(&self) -> impl Iterator<Item = u16> + 'a {
        let even = self.architectures.clone().filter(|value| value.len() & 1 == 0);
        let mut bytes = even.map(|value| value.bytes()).into_iter().flatten();
        std::iter::from_fn(move || Some(u16::from_be_bytes([bytes.next()?, bytes.next()?])))
    }

    /// The environment that runs: the first of option 93, or what option 60 says when there is no 93 (W-19).
    pub fn architecture(&self) -> Option<u16> {
        self.architectures().next().or(self.class_architecture)
    }

    /// Option 97 as it came, to be echoed; `None` when it is not type 0 and 17 bytes long (W-28).
    pub const fn raw_97(&self) -> Option<[u8; 17]> {
        self.machine
    }

    /// The Ethernet address: of `chaddr`, or of option 61 when firmware put its GUID there (W-3).
    pub const fn mac(&self) -> Option<[u8; 6]> {
        self.mac
    }

    /// The sub-options of option 43, in order.
    pub fn vendor(&self) -> SubOptions<'a> {
        sub_options(self.vendor.as_ref())
    }
}

fn sub_options<'a>(vendor: Option<&Value<'a>>) -> SubOptions<'a> {
    SubOptions::of(vendor, Layout::Ended)
}

fn mac(packet: &Packet<'_>) -> Option<[u8; 6]> {
    match (packet.htype(), packet.hlen()) {
        (ETHERNET, 6) => packet.chaddr().first_chunk().copied(),
        (ETHERNET, 16) => match packet.option(code::CLIENT_IDENTIFIER)?.array()? {
            [ETHERNET, a, b, c, d, e, f] => Some([a, b, c, d, e, f]),
            _ => None,
        },
        _ => None,
    }
}

/// The field `Arch` of `PXEClient:Arch:00007:UNDI:003016`.
fn class_architecture(class: ClientClass, text: &Value<'_>) -> Option<u16> {
    let mut bytes = text.bytes().skip(class.prefix().len());
    if !bytes.by_ref().take(6).eq(*b":Arch:") {
        return None;
    }
    let number = (0..5).try_fold(0u32, |number, _| {
        let digit = char::from(bytes.next()?).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    });
    u16::try_from(number?).ok()
}

/// iPXE writes its name bare; others follow RFC 3004, where each user class has its length before it (W-47).
fn names_ipxe(classes: &Value<'_>) -> bool {
    let mut bytes = classes.bytes();
    let mut one_of_several = || loop {
        let length = usize::from(bytes.next()?);
        if length == IPXE.len() && bytes.clone().take(length).eq(IPXE.iter().copied()) {
            return Some(());
        }
        if let Some(last) = length.checked_sub(1) {
            bytes.nth(last)?;
        }
    };
    classes.is(IPXE) || one_of_several().is_some()
}

fn known_guid([_, guid @ ..]: [u8; 17]) -> Option<[u8; 16]> {
    (guid != [0; 16] && guid != [0xFF; 16]).then_some(guid)
}

/// The text of a GUID in wire order: the first three fields are little-endian there (W-30, F-2).
pub fn guid_text(guid: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut slots = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for byte in swap_fields(*guid) {
        for digit in [byte >> 4, byte & 0x0f] {
            let letter = if digit < 10 { b'0' | digit } else { digit.saturating_add(b'a').saturating_sub(10) };
            if let Some((_, slot)) = slots.next() {
                *slot = letter;
            }
        }
    }
    text
}

/// The wire order of a GUID written 8-4-4-4-12 in hexadecimal digits of either case.
pub fn guid_bytes(text: &str) -> Option<[u8; 16]> {
    if text.len() != 36 || [8, 13, 18, 23].into_iter().any(|at| text.as_bytes().get(at) != Some(&b'-')) {
        return None;
    }
    let mut digits = text.bytes().filter(|&letter| letter != b'-').map(|letter| char::from(letter).to_digit(16));
    let mut nibble = || u8::try_from(digits.next()??).ok();
    let mut guid = [0; 16];
    for byte in &mut guid {
        *byte = nibble()? << 4 | nibble()?;
    }
    Some(swap_fields(guid))
}

/// From wire order to the order of the text, and back.
const fn swap_fields(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = guid;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{
        bios_discover, dhcp, hex, request, torment, uefi_discover, uefi_request, wdsmgfw_request, MACHINE,
    };

    const CLASS: &str = "3c 09 50 58 45 43 6c 69 65 6e 74";
    const GUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    /// What `check` says of a request with `options`.
    fn read<T>(options: &str, check: impl Fn(&Reading<'_>) -> T) -> T {
        let bytes = request(&format!("35 01 01 {options} ff"));
        check(&Reading::of(&Packet::parse(&bytes).unwrap()))
    }

    fn option(code: u8, value: &[u8]) -> String {
        [&[code, value.len() as u8], value].concat().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn text(guid: Option<[u8; 16]>) -> Option<String> {
        guid.map(|guid| String::from_utf8(guid_text(&guid).to_vec()).unwrap())
    }

    #[test]
    fn reads_the_examples() {
        for (bytes, architecture, undi) in [
            (bios_discover(), 0, Some((1, 2, 1))),
            (uefi_discover(), 7, Some((1, 3, 16))),
            (uefi_request(), 7, Some((1, 3, 16))),
            (wdsmgfw_request(), 7, None),
        ] {
            let packet = Packet::parse(&bytes).unwrap();
            let reading = Reading::of(&packet);
            assert_eq!(reading.class, Some(ClientClass::Pxe));
            assert_eq!((reading.architecture(), reading.undi), (Some(architecture), undi));
            assert!(reading.architectures().eq([architecture]));
            assert_eq!(text(reading.guid).as_deref(), Some(GUID));
            assert_eq!(reading.raw_97().unwrap().to_vec(), hex(MACHINE));
            assert_eq!(reading.mac(), Some([2, 0, 0, 0x11, 0x22, 0x33]));
            assert_eq!((reading.ipxe, reading.boot_item), (false, None));
            assert_eq!(reading.vendor().count(), 0);
        }
    }

    #[test]
    fn a_boot_client_is_known_by_the_beginning_of_its_class() {
        for (value, class) in [
            ("PXEClient", Some(ClientClass::Pxe)),
            ("PXEClientX", Some(ClientClass::Pxe)),
            ("PXEClient:Arch:00000:UNDI:002001", Some(ClientClass::Pxe)),
            ("HTTPClient:Arch:00016:UNDI:003000", Some(ClientClass::Http)),
            ("PXEClien", None),
            ("pxeclient", None),
            ("MSFT 5.0", None),
            ("", None),
        ] {
            assert_eq!(read(&option(60, value.as_bytes()), |reading| reading.class), class, "{value}");
        }
        assert_eq!(read("3c 04 50 58 45 43 3c 05 6c 69 65 6e 74", |reading| reading.class), Some(ClientClass::Pxe));
        assert_eq!(read("", |reading| reading.class), None);
    }

    #[test]
    fn the_architecture_is_the_first_of_93() {
        assert_eq!(read("5d 02 00 0b", |reading| reading.architecture()), Some(11));
        assert_eq!(read("5d 04 00 07 00 00", |reading| reading.architecture()), Some(7));
        assert_eq!(read("5d 04 00 07 00 00", |reading| reading.architectures().collect::<Vec<_>>()), [7, 0]);
        assert_eq!(read("5d 01 00 5d 01 07", |reading| reading.architecture()), Some(7));
        for malformed in ["5d 00", "5d 01 07", "5d 03 00 07 00"] {
            let with_class = format!("{malformed} {}", option(60, b"PXEClient:Arch:00007:UNDI:003016"));
            assert_eq!(read(&with_class, |reading| reading.architecture()), None, "{malformed}");
            assert_eq!(read(&with_class, |reading| reading.architectures().count()), 0);
        }
    }

    #[test]
    fn without_93_the_class_says_the_architecture() {
        for (class, architecture) in [
            ("PXEClient:Arch:00007:UNDI:003016", Some(7)),
            ("HTTPClient:Arch:00016:UNDI:003000", Some(16)),
            ("PXEClient:Arch:65535", Some(65535)),
            ("PXEClient:Arch:65536", None),
            ("PXEClient:Arch:0007", None),
            ("PXEClient:Arch:0000x:UNDI", None),
            ("PXEClient:arch:00007", None),
            ("PXEClient", None),
            ("SomethingElse:Arch:00007", None),
        ] {
            assert_eq!(read(&option(60, class.as_bytes()), |reading| reading.architecture()), architecture, "{class}");
        }
    }

    #[test]
    fn a_guid_that_names_no_machine_is_absent_but_echoed() {
        let nil = option(97, &[0; 17]);
        let full = option(97, &[&[0][..], &[0xFF; 16]].concat());
        for options in [&nil, &full] {
            assert_eq!(read(options, |reading| reading.guid), None);
            assert!(read(options, |reading| reading.raw_97().is_some()));
        }
        for malformed in ["61 00", "61 01 00", &option(97, &[1; 17]), &option(97, &[0; 16]), &option(97, &[0; 18])] {
            assert_eq!(read(malformed, |reading| (reading.guid, reading.raw_97())), (None, None), "{malformed}");
        }
    }

    #[test]
    fn guids_are_mixed_endian_on_the_wire() {
        let wire: [u8; 17] = hex(MACHINE).try_into().unwrap();
        assert_eq!(guid_bytes(GUID), known_guid(wire));
        assert_eq!(guid_bytes(&GUID.to_uppercase()), known_guid(wire));
        // What QEMU prints as 8a9f841d-... iPXE and EDK2 send so (F-2).
        let seen: [u8; 16] = hex("1d849f8a 9f4d 535e a833 734a9fbf87b5").try_into().unwrap();
        assert_eq!(&guid_text(&seen), b"8a9f841d-4d9f-5e53-a833-734a9fbf87b5");
        for bad in [
            "",
            "00112233445566778899aabbccddeeff",
            "0011223-34455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeefg",
            "00112233-4455-6677-8899-aabbccddeeff0",
            "00112233-4455-6677-8899-aabbccddee-f",
        ] {
            assert_eq!(guid_bytes(bad), None, "{bad}");
        }
    }

    // E-7
    #[test]
    fn ipxe_is_known_by_its_user_class_or_its_own_option() {
        for (options, ipxe) in [
            ("4d 04 69 50 58 45", true),
            ("4d 05 04 69 50 58 45", true),
            ("4d 08 02 61 62 04 69 50 58 45", true),
            ("af 03 b0 01 01", true),
            ("af 00", true),
            ("4d 04 69 70 78 65", false),
            ("4d 05 05 69 50 58 45", false),
            ("4d 09 69 50 58 45 20 6c 69 6b 65", false),
            ("4d 00", false),
            ("", false),
        ] {
            assert_eq!(read(options, |reading| reading.ipxe), ipxe, "{options}");
        }
    }

    #[test]
    fn the_boot_item_is_four_bytes_in_43() {
        assert_eq!(read("2b 07 47 04 80 00 00 01 ff", |reading| reading.boot_item), Some((0x8000, 1)));
        assert_eq!(read("2b 03 47 04 80 2b 04 00 00 00 ff", |reading| reading.boot_item), Some((0x8000, 0)));
        for wrong in [
            "2b 06 47 03 80 00 00 ff",
            "2b 08 47 05 80 00 00 00 00 ff",
            "2b 04 47 04 80 00",
            "2b 07 ff 47 04 00 00 00 00",
        ] {
            assert_eq!(read(wrong, |reading| reading.boot_item), None, "{wrong}");
        }
    }

    #[test]
    fn a_guid_in_the_place_of_the_mac_leaves_option_61() {
        let head = format!("01 01 10 00 00 11 22 33 {}", "00".repeat(20));
        let mac = |options: &str| {
            let bytes = dhcp(&head, b"", b"", &format!("35 01 01 {CLASS} {options} ff"), 300);
            Reading::of(&Packet::parse(&bytes).unwrap()).mac()
        };
        assert_eq!(mac("3d 07 01 02 00 00 aa bb cc"), Some([2, 0, 0, 0xaa, 0xbb, 0xcc]));
        assert_eq!(mac("3d 07 00 02 00 00 aa bb cc"), None);
        assert_eq!(mac("3d 06 01 02 00 00 aa bb"), None);
        assert_eq!(mac(""), None);
    }

    #[test]
    fn no_hostile_request_panics() {
        let menu = request(&format!("35 01 03 {CLASS} 4d 05 04 69 50 58 45 2b 03 47 04 80 2b 04 00 00 00 ff ff"));
        torment(&[bios_discover(), wdsmgfw_request(), menu], |bytes| {
            let Ok(packet) = Packet::parse(bytes) else { return };
            let reading = Reading::of(&packet);
            if let Some(guid) = reading.guid {
                assert_eq!(guid_bytes(std::str::from_utf8(&guid_text(&guid)).unwrap()), Some(guid));
            }
            let _ = (reading.architecture(), reading.architectures().count(), reading.vendor().count());
        });
    }
}
