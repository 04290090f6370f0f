//! A virtual link with loss, duplication and reordering, and receivers that behave as real ones were seen to (F-53,
//! F-54). It has its own clock; a seed makes a run repeatable.

use std::collections::BTreeMap;

use super::deadline::Time;
use super::negotiate::Agreed;
use super::seq;
use super::transfer::{Event, Outcome, Send, Terms, Transfer};

/// A small generator (xorshift64*), so that a seed in a failure's text repeats the failure.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What a link does to datagrams, in percent, and its one-way delay in microseconds.
#[derive(Clone, Copy, Default)]
pub struct Quality {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: Time,
}

struct Link<T> {
    quality: Quality,
    on_the_way: BTreeMap<(Time, u64), T>,
    count: u64,
}

impl<T: Copy> Link<T> {
    fn new(quality: Quality) -> Link<T> {
        Link { quality, on_the_way: BTreeMap::new(), count: 0 }
    }

    fn send(&mut self, item: T, now: Time, random: &mut Random) {
        if random.percent(self.quality.loss) {
            return;
        }
        for _ in 0..1 + u64::from(random.percent(self.quality.duplicate)) {
            let late = if random.percent(self.quality.reorder) { random.below(300) } else { 0 };
            self.count += 1;
            self.on_the_way.insert((now + self.quality.delay + late, self.count), item);
        }
    }

    fn next(&self) -> Time {
        self.on_the_way.keys().next().map_or(Time::MAX, |key| key.0)
    }

    fn take(&mut self, now: Time) -> Option<T> {
        (self.next() <= now).then(|| self.on_the_way.pop_first().map(|(_, item)| item))?
    }
}

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
    /// Lock-step; silent on duplicates, repeats after 5 s (G-19).
    UBoot,
    /// With `msftwindow` (W-107): doubles its window up to 64, halves it at a gap and after 1 s of silence; else RFC 7440.
    Bootmgr,
    /// With `msftwindow`, but wants any window, or says nothing of it (0).
    Moody,
}

impl Habit {
    pub const ALL: [Habit; 7] =
        [Habit::Edk2, Habit::Rfc7440, Habit::Pxelinux, Habit::Grub, Habit::UBoot, Habit::Bootmgr, Habit::Moody];

    /// What such a receiver agrees on with a server: windows of every kind over the seeds, blocks of 1000 bytes.
    pub fn agreed(self, seed: u64) -> Agreed {
        let (window, variable) = match self {
            Habit::Edk2 | Habit::Rfc7440 => ([1, 4, 16, 64][seed as usize % 4], false),
            Habit::Bootmgr | Habit::Moody => ([1, 4, 16, 64][seed as usize % 4], true),
            Habit::Pxelinux | Habit::Grub | Habit::UBoot => (1, false),
        };
        Agreed { block: 1000, window, variable, size_asked: true, ..Agreed::default() }
    }
}

pub struct Receiver {
    pub habit: Habit,
    window: u64,
    last: u64,
    pub received: u64,
    acked: u64,
    said: u64,
    gap_told: bool,
    silent_at: Time,
    pub done: bool,
    pub gave_up: bool,
    random: Random,
}

/// An acknowledgment on its way: block number and next window as the wire carries them.
type Ack = (u16, u8);

