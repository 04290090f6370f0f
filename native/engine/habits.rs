//! Receivers that behave as real ones were seen to (F-53, F-54), for the simulator.

use super::deadline::Time;
use super::negotiate::Agreed;
use super::seq;
use super::sim::Random;

/// How a receiver treats what it did not expect, and silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// ACKs every unexpected packet with its last block in order; after 3.8 s repeats its last ACK (F-53).
    Edk2,
    /// Lock-step; repeats its ACK after 0.2 s (F-54).
    Pxelinux,
    /// Lock-step; ACKs old duplicates, never repeats, gives up after 35 s (F-54).
    Grub,
    /// RFC 7440 to the letter: one ACK a gap, silent on duplicates, ACKs what it has after 1 s.
    Rfc7440,
    /// The same, but ACKs its last block in order when that comes twice, once until there is progress.
    Polite,
    /// Lock-step; silent on duplicates, repeats after 5 s (G-19).
    UBoot,
    /// RFC 7440's windows, but says nothing of gaps, and what it has only 5 s after it last said anything.
    Mute,
    /// With `msftwindow` (W-107): doubles its window up to 64, halves it at a gap and after 1 s of silence; else RFC 7440.
    Bootmgr,
    /// With `msftwindow`, but wants any window, or says nothing of it (0).
    Moody,
}

impl Habit {
    pub const ALL: [Habit; 9] = [
        Habit::Edk2,
        Habit::Rfc7440,
        Habit::Polite,
        Habit::Pxelinux,
        Habit::Grub,
        Habit::UBoot,
        Habit::Mute,
        Habit::Bootmgr,
        Habit::Moody,
    ];

    /// It always asks for a window of 1.
    pub fn is_lock_step(self) -> bool {
        matches!(self, Habit::Pxelinux | Habit::Grub | Habit::UBoot)
    }

    /// What such a receiver agrees on with a server: windows of every kind over the seeds, blocks of 1000 bytes.
    pub fn agreed(self, seed: u64) -> Agreed {
        self.with_window([1, 4, 16, 64][seed as usize % 4])
    }

    /// The same for this window, where it can have one.
    pub fn with_window(self, window: u16) -> Agreed {
        let variable = matches!(self, Habit::Bootmgr | Habit::Moody);
        let window = if self.is_lock_step() { 1 } else { window };
        Agreed { block: 1000, window, variable, size_asked: true, ..Agreed::default() }
    }
}

pub struct Receiver {
    pub habit: Habit,
    window: u64,
    last: u64,
    /// The options were acknowledged to it.
    pub agreed: bool,
    requests: u8,
    pub received: u64,
    acked: u64,
    said: u64,
    gap_told: bool,
    silent_at: Time,
    pub done: bool,
    pub gave_up: bool,
    random: Random,
}

/// A request is repeated so often.
const REQUESTS: u8 = 6;

/// An acknowledgment on its way: block number and next window as the wire carries them.
pub type Ack = (u16, u8);

/// What goes up.
#[derive(Clone, Copy)]
pub enum Up {
    Request,
    Ack(Ack),
}

/// What comes down; a block with the number that it really has.
#[derive(Clone, Copy)]
pub enum Down {
    Acknowledgment,
    Block(u64),
}

impl Receiver {
    pub fn new(habit: Habit, agreed: Agreed, size: u64) -> Receiver {
        Receiver {
            habit,
            window: u64::from(agreed.window),
            last: size / u64::from(agreed.block) + 1,
            agreed: false,
            requests: 1,
            received: 0,
            acked: 0,
            said: 0,
            gap_told: false,
            silent_at: 0,
            done: false,
            gave_up: false,
            random: Random::new(size + 1),
        }
    }

    pub fn deadline(&self) -> Time {
        let patience = match self.habit {
            Habit::Edk2 => 3_800_000,
            Habit::Pxelinux => 200_000,
            Habit::Grub => 35_000_000,
            Habit::Rfc7440 | Habit::Polite | Habit::Bootmgr | Habit::Moody => 1_000_000,
            Habit::UBoot | Habit::Mute => 5_000_000,
        };
        if self.done || self.gave_up {
            Time::MAX
        } else {
            self.silent_at + if self.agreed { patience } else { 1_000_000 }
        }
    }

