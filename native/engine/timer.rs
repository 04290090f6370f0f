//! When to send again: RFC 6298's arithmetic within W-103's bounds.

use super::deadline::Time;

/// No timeout is longer, and no round trip counts for more. W-103 says 5 s; but just so long is the patience of atftp,
/// tftp-hpa and U-Boot, each copy of a block renews atftp's, and it answers none after the first: it would never speak.
const LONGEST: Time = 7_000_000;

/// What the retransmission timer begins with, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The timeout while no round trip is known, where the client named none.
    pub first: Time,
    /// No timeout is shorter, however short the round trips are.
    pub floor: Time,
}

impl Timing {
    /// The timeout after `misses` silent ones: twice as long each time, so that a slow path is never flooded.
    pub(super) fn after(self, round_trip: &RoundTrip, misses: u8) -> Time {
        let once = round_trip.smooth.map_or(self.first, |smooth| smooth + 4 * round_trip.spread);
        once.max(self.floor).saturating_mul(1 << misses.min(16)).min(LONGEST)
    }
}

/// What is known of a transfer's round trips, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// The shortest: what the path takes.
    pub smallest: Option<Time>,
    /// The smoothed one, from a window's departure to its acknowledgment: the path, the window and the client.
    pub smooth: Option<Time>,
    spread: Time,
}

impl RoundTrip {
    /// Learns how short a round trip can be, and nothing about the usual one.
    pub(super) fn bound(&mut self, round_trip: Time) {
        self.smallest = Some(self.smallest.map_or(round_trip, |smallest| smallest.min(round_trip)));
    }

    /// Learns from a round trip of something that left only once (Karn).
    pub(super) fn sample(&mut self, round_trip: Time) {
        self.bound(round_trip.min(LONGEST));
        self.estimate(round_trip);
    }

    /// Learns how long the timer should wait, but not how short a round trip can be.
    pub(super) fn estimate(&mut self, round_trip: Time) {
        let round_trip = round_trip.min(LONGEST);
        match self.smooth {
            None => {
                self.smooth = Some(round_trip);
                self.spread = round_trip / 2;
            }
            Some(smooth) => {
                self.spread = (3 * self.spread + smooth.abs_diff(round_trip)) / 4;
                self.smooth = Some((7 * smooth + round_trip) / 8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { first: 500_000, floor: 50_000 };

    fn after(samples: &[Time], misses: u8) -> Time {
        let mut round_trip = RoundTrip::default();
        samples.iter().for_each(|&sample| round_trip.sample(sample));
        TIMING.after(&round_trip, misses)
    }

    #[test]
    fn the_first_timeout_holds_until_a_round_trip_is_known() {
        assert_eq!(after(&[], 0), 500_000);
        assert_eq!(after(&[100_000], 0), 300_000);
    }

    #[test]
    fn a_steady_path_has_a_short_timeout_but_never_a_shorter_one_than_the_floor() {
        assert!((100_000..110_000).contains(&after(&[100_000; 50], 0)));
        assert_eq!(after(&[200; 50], 0), 50_000);
    }

    #[test]
    fn a_path_that_becomes_slower_is_believed_at_once() {
        let mut samples = vec![60_000; 50];
        samples.push(300_000);
        assert!(after(&samples, 0) > 300_000);
    }

    #[test]
    fn each_miss_doubles_it_up_to_seven_seconds() {
        let waits: Vec<Time> = (0..6).map(|misses| after(&[], misses)).collect();
        assert_eq!(waits, [500_000, 1_000_000, 2_000_000, 4_000_000, 7_000_000, 7_000_000]);
        assert_eq!(after(&[Time::MAX], 255), 7_000_000);
    }

    #[test]
    fn the_smallest_round_trip_is_remembered_and_one_bound_alone_moves_no_timeout() {
        let mut round_trip = RoundTrip::default();
        round_trip.bound(150);
        assert_eq!((round_trip.smallest, TIMING.after(&round_trip, 0)), (Some(150), 500_000));
        round_trip.sample(900);
        assert_eq!((round_trip.smallest, round_trip.smooth), (Some(150), Some(900)));
    }
}
