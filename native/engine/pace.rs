//! A cap on bandwidth that many threads share: reserve now, leave later (GCRA; RFC 2697's bucket as a schedule).

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use super::deadline::Time;

/// What may leave at once after a silence: so many microseconds of the rate, but at least so many bytes.
const BURST: (Time, u64) = (5_000, 64 << 10);
const SECOND: Time = 1_000_000;
/// Above this a rate is none: its arithmetic would not fit 64 bits.
const FASTEST: u64 = 1 << 40;

/// A rate, and how far into the future it is sold.
///
/// The account is kept in bytes, not in time: `sold` is the place on a line along which the link moves at the rate. So
/// the long-run rate is exact for every rate and size, up to one rounding of a departure to the next microsecond.
///
/// In any span no more leaves than the rate allows for it plus one burst (or one reservation, where that is larger).
pub struct Pace {
    /// Bytes a second.
    rate: u64,
    burst: u64,
    sold: AtomicU64,
}

impl Pace {
    /// A cap of so many bits a second.
    pub fn new(bits_per_second: NonZeroU64) -> Pace {
        let rate = (bits_per_second.get() / 8).clamp(1, FASTEST);
        let burst = along(rate, BURST.0).max(BURST.1);
        Pace { rate, burst, sold: AtomicU64::new(0) }
    }

    /// Reserves the link for `bytes` and returns when they may leave: `now`, or later where others were first.
    pub fn reserve(&self, bytes: u64, now: Time) -> Time {
        let here = along(self.rate, now);
        let sell = |sold: u64| sold.max(here).saturating_add(bytes);
        // Only this one number is shared, so that no order with other memory is needed.
        let mut sold = self.sold.load(Ordering::Relaxed);
        while let Err(other) = self.sold.compare_exchange_weak(sold, sell(sold), Ordering::Relaxed, Ordering::Relaxed) {
            sold = other;
        }
        now.max(reached(self.rate, sell(sold).saturating_sub(self.burst)))
    }
}

/// How many bytes pass by at a time.
fn along(rate: u64, at: Time) -> u64 {
    (at / SECOND).saturating_mul(rate).saturating_add(at % SECOND * rate / SECOND)
}

/// When so many bytes have passed by.
fn reached(rate: u64, bytes: u64) -> Time {
    (bytes / rate).saturating_mul(SECOND).saturating_add((bytes % rate * SECOND).div_ceil(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim::Random;

    fn pace(bits_per_second: u64) -> Pace {
        Pace::new(NonZeroU64::new(bits_per_second).unwrap())
    }

    /// A day of uptime, so that nothing rests on a clock near zero.
    const START: Time = 86_400 * SECOND;

    #[test]
    fn who_always_sends_gets_the_rate_exactly_from_a_kilobit_to_a_hundred_gigabits() {
        for rate in [1_000, 56_000, 999_999, 100_000_000, 1_000_000_000, 10_000_000_000, 99_999_999_999] {
            for bytes in [47, 1502, 64 * 1502] {
                let pace = pace(rate);
                let mut departure = START;
                let mut sent = 0;
                for _ in 0..10_000 {
                    departure = pace.reserve(bytes, departure);
                    sent += bytes;
                }
                let allowed = u128::from(departure - START) * u128::from(rate / 8) / u128::from(SECOND);
                let over = i128::from(sent) - i128::try_from(allowed).unwrap();
                let burst = i128::from(pace.burst);
                assert!((0..=burst + 1).contains(&over), "{rate} bit/s, {bytes} bytes: {over} over");
            }
        }
    }

    #[test]
    fn who_comes_first_leaves_first() {
        for seed in 1..=50 {
            let mut random = Random::new(seed);
            let pace = pace(10_000_000);
            let (mut now, mut last) = (START, 0);
            for _ in 0..500 {
                now += random.below(3_000);
                let departure = pace.reserve(random.below(20_000), now);
                assert!(departure >= last && departure >= now, "seed {seed}");
                last = departure;
            }
        }
    }

    #[test]
    fn in_no_span_does_more_leave_than_the_rate_a_burst_and_a_reservation_allow() {
        for seed in 1..=30 {
            let mut random = Random::new(seed);
            let rate = 8 * (1 + random.below(50_000_000));
            let pace = pace(rate);
            let (mut now, mut left) = (START, Vec::new());
            for _ in 0..300 {
                now += if random.below(20) == 0 { random.below(SECOND) } else { random.below(200) };
                let bytes = random.below(100_000);
                left.push((pace.reserve(bytes, now), bytes));
            }
            for (first, &(from, _)) in left.iter().enumerate() {
                let mut sent = 0;
                for &(at, bytes) in &left[first..] {
                    sent += bytes;
                    let most = (at - from + 1) * (rate / 8) / SECOND + pace.burst.max(100_000) + 1;
                    assert!(sent <= most, "seed {seed}: {sent} of {most} bytes in {} us", at - from);
                }
            }
        }
    }

    #[test]
    fn what_was_not_used_is_not_saved_up_beyond_a_burst() {
        let pace = pace(8_000_000);
        assert_eq!(pace.reserve(64 << 10, START), START);
        assert_eq!(pace.reserve(1_000, START), START + 1_000);
        let later = START + 3_600 * SECOND;
        assert_eq!(pace.reserve(64 << 10, later), later);
        assert_eq!(pace.reserve(500, later), later + 500);
    }

    #[test]
    fn a_window_larger_than_the_burst_leaves_when_it_is_paid_for() {
        let pace = pace(8_000_000);
        assert_eq!(pace.reserve(1 << 20, START), START + (1 << 20) - (64 << 10));
    }

    #[test]
    fn many_threads_together_never_exceed_it() {
        let pace = pace(1_000_000_000);
        let departures: Vec<Vec<Time>> = std::thread::scope(|scope| {
            let sellers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..20_000).map(|_| pace.reserve(1_502, START)).collect::<Vec<_>>()))
                .collect();
            sellers.into_iter().map(|seller| seller.join().unwrap()).collect()
        });
        assert!(departures.iter().all(|own| own.is_sorted()));
        let mut all: Vec<Time> = departures.concat();
        all.sort_unstable();
        for (place, &at) in all.iter().enumerate() {
            let sent = (place as u64 + 1) * 1_502;
            assert!(sent <= (at - START) * 125 + pace.burst, "{sent} bytes by {} us", at - START);
        }
        assert_eq!(all.last(), Some(&(START + (80_000 * 1_502 - pace.burst).div_ceil(125))));
    }

    #[test]
    fn the_end_of_all_time_is_no_defect() {
        let pace = pace(u64::MAX);
        assert!(pace.reserve(u64::MAX, Time::MAX) >= Time::MAX - SECOND);
    }
}
