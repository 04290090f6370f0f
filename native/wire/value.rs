//! The value of a DHCP option, which may come in several instances (RFC 3396), and sub-options inside it.

use std::iter::{Copied, Flatten, Take};

use super::dhcp::Options;

/// An option's value: all instances of one code, concatenated without being copied together.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    first: &'a [u8],
    more: Pieces<'a>,
}

impl<'a> Value<'a> {
    /// A value that is in one piece.
    pub const fn whole(bytes: &'a [u8]) -> Self {
        Self::starting(0, bytes, Options::field(&[]))
    }

    /// The value whose first instance is `first`, and whose others may be among `rest`.
    pub(super) const fn starting(code: u8, first: &'a [u8], rest: Options<'a>) -> Self {
        Self { first, more: Pieces { first: None, code, options: rest } }
    }

    /// The instances as they came.
    pub fn pieces(&self) -> Pieces<'a> {
        Pieces { first: Some(self.first), ..self.more.clone() }
    }

    /// The bytes, over all instances.
    pub fn bytes(&self) -> Bytes<'a> {
        self.pieces().flatten().copied()
    }

    /// The length over all instances, in bytes.
    pub fn len(&self) -> usize {
        self.pieces().fold(0, |sum, piece| sum.saturating_add(piece.len()))
    }

    /// Is it of no bytes?
    pub fn is_empty(&self) -> bool {
        self.bytes().next().is_none()
    }

    /// The whole value, when it came in one instance.
    pub fn single(&self) -> Option<&'a [u8]> {
        self.more.clone().next().is_none().then_some(self.first)
    }

    /// Copies the value to the start of `buf` and returns its length; `None` when it does not fit.
    pub fn copy_to(&self, buf: &mut [u8]) -> Option<usize> {
        let length = self.len();
        let room = buf.get_mut(..length)?;
        room.iter_mut().zip(self.bytes()).for_each(|(to, from)| *to = from);
        Some(length)
    }

    /// The value as `N` bytes; `None` when it is longer or shorter.
    pub fn array<const N: usize>(&self) -> Option<[u8; N]> {
        exactly(self.bytes())
    }

    /// The value as a big-endian number of two bytes.
    pub fn u16(&self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Does it begin with `prefix`?
    pub fn starts_with(&self, prefix: &[u8]) -> bool {
        self.bytes().take(prefix.len()).eq(prefix.iter().copied())
    }

    /// Is it `bytes`?
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.bytes().eq(bytes.iter().copied())
    }
}

/// The instances of one option, in order.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    first: Option<&'a [u8]>,
    code: u8,
    options: Options<'a>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.code;
        self.first.take().or_else(|| self.options.find(|&(other, _)| other == code).map(|(_, piece)| piece))
    }
}

/// The bytes of a value, over all its instances.
pub type Bytes<'a> = Copied<Flatten<Pieces<'a>>>;

/// How sub-options are laid out inside a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 0 is a filler and 255 the end (PXE 2.1 table 2-1, Microsoft's option 250).
    Ended,
    /// Every code has a length (RFC 3046 section 2.0).
    Plain,
}

/// Sub-options in order: an iterator over (code, value). One that runs past the end ends it.
#[derive(Clone, Debug)]
pub struct SubOptions<'a> {
    bytes: Option<Bytes<'a>>,
    layout: Layout,
}

impl<'a> SubOptions<'a> {
    /// The sub-options of `value`; none when there is no value.
    pub fn of(value: Option<&Value<'a>>, layout: Layout) -> Self {
        Self { bytes: value.map(Value::bytes), layout }
    }

    /// The first sub-option `code`.
    pub fn get(&self, code: u8) -> Option<SubValue<'a>> {
        self.clone().find(|(other, _)| *other == code).map(|(_, value)| value)
    }

    /// Does every sub-option lie inside the value, to the end?
    pub fn is_whole(&self) -> bool {
        let Some(mut bytes) = self.bytes.clone() else { return true };
        while self.code(&mut bytes).is_some() {
            if sub_value(&mut bytes).is_none() {
                return false;
            }
        }
        true
    }

    fn code(&self, bytes: &mut Bytes<'a>) -> Option<u8> {
        match self.layout {
            Layout::Plain => bytes.next(),
            Layout::Ended => bytes.find(|&code| code != 0).filter(|&code| code != 255),
        }
    }
}

impl<'a> Iterator for SubOptions<'a> {
    type Item = (u8, SubValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = self.bytes.take()?;
        let found = (self.code(&mut bytes)?, sub_value(&mut bytes)?);
        self.bytes = Some(bytes);
        Some(found)
    }
}

/// A length and as many bytes.
fn sub_value<'a>(bytes: &mut Bytes<'a>) -> Option<SubValue<'a>> {
    let len = bytes.next()?;
    let value = SubValue { bytes: bytes.clone().take(len.into()), len };
    if let Some(last) = usize::from(len).checked_sub(1) {
        bytes.nth(last)?;
    }
    Some(value)
}

