//! TFTP (RFC 1350) with its options (RFC 2347, 2348, 2349, 7440) and Microsoft's longer ACK.

use super::cursor::Cursor;
use super::writer::Writer;
use super::{Error, What};

/// The longest request that is read, in bytes: what one Ethernet frame can bring.
pub const MAX_REQUEST: usize = 1468;
/// How many options of a packet are read; more are ignored.
pub const MAX_OPTIONS: usize = 16;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// A TFTP packet, borrowed from the datagram it came in.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// Read request (RRQ).
    Read(Request<'a>),
    /// Write request (WRQ).
    Write(Request<'a>),
    /// One block of the file (DATA).
    Data {
        /// The block number modulo 65536; the first is 1.
        block: u16,
        /// The block's bytes; fewer than the block size end the file.
        payload: &'a [u8],
    },
    /// Acknowledgment (ACK).
    Ack {
        /// The last block received in order, modulo 65536.
        block: u16,
        /// How many blocks a client with `msftwindow` wants in the next window: the fifth byte, raw.
        next_window: Option<u8>,
    },
    /// Error (ERROR): the sender has ended the transfer.
    Error {
        /// The code as sent; [`ErrorCode`] names the known ones.
        code: u16,
        /// The words for a person, of any bytes.
        message: &'a [u8],
    },
    /// Option acknowledgment (OACK).
    Oack(Options<'a>),
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        match cursor.u16()? {
            READ => Request::parse(cursor).map(Self::Read),
            WRITE => Request::parse(cursor).map(Self::Write),
            DATA => Ok(Self::Data { block: cursor.u16()?, payload: cursor.rest() }),
            ACK => Ok(Self::Ack { block: cursor.u16()?, next_window: next_window(cursor.rest()) }),
            // A sender that has given up may forget its last NUL: its words end with the datagram then.
            ERROR => Ok(Self::Error { code: cursor.u16()?, message: cursor.text().unwrap_or(cursor.rest()) }),
            OACK => Ok(Self::Oack(Options::new(cursor))),
            _ => Err(Error::new(What::UnknownOpcode, 0)),
        }
    }
}

/// Longer ACKs are taken for plain ones, as other servers do: only a fifth byte alone has a meaning.
fn next_window(rest: &[u8]) -> Option<u8> {
    match rest {
        &[window] => Some(window),
        _ => None,
    }
}

/// What a read or write request says.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The name as sent; never empty, of any bytes but NUL.
    pub filename: &'a [u8],
    /// How the client wants its bytes.
    pub mode: Mode,
    /// What the client offers to negotiate.
    pub options: Options<'a>,
}

impl<'a> Request<'a> {
    fn parse(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        if cursor.at().saturating_add(cursor.left()) > MAX_REQUEST {
            return Err(Error::new(What::TooLong, MAX_REQUEST));
        }
        let start = cursor;
        let filename = cursor.text()?;
        if filename.is_empty() {
            return Err(start.error(What::Empty));
        }
        let mode = Mode::of(cursor.text()?);
        Ok(Self { filename, mode, options: Options::new(cursor) })
    }
}

/// A request's mode (RFC 1350 section 1); its case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The bytes as they are.
    Octet,
    /// Text with the sender's line ends made CR LF.
    NetAscii,
    /// Obsolete: text sent to a person.
    Mail,
    /// None of these.
    Other,
}

impl Mode {
    fn of(text: &[u8]) -> Self {
        let known = [(&b"octet"[..], Self::Octet), (b"netascii", Self::NetAscii), (b"mail", Self::Mail)];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map_or(Self::Other, |(_, mode)| mode)
    }
}

/// Options in the order sent: an iterator over (name, value), each name once.
///
/// At most [`MAX_OPTIONS`] are read. Of equal names (their case aside) the first counts. A piece that lacks
/// its NUL or its value ends the list.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    all: Cursor<'a>,
    rest: Cursor<'a>,
    read: usize,
}

impl<'a> Options<'a> {
    const fn new(cursor: Cursor<'a>) -> Self {
        Self { all: cursor, rest: cursor, read: 0 }
    }

