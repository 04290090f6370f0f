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
    /// When who has given up is looked for next.
    look_at: Time,
}

impl Queue {
    /// Room for so many; who did not repeat its request for `patience` microseconds has given up.
    pub fn new(most: usize, patience: Time) -> Queue {
        Queue { order: VecDeque::new(), entries: HashMap::new(), most, patience, look_at: 0 }
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

    /// Puts a request at the end. Returns who has to go for it: the oldest, or itself where nobody may wait.
    pub fn put(&mut self, asked: Box<Asked>, now: Time) -> Option<Box<Asked>> {
        if self.most == 0 {
            return Some(asked);
        }
        let oldest = if self.entries.len() >= self.most { self.pop() } else { None };
        let peer = asked.received.from;
        self.order.push_back(peer);
        self.entries.insert(peer, Entry { asked, first: now, last: now });
        oldest.map(|entry| entry.asked)
    }

    /// Takes the oldest.
    pub fn next(&mut self) -> Option<Box<Asked>> {
        self.pop().map(|entry| entry.asked)
    }

    /// Forgets those whose clients have given up. It looks at all, and so at most once in a quarter of their patience.
    pub fn given_up(&mut self, now: Time) -> Vec<SocketAddrV4> {
        if now < self.look_at {
            return Vec::new();
        }
        self.look_at = now.saturating_add(self.patience / 4);
        let silent = |entry: &Entry| now.saturating_sub(entry.last) > self.patience;
        let gone: Vec<_> = self.entries.iter().filter(|(_, entry)| silent(entry)).map(|(peer, _)| *peer).collect();
        if !gone.is_empty() {
            gone.iter().for_each(|peer| drop(self.entries.remove(peer)));
            self.order.retain(|peer| self.entries.contains_key(peer));
        }
        gone
    }

    /// When the next may have given up.
    pub fn deadline(&self) -> Option<Time> {
        (!self.entries.is_empty()).then_some(self.look_at)
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

    fn ports(requests: impl IntoIterator<Item = Box<Asked>>) -> Vec<u16> {
        requests.into_iter().map(|asked| asked.received.from.port()).collect()
    }

    #[test]
    fn who_came_first_goes_first_and_a_repeat_keeps_its_place() {
        let mut queue = Queue::new(9, 10);
        assert!([1, 2, 3].into_iter().all(|port| queue.put(asked(port), 0).is_none()));
        assert!(queue.repeated(&mut asked(1), 5) && !queue.repeated(&mut asked(9), 5));
        let rows: Vec<(u16, Time)> = queue.all(7).iter().map(|row| (row.peer.port(), row.age)).collect();
        assert_eq!(rows, [(1, 7), (2, 7), (3, 7)]);
        assert_eq!(&*queue.all(7)[0].name, b"name");
        assert_eq!(ports(std::iter::from_fn(|| queue.next())), [1, 2, 3]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_does_not_repeat_has_given_up() {
        let mut queue = Queue::new(9, 100);
        assert!((1..=4).all(|port| queue.put(asked(port), 0).is_none()));
        assert_eq!(queue.deadline(), Some(0));
        assert!(queue.given_up(90).is_empty());
        assert!(queue.repeated(&mut asked(2), 95) && queue.repeated(&mut asked(4), 95));
        assert_eq!(queue.deadline(), Some(115));
        assert!(queue.given_up(110).is_empty(), "nobody is looked for all the time");
        let mut gone: Vec<u16> = queue.given_up(115).iter().map(SocketAddrV4::port).collect();
        gone.sort_unstable();
        assert_eq!(gone, [1, 3]);
        assert_eq!(ports(std::iter::from_fn(|| queue.next())), [2, 4]);
        assert_eq!(queue.deadline(), None);
    }

    #[test]
    fn for_who_comes_to_a_full_queue_the_oldest_goes_and_where_nobody_may_wait_he_himself() {
        let mut queue = Queue::new(2, 10);
        assert!(queue.put(asked(1), 0).is_none() && queue.put(asked(2), 0).is_none());
        assert_eq!(ports(queue.put(asked(3), 0)), [1]);
        assert_eq!(ports(std::iter::from_fn(|| queue.next())), [2, 3]);
        assert_eq!(ports(Queue::new(0, 10).put(asked(1), 0)), [1]);
    }
}
