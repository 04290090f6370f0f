//! File names as TFTP clients spell them, folded to the one form that is looked up.

use std::fmt;

/// The longest folded name, in bytes.
pub const MAX_NAME: usize = 512;
/// The longest part between two slashes, in bytes.
pub const MAX_COMPONENT: usize = 255;

names! {
    /// Why a name is refused. Nothing is ever repaired by stripping it out of the middle.
    pub enum BadName {
        /// Nothing is left of it, or of a part of it.
        Empty => "empty_name",
        /// A part is `.` or `..`.
        Dots => "dots_in_name",
        /// It holds a colon: a drive or a stream.
        Colon => "colon_in_name",
        /// It holds a control byte.
        Control => "control_in_name",
        /// A part is longer than 255 bytes.
        LongComponent => "long_component",
        /// It is longer than 512 bytes.
        TooLong => "long_name",
    }
}

impl std::error::Error for BadName {}

/// A folded name: parts that are not empty, joined by single slashes, ASCII letters in lower case.
#[derive(Clone)]
pub struct Name {
    buf: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    /// Folds a name from the wire.
    ///
    /// It is cut at its first NUL; 0xFF, LF, CR and spaces at its end are firmware's litter and go; `\` is
    /// `/`, several are one, leading ones go. Bytes above 0x7F are opaque.
    pub fn fold(raw: &[u8]) -> Result<Self, BadName> {
        let text = raw.split(|&byte| byte == 0).next().unwrap_or_default();
        let end = text.iter().rposition(|byte| !matches!(byte, 0xFF | b'\n' | b'\r' | b' '));
        let kept = end.map_or(0, |last| last.saturating_add(1));
        Self::spell(text.iter().copied().take(kept))
    }

    /// `name` in the folder `prefix`; `None` when the two are too long together or `prefix` is no folder's name.
    pub fn join(prefix: &[u8], name: &Self) -> Option<Self> {
        Self::spell(prefix.iter().chain(b"/").chain(name.as_bytes()).copied()).ok()
    }

    /// The folded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }

    fn spell(bytes: impl Iterator<Item = u8>) -> Result<Self, BadName> {
        let mut name = Self { buf: [0; MAX_NAME], len: 0 };
        for byte in bytes {
            match byte {
                b'/' | b'\\' if name.is_between_parts() => {}
                b'/' | b'\\' => {
                    name.check_last_part()?;
                    name.push(b'/')?;
                }
                b':' => return Err(BadName::Colon),
                byte if byte.is_ascii_control() => return Err(BadName::Control),
                byte => name.push(byte.to_ascii_lowercase())?,
            }
        }
        name.check_last_part()?;
        Ok(name)
    }

    fn is_between_parts(&self) -> bool {
        matches!(self.as_bytes(), [] | [.., b'/'])
    }

