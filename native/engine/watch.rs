//! When what is out left, and what that says of the peer's words: the times behind a transfer's decisions and measures.

use super::deadline::Time;
use super::measure::Measures;

/// The times of one transfer.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub measures: Measures,
    began: Time,
    /// When the first piece of what is out left, and the last.
    begun: Time,
    left: Time,
    /// All that is out left only once (Karn); or what left again did so because the peer spoke.
    once: bool,
    answered: bool,
    /// Since when something is held back by us, and not by the peer's silence.
    held: Option<Time>,
}

impl Watch {
    /// What was asked for now.
    pub fn new(now: Time) -> Watch {
        Watch {
            measures: Measures::default(),
            began: now,
            begun: now,
            left: now,
            once: true,
            answered: true,
            held: None,
        }
    }

    /// A piece leaves: the beginning of a window or not, for the first time or not.
    pub fn leaves(&mut self, begins: bool, fresh: bool, now: Time) {
        self.left = now;
        if begins {
            self.begun = now;
            self.answered |= fresh;
        }
        self.once = fresh && (begins || self.once);
    }

    /// Something of what is out leaves once more.
    pub fn leaves_again(&mut self, now: Time) {
        self.left = now;
        self.once = false;
        self.answered = false;
    }

    /// The file's first block leaves.
    pub fn leaves_first(&mut self, now: Time) {
        self.measures.first_block = Some(now.saturating_sub(self.began));
    }

    /// All that is out left only once.
    pub fn is_once(&self) -> bool {
        self.once
    }

    /// What is said now can speak of what is out, as far as is known.
    pub fn is_late(&self, now: Time) -> bool {
        let smallest = self.measures.round_trip.smallest.unwrap_or(0);
        now.saturating_sub(self.begun) >= smallest / 2
    }

    /// The acknowledgment of the options is acknowledged. Who named a timeout gets that until a window shows what the
    /// transfer needs.
    pub fn agreed(&mut self, named: bool, now: Time) {
        if !self.once {
            return;
        }
        let handshake = now.saturating_sub(self.left);
        self.measures.handshake = Some(handshake);
        if named {
            self.measures.round_trip.bound(handshake);
        } else {
            self.measures.round_trip.sample(handshake);
        }
    }

    /// The peer acknowledged something new.
    pub fn told(&mut self) {
        self.measures.windows = self.measures.windows.saturating_add(1);
    }

    /// All that was out has arrived. Whether a round trip was learned from that.
    pub fn arrived(&mut self, now: Time) -> bool {
        let round_trip = now.saturating_sub(self.left);
        if self.once {
            self.measures.round_trip.sample(round_trip);
        } else if self.answered {
            self.measures.round_trip.estimate(round_trip);
        }
        self.once || self.answered
    }

    /// The peer told of a gap behind so many blocks, and the window is rewound. Whether a round trip was learned.
    pub fn gap(&mut self, arrived: u16, now: Time) -> bool {
        self.measures.gap(arrived);
        if self.answered {
            self.measures.round_trip.estimate(now.saturating_sub(self.left));
        }
        self.lost(now);
        std::mem::replace(&mut self.answered, true)
    }

    /// The peer was silent for too long.
    pub fn silent(&mut self, now: Time) {
        self.measures.timeouts = self.measures.timeouts.saturating_add(1);
        self.answered = false;
        self.lost(now);
    }

    fn lost(&mut self, now: Time) {
        let lost = now.saturating_sub(self.left);
        self.measures.recovering = self.measures.recovering.saturating_add(lost);
        self.left = now;
    }

    /// From now on it is us who hold something back.
    pub fn hold(&mut self, now: Time) {
        self.held.get_or_insert(now);
    }

    /// Whether something is held back.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// For how long something is held back.
    pub fn held_for(&self, now: Time) -> Time {
        self.held.map_or(0, |since| now.saturating_sub(since))
    }

    /// Nothing is held back any more.
    pub fn let_go(&mut self, now: Time) {
        self.measures.held = self.measures.held.saturating_add(self.held_for(now));
        self.held = None;
    }
}
