//! Requests that wait for their turn: where more machines start at once than can be served, each is served in the order
//! that it came, as long as it still asks.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;

use super::door::Asked;
use crate::engine::deadline::Time;

/// A request that waits, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Who asks.
    pub peer: SocketAddrV4,
    /// What for, as it was asked.
    pub name: Box<[u8]>,
    /// Since it asked first, in microseconds.
    pub age: Time,
}

struct Entry {
    asked: Box<Asked>,
    /// When it was asked first, and last.
    first: Time,
    last: Time,
}

/// The queue. A client that repeats its request keeps its place.
pub(super) struct Queue {
    order: VecDeque<SocketAddrV4>,
    entries: HashMap<SocketAddrV4, Entry>,
    most: usize,
    patience: Time,
}

impl Queue {
    /// Room for so many; who did not repeat its request for `patience` microseconds has given up.
    pub fn new(most: usize, patience: Time) -> Queue {
        Queue { order: VecDeque::new(), entries: HashMap::new(), most, patience }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// This peer waits; the request replaces what it asked before.
    pub fn repeated(&mut self, asked: &mut Asked, now: Time) -> bool {
        let Some(entry) = self.entries.get_mut(&asked.received.from) else { return false };
        std::mem::swap(&mut *entry.asked, asked);
        entry.last = now;
        true
    }

    /// Puts a request at the end. Returns the oldest, where that has to go for it.
    pub fn put(&mut self, asked: Box<Asked>, now: Time) -> Option<Box<Asked>> {
        let oldest = if self.entries.len() >= self.most { self.pop() } else { None };
        let peer = asked.received.from;
        self.order.push_back(peer);
        self.entries.insert(peer, Entry { asked, first: now, last: now });
        oldest.map(|entry| entry.asked)
    }

    /// Takes the oldest; `Err` where its client has given up.
    pub fn next(&mut self, now: Time) -> Option<Result<Box<Asked>, Box<Asked>>> {
        let entry = self.pop()?;
        let patient = now.saturating_sub(entry.last) <= self.patience;
        Some(if patient { Ok(entry.asked) } else { Err(entry.asked) })
    }

    fn pop(&mut self) -> Option<Entry> {
        let peer = self.order.pop_front()?;
        self.entries.remove(&peer)
    }

    /// Who waits, the oldest first.
    pub fn all(&self, now: Time) -> Vec<Waiting> {
        let row = |peer: &SocketAddrV4| {
            let entry = self.entries.get(peer)?;
            let name = entry.asked.name().into();
            Some(Waiting { peer: *peer, name, age: now.saturating_sub(entry.first) })
        };
        self.order.iter().filter_map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn asked(port: u16) -> Box<Asked> {
        Box::new(Asked::of(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), b"\0\x01name\0octet\0"))
    }

    fn ports(queue: &mut Queue, now: Time) -> Vec<Result<u16, u16>> {
        let port = |asked: Box<Asked>| asked.received.from.port();
        std::iter::from_fn(|| queue.next(now)).map(|next| next.map(port).map_err(port)).collect()
    }

    #[test]
    fn who_came_first_goes_first_and_a_repeat_keeps_its_place() {
        let mut queue = Queue::new(9, 10);
        assert!([1, 2, 3].into_iter().all(|port| queue.put(asked(port), 0).is_none()));
        assert!(queue.repeated(&mut asked(1), 5) && !queue.repeated(&mut asked(9), 5));
        let names: Vec<(u16, Time)> = queue.all(7).iter().map(|row| (row.peer.port(), row.age)).collect();
        assert_eq!(names, [(1, 7), (2, 7), (3, 7)]);
        assert_eq!(&*queue.all(7)[0].name, b"name");
        assert_eq!(ports(&mut queue, 7), [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_does_not_repeat_has_given_up_and_a_full_queue_drops_the_oldest() {
        let mut queue = Queue::new(2, 10);
        assert!(queue.put(asked(1), 0).is_none() && queue.put(asked(2), 0).is_none());
        assert_eq!(queue.put(asked(3), 0).map(|oldest| oldest.received.from.port()), Some(1));
        assert!(queue.repeated(&mut asked(3), 5));
        assert_eq!(ports(&mut queue, 15), [Err(2), Ok(3)]);
    }
}
