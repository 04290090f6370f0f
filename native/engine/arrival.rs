//! The time at which a datagram can have arrived at the earliest, so that an old one is never taken for a new one.
//!
//! The kernel stamps each datagram with the wall clock, which may be set while the datagram waits. A stamp is therefore
//! believed only where nothing can have moved the clock since the datagram arrived; everywhere else the time at which
//! the socket was last known to be empty counts. Every datagram in the socket arrived after that.

use super::deadline::Time;

/// The bound on the age of one socket's datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// The time at which the socket was last known to be empty.
    empty: Time,
}

impl Arrivals {
    /// A socket that was known to be empty at `empty`; 0 where nobody knows.
    pub fn new(empty: Time) -> Arrivals {
        Arrivals { empty }
    }

    /// The time at which the socket was last known to be empty.
    pub fn empty(&self) -> Time {
        self.empty
    }

    /// The socket was found empty at `at`.
    pub fn emptied(&mut self, at: Time) {
        self.empty = self.empty.max(at);
    }

    /// The earliest time at which a datagram that was read at `now` can have arrived. `stamp` is the kernel's, in
    /// microseconds of the wall clock; `wall` is that clock as it is known at `now`.
    pub fn earliest(&self, stamp: Option<i64>, wall: &Wall, now: Time) -> Time {
        let Some(stamp) = stamp.filter(|_| self.empty >= wall.steady_since) else { return self.empty };
        let since_start = stamp.saturating_sub(wall.ahead);
        match Time::try_from(since_start) {
            // Two readings of the clocks may differ by so much: the earlier time is the one that is safe to believe.
            Ok(arrived) if arrived <= now.saturating_add(TOLERANCE) => {
                self.empty.max(arrived.saturating_sub(TOLERANCE))
            }
            _ => self.empty,
        }
    }
}

/// The wall clock beside the one that only goes forward.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// The lead of the wall clock over the other one, in microseconds.
    ahead: i64,
    /// The time from which on stamps and `ahead` are known to fit together.
    steady_since: Time,
}

/// The difference of two readings from which on the wall clock counts as stepped, in microseconds: far more than
/// a turn's slewing, far less than the two seconds that it matters for.
const TOLERANCE: u64 = 20_000;
/// Stamps are never believed from here on.
const NEVER: Time = Time::MAX;

impl Wall {
    /// The clocks at `now`. `stamps`: the kernel has begun to stamp every datagram; else no stamp is ever believed.
    pub fn new(ahead: i64, stamps: bool, now: Time) -> Wall {
        Wall { ahead, steady_since: if stamps { now } else { NEVER } }
    }

