//! A clock that only goes forward and also counts while the machine is suspended (safety T23), and the wall clock, which
//! the kernel stamps datagrams with.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::cmsg::microseconds;
use super::{check, length};

/// Microseconds since the machine started (CLOCK_BOOTTIME): the engine's `Time`.
pub fn now() -> u64 {
    microseconds(&read(libc::CLOCK_BOOTTIME)).unsigned_abs()
}

/// Microseconds of the wall clock (CLOCK_REALTIME).
pub fn wall() -> i64 {
    microseconds(&read(libc::CLOCK_REALTIME))
}

/// How far the wall clock is ahead of [`now`], in microseconds; exact to the time between two readings.
pub fn ahead() -> i64 {
    let (before, wall) = (now(), wall());
    let middle = before.saturating_add(now().saturating_sub(before) / 2);
    wall.saturating_sub(i64::try_from(middle).unwrap_or(i64::MAX))
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut value = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `value` is a valid timespec that lives through the call.
    unsafe { libc::clock_gettime(clock, &mut value) };
    value
}

/// Tells whether somebody set the wall clock: a timer that the kernel cancels then (TFD_TIMER_CANCEL_ON_SET).
pub struct Steps(OwnedFd);

impl Steps {
    /// Looks from now on.
    ///
    /// # Errors
    /// The system's own error.
    pub fn new() -> io::Result<Steps> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers are passed; the descriptor returned is ours alone.
        let timer = Steps(unsafe { OwnedFd::from_raw_fd(check(libc::timerfd_create(libc::CLOCK_REALTIME, flags))?) });
        timer.set()?;
        Ok(timer)
    }

    /// The timer itself never rings: its time is thousands of years ahead.
    fn set(&self) -> io::Result<()> {
        let never = libc::timespec { tv_sec: libc::time_t::MAX / 256, tv_nsec: 0 };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        // SAFETY: `once` is a valid itimerspec that lives through the call; the old value is not asked for.
        check(unsafe { libc::timerfd_settime(self.0.as_raw_fd(), flags, &once, std::ptr::null_mut()) })?;
        Ok(())
    }

    /// The wall clock was set since the last call.
    pub fn happened(&self) -> bool {
        let mut count = [0u8; 8];
        // SAFETY: `count` is writable for the 8 bytes that the call writes.
        let read = length(unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // Cancelled, or whatever else: what the clock did is not known. Setting it anew looks on from here.
            _ => {
                let _ = self.set();
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_read_together_and_nobody_set_one() {
        let steps = Steps::new().unwrap();
        let apart = wall() - i64::try_from(now()).unwrap();
        assert!(ahead().abs_diff(apart) < 1_000_000);
        assert!(!steps.happened());
    }
}
