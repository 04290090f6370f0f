//! The places of transfers: who has which, when each is due, and who gives way when there are too many.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;

use super::transfers::Running;
use crate::engine::deadline::{Deadlines, Time};
use crate::sys::cache;

/// A place, and which life of it: a late event of an ended transfer meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub slot: u32,
    life: u32,
}

impl Place {
    /// The place that a token names.
    pub fn of(token: u64) -> Place {
        Place { slot: (token & u64::from(u32::MAX)) as u32, life: (token >> 32) as u32 }
    }

    /// Its name in the kernel's events and in the transfer's id.
    pub fn token(self) -> u64 {
        u64::from(self.life) << 32 | u64::from(self.slot)
    }
}

/// How many of so many places half-open transfers may hold.
pub(super) fn half_open_share(places: usize) -> usize {
    (places / 4).max(1)
}

/// Every transfer under way.
pub(super) struct Slots {
    running: Vec<Option<Running>>,
    lives: Vec<u32>,
    free: Vec<u32>,
    by_peer: HashMap<SocketAddrV4, u32>,
    /// In the order they began; those that are half open no more may still stand here.
    half_open: VecDeque<Place>,
    deadlines: Deadlines,
}

impl Slots {
    /// Places for so many.
    pub fn new(most: usize) -> Slots {
        Slots {
            running: (0..most).map(|_| None).collect(),
            lives: vec![0; most],
            free: (0..u32::try_from(most).unwrap_or(u32::MAX)).rev().collect(),
            by_peer: HashMap::with_capacity(most),
            half_open: VecDeque::with_capacity(most),
            deadlines: Deadlines::new(most),
        }
    }

    /// The transfer in this slot.
    pub fn get(&mut self, slot: u32) -> Option<&mut Running> {
        self.running.get_mut(slot as usize)?.as_mut()
    }

    /// The transfer that this token names has its turn soon: it is fetched from memory meanwhile.
    pub fn fetch(&self, token: u64) {
        if let Some(running) = self.running.get(Place::of(token).slot as usize) {
            cache::fetch(running);
        }
    }

    /// Every transfer under way.
    pub fn all(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().flatten()
    }

    /// The slot of the transfer that this token names, while it runs.
    pub fn living(&mut self, token: u64) -> Option<u32> {
        let slot = Place::of(token).slot;
        self.get(slot).is_some_and(|running| running.token == token).then_some(slot)
    }

    /// The slot of this peer's transfer.
    pub fn of_peer(&self, peer: SocketAddrV4) -> Option<u32> {
        self.by_peer.get(&peer).copied()
    }

    /// A free place; it stays free until [`Slots::fill`].
    pub fn vacant(&self) -> Option<Place> {
        let slot = self.free.last().copied()?;
        Some(Place { slot, life: self.lives.get(slot as usize).copied().unwrap_or_default() })
    }

    /// Gives the place that [`Slots::vacant`] named to a transfer.
    pub fn fill(&mut self, place: Place, running: Running) {
        self.free.pop();
        self.by_peer.insert(running.origin.peer, place.slot);
        self.half_open.push_back(place);
        if let Some(room) = self.running.get_mut(place.slot as usize) {
            *room = Some(running);
        }
    }

    /// Takes the transfer out of a slot, which is free then.
    pub fn clear(&mut self, slot: u32) -> Option<Running> {
        let running = self.running.get_mut(slot as usize).and_then(Option::take)?;
        if let Some(life) = self.lives.get_mut(slot as usize) {
            *life = life.wrapping_add(1);
        }
        self.free.push(slot);
        self.deadlines.remove(slot);
        self.by_peer.remove(&running.origin.peer);
        Some(running)
    }

    /// Half-open transfers may hold their share of the places; beyond it the slot of the oldest, which gives way (safety
    /// T11).
    pub fn crowded(&mut self) -> Option<u32> {
        let (running, lives) = (&self.running, &self.lives);
        let still = |place: &Place| {
            lives.get(place.slot as usize) == Some(&place.life)
                && matches!(running.get(place.slot as usize), Some(Some(running)) if running.transfer.is_half_open())
        };
        while self.half_open.front().is_some_and(|place| !still(place)) {
            self.half_open.pop_front();
        }
        let share = half_open_share(running.len());
        if self.half_open.len() >= share {
            self.half_open.retain(still);
        }
        let crowded = self.half_open.len() >= share || self.free.is_empty();
        crowded.then(|| self.half_open.pop_front()).flatten().map(|place| place.slot)
    }

    /// The transfer in this slot is due then, or at an earlier time that was said before.
    pub fn due(&mut self, slot: u32, deadline: Time) {
        if let Some(running) = self.running.get_mut(slot as usize).and_then(Option::as_mut) {
            if deadline < running.listed {
                running.listed = deadline;
                self.deadlines.set(slot, deadline);
            }
        }
    }

    /// A slot whose deadline has come; it is due no more.
    pub fn expired(&mut self, now: Time) -> Option<u32> {
        let slot = self.deadlines.expired(now)?;
        if let Some(running) = self.get(slot) {
            running.listed = Time::MAX;
        }
        Some(slot)
    }

    /// The next deadline of all.
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
