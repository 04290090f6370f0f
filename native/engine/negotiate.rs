//! Option negotiation: one pure function from what a client asks and what we allow to what holds (RFC 2347-2349, 7440;
//! W-90..W-95, W-106, W-107).

use crate::wire::tftp::{self, Options};

/// Bounds of every transfer.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The largest block, in bytes; 0: what the path's MTU carries whole (W-110).
    pub block: u16,
    /// The largest block beyond that, in fragments, of clients that are known to put them together: Windows boot
    /// managers, known by `msftwindow`, and who was told a block size (W-110); 0: none.
    pub block_windows: u16,
    /// The largest window, in blocks.
    pub window: u16,
}

impl Bounds {
    /// The same for a client that gets no larger window than `window` blocks; 0: as large as anybody.
    #[must_use]
    pub fn within(self, window: u16) -> Bounds {
        Bounds { window: if window == 0 { self.window } else { self.window.min(window) }, ..self }
    }
}

/// Bytes of IPv4, UDP and TFTP headers before a block.
const OVERHEAD: u32 = 32;
/// A block when nothing was agreed (RFC 1350).
pub const DEFAULT_BLOCK: u16 = 512;
/// What a client asks for that wants to vary its window, and what grants it (W-107).
pub const VARIABLE: (u64, u64) = (31_416, 27_182);
/// The most blocks that a client can want next: it waits for as many as it said, so that less would stall it.
const WISH: u16 = 255;
/// What a transfer may have in flight, in bytes (safety T4), and what where the client varies its window.
const IN_FLIGHT: (u32, u32) = (1 << 20, 4 << 20);

/// Blocks that a client may ask for, in bytes (RFC 2348).
const BLOCKS: std::ops::RangeInclusive<u64> = 8..=65_464;
/// Windows that a client may ask for, in blocks (RFC 7440).
const WINDOWS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// What holds for one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Bytes in a block, 8 to 65464 (RFC 2348).
    pub block: u16,
    /// Blocks in a window, 1 to 64 (RFC 7440).
    pub window: u16,
    /// The client may vary its window: each of its ACKs says how many blocks it wants next (W-107).
    pub variable: bool,
    /// Seconds between retransmissions, when the client asked for them (RFC 2349).
    pub timeout: Option<u8>,
    /// The client asked for the size (RFC 2349): it may end here (W-97).
    pub size_asked: bool,
}

impl Default for Agreed {
    fn default() -> Agreed {
        Agreed { block: DEFAULT_BLOCK, window: 1, variable: false, timeout: None, size_asked: false }
    }
}

impl Agreed {
    /// Blocks in the largest window that the client may come to.
    pub fn largest_window(&self) -> u16 {
        if self.variable {
            self.window.max(WISH)
        } else {
            self.window
        }
    }
}

/// The way to a client.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// The largest block that the client was told to ask for, in bytes; 0: it was told none.
    pub told: u16,
}

/// Agrees on a transfer of `size` bytes over `path`. The second value is the option acknowledgment,
/// empty when there is nothing to acknowledge: only options that were asked for, spelled and ordered as asked, each
/// once (W-90, W-95).
pub fn agree<'a>(options: Options<'a>, size: u64, bounds: &Bounds, path: Path) -> (Agreed, Granted<'a>) {
    let number = |name| options.get_ignore_case(name).and_then(tftp::decimal);
    let varies = number(b"msftwindow") == Some(VARIABLE.0);
    let windowed = number(b"windowsize").is_some_and(|asked| WINDOWS.contains(&asked));
    let asked_block = number(b"blksize").filter(|asked| BLOCKS.contains(asked));
    let carried = u16::try_from(path.mtu.saturating_sub(OVERHEAD)).unwrap_or(u16::MAX);
    let in_fragments = if varies { bounds.block_windows } else { path.told.min(bounds.block_windows) };
    let most = if bounds.block == 0 { carried } else { bounds.block }.max(in_fragments).clamp(8, 65_464);
    let block = asked_block.map_or(DEFAULT_BLOCK, |asked| u16::try_from(asked).unwrap_or(most).min(most));
    let varied_fits = u32::from(WISH) * u32::from(block) <= IN_FLIGHT.1;
    let mut agreed = Agreed { block, ..Agreed::default() };
    let mut granted = Granted { entries: [(&[], 0); 5], len: 0 };
    let mut window = None;
    for (name, value) in options {
        let Some(asked) = tftp::decimal(value) else { continue };
        if granted.has(name) {
            continue;
        }
        if name.eq_ignore_ascii_case(b"blksize") && BLOCKS.contains(&asked) {
            granted.push(name, u64::from(block));
        } else if name.eq_ignore_ascii_case(b"windowsize") && WINDOWS.contains(&asked) {
            agreed.window = u16::try_from(asked).unwrap_or(u16::MAX).min(bounds.window.clamp(1, 64));
            window = Some(granted.len);
            granted.push(name, 0);
        } else if name.eq_ignore_ascii_case(b"msftwindow") && varies && windowed && varied_fits {
            agreed.variable = true;
            granted.push(name, VARIABLE.1);
        } else if name.eq_ignore_ascii_case(b"timeout") && (1..=255).contains(&asked) {
            agreed.timeout = u8::try_from(asked).ok();
            granted.push(name, asked);
        } else if name.eq_ignore_ascii_case(b"tsize") {
            agreed.size_asked = true;
            // curl refuses `tsize 0` (W-93).
            if size > 0 {
                granted.push(name, size);
            }
        }
    }
    let carries = u16::try_from(IN_FLIGHT.0 / u32::from(block).max(1)).unwrap_or(u16::MAX);
    agreed.window = agreed.window.min(carries.max(1));
    if let Some(entry) = window.and_then(|place| granted.entries.get_mut(place)) {
        entry.1 = u64::from(agreed.window);
    }
    (agreed, granted)
}