    /// The clocks as they are after datagrams were read; `stepped`: the kernel says that the wall clock was set.
    pub fn look(&mut self, ahead: i64, stepped: bool, now: Time) {
        if stepped || ahead.abs_diff(self.ahead) > TOLERANCE {
            self.ahead = ahead;
            self.steady_since = self.steady_since.max(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Time = 1_000_000;
    const AHEAD: i64 = 1_700_000_000_000_000;

    /// Clocks that have been steady since long ago, and a socket that was empty at this second.
    fn steady(empty: Time) -> (Arrivals, Wall) {
        (Arrivals::new(empty * SECOND), Wall::new(AHEAD, true, 2 * SECOND))
    }

    fn stamp(at: Time) -> Option<i64> {
        Some(AHEAD + i64::try_from(at).unwrap())
    }

    #[test]
    fn each_datagram_has_its_own_time_however_long_the_socket_was_busy() {
        let (arrivals, wall) = steady(3);
        let now = 100 * SECOND;
        assert_eq!(arrivals.earliest(stamp(99 * SECOND), &wall, now), 99 * SECOND - TOLERANCE);
        assert_eq!(arrivals.earliest(stamp(4 * SECOND), &wall, now), 4 * SECOND - TOLERANCE);
    }

    #[test]
    fn without_a_stamp_or_before_every_datagram_is_stamped_the_empty_socket_counts() {
        let (arrivals, wall) = steady(3);
        assert_eq!(arrivals.earliest(None, &wall, 100 * SECOND), 3 * SECOND);
        for unknown in [Arrivals::new(0), Arrivals::new(2 * SECOND - 1)] {
            assert_eq!(unknown.earliest(stamp(99 * SECOND), &wall, 100 * SECOND), unknown.empty());
        }
        let mut found = Arrivals::new(0);
        found.emptied(2 * SECOND);
        assert_eq!(found.earliest(stamp(99 * SECOND), &wall, 100 * SECOND), 99 * SECOND - TOLERANCE);
    }

    #[test]
    fn a_stamp_before_the_socket_was_empty_or_after_now_says_nothing() {
        let (arrivals, wall) = steady(50);
        assert_eq!(arrivals.earliest(stamp(49 * SECOND), &wall, 51 * SECOND), 50 * SECOND);
        assert_eq!(arrivals.earliest(stamp(51 * SECOND + TOLERANCE), &wall, 51 * SECOND), 51 * SECOND);
        assert_eq!(arrivals.earliest(stamp(51 * SECOND + TOLERANCE + 1), &wall, 51 * SECOND), 50 * SECOND);
        for absurd in [i64::MIN, i64::MAX, 0] {
            assert_eq!(arrivals.earliest(Some(absurd), &wall, 51 * SECOND), 50 * SECOND);
        }
    }

    /// The clock steps by `step` at second 20, while datagrams wait since second 10 in a socket that is never empty.
    fn stepped(step: i64, told: bool) -> (Arrivals, Wall) {
        let (arrivals, mut wall) = steady(5);
        wall.look(AHEAD + step, told, 30 * SECOND);
        (arrivals, wall)
    }

    #[test]
    fn no_step_of_the_wall_clock_makes_an_old_datagram_look_new() {
        for step in [-3600, -15, -10, 10, 15, 3600] {
            let (arrivals, wall) = stepped(step * 1_000_000, false);
            for arrived in [10, 19, 21, 29] {
                let after = if arrived > 20 { step * 1_000_000 } else { 0 };
                let stamp = stamp(arrived * SECOND).map(|stamp| stamp + after);
                let earliest = arrivals.earliest(stamp, &wall, 30 * SECOND);
                assert!(earliest <= arrived * SECOND, "{step} s: {arrived} s looks like {earliest} us");
            }
        }
    }

    #[test]
    fn a_step_that_was_undone_counts_where_the_kernel_tells_of_it() {
        let (arrivals, wall) = stepped(0, true);
        assert_eq!(arrivals.earliest(stamp(29 * SECOND), &wall, 30 * SECOND), 5 * SECOND);
    }

    #[test]
    fn after_a_step_stamps_are_believed_once_the_socket_was_empty() {
        let step = -3_600_000_000;
        let (mut arrivals, wall) = stepped(step, false);
        let late = stamp(39 * SECOND).map(|stamp| stamp + step);
        arrivals.emptied(30 * SECOND - 1);
        assert_eq!(arrivals.earliest(late, &wall, 40 * SECOND), 30 * SECOND - 1);
        arrivals.emptied(30 * SECOND);
        assert_eq!(arrivals.earliest(late, &wall, 40 * SECOND), 39 * SECOND - TOLERANCE);
    }

    #[test]
    fn where_the_kernel_does_not_stamp_no_stamp_is_believed() {
        let mut wall = Wall::new(AHEAD, false, SECOND);
        wall.look(AHEAD, false, 3 * SECOND);
        wall.look(AHEAD - 9_000_000, true, 4 * SECOND);
        let mut arrivals = Arrivals::new(5 * SECOND);
        arrivals.emptied(50 * SECOND);
        assert_eq!(arrivals.earliest(stamp(59 * SECOND), &wall, 60 * SECOND), 50 * SECOND);
    }

    #[test]
    fn slewing_is_no_step() {
        let (arrivals, mut wall) = steady(5);
        wall.look(AHEAD + 15_000, false, 30 * SECOND);
        let slewed = stamp(29 * SECOND).map(|stamp| stamp + 15_000);
        let earliest = arrivals.earliest(slewed, &wall, 30 * SECOND);
        assert!((29 * SECOND - TOLERANCE..=29 * SECOND).contains(&earliest), "{earliest}");
    }
}
