//! Token buckets of many senders, in a table of fixed size (safety T12, D15).

use std::hash::{BuildHasher, Hash, RandomState};

use super::deadline::Time;

/// The rate and the burst that one sender is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// One allowance for each sender. Nothing is allocated after [`Buckets::new`].
///
/// A sender has one of [`WAYS`] places. Where all are taken, the new one takes the place of the one with the most left:
/// a sender that asks too often keeps its place, and a flood of new senders drives out those that ask seldom, which lose
/// nothing.
pub struct Buckets {
    hashing: RandomState,
    sets: Vec<[Bucket; WAYS]>,
    /// Thousandths of a microsecond that one request costs.
    cost: u64,
    /// The largest debt, in thousandths of a microsecond.
    credit: u64,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    sender: u64,
    /// The time at which the debt is paid, in thousandths of a microsecond.
    paid: u64,
}

const WAYS: usize = 8;
const THOUSANDTHS: u64 = 1_000;

impl Buckets {
    /// Room for at least `senders`, each with this allowance.
    pub fn new(senders: usize, allowance: Allowance) -> Buckets {
        let sets = senders.div_ceil(WAYS).max(1).next_power_of_two();
        let cost = 1_000_000 * THOUSANDTHS / u64::from(allowance.per_second.max(1));
        Buckets {
            hashing: RandomState::new(),
            sets: vec![[Bucket::default(); WAYS]; sets],
            cost,
            credit: cost.saturating_mul(u64::from(allowance.burst.saturating_sub(1))),
        }
    }

    /// Takes one token of `sender`. Returns false where it has none left.
    pub fn take(&mut self, sender: &impl Hash, now: Time) -> bool {
        let hash = self.hashing.hash_one(sender);
        let sets = self.sets.len();
        // The number of sets is a power of two; the low bits name the set.
        let place = usize::try_from(hash).unwrap_or(usize::MAX) & sets.wrapping_sub(1);
        let Some(set) = self.sets.get_mut(place) else { return true };
        let now = now.saturating_mul(THOUSANDTHS);
        let known = set.iter().position(|bucket| bucket.sender == hash);
        let seldom = || set.iter().enumerate().min_by_key(|(_, bucket)| bucket.paid).map_or(0, |(index, _)| index);
        let index = known.unwrap_or_else(seldom);
        let Some(bucket) = set.get_mut(index) else { return true };
        if known.is_none() {
            *bucket = Bucket { sender: hash, paid: 0 };
        }
        let paid = bucket.paid.max(now);
        let free = paid.saturating_sub(now) <= self.credit;
        if free {
            bucket.paid = paid.saturating_add(self.cost);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Time = 1_000_000;

    fn buckets() -> Buckets {
        Buckets::new(1024, Allowance { per_second: 50, burst: 100 })
    }

    fn taken(buckets: &mut Buckets, sender: u32, now: Time, asked: usize) -> usize {
        (0..asked).filter(|_| buckets.take(&sender, now)).count()
    }

    #[test]
    fn a_sender_asks_so_often_at_once_and_so_often_a_second() {
        let mut buckets = buckets();
        assert_eq!(taken(&mut buckets, 1, SECOND, 1000), 100);
        assert_eq!(taken(&mut buckets, 1, SECOND + 20_000, 1000), 1);
        let minute: usize = (1..=60_000).map(|ms| taken(&mut buckets, 1, 2 * SECOND + ms * 1000, 1)).sum();
        assert!((3000..=3100).contains(&minute), "{minute}");
        assert_eq!(taken(&mut buckets, 1, 100 * SECOND, 1000), 100);
    }

    #[test]
    fn senders_have_nothing_to_do_with_each_other() {
        let mut buckets = buckets();
        assert_eq!(taken(&mut buckets, 1, 0, 1000), 100);
        assert_eq!(taken(&mut buckets, 2, 0, 100), 100);
    }

    #[test]
    fn among_ever_new_senders_the_one_that_asks_too_often_is_not_forgotten() {
        let mut buckets = buckets();
        assert_eq!(taken(&mut buckets, 1, SECOND, 1000), 100);
        let new = (2..1_000_000).filter(|sender| buckets.take(sender, SECOND)).count();
        assert_eq!(new, 999_998, "each asks once");
        assert_eq!(taken(&mut buckets, 1, SECOND, 1000), 0);
        assert_eq!(buckets.sets.len() * WAYS, 1024);
    }

    #[test]
    fn the_least_allowance_is_one_request_a_second() {
        let mut least = Buckets::new(0, Allowance { per_second: 0, burst: 0 });
        assert_eq!(taken(&mut least, 1, 0, 10), 1);
        assert_eq!(taken(&mut least, 1, SECOND - 1, 10), 0);
        assert_eq!(taken(&mut least, 1, SECOND, 10), 1);
    }
}
