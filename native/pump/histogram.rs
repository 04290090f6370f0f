//! A distribution of values over fixed, logarithmic bounds: written by any thread without a lock, read by any other.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where a histogram's bounds lie: logarithmic over doublings, even inside each.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The first bound.
    pub least: f64,
    /// How many times it doubles up to the last.
    pub doublings: i32,
    /// Bounds to a doubling.
    pub steps: u32,
    /// Whether 0 has a place of its own, for what mostly does not happen.
    pub zero: bool,
}

impl Scale {
    fn bounds(self) -> Vec<f64> {
        let zero = self.zero.then_some(0.0);
        let inside = (0..self.doublings).flat_map(move |doubling| {
            let from = self.least * 2f64.powi(doubling);
            (0..self.steps).map(move |step| from * (1.0 + f64::from(step) / f64::from(self.steps)))
        });
        let last = self.least * 2f64.powi(self.doublings);
        zero.into_iter().chain(inside).chain([last]).collect()
    }
}

/// How often a value fell under each bound and over the one before it.
pub struct Histogram {
    bounds: Vec<f64>,
    counts: Vec<AtomicU64>,
    /// The sum of all values, the bits of an `f64`.
    sum: AtomicU64,
}

/// A histogram as it was when it was read. Its numbers are not of one moment: each may lag behind by what was being written.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Upper bounds, each inclusive, rising.
    pub bounds: Vec<f64>,
    /// How many values: one number a bound, and a last one for what is above all of them.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new(scale: Scale) -> Histogram {
        let bounds = scale.bounds();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    /// One more value; what is no number (a rate over no time) is left out.
    pub fn put(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // It never gives up: the closure always has a sum to store.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// What it holds now.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            bounds: self.bounds.clone(),
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Scale = Scale { least: 1.0, doublings: 3, steps: 1, zero: false };

    #[test]
    fn a_value_on_a_bound_belongs_under_it_and_what_is_above_all_bounds_is_not_lost() {
        let histogram = Histogram::new(WINDOWS);
        [0.0, 1.0, 2.0, 3.0, 8.0, 8.1, 1e300].into_iter().for_each(|value| histogram.put(value));
        let read = histogram.read();
        assert_eq!(read.bounds, [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(read.counts, [2, 1, 1, 1, 2]);
    }

    #[test]
    fn bounds_are_even_within_a_doubling_and_zero_has_its_own_where_it_matters() {
        let histogram = Histogram::new(Scale { least: 1.0, doublings: 2, steps: 4, zero: true });
        assert_eq!(histogram.read().bounds, [0.0, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0]);
        histogram.put(0.0);
        histogram.put(0.5);
        assert_eq!(histogram.read().counts.get(..3), Some(&[1, 1, 0][..]));
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let histogram = Histogram::new(WINDOWS);
        let empty = histogram.read();
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().for_each(|value| histogram.put(value));
        assert_eq!(histogram.read(), empty);
    }

    #[test]
    fn threads_that_write_at_once_lose_nothing() {
        let histogram = Histogram::new(WINDOWS);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| histogram.put(2.0)));
            }
        });
        let read = histogram.read();
        assert_eq!(read.counts, [0, 4000, 0, 0, 0]);
        assert!((read.sum - 8000.0).abs() < f64::EPSILON);
    }
}