    /// The options are acknowledged, perhaps not for the first time.
    pub fn acknowledged(&mut self, now: Time) -> Option<Ack> {
        self.agreed = true;
        self.silent_at = now;
        (self.received == 0).then(|| self.ack(0))?
    }

    fn ack(&mut self, block: u64) -> Option<Ack> {
        self.acked = self.received;
        self.said = block;
        Some((seq::to_wire(block), self.wish()))
    }

    /// How many blocks it wants next; 0: it does not say. With the last block that is garbage.
    fn wish(&mut self) -> u8 {
        let wish = match self.habit {
            Habit::Bootmgr => self.window,
            Habit::Moody => self.random.below(256),
            Habit::Edk2
            | Habit::Pxelinux
            | Habit::Grub
            | Habit::Rfc7440
            | Habit::Polite
            | Habit::UBoot
            | Habit::Mute => 0,
        };
        if self.habit == Habit::Moody && wish > 0 {
            self.window = wish;
        }
        if self.done && wish > 0 {
            0xEE
        } else {
            wish as u8
        }
    }

    pub fn data(&mut self, block: u64, now: Time) -> Option<Ack> {
        if self.gave_up {
            return None;
        }
        let (wire, expected) = (seq::to_wire(block), self.received + 1);
        // U-Boot's patience is not renewed by what it ignores.
        let renewed = match self.habit {
            Habit::UBoot => wire == seq::to_wire(expected),
            Habit::Mute => wire == seq::to_wire(expected) && expected - self.acked >= self.window,
            _ => true,
        };
        if renewed {
            self.silent_at = now;
        }
        if wire == seq::to_wire(expected) && expected <= self.last {
            assert_eq!(block, expected, "another block passed for it");
            self.received = expected;
            self.gap_told = false;
            self.done = expected == self.last;
            if !self.done && self.received - self.acked < self.window {
                return None;
            }
            if self.habit == Habit::Bootmgr {
                self.window = (self.window * 2).min(64);
            }
            return self.ack(expected);
        }
        let duplicate = seq::from_wire(wire, self.received.saturating_sub(200), self.received).is_some();
        match self.habit {
            Habit::Edk2 | Habit::Grub => self.ack(self.received),
            Habit::Polite if wire == seq::to_wire(self.received) && !self.gap_told => {
                self.gap_told = true;
                self.ack(self.received)
            }
            Habit::Rfc7440 | Habit::Polite | Habit::Bootmgr | Habit::Moody if !duplicate && !self.gap_told => {
                self.gap_told = true;
                self.shrink();
                self.ack(self.received)
            }
            Habit::Pxelinux if duplicate => self.ack(self.received),
            Habit::Rfc7440
            | Habit::Polite
            | Habit::Bootmgr
            | Habit::Moody
            | Habit::Pxelinux
            | Habit::UBoot
            | Habit::Mute => None,
        }
    }

    fn shrink(&mut self) {
        if self.habit == Habit::Bootmgr {
            self.window = (self.window / 2).max(1);
        }
    }

    pub fn silence(&mut self, now: Time) -> Option<Up> {
        self.silent_at = now;
        if !self.agreed {
            self.requests += 1;
            self.gave_up = self.requests > REQUESTS;
            return (!self.gave_up).then_some(Up::Request);
        }
        self.shrink();
        match self.habit {
            Habit::Edk2 => Some((seq::to_wire(self.said), 0)),
            Habit::Grub => {
                self.gave_up = true;
                None
            }
            Habit::Pxelinux
            | Habit::Rfc7440
            | Habit::Polite
            | Habit::Bootmgr
            | Habit::Moody
            | Habit::UBoot
            | Habit::Mute => self.ack(self.received),
        }
        .map(Up::Ack)
    }
}