/// The options to acknowledge.
#[derive(Clone, Copy, Debug)]
pub struct Granted<'a> {
    entries: [(&'a [u8], u64); 5],
    len: usize,
}

impl<'a> Granted<'a> {
    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], u64)> + '_ {
        self.entries.iter().take(self.len).copied()
    }

    /// There is nothing to acknowledge.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn has(&self, name: &[u8]) -> bool {
        self.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn push(&mut self, name: &'a [u8], value: u64) {
        if let Some(entry) = self.entries.get_mut(self.len) {
            *entry = (name, value);
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tftp::Packet;

    fn agreed(options: &[u8], size: u64, bounds: Bounds, mtu: u32) -> (Agreed, Vec<(String, u64)>) {
        agreed_on(options, size, bounds, Path { mtu, told: 0 })
    }

    fn agreed_on(options: &[u8], size: u64, bounds: Bounds, path: Path) -> (Agreed, Vec<(String, u64)>) {
        let mut packet = b"\x00\x01file\0octet\0".to_vec();
        packet.extend_from_slice(options);
        let Packet::Read(request) = Packet::parse(&packet).unwrap() else { panic!("not a read request") };
        let (agreed, granted) = agree(request.options, size, &bounds, path);
        (agreed, granted.iter().map(|(n, v)| (String::from_utf8(n.to_vec()).unwrap(), v)).collect())
    }

    const BOUNDS: Bounds = Bounds { block: 0, block_windows: 16_384, window: 64 };

    #[test]
    fn what_edk2_asks_is_granted_in_its_own_spelling_and_order() {
        let (agreed, oack) = agreed(b"tsize\x000\0blksize\x001468\0WindowSize\x004\0", 1_000_000, BOUNDS, 1500);
        assert_eq!(agreed, Agreed { block: 1468, window: 4, size_asked: true, ..Agreed::default() });
        assert_eq!(oack, [("tsize".into(), 1_000_000), ("blksize".into(), 1468), ("WindowSize".into(), 4)]);
    }

    #[test]
    fn nothing_asked_means_lock_step_of_512_and_no_acknowledgment() {
        assert_eq!(agreed(b"", 9, BOUNDS, 1500), (Agreed::default(), vec![]));
        assert_eq!(agreed(b"multicast\0\0msftwindow\x0031415\0", 9, BOUNDS, 1500), (Agreed::default(), vec![]));
    }

    #[test]
    fn a_value_that_is_no_plain_number_or_out_of_range_is_not_acknowledged() {
        for bad in ["0", "-1", "+5", " 5", "5x", "", "99999999999999999999"] {
            let text = format!("blksize\0{bad}\0windowsize\0{bad}\0timeout\0{bad}\0");
            assert_eq!(agreed(text.as_bytes(), 9, BOUNDS, 1500), (Agreed::default(), vec![]), "{bad:?}");
        }
        for (name, bad) in [("blksize", "7"), ("blksize", "65465"), ("timeout", "256"), ("windowsize", "65536")] {
            assert_eq!(agreed(format!("{name}\0{bad}\0").as_bytes(), 9, BOUNDS, 1500).1, vec![], "{name} {bad}");
        }
    }

    #[test]
    fn a_block_never_exceeds_the_path_unless_the_operator_said_so() {
        assert_eq!(agreed(b"blksize\x0065464\0", 9, BOUNDS, 1500).0.block, 1468);
        assert_eq!(agreed(b"blksize\x0065464\0", 9, BOUNDS, 1400).0.block, 1368);
        assert_eq!(agreed(b"blksize\x0016384\0", 9, Bounds { block: 8192, ..BOUNDS }, 1500).0.block, 8192);
        assert_eq!(agreed(b"blksize\x008\0", 9, BOUNDS, 1500).0.block, 8);
    }

    #[test]
    fn at_most_one_mebibyte_is_in_flight_whatever_is_asked() {
        let bounds = Bounds { block: 65_464, ..BOUNDS };
        let (holds, oack) = agreed(b"windowsize\x0065535\0blksize\x0065464\0", 9, bounds, 65_536);
        assert_eq!((holds.window, holds.block), (16, 65_464));
        assert_eq!(oack, [("windowsize".into(), 16), ("blksize".into(), 65_464)]);
    }

    #[test]
    fn a_window_that_could_grow_beyond_four_mebibytes_is_not_made_variable() {
        for (block, variable) in [(512, true), (16_384, true), (16_448, true), (16_449, false), (65_464, false)] {
            let asked = format!("msftwindow\x0031416\0windowsize\x0064\0blksize\0{block}\0");
            let (holds, oack) = agreed(asked.as_bytes(), 9, Bounds { block: 65_464, ..BOUNDS }, 1500);
            assert_eq!((holds.block, holds.variable), (block, variable));
            assert_eq!(oack.len(), if variable { 3 } else { 2 }, "{block}");
        }
    }

    #[test]
    fn the_boot_managers_request_is_granted_as_in_example_e9a_wherever_its_own_option_stands() {
        let (holds, oack) =
            agreed(b"tsize\x000\0blksize\x001456\0windowsize\x004\0msftwindow\x0031416\0", 16_384, BOUNDS, 1500);
        let windows = Agreed { block: 1456, window: 4, variable: true, size_asked: true, ..Agreed::default() };
        assert_eq!((holds, holds.largest_window()), (windows, 255));
        let sizes = [("tsize".into(), 16_384), ("blksize".into(), 1456), ("windowsize".into(), 4)];
        assert_eq!(oack[..3], sizes);
        assert_eq!(oack[3..], [("msftwindow".into(), 27_182)]);
        let (before, oack) = agreed(b"MsftWindow\x0031416\0WINDOWSIZE\x004\0", 9, BOUNDS, 1500);
        assert_eq!((before.window, before.variable), (4, true));
        assert_eq!(oack, [("MsftWindow".into(), 27_182), ("WINDOWSIZE".into(), 4)]);
        assert!(!agreed(b"windowsize\x004\0", 9, BOUNDS, 1500).0.variable);
    }

    #[test]
    fn a_variable_window_is_granted_for_its_own_number_alone_and_never_without_a_window() {
        for bad in ["31415", "27182", "031416x", "", "1"] {
            let asked = format!("windowsize\x004\0msftwindow\0{bad}\0");
            let (holds, oack) = agreed(asked.as_bytes(), 9, BOUNDS, 1500);
            assert_eq!((holds.variable, oack), (false, vec![("windowsize".into(), 4)]), "{bad}");
        }
        for alone in [
            "msftwindow\x0031416\0",
            "msftwindow\x0031416\0windowsize\x000\0",
            "windowsize\x0065536\0msftwindow\x0031416\0",
        ] {
            assert_eq!(agreed(alone.as_bytes(), 9, BOUNDS, 1500), (Agreed::default(), vec![]), "{alone}");
        }
    }

    #[test]
    fn only_windows_boot_managers_and_who_was_told_so_get_blocks_in_fragments() {
        let windows = b"blksize\x0065464\0windowsize\x004\0msftwindow\x0031416\0";
        let plain = b"blksize\x0065464\0windowsize\x004\0";
        let block = |options: &[u8], bounds, told| agreed_on(options, 9, bounds, Path { mtu: 1500, told }).0.block;
        assert_eq!(block(windows, BOUNDS, 0), 16_384);
        assert_eq!(block(b"blksize\x004096\0msftwindow\x0031416\0", BOUNDS, 0), 4096);
        assert_eq!(
            (block(plain, BOUNDS, 0), block(plain, BOUNDS, 4096), block(plain, BOUNDS, 32_768)),
            (1468, 4096, 16_384)
        );
        assert_eq!(block(plain, BOUNDS, 1024), 1468, "what the path carries whole is everybody's");
        assert_eq!(block(b"blksize\x004096\0msftwindow\x001\0", BOUNDS, 0), 1468);
        let never = Bounds { block_windows: 0, ..BOUNDS };
        assert_eq!((block(windows, never, 0), block(plain, never, 8192)), (1468, 1468));
        assert_eq!(block(windows, Bounds { block: 1024, ..never }, 0), 1024);
    }

    #[test]
    fn of_an_option_given_twice_the_first_counts_and_an_empty_file_has_no_size() {
        let (twice, oack) = agreed(b"blksize\x001024\0BLKSIZE\x00512\0timeout\x003\0", 9, BOUNDS, 1500);
        assert_eq!((twice.block, twice.timeout), (1024, Some(3)));
        assert_eq!(oack, [("blksize".into(), 1024), ("timeout".into(), 3)]);
        assert_eq!(agreed(b"tsize\x000\0", 0, BOUNDS, 1500).1, vec![]);
    }
}
