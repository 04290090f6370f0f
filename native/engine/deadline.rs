//! Deadlines of many transfers: who is next, without allocating after the start.

/// Microseconds on the machine's boot clock, or on the simulator's.
pub type Time = u64;

/// A binary heap of (deadline, slot) that knows each slot's place in it.
///
/// A deadline that moves later, as each ACK does, is not moved here at once: [`Deadlines::expired`] hands the slot out
/// at its old deadline and its owner sets it again. So the steady loop touches the heap only about once a timeout.
pub struct Deadlines {
    heap: Vec<(Time, u32)>,
    place: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Deadlines {
    /// Room for the slots `0..slots`.
    pub fn new(slots: usize) -> Deadlines {
        Deadlines { heap: Vec::with_capacity(slots), place: vec![NOWHERE; slots] }
    }

    /// Wants `slot` back at `deadline` or, if it is in here with an earlier one already, then.
    pub fn set(&mut self, slot: u32, deadline: Time) {
        match self.place.get(slot as usize) {
            Some(&NOWHERE) => {
                let place = self.heap.len();
                self.heap.push((deadline, slot));
                self.put(place, (deadline, slot));
                self.rise(place);
            }
            Some(&place) => {
                let place = place as usize;
                if self.heap.get(place).is_some_and(|entry| deadline < entry.0) {
                    self.put(place, (deadline, slot));
                    self.rise(place);
                }
            }
            None => {}
        }
    }

    /// Forgets `slot`.
    pub fn remove(&mut self, slot: u32) {
        let Some(place) = self.place.get(slot as usize).copied().filter(|&place| place != NOWHERE) else { return };
        self.take(place as usize);
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.0)
    }

    /// Takes one slot whose deadline is not after `now`.
    pub fn expired(&mut self, now: Time) -> Option<u32> {
        let slot = self.heap.first().filter(|entry| entry.0 <= now)?.1;
        self.take(0);
        Some(slot)
    }

    fn take(&mut self, place: usize) {
        let Some(last) = self.heap.pop() else { return };
        if let Some(&(_, slot)) = self.heap.get(place) {
            self.forget(slot);
            self.put(place, last);
            self.sink(place);
            self.rise(place);
        } else {
            self.forget(last.1);
        }
    }

    fn forget(&mut self, slot: u32) {
        if let Some(place) = self.place.get_mut(slot as usize) {
            *place = NOWHERE;
        }
    }

    fn put(&mut self, place: usize, entry: (Time, u32)) {
        if let (Some(at), Some(known)) = (self.heap.get_mut(place), self.place.get_mut(entry.1 as usize)) {
            *at = entry;
            *known = u32::try_from(place).unwrap_or(NOWHERE);
        }
    }

    fn exchange(&mut self, a: usize, b: usize) {
        if let (Some(&first), Some(&second)) = (self.heap.get(a), self.heap.get(b)) {
            self.put(a, second);
            self.put(b, first);
        }
    }

    fn earlier(&self, a: usize, b: usize) -> bool {
        matches!((self.heap.get(a), self.heap.get(b)), (Some(first), Some(second)) if first < second)
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.earlier(place, parent) {
                return;
            }
            self.exchange(place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let child = if self.earlier(right, left) { right } else { left };
            if !self.earlier(child, place) {
                return;
            }
            self.exchange(place, child);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim::Random;

    #[test]
    fn slots_come_back_in_the_order_of_their_deadlines() {
        for seed in 1..50 {
            let mut random = Random::new(seed);
            let mut deadlines = Deadlines::new(64);
            let mut model = std::collections::HashMap::new();
            for _ in 0..500 {
                let (slot, time) = (random.below(64) as u32, random.below(1000));
                if random.below(4) == 0 {
                    deadlines.remove(slot);
                    model.remove(&slot);
                } else {
                    deadlines.set(slot, time);
                    let known = model.entry(slot).or_insert(time);
                    *known = time.min(*known);
                }
                assert_eq!(deadlines.next(), model.values().min().copied(), "seed {seed}");
            }
            let mut last = 0;
            while let Some(slot) = deadlines.expired(1000) {
                let time = model.remove(&slot).unwrap();
                assert!(time >= last, "seed {seed}");
                last = time;
            }
            assert!(model.is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn nothing_comes_before_its_time_and_a_slot_beyond_the_room_is_ignored() {
        let mut deadlines = Deadlines::new(2);
        deadlines.set(1, 10);
        deadlines.set(9, 1);
        assert_eq!(deadlines.expired(9), None);
        assert_eq!(deadlines.expired(10), Some(1));
        assert_eq!(deadlines.expired(10), None);
    }
}