impl Receiver {
    pub fn new(habit: Habit, agreed: Agreed, size: u64) -> Receiver {
        Receiver {
            habit,
            window: u64::from(agreed.window),
            last: size / u64::from(agreed.block) + 1,
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

    fn deadline(&self) -> Time {
        let patience = match self.habit {
            Habit::Edk2 => 3_800_000,
            Habit::Pxelinux => 200_000,
            Habit::Grub => 35_000_000,
            Habit::Rfc7440 | Habit::Bootmgr | Habit::Moody => 1_000_000,
            Habit::UBoot => 5_000_000,
        };
        if self.done || self.gave_up {
            Time::MAX
        } else {
            self.silent_at + patience
        }
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
            Habit::Edk2 | Habit::Pxelinux | Habit::Grub | Habit::Rfc7440 | Habit::UBoot => 0,
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

    fn data(&mut self, wire: u16, now: Time) -> Option<Ack> {
        if self.gave_up {
            return None;
        }
        let expected = self.received + 1;
        // U-Boot's patience is not renewed by what it ignores.
        if self.habit != Habit::UBoot || wire == seq::to_wire(expected) {
            self.silent_at = now;
        }
        if wire == seq::to_wire(expected) && expected <= self.last {
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
            Habit::Rfc7440 | Habit::Bootmgr | Habit::Moody if !duplicate && !self.gap_told => {
                self.gap_told = true;
                self.shrink();
                self.ack(self.received)
            }
            Habit::Pxelinux if duplicate => self.ack(self.received),
            Habit::Rfc7440 | Habit::Bootmgr | Habit::Moody | Habit::Pxelinux | Habit::UBoot => None,
        }
    }

    fn shrink(&mut self) {
        if self.habit == Habit::Bootmgr {
            self.window = (self.window / 2).max(1);
        }
    }

    fn silence(&mut self, now: Time) -> Option<Ack> {
        self.silent_at = now;
        self.shrink();
        match self.habit {
            Habit::Edk2 => Some((seq::to_wire(self.said), 0)),
            Habit::Grub => {
                self.gave_up = true;
                None
            }
            Habit::Pxelinux | Habit::Rfc7440 | Habit::Bootmgr | Habit::Moody | Habit::UBoot => self.ack(self.received),
        }
    }
}

/// One run: what came of it, on the simulator's clock.
pub struct Run {
    pub outcome: Option<Outcome>,
    pub receiver: Receiver,
    pub sent: u64,
    pub took: Time,
    pub transfer: Transfer,
    /// How often the gate was asked for, and the highest block that was sent before it opened.
    pub asked: u32,
    pub before: u64,
}

/// Runs a whole transfer of `size` bytes over a link of this quality, for at most ten simulated minutes.
/// `lose` names blocks whose first copy is lost, whatever the link does.
pub fn run(agreed: Agreed, size: u64, habit: Habit, quality: Quality, seed: u64, lose: &[u64]) -> Run {
    simulate(agreed, size, habit, quality, seed, lose, None)
}

/// The same for a gated transfer whose gate opens `answer` after it was asked for.
pub fn run_gated(agreed: Agreed, size: u64, habit: Habit, quality: Quality, seed: u64, answer: Time) -> Run {
    simulate(agreed, size, habit, quality, seed, &[], Some(answer))
}

fn simulate(
    agreed: Agreed,
    size: u64,
    habit: Habit,
    quality: Quality,
    seed: u64,
    lose: &[u64],
    answer: Option<Time>,
) -> Run {
    let mut random = Random::new(seed);
    let (mut down, mut up) = (Link::<u16>::new(quality), Link::<Ack>::new(quality));
    let mut lose = lose.to_vec();
    let mut now: Time = 1;
    let mut receiver = Receiver::new(habit, agreed, size);
    let terms = Terms { agreed, size, acknowledge: true, gated: answer.is_some(), retransmit: 500_000 };
    let (mut transfer, mut send) = Transfer::start(terms, now);
    let (mut sent, mut asked, mut before) = (0, 0, 0);
    let (mut opens, mut opened) = (Time::MAX, false);
    let mut acknowledged = false;
    loop {
        match send {
            Send::Acknowledgment => {
                // ACK 0 is repeated by every client until DATA comes; the link may not eat it here.
                if !acknowledged {
                    acknowledged = true;
                    let first = (0, receiver.wish());
                    up.on_the_way.insert((now + quality.delay, 0), first);
                }
            }
            Send::Blocks { first, count } => {
                for block in first..first + u64::from(count) {
                    sent += 1;
                    before = if opened { before } else { block.max(before) };
                    if let Some(place) = lose.iter().position(|&lost| lost == block) {
                        lose.remove(place);
                    } else {
                        down.send(seq::to_wire(block), now, &mut random);
                    }
                }
            }
            Send::Ask => {
                asked += 1;
                opens = now + answer.unwrap_or_default();
            }
            Send::Nothing | Send::Error(..) => {}
        }
        if transfer.outcome().is_some() {
            break;
        }
        let next = down.next().min(up.next()).min(transfer.deadline()).min(receiver.deadline()).min(opens);
        now = now.max(next);
        if now > 600_000_000 {
            break;
        }
        send = if opens <= now {
            (opens, opened) = (Time::MAX, true);
            transfer.handle(Event::Opened, now)
        } else if let Some(wire) = down.take(now) {
            if let Some(ack) = receiver.data(wire, now) {
                up.send(ack, now, &mut random);
            }
            Send::Nothing
        } else if let Some((block, wanted)) = up.take(now) {
            transfer.handle(Event::Ack(block, wanted), now)
        } else if receiver.deadline() <= now {
            if let Some(ack) = receiver.silence(now) {
                up.send(ack, now, &mut random);
            }
            Send::Nothing
        } else if transfer.deadline() <= now {
            transfer.handle(Event::Timeout, now)
        } else {
            Send::Nothing
        };
    }
    Run { outcome: transfer.outcome(), receiver, sent, took: now, transfer, asked, before }
}
