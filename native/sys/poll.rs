//! Readiness (epoll) and a bell that one thread rings for another (eventfd).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{check, length};

/// What to wait for on a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read.
    Read,
    /// Something to read has come since it was told last: for who reads on until nothing is left, or answers each time.
    Arrivals,
    /// The same, or there is room to write.
    ArrivalsAndRoom,
}

impl Interest {
    fn events(self) -> u32 {
        let events = match self {
            Interest::Read => libc::EPOLLIN,
            Interest::Arrivals => libc::EPOLLIN | libc::EPOLLET,
            Interest::ArrivalsAndRoom => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET,
        };
        // EPOLLET is the sign bit.
        events as u32
    }
}

/// One descriptor that is ready: the token it was added with, and for what.
#[derive(Clone, Copy)]
pub struct Ready {
    /// The token given to [`Poll::add`].
    pub token: u64,
    /// Something to read, or an error to fetch.
    pub readable: bool,
    /// Room to write.
    pub writable: bool,
}

/// An epoll instance with room for a fixed number of events a wait.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
    /// The kernel waits to the microsecond.
    exact: bool,
}

impl Poll {
    /// A poll that reports at most `capacity` descriptors a wait.
    ///
    /// # Errors
    /// The system's own error (too many open files).
    pub fn new(capacity: usize) -> io::Result<Poll> {
        // SAFETY: no pointers are passed; the descriptor returned is ours alone.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Poll { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; capacity], ready: 0, exact: true })
    }

    /// Reports `descriptor` as `token` from now on. Closing the descriptor ends it.
    ///
    /// # Errors
    /// The system's own error.
    pub fn add(&self, descriptor: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor.as_raw_fd(), token, interest)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// The system's own error.
    pub fn change(&self, descriptor: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor.as_raw_fd(), token, interest)
    }

    /// Reports `descriptor` no more, until it is added again.
    ///
    /// # Errors
    /// The system's own error.
    pub fn remove(&self, descriptor: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, descriptor.as_raw_fd(), 0, Interest::Read)
    }

    fn control(&self, operation: libc::c_int, descriptor: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.events(), u64: token };
        // SAFETY: `event` lives through the call; the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, descriptor, &mut event) })?;
        Ok(())
    }

    /// Waits until something is ready, so many microseconds have passed or a signal came.
    ///
    /// # Errors
    /// The system's own error, a signal (`Interrupted`) among them.
    pub fn wait(&mut self, microseconds: u64) -> io::Result<usize> {
        self.ready = 0;
        let ready = match self.wait_exactly(microseconds) {
            Err(error) if self.exact && error.raw_os_error() == Some(libc::ENOSYS) => {
                self.exact = false;
                self.wait_exactly(microseconds)
            }
            ready => ready,
        };
        self.ready = ready?.unsigned_abs() as usize;
        Ok(self.ready)
    }

    /// Rounds up to milliseconds where the kernel knows no better (before Linux 5.11).
    fn wait_exactly(&mut self, microseconds: u64) -> io::Result<libc::c_int> {
        let capacity = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        let (epoll, events) = (self.epoll.as_raw_fd(), self.events.as_mut_ptr());
        if self.exact {
            let seconds = libc::time_t::try_from(microseconds / 1_000_000).unwrap_or(libc::time_t::MAX);
            let rest = libc::timespec { tv_sec: seconds, tv_nsec: (microseconds % 1_000_000 * 1_000) as libc::c_long };
            let mask = std::ptr::null::<libc::sigset_t>();
            // SAFETY: the kernel writes at most `capacity` events into a buffer of that many; `rest` lives through the
            // call, and there is no signal mask.
            let ready = unsafe {
                libc::syscall(libc::SYS_epoll_pwait2, epoll, events, capacity, &raw const rest, mask, 0usize)
            };
            return check(libc::c_int::try_from(ready).unwrap_or(-1));
        }
        let milliseconds = libc::c_int::try_from(microseconds.div_ceil(1000)).unwrap_or(libc::c_int::MAX);
        // SAFETY: the kernel writes at most `capacity` events into a buffer of that many.
        check(unsafe { libc::epoll_wait(epoll, events, capacity, milliseconds) })
    }

    /// What the last wait found at `index`.
    pub fn ready(&self, index: usize) -> Option<Ready> {
        let event = self.events.get(..self.ready)?.get(index)?;
        let (flags, token) = (event.events, event.u64);
        Some(Ready {
            token,
            readable: flags & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP).unsigned_abs() != 0,
            writable: flags & libc::EPOLLOUT.unsigned_abs() != 0,
        })
    }
}

/// A bell: any thread rings it, the thread that polls it wakes.
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The system's own error (too many open files).
    pub fn new() -> io::Result<Bell> {
        // SAFETY: no pointers are passed; the descriptor returned is ours alone.
        Ok(Bell(unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) }))
    }

    /// Rings. A bell that rings already keeps ringing.
    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes, as eventfd(2) wants.
        let _ = length(unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) });
    }

    /// Silences the bell.
    pub fn hush(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes, as eventfd(2) wants.
        let _ = length(unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) });
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_bell_wakes_the_poll_until_it_is_hushed() {
        let bell = Bell::new().unwrap();
        let mut poll = Poll::new(4).unwrap();
        poll.add(&bell, 7, Interest::Read).unwrap();
        assert_eq!(poll.wait(0).unwrap(), 0);
        bell.ring();
        bell.ring();
        assert_eq!(poll.wait(1_000_000).unwrap(), 1);
        let ready = poll.ready(0).unwrap();
        assert!(ready.token == 7 && ready.readable && !ready.writable);
        assert!(poll.ready(1).is_none());
        bell.hush();
        assert_eq!(poll.wait(0).unwrap(), 0);
    }

    #[test]
    fn a_wait_is_as_long_as_asked_for_with_a_kernel_of_either_kind() {
        for exact in [true, false] {
            let mut poll = Poll { exact, ..Poll::new(4).unwrap() };
            let before = crate::sys::clock::now();
            assert_eq!(poll.wait(1_500).unwrap(), 0);
            assert!(crate::sys::clock::now() - before >= 1_500, "exact: {exact}");
        }
    }
}