    /// The value of option `name`, if it is among those not yet iterated over.
    pub fn get_ignore_case(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.clone().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn stands_earlier(&self, name: &[u8]) -> bool {
        let mut all = self.all;
        let earlier = std::iter::from_fn(|| pair(&mut all)).take(self.read);
        earlier.into_iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while self.read < MAX_OPTIONS {
            let (name, value) = pair(&mut self.rest)?;
            let again = self.stands_earlier(name);
            self.read = self.read.saturating_add(1);
            if !again {
                return Some((name, value));
            }
        }
        None
    }
}

fn pair<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let name = cursor.text().ok().filter(|name| !name.is_empty())?;
    Some((name, cursor.text().ok()?))
}

/// A number as options spell it: 1 to 19 ASCII digits and nothing else.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if !(1..=19).contains(&value.len()) {
        return None;
    }
    value.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit & 0x0f))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Error codes (RFC 1350 section 5, RFC 2347).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// Not defined, see the message.
    NotDefined = 0,
    /// File not found.
    FileNotFound = 1,
    /// Access violation.
    AccessViolation = 2,
    /// Disk full or allocation exceeded.
    DiskFull = 3,
    /// Illegal TFTP operation.
    IllegalOperation = 4,
    /// Unknown transfer identifier (TID): not a port of this transfer.
    UnknownTransferId = 5,
    /// File already exists.
    FileExists = 6,
    /// No such user.
    NoSuchUser = 7,
    /// An option was refused.
    OptionRefused = 8,
}

impl ErrorCode {
    /// Every code, in order.
    pub const ALL: [Self; 9] = [
        Self::NotDefined,
        Self::FileNotFound,
        Self::AccessViolation,
        Self::DiskFull,
        Self::IllegalOperation,
        Self::UnknownTransferId,
        Self::FileExists,
        Self::NoSuchUser,
        Self::OptionRefused,
    ];

    /// The number on the wire.
    #[allow(clippy::as_conversions)] // an enum's own number
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// The four bytes before a block's payload.
pub const fn data_header(block: u16) -> [u8; 4] {
    let [high, low] = block.to_be_bytes();
    [0, 3, high, low]
}

/// Writes an acknowledgment of `block`, with how many blocks are wanted next (`msftwindow`), and returns its length.
pub fn emit_ack(buf: &mut [u8], block: u16, next_window: Option<u8>) -> Result<usize, Error> {
    let mut writer = Writer::new(buf);
    writer.put(&ACK.to_be_bytes())?;
    writer.put(&block.to_be_bytes())?;
    writer.put(next_window.as_slice())?;
    Ok(writer.len())
}

/// Writes an option acknowledgment and returns its length; names go out as given, in the order given.
pub fn emit_oack<'o>(buf: &mut [u8], options: impl IntoIterator<Item = (&'o [u8], u64)>) -> Result<usize, Error> {
    let mut writer = Writer::new(buf);
    writer.put(&OACK.to_be_bytes())?;
    put_options(&mut writer, options)?;
    Ok(writer.len())
}

/// Writes an error and returns its length; the words end at their first NUL.
pub fn emit_error(buf: &mut [u8], code: ErrorCode, message: &str) -> Result<usize, Error> {
    let mut writer = Writer::new(buf);
    writer.put(&ERROR.to_be_bytes())?;
    writer.put(&code.code().to_be_bytes())?;
    writer.text(message.split('\0').next().unwrap_or_default().as_bytes())?;
    Ok(writer.len())
}

/// Writes a read request of mode octet and returns its length (the client's side).
pub fn emit_request<'o>(
    buf: &mut [u8],
    filename: &[u8],
    options: impl IntoIterator<Item = (&'o [u8], u64)>,
) -> Result<usize, Error> {
    let mut writer = Writer::new(buf);
    writer.put(&READ.to_be_bytes())?;
    if filename.is_empty() {
        return Err(writer.error(What::Empty));
    }
    writer.text(filename)?;
    writer.text(b"octet")?;
    put_options(&mut writer, options)?;
    if writer.len() > MAX_REQUEST {
        return Err(Error::new(What::TooLong, MAX_REQUEST));
    }
    Ok(writer.len())
}