    fn check_last_part(&self) -> Result<(), BadName> {
        match self.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default() {
            b"." | b".." => Err(BadName::Dots),
            part if part.iter().all(|&byte| byte == b' ') => Err(BadName::Empty),
            part if part.len() > MAX_COMPONENT => Err(BadName::LongComponent),
            _ => Ok(()),
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), BadName> {
        *self.buf.get_mut(self.len).ok_or(BadName::TooLong)? = byte;
        self.len = self.len.saturating_add(1);
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name(\"{}\")", self.as_bytes().escape_ascii())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::examples::torment;

    fn folded(raw: &[u8]) -> Result<String, BadName> {
        Name::fold(raw).map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn every_spelling_of_a_file_folds_to_one_name() {
        for spelling in [
            "boot/x64/bootmgfw.efi",
            "\\Boot\\x64\\BootMgFw.EFI",
            "/boot\\x64/bootmgfw.efi",
            "\\\\boot//x64\\/bootmgfw.efi",
            "boot/x64/bootmgfw.efi\n",
            "boot/x64/bootmgfw.efi\r\n",
            "boot/x64/bootmgfw.efi  ",
            "boot/x64/bootmgfw.efi\0\u{1}garbage",
        ] {
            assert_eq!(folded(spelling.as_bytes()).as_deref(), Ok("boot/x64/bootmgfw.efi"), "{spelling:?}");
        }
        assert_eq!(folded(b"boot/x64/bootmgfw.efi\xff\xff").as_deref(), Ok("boot/x64/bootmgfw.efi"));
    }

    #[test]
    fn bytes_above_ascii_are_opaque() {
        assert_eq!(Name::fold(b"\xc4\xd6/\xff\x80").unwrap().as_bytes(), b"\xc4\xd6/\xff\x80");
        assert_eq!(folded("ÄRGER/Ü".as_bytes()).as_deref(), Ok("Ärger/Ü"));
    }

    #[test]
    fn a_way_out_of_the_root_is_refused_and_never_repaired() {
        let cases: [(&[u8], BadName); 22] = [
            (b"", BadName::Empty),
            (b"\0boot", BadName::Empty),
            (b"\xff\r\n ", BadName::Empty),
            (b"///", BadName::Empty),
            (b"boot/", BadName::Empty),
            (b"boot\\\\", BadName::Empty),
            (b"boot/ /x", BadName::Empty),
            (b"..", BadName::Dots),
            (b"../etc/passwd", BadName::Dots),
            (b"boot/../../etc", BadName::Dots),
            (b"boot\\..\\x", BadName::Dots),
            (b".", BadName::Dots),
            (b"./x", BadName::Dots),
            (b"boot/.", BadName::Dots),
            (b"boot/..\xff", BadName::Dots),
            (b"boot/.. ", BadName::Dots),
            (b"C:\\boot", BadName::Colon),
            (b"boot.ini::$DATA", BadName::Colon),
            (b"boot\x01", BadName::Control),
            (b"bo\not", BadName::Control),
            (b"boot\x7f", BadName::Control),
            (b"bo\rot", BadName::Control),
        ];
        for (raw, why) in cases {
            assert_eq!(folded(raw), Err(why), "{}", raw.escape_ascii());
        }
        // No percent is decoded, and no dots are taken out to make dots.
        assert_eq!(folded(b"%2e%2e/x").as_deref(), Ok("%2e%2e/x"));
        assert_eq!(folded(b"..../x").as_deref(), Ok("..../x"));
    }

    #[test]
    fn lengths_have_limits() {
        assert!(folded(&[b'a'; 255]).is_ok());
        assert_eq!(folded(&[b'a'; 256]), Err(BadName::LongComponent));
        let most = [vec![b'a'; 255], vec![b'/'], vec![b'b'; 255]].concat();
        assert!(folded(&most).is_ok());
        assert_eq!(folded(&[&most[..], b"/c"].concat()), Err(BadName::TooLong));
        assert!(folded(&[vec![b'/'; 1400], most].concat()).is_ok());
    }

    #[test]
    fn a_name_joins_its_folder() {
        let name = Name::fold(b"grub/grub.cfg").unwrap();
        for prefix in [&b"SMSImages/PS100001"[..], b"smsimages/ps100001/"] {
            assert_eq!(Name::join(prefix, &name).unwrap().as_bytes(), b"smsimages/ps100001/grub/grub.cfg");
        }
        assert_eq!(Name::join(b"", &name), Some(name.clone()));
        assert_eq!(Name::join(&[b'a'; 255], &Name::fold(&[b'b'; 255]).unwrap()).unwrap().as_bytes().len(), 511);
        assert_eq!(Name::join(b"..", &name), None);
        assert_eq!(format!("{name:?}"), "Name(\"grub/grub.cfg\")");
    }

    #[test]
    fn folding_twice_changes_nothing_and_hostile_names_never_panic() {
        let names =
            ["\\SMSImages\\PS100001\\boot.wim", "/a//b/../c", "x:y/\u{ff}\n"].map(|name| name.as_bytes().to_vec());
        torment(&names, |raw| {
            if let Ok(name) = Name::fold(raw) {
                assert_eq!(Name::fold(name.as_bytes()), Ok(name));
            }
        });
    }
}
