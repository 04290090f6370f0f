//! The one reader of input: it goes forward, and past the end is an error.

use super::{Error, What};

/// A position in bytes that came from the wire.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::new_at(bytes, 0)
    }

    /// The start of `bytes`, which themselves begin `at` bytes into the packet.
    pub const fn new_at(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    /// The offset from the packet's start.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// All that is left, unread.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// `what`, noticed here.
    pub fn error(&self, what: What) -> Error {
        Error::new(what, self.at)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or_else(|| self.error(What::Truncated))?;
        self.advance(rest);
        Ok(taken)
    }

    /// The next `N` bytes, borrowed.
    pub fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.error(What::Truncated))?;
        self.advance(rest);
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.chunk().copied()
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next `n` bytes as a cursor of their own, whose reader ends it with [`finish`](Self::finish).
    pub fn sub(&mut self, n: usize) -> Result<Self, Error> {
        let at = self.at;
        Ok(Self::new_at(self.take(n)?, at))
    }

    /// The bytes before the next NUL, which is read too.
    pub fn text(&mut self) -> Result<&'a [u8], Error> {
        let end = self.rest.iter().position(|&byte| byte == 0);
        let text = self.take(end.ok_or_else(|| self.error(What::NoTerminator))?)?;
        self.u8()?;
        Ok(text)
    }

    /// The end: whatever is left unread is an error.
    pub fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(What::Unexpected))
        }
    }

    fn advance(&mut self, rest: &'a [u8]) {
        self.at = self.at.saturating_add(self.rest.len().saturating_sub(rest.len()));
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forward_and_big_endian() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u16(), Ok(0x0203));
        assert_eq!(cursor.u32(), Ok(0x0405_0607));
        assert_eq!((cursor.at(), cursor.left()), (7, 2));
        assert_eq!(cursor.array(), Ok([8, 9]));
        assert_eq!(cursor.finish(), Ok(()));
    }

    #[test]
    fn past_the_end_is_an_error_and_moves_nothing() {
        let mut cursor = Cursor::new(&[1]);
        assert_eq!(cursor.u16(), Err(Error::new(What::Truncated, 0)));
        assert_eq!(cursor.take(2), Err(Error::new(What::Truncated, 0)));
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u8(), Err(Error::new(What::Truncated, 1)));
    }

    #[test]
    fn a_nested_field_counts_from_the_packet_and_must_end_exactly() {
        let mut cursor = Cursor::new(&[0, 9, 8, 7]);
        cursor.u8().unwrap();
        let mut nested = cursor.sub(2).unwrap();
        assert_eq!(nested.u8(), Ok(9));
        assert_eq!(nested.finish(), Err(Error::new(What::Unexpected, 2)));
        assert_eq!(cursor.rest(), [7]);
    }

    #[test]
    fn a_text_ends_at_its_nul() {
        let mut cursor = Cursor::new(b"ab\0\0c");
        assert_eq!(cursor.text(), Ok(&b"ab"[..]));
        assert_eq!(cursor.text(), Ok(&b""[..]));
        assert_eq!(cursor.text(), Err(Error::new(What::NoTerminator, 4)));
    }

    /// E-10: no DHCPv6 is served, but its options are walked with the same cursor.
    #[test]
    fn walks_the_dhcpv6_option_fragments() {
        let fragments = crate::wire::examples::hex(
            "00 3b 00 1b 74 66 74 70 3a 2f 2f 5b 32 30 30 31 3a 64 62 38 3a 3a 31 30 5d 2f 78 2e 65 66 69
             00 10 00 26 00 00 01 57 00 20 50 58 45 43 6c 69 65 6e 74 3a 41 72 63 68 3a 30 30 30 30 37 3a 55 4e 44 49 3a 30 30 33 30 31 36
             00 3d 00 02 00 07  00 3e 00 03 01 03 10
             00 06 00 08 00 3b 00 3c 00 17 00 10",
        );
        let mut packet = Cursor::new(&fragments);
        let mut option = |code| {
            assert_eq!(packet.u16(), Ok(code));
            let length = packet.u16().unwrap();
            packet.sub(length.into()).unwrap()
        };
        assert_eq!(option(59).rest(), b"tftp://[2001:db8::10]/x.efi");
        let mut class = option(16);
        assert_eq!(class.u32(), Ok(343)); // the enterprise number of Intel
        let length = class.u16().unwrap();
        assert_eq!(class.take(length.into()), Ok(&b"PXEClient:Arch:00007:UNDI:003016"[..]));
        assert_eq!(class.finish(), Ok(()));
        assert_eq!(option(61).u16(), Ok(7));
        assert_eq!(option(62).array(), Ok([1, 3, 16]));
        let mut requested = option(6);
        assert_eq!([(); 4].map(|()| requested.u16().unwrap()), [59, 60, 23, 16]);
        assert_eq!(requested.finish(), Ok(()));
        assert_eq!(packet.finish(), Ok(()));
    }
}