/// The value of one sub-option.
#[derive(Clone, Debug)]
pub struct SubValue<'a> {
    bytes: Take<Bytes<'a>>,
    len: u8,
}

impl<'a> SubValue<'a> {
    /// The length in bytes.
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// Is it of no bytes?
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    pub fn bytes(&self) -> Take<Bytes<'a>> {
        self.bytes.clone()
    }

    /// The value as `N` bytes; `None` when it is longer or shorter.
    pub fn array<const N: usize>(&self) -> Option<[u8; N]> {
        exactly(self.bytes())
    }
}

fn exactly<const N: usize>(mut bytes: impl Iterator<Item = u8>) -> Option<[u8; N]> {
    let mut array = [0; N];
    for slot in &mut array {
        *slot = bytes.next()?;
    }
    bytes.next().is_none().then_some(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::{hex, torment};

    fn walk(option: &str, layout: Layout) -> Vec<(u8, Vec<u8>)> {
        let bytes = hex(option);
        let (code, _) = Options::field(&bytes).next().unwrap();
        let [value] = Options::field(&bytes).values([code]);
        SubOptions::of(value.as_ref(), layout).map(|(code, value)| (code, value.bytes().collect())).collect()
    }

    fn expected(pairs: &[(u8, &str)]) -> Vec<(u8, Vec<u8>)> {
        pairs.iter().map(|(code, text)| (*code, hex(text))).collect()
    }

    // E-7
    #[test]
    fn walks_a_boot_menu_and_its_like() {
        assert_eq!(walk("2b 04 06 01 08 ff", Layout::Ended), expected(&[(6, "08")]));
        let menu = "2b 2c 06 01 03 08 07 00 01 01 c0 00 02 0a 09 12 00 01 07 70 78 65 66 61 73 74
            00 00 05 4c 6f 63 61 6c 0a 09 05 50 72 65 73 73 20 46 38 ff";
        assert_eq!(
            walk(menu, Layout::Ended),
            expected(&[
                (6, "03"),
                (8, "00 01 01 c0 00 02 0a"),
                (9, "00 01 07 70 78 65 66 61 73 74 00 00 05 4c 6f 63 61 6c"),
                (10, "05 50 72 65 73 73 20 46 38"),
            ])
        );
        assert_eq!(walk("2b 07 47 04 00 01 00 00 ff", Layout::Ended), expected(&[(71, "00 01 00 00")]));
    }

    #[test]
    fn walks_microsofts_pending_answer() {
        let pending =
            "fa 1f 02 01 01 05 04 00 00 00 07 03 02 00 0a 04 02 00 1e 06 08 50 65 6e 64 69 6e 67 00 0e 01 00 ff";
        assert_eq!(
            walk(pending, Layout::Ended),
            expected(&[
                (2, "01"),
                (5, "00000007"),
                (3, "000a"),
                (4, "001e"),
                (6, "50 65 6e 64 69 6e 67 00"),
                (14, "00")
            ])
        );
    }

    #[test]
    fn walks_ipxes_features() {
        assert_eq!(walk("af 03 b0 01 01", Layout::Plain), expected(&[(0xb0, "01")]));
    }

    #[test]
    fn sub_options_go_on_across_instances() {
        assert_eq!(walk("2b 03 00 47 04 2b 02 00 01 2b 03 00 00 ff", Layout::Ended), expected(&[(71, "00010000")]));
    }

    #[test]
    fn a_sub_option_that_lies_ends_the_walk_and_keeps_the_rest() {
        assert_eq!(walk("2b 05 06 01 08 47 09", Layout::Ended), expected(&[(6, "08")]));
        assert_eq!(walk("2b 04 06 01 08 47", Layout::Ended), expected(&[(6, "08")]));
        assert_eq!(walk("2b 09 ff 01 07 47 04 00 01 00 00", Layout::Ended), []);
        assert_eq!(walk("52 05 00 01 09 ff 00", Layout::Plain), expected(&[(0, "09"), (255, "")]));
    }

    #[test]
    fn a_value_in_one_piece_reads_like_one_from_a_packet() {
        let value = Value::whole(b"ab");
        assert!(value.pieces().eq([b"ab"]));
        assert_eq!((value.single(), value.u16(), value.len()), (Some(&b"ab"[..]), Some(0x6162), 2));
        assert!(Value::whole(b"").is_empty());
    }

    #[test]
    fn no_hostile_value_panics() {
        let values = ["2b 03 00 47 04 2b 02 00 01 2b 03 00 00 ff", "2b 04 06 01 08 ff 2b 02 06 01"].map(hex);
        torment(&values, |bytes| {
            let [value] = Options::field(bytes).values([0x2b]);
            for layout in [Layout::Ended, Layout::Plain] {
                for (_, value) in SubOptions::of(value.as_ref(), layout) {
                    assert_eq!(value.bytes().count(), usize::from(value.len()));
                    assert_eq!(value.array::<4>().is_some(), value.len() == 4);
                }
            }
        });
    }
}
