//! Open files: how many a process may have, and which of them transfers must leave to everything else.
//!
//! The kernel gives out the lowest number that is free. As long as no transfer keeps a number from [`Share::first_kept`]
//! on, those numbers are there for whatever else the process opens.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The fewest open files that a process must be allowed.
pub const LEAST: u64 = 256;
/// Kept for the database, the journal, the log, and those who watch.
const KEPT: u64 = 96;
/// Kept for connections to the report port: a quarter of the limit, and at most so many.
const CONNECTIONS: u64 = 256;
/// Of what transfers may take, this much is for files that are published; the rest is for sockets.
const FILES: u64 = 32;

/// What transfers may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many may run at once.
    pub transfers: usize,
    /// The first descriptor that is not theirs.
    pub first_kept: RawFd,
}

/// The transfers' share of `limit` open files, `open` of which are open already; None where that is none.
pub fn share(limit: u64, open: u64) -> Option<Share> {
    if limit < LEAST {
        return None;
    }
    let kept = KEPT + CONNECTIONS.min(limit / 4);
    let first_kept = limit.saturating_sub(kept);
    let transfers = first_kept.checked_sub(open.saturating_add(FILES)).filter(|transfers| *transfers > 0)?;
    Some(Share {
        transfers: usize::try_from(transfers).unwrap_or(usize::MAX),
        first_kept: RawFd::try_from(first_kept).unwrap_or(RawFd::MAX),
    })
}

/// How many files this process has open.
pub fn open() -> u64 {
    // Where nobody says, as many as a service has after its start.
    std::fs::read_dir("/proc/self/fd").map_or(64, |entries| entries.count() as u64)
}

static FIRST_KEPT: AtomicI32 = AtomicI32::new(RawFd::MAX);

/// From here on no transfer keeps a descriptor from this one on.
pub fn keep(first: RawFd) {
    FIRST_KEPT.store(first, Ordering::Relaxed);
}

/// What was just opened for a transfer, unless it is one of those that are kept for everything else.
///
/// # Errors
/// That of a process that has too many open files.
pub(super) fn of_transfer<T: AsRawFd>(opened: T) -> io::Result<T> {
    if opened.as_raw_fd() < FIRST_KEPT.load(Ordering::Relaxed) {
        Ok(opened)
    } else {
        Err(too_many())
    }
}

/// The error of a process that has too many open files.
pub fn too_many() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_get_what_the_rest_does_not_need() {
        assert_eq!(share(65_536, 40), Some(Share { transfers: 65_536 - 352 - 72, first_kept: 65_536 - 352 }));
        assert_eq!(share(1_024, 40), Some(Share { transfers: 1_024 - 352 - 72, first_kept: 1_024 - 352 }));
        assert_eq!(share(256, 40), Some(Share { transfers: 256 - 160 - 72, first_kept: 96 }));
        assert_eq!(share(u64::MAX, 40).map(|share| share.first_kept), Some(RawFd::MAX));
    }

    #[test]
    fn too_few_are_none() {
        for (limit, open) in [(0, 0), (24, 10), (255, 10), (256, 64), (256, u64::MAX)] {
            assert_eq!(share(limit, open), None, "{limit} {open}");
        }
    }

    #[test]
    fn what_is_open_is_counted() {
        let before = open();
        let _file = std::fs::File::open("/dev/null").unwrap();
        assert!(before > 0 && open() > 0);
    }
}
