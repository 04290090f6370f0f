//! What Microsoft's first network boot programs, wdsnbp and wdsmgfw, say of themselves: option 250 (W-61..W-66).

use super::value::{Layout, SubOptions, Value};

const ARCHITECTURE: u8 = 1;
const REQUEST_ID: u8 = 5;
const PROMPT_DONE: u8 = 12;
const VERSION: u8 = 13;
const ACTION_DONE: u8 = 14;

/// A Windows loader's request; what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loader {
    /// The processor's architecture, numbered as in option 93 (W-63).
    pub architecture: Option<u16>,
    /// Its key prompt is behind it.
    pub prompt_done: Option<bool>,
    /// It did what the answer before told it.
    pub action_done: Option<bool>,
    /// Its version, such as 0x0800.
    pub version: Option<u16>,
    /// The pending request that it polls for.
    pub request_id: Option<u32>,
}

impl Loader {
    /// Reads option 250; `None` when it is malformed: a length runs past its end, or a known part has a wrong one.
    pub fn of(value: &Value<'_>) -> Option<Self> {
        let parts = SubOptions::of(Some(value), Layout::Ended);
        let flag = |code| part(&parts, code).map(|found| found.map(|[flag]: [u8; 1]| flag != 0));
        let number = |code| part(&parts, code).map(|found| found.map(u16::from_be_bytes));
        parts.is_whole().then_some(())?;
        Some(Self {
            architecture: number(ARCHITECTURE)?,
            prompt_done: flag(PROMPT_DONE)?,
            action_done: flag(ACTION_DONE)?,
            version: number(VERSION)?,
            request_id: part(&parts, REQUEST_ID)?.map(u32::from_be_bytes),
        })
    }
}

/// The first part `code`, if there is one; `None` when it is not `N` bytes long.
fn part<const N: usize>(parts: &SubOptions<'_>, code: u8) -> Option<Option<[u8; N]>> {
    match parts.get(code) {
        Some(value) => value.array().map(Some),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dhcp::{code, Packet};
    use crate::wire::examples::{hex, torment, wdsmgfw_request};

    fn read(text: &str) -> Option<Loader> {
        Loader::of(&Value::whole(&hex(text)))
    }

    #[test]
    fn wdsmgfws_own_request_is_read() {
        let bytes = wdsmgfw_request();
        let packet = Packet::parse(&bytes).unwrap();
        let expected = Loader {
            architecture: Some(7),
            prompt_done: Some(false),
            action_done: Some(false),
            version: Some(0x0800),
            request_id: None,
        };
        assert_eq!(Loader::of(&packet.option(code::LOADER).unwrap()), Some(expected));
    }

    #[test]
    fn a_poll_names_its_request_and_parts_come_in_any_order() {
        let loader = read("0e 01 01 05 04 00 00 00 11 63 02 61 62 0c 01 01 ff").unwrap();
        assert_eq!((loader.request_id, loader.action_done, loader.prompt_done), (Some(0x11), Some(true), Some(true)));
        assert_eq!((loader.architecture, loader.version), (None, None));
    }

    #[test]
    fn a_part_that_is_absent_is_nothing_and_the_end_may_be_missing() {
        for text in ["", "ff", "00 00 ff", "ff 01 09", "63 00"] {
            assert_eq!(read(text), Some(Loader::default()), "{text}");
        }
        assert_eq!(read("01 02 00 09").unwrap().architecture, Some(9));
    }

    #[test]
    fn a_length_that_lies_spoils_the_whole() {
        for text in [
            "01",
            "01 02 00",
            "01 03 00 07 00 ff",
            "0c 00 ff",
            "0e 02 00 00",
            "05 02 00 11",
            "63 ff 00",
            "01 02 00 07 0d",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn no_hostile_option_panics() {
        torment(&[hex("0c 01 00 0d 02 08 00 01 02 00 07 0e 01 00 ff")], |bytes| {
            let _ = Loader::of(&Value::whole(bytes));
        });
    }
}