fn put_options<'o>(writer: &mut Writer<'_>, options: impl IntoIterator<Item = (&'o [u8], u64)>) -> Result<(), Error> {
    for (name, value) in options {
        if name.is_empty() {
            return Err(writer.error(What::Empty));
        }
        writer.text(name)?;
        writer.decimal(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{hex, torment};

    // E-9: the Windows boot manager, EDK2, and Intel's ROM.
    const BOOTMGR: &str =
        "00 01 5c 42 6f 6f 74 5c 42 43 44 00 6f 63 74 65 74 00 74 73 69 7a 65 00 30 00 62 6c 6b 73 69 7a
        65 00 31 34 35 36 00 77 69 6e 64 6f 77 73 69 7a 65 00 34 00 6d 73 66 74 77 69 6e 64 6f 77 00 33 31 34 31 36 00";
    const BOOTMGR_OACK: &str =
        "00 06 74 73 69 7a 65 00 31 36 33 38 34 00 62 6c 6b 73 69 7a 65 00 31 34 35 36 00 77 69 6e 64 6f
        77 73 69 7a 65 00 34 00 6d 73 66 74 77 69 6e 64 6f 77 00 32 37 31 38 32 00";
    const EDK2: &str = "00 01 73 6d 73 62 6f 6f 74 5c 78 36 34 5c 77 64 73 6d 67 66 77 2e 65 66 69 00 6f 63 74 65 74 00
        74 73 69 7a 65 00 30 00 62 6c 6b 73 69 7a 65 00 31 34 36 38 00 77 69 6e 64 6f 77 73 69 7a 65 00 34 00";
    const EDK2_OACK: &str =
        "00 06 74 73 69 7a 65 00 31 30 30 30 30 30 30 00 62 6c 6b 73 69 7a 65 00 31 34 36 38 00 77 69 6e
        64 6f 77 73 69 7a 65 00 34 00";
    const EDK2_ABORT: &str =
        "00 05 00 08 55 73 65 72 20 61 62 6f 72 74 65 64 20 74 68 65 20 74 72 61 6e 73 66 65 72 00";
    const INTEL_PROBE: &str =
        "00 01 73 6d 73 62 6f 6f 74 5c 78 36 34 5c 77 64 73 6e 62 70 2e 63 6f 6d 00 6f 63 74 65 74 00 74
        73 69 7a 65 00 30 00";
    const INTEL_READ: &str =
        "00 01 73 6d 73 62 6f 6f 74 5c 78 36 34 5c 77 64 73 6e 62 70 2e 63 6f 6d 00 6f 63 74 65 74 00 62
        6c 6b 73 69 7a 65 00 31 34 35 36 00";
    const NOT_FOUND: &str = "00 05 00 01 46 69 6c 65 20 6e 6f 74 20 66 6f 75 6e 64 00";

    fn read(bytes: &[u8]) -> Request<'_> {
        match Packet::parse(bytes) {
            Ok(Packet::Read(request)) => request,
            other => panic!("not a read request: {other:?}"),
        }
    }

    fn options(packet: &[u8]) -> Vec<(&[u8], &[u8])> {
        match Packet::parse(packet) {
            Ok(Packet::Oack(options)) => options.collect(),
            _ => read(packet).options.collect(),
        }
    }

    fn error(bytes: &[u8]) -> (What, u16) {
        let error = Packet::parse(bytes).map(|packet| panic!("accepted: {packet:?}")).unwrap_err();
        (error.what, error.at)
    }

    #[test]
    fn reads_the_boot_managers_request() {
        let bytes = hex(BOOTMGR);
        let request = read(&bytes);
        assert_eq!((request.filename, request.mode), (&b"\\Boot\\BCD"[..], Mode::Octet));
        let expected: [(&[u8], &[u8]); 4] =
            [(b"tsize", b"0"), (b"blksize", b"1456"), (b"windowsize", b"4"), (b"msftwindow", b"31416")];
        assert!(request.options.clone().eq(expected));
        assert_eq!(request.options.get_ignore_case(b"BLKSIZE"), Some(&b"1456"[..]));
        assert_eq!(request.options.get_ignore_case(b"timeout"), None);
    }

    #[test]
    fn writes_the_oacks_of_the_examples() {
        for (expected, values) in [
            (
                BOOTMGR_OACK,
                &[(&b"tsize"[..], 16384), (b"blksize", 1456), (b"windowsize", 4), (b"msftwindow", 27182)][..],
            ),
            (EDK2_OACK, &[(b"tsize", 1_000_000), (b"blksize", 1468), (b"windowsize", 4)]),
        ] {
            let mut buf = [0; 512];
            let length = emit_oack(&mut buf, values.iter().copied()).unwrap();
            assert_eq!(buf[..length], hex(expected));
            let texts: Vec<_> = values.iter().map(|(name, value)| (*name, value.to_string())).collect();
            assert!(options(&buf[..length])
                .into_iter()
                .eq(texts.iter().map(|(name, value)| (*name, value.as_bytes()))));
        }
    }

    #[test]
    fn writes_the_requests_of_the_examples() {
        type Options<'o> = &'o [(&'o [u8], u64)];
        let cases: [(&str, &[u8], Options<'_>); 4] = [
            (BOOTMGR, b"\\Boot\\BCD", &[(b"tsize", 0), (b"blksize", 1456), (b"windowsize", 4), (b"msftwindow", 31416)]),
            (EDK2, b"smsboot\\x64\\wdsmgfw.efi", &[(b"tsize", 0), (b"blksize", 1468), (b"windowsize", 4)]),
            (INTEL_PROBE, b"smsboot\\x64\\wdsnbp.com", &[(b"tsize", 0)]),
            (INTEL_READ, b"smsboot\\x64\\wdsnbp.com", &[(b"blksize", 1456)]),
        ];
        for (expected, filename, options) in cases {
            let mut buf = [0; 512];
            let length = emit_request(&mut buf, filename, options.iter().copied()).unwrap();
            assert_eq!(buf[..length], hex(expected));
            assert_eq!(read(&buf[..length]).filename, filename);
        }
    }

    #[test]
    fn a_microsoft_ack_says_how_many_blocks_it_wants_next() {
        for (text, expected) in [
            ("00 04 00 00 04", (0, Some(4))),
            ("00 04 00 04 08", (4, Some(8))),
            ("00 04 00 00", (0, None)),
            ("00 04 02 aa", (682, None)),
            ("00 04 00 01 02 03", (1, None)), // longer than anybody means it
        ] {
            let bytes = hex(text);
            let Ok(Packet::Ack { block, next_window }) = Packet::parse(&bytes) else { panic!("not an ACK: {text}") };
            assert_eq!((block, next_window), expected);
        }
        let mut buf = [0; 5];
        assert_eq!(emit_ack(&mut buf, 682, None), Ok(4));
        assert_eq!(buf[..4], hex("00 04 02 aa"));
        assert_eq!(emit_ack(&mut buf, 4, Some(8)), Ok(5));
        assert_eq!(buf[..], hex("00 04 00 04 08"));
        assert!(emit_ack(&mut [0; 4], 4, Some(8)).is_err());
    }

    #[test]
    fn data_is_a_block_and_what_follows() {
        assert_eq!([&data_header(65535)[..], b"abc"].concat(), hex("00 03 ff ff 61 62 63"));
        assert!(matches!(Packet::parse(b"\0\x03\xff\xffabc"), Ok(Packet::Data { block: 65535, payload: b"abc" })));
        assert!(matches!(Packet::parse(b"\0\x03\0\x07"), Ok(Packet::Data { block: 7, payload: b"" })));
    }

    #[test]
    fn errors_are_read_and_written() {
        assert!(matches!(
            Packet::parse(&hex(EDK2_ABORT)),
            Ok(Packet::Error { code: 8, message: b"User aborted the transfer" })
        ));
        assert!(matches!(Packet::parse(b"\0\x05\0\0closed"), Ok(Packet::Error { code: 0, message: b"closed" })));
        assert!(matches!(Packet::parse(b"\0\x05\0\0"), Ok(Packet::Error { code: 0, message: b"" })));
        let mut buf = [0; 64];
        let length = emit_error(&mut buf, ErrorCode::FileNotFound, "File not found").unwrap();
        assert_eq!(buf[..length], hex(NOT_FOUND));
        let length = emit_error(&mut buf, ErrorCode::NotDefined, "cut\0here").unwrap();
        assert_eq!(&buf[..length], b"\0\x05\0\0cut\0");
    }

    #[test]
    fn modes_are_known_in_any_case() {
        for (text, mode) in [
            ("OcTeT", Mode::Octet),
            ("NETASCII", Mode::NetAscii),
            ("mail", Mode::Mail),
            ("octets", Mode::Other),
            ("", Mode::Other),
        ] {
            assert_eq!(read(format!("\0\x01f\0{text}\0").as_bytes()).mode, mode);
        }
        assert!(matches!(Packet::parse(b"\0\x02f\0octet\0"), Ok(Packet::Write(_))));
    }

    #[test]
    fn of_equal_options_the_first_counts() {
        let found = options(b"\0\x01f\0octet\0blksize\x00512\0BlkSize\x001024\0tsize\x000\0");
        assert_eq!(found, [(&b"blksize"[..], &b"512"[..]), (b"tsize", b"0")]);
    }

    #[test]
    fn a_dangling_piece_is_ignored() {
        for tail in ["tsize", "tsize\0", "tsize\x000", "\0\0\0", "\0tsize\x000\0"] {
            assert_eq!(options(format!("\0\x01f\0octet\0blksize\x00512\0{tail}").as_bytes()).len(), 1, "{tail:?}");
        }
        assert_eq!(options(b"\0\x01f\0octet\0multicast\0\0tsize\x000\0").len(), 2);
    }

    #[test]
    fn options_beyond_sixteen_are_ignored() {
        let many: String = (0..150).map(|n| format!("o{n}\x001\0")).collect();
        assert_eq!(options(format!("\0\x01f\0octet\0{many}").as_bytes()).len(), MAX_OPTIONS);
        let same = "tsize\x000\0".repeat(150);
        assert_eq!(options(format!("\0\x01f\0octet\0{same}").as_bytes()).len(), 1);
    }

    #[test]
    fn refuses_what_is_no_packet() {
        assert_eq!(error(b""), (What::Truncated, 0));
        assert_eq!(error(b"\0"), (What::Truncated, 0));
        assert_eq!(error(b"\0\x03\0"), (What::Truncated, 2));
        assert_eq!(error(b"\0\x04\0"), (What::Truncated, 2));
        assert_eq!(error(b"\0\x05\0"), (What::Truncated, 2));
        assert_eq!(error(b"\0\0"), (What::UnknownOpcode, 0));
        assert_eq!(error(b"\0\x07ab"), (What::UnknownOpcode, 0));
        assert_eq!(error(b"default send string"), (What::UnknownOpcode, 0)); // a load balancer's probe
        assert_eq!(error(b"\0\x01name"), (What::NoTerminator, 2));
        assert_eq!(error(b"\0\x01name\0octet"), (What::NoTerminator, 7));
        assert_eq!(error(b"\0\x01\0octet\0"), (What::Empty, 2));
        let long = [b"\0\x01f\0octet\0".to_vec(), vec![b'x'; MAX_REQUEST]].concat();
        assert_eq!(error(&long), (What::TooLong, 1468));
        assert!(Packet::parse(&long[..MAX_REQUEST]).is_ok());
    }

    #[test]
    fn refuses_to_write_what_nobody_could_read() {
        let mut buf = [0; 2000];
        let none = std::iter::empty;
        assert_eq!(emit_request(&mut buf, b"", none()).map_err(|error| error.what), Err(What::Empty));
        assert_eq!(emit_request(&mut buf, b"a\0b", none()).map_err(|error| error.what), Err(What::Unexpected));
        assert_eq!(emit_request(&mut buf, &[b'x'; 1468], none()).map_err(|error| error.what), Err(What::TooLong));
        assert_eq!(emit_oack(&mut buf, [(&b""[..], 1)]).map_err(|error| error.what), Err(What::Empty));
        assert_eq!(emit_oack(&mut buf[..10], [(&b"tsize"[..], 1234)]).map_err(|error| error.what), Err(What::NoRoom));
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"0065464"), Some(65464));
        assert_eq!(decimal(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in ["", "-1", "+5", " 5", "5 ", "5x", "0x5", "10000000000000000000", "\u{664}"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn no_hostile_packet_panics() {
        let packets = [BOOTMGR, BOOTMGR_OACK, EDK2_ABORT, "00 04 00 00 04", "00 03 00 01 61"].map(hex);
        torment(&packets, |bytes| match Packet::parse(bytes) {
            Ok(Packet::Read(request) | Packet::Write(request)) => {
                assert!(request.options.clone().count() <= MAX_OPTIONS);
                request.options.get_ignore_case(b"tsize").map(decimal);
            }
            Ok(Packet::Oack(options)) => assert!(options.count() <= MAX_OPTIONS),
            Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::Error { .. }) | Err(_) => {}
        });
    }
}
