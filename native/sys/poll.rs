//! Readiness (epoll) up to a deadline (timerfd), and a bell that one thread rings for another (eventfd).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{check, length};

/// What to wait for on a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read: told at each wait, as long as there is.
    Read,
    /// Something to read has come: told once, however much of it is left unread.
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
        // Bits; EPOLLET is the sign's.
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
///
/// Its deadline is a timer of its own that moves only when an earlier one is asked for: a wait with a timeout makes the
/// kernel set and clear one each time that the thread sleeps, and its caller read the clock.
pub struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// When the timer rings; [`NEVER`] when it does not.
    rings: u64,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

/// No deadline.
const NEVER: u64 = u64::MAX;
/// The timer's token; what is polled has others.
const TIMER: u64 = u64::MAX;

impl Poll {
    /// A poll that reports at most `capacity` descriptors a wait.
    ///
    /// # Errors
    /// The system's own error (too many open files).
    pub fn new(capacity: usize) -> io::Result<Poll> {
        // SAFETY: no pointers are passed; the descriptor returned is ours alone.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: as above.
        let timer = unsafe { OwnedFd::from_raw_fd(check(libc::timerfd_create(libc::CLOCK_BOOTTIME, flags))?) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; capacity];
        let poll = Poll { epoll, timer, rings: NEVER, events, ready: 0 };
        // What rang is never read: it rings anew once it is set anew.
        poll.add(&poll.timer, TIMER, Interest::Arrivals)?;
        Ok(poll)
    }

    /// Reports `descriptor` as `token`, any number but the largest, from now on. Closing the descriptor ends it.
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

    /// Waits until something is ready, [`super::clock::now`] has reached `until` (`None`: no bound), or a signal came.
    ///
    /// # Errors
    /// The system's own error, a signal (`Interrupted`) among them.
    pub fn wait(&mut self, until: Option<u64>) -> io::Result<usize> {
        let until = until.unwrap_or(NEVER);
        loop {
            self.ready = 0;
            if until < self.rings {
                self.set_timer(until)?;
            }
            let capacity = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
            // SAFETY: the kernel writes at most `capacity` events into a buffer of that many.
            let ready =
                check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), capacity, -1) })?;
            self.ready = ready.unsigned_abs() as usize;
            let rang = self.take_timer();
            if self.ready > 0 || rang.is_some_and(|at| at >= until) {
                return Ok(self.ready);
            }
        }
    }

    /// Sets the timer to `time`.
    fn set_timer(&mut self, time: u64) -> io::Result<()> {
        // All zeros would stop it.
        let at = time.max(1);
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(at / 1_000_000).unwrap_or(libc::time_t::MAX),
            tv_nsec: (at % 1_000_000 * 1_000) as libc::c_long,
        };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let (timer, flags) = (self.timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME);
        // SAFETY: `once` lives through the call; the kernel only reads it, and writes nothing to a null pointer.
        check(unsafe { libc::timerfd_settime(timer, flags, &once, std::ptr::null_mut()) })?;
        self.rings = time;
        Ok(())
    }

    /// Takes the timer out of what is ready: the time that it rang for, where it did.
    fn take_timer(&mut self) -> Option<u64> {
        let found = self.events.get(..self.ready)?;
        let index = found.iter().position(|event| event.u64 == TIMER)?;
        self.ready -= 1;
        self.events.swap(index, self.ready);
        Some(std::mem::replace(&mut self.rings, NEVER))
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
    use crate::sys::clock::now;

    /// A time that has been.
    const PAST: Option<u64> = Some(0);

    fn in_milliseconds(some: u64) -> Option<u64> {
        Some(now() + some * 1_000)
    }

    #[test]
    fn a_rung_bell_wakes_the_poll_until_it_is_hushed() {
        let bell = Bell::new().unwrap();
        let mut poll = Poll::new(4).unwrap();
        poll.add(&bell, 7, Interest::Read).unwrap();
        assert_eq!(poll.wait(PAST).unwrap(), 0);
        bell.ring();
        bell.ring();
        assert_eq!(poll.wait(None).unwrap(), 1);
        let ready = poll.ready(0).unwrap();
        assert!(ready.token == 7 && ready.readable && !ready.writable);
        assert!(poll.ready(1).is_none());
        bell.hush();
        assert_eq!(poll.wait(PAST).unwrap(), 0);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_whatever_was_waited_for_before() {
        let bell = Bell::new().unwrap();
        let mut poll = Poll::new(4).unwrap();
        poll.add(&bell, 7, Interest::Arrivals).unwrap();
        let (early, late) = (in_milliseconds(10), in_milliseconds(30));
        bell.ring();
        assert_eq!(poll.wait(early).unwrap(), 1);
        // The timer still stands at the earlier one; what came is not told twice.
        assert_eq!(poll.wait(late).unwrap(), 0);
        assert!(Some(now()) >= late);
        assert_eq!(poll.wait(in_milliseconds(1)).unwrap(), 0);
        bell.ring();
        assert_eq!(poll.wait(None).unwrap(), 1);
    }

    #[test]
    fn what_is_ready_is_told_with_the_deadline_and_after_it() {
        let bells = [Bell::new().unwrap(), Bell::new().unwrap()];
        let mut poll = Poll::new(4).unwrap();
        for (bell, token) in bells.iter().zip(0..) {
            poll.add(bell, token, Interest::Read).unwrap();
            bell.ring();
        }
        for until in [PAST, in_milliseconds(0), None] {
            assert_eq!(poll.wait(until).unwrap(), 2);
            let mut tokens = [0, 1].map(|index| poll.ready(index).unwrap().token);
            tokens.sort_unstable();
            assert_eq!(tokens, [0, 1]);
        }
    }
}
