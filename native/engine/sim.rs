//! A virtual link with loss, duplication and reordering, and a transfer over it to a receiver of some habit. It has its
//! own clock; a seed makes a run repeatable.

use std::collections::BTreeMap;

use super::deadline::Time;
pub use super::habits::Habit;
use super::habits::{Down, Receiver, Up};
use super::negotiate::Agreed;
use super::pace::Pace;
use super::timer::Timing;
use super::transfer::{Event, Outcome, Send, Terms, Transfer};

/// The product's own defaults.
pub const TIMING: Timing = Timing { first: 500_000, floor: 50_000 };

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

    fn happens(&mut self, thousandths: u64) -> bool {
        self.below(1000) < thousandths
    }
}

/// What a link does to datagrams, in thousandths of them, and its one-way delay in microseconds.
#[derive(Clone, Copy, Default)]
pub struct Quality {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: Time,
}

/// A datagram occupies the link so long: about a gigabit a second.
const WIRE: Time = 10;

struct Link<T> {
    quality: Quality,
    on_the_way: BTreeMap<(Time, u64), T>,
    count: u64,
    free_at: Time,
}

impl<T: Copy> Link<T> {
    fn new(quality: Quality) -> Link<T> {
        Link { quality, on_the_way: BTreeMap::new(), count: 0, free_at: 0 }
    }

    fn send(&mut self, item: T, now: Time, random: &mut Random) {
        self.free_at = self.free_at.max(now) + WIRE;
        if random.happens(self.quality.loss) {
            return;
        }
        for _ in 0..1 + u64::from(random.happens(self.quality.duplicate)) {
            let late = if random.happens(self.quality.reorder) { random.below(300) } else { 0 };
            self.count += 1;
            self.on_the_way.insert((self.free_at + self.quality.delay + late, self.count), item);
        }
    }

    fn next(&self) -> Time {
        self.on_the_way.keys().next().map_or(Time::MAX, |key| key.0)
    }

    fn take(&mut self, now: Time) -> Option<T> {
        (self.next() <= now).then(|| self.on_the_way.pop_first().map(|(_, item)| item))?
    }
}

/// What is fetched, by whom, over which link.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub agreed: Agreed,
    pub size: u64,
    pub habit: Habit,
    pub quality: Quality,
    pub seed: u64,
    /// Blocks whose first copy is lost, whatever the link does.
    pub lose: &'a [u64],
    /// The transfer is gated, and the gate opens so long after it was asked for.
    pub answer: Option<Time>,
    /// What leaves is held until this lets it.
    pub pace: Option<&'a Pace>,
}

/// One run: what came of it, on the simulator's clock.
pub struct Run {
    pub outcome: Option<Outcome>,
    pub receiver: Receiver,
    /// Blocks that left.
    pub sent: u64,
    pub took: Time,
    pub transfer: Transfer,
    /// How often the gate was asked for, and the highest block that was sent before it opened.
    pub asked: u32,
    pub before: u64,
}

/// Runs a whole transfer of `size` bytes over a link of this quality.
pub fn run(agreed: Agreed, size: u64, habit: Habit, quality: Quality, seed: u64, lose: &[u64]) -> Run {
    Scene { agreed, size, habit, quality, seed, lose, answer: None, pace: None }.play()
}

/// The same for a gated transfer whose gate opens `answer` after it was asked for.
pub fn run_gated(agreed: Agreed, size: u64, habit: Habit, quality: Quality, seed: u64, answer: Time) -> Run {
    Scene { agreed, size, habit, quality, seed, lose: &[], answer: Some(answer), pace: None }.play()
}

/// Acknowledges the options and lets the first window, of `count` blocks, leave.
pub fn first_window(transfer: &mut Transfer, wanted: u8, count: u16) {
    let send = transfer.handle(Event::Ack(0, wanted), 200);
    pieces(transfer, send, count);
}

/// Lets the first window, of `count` blocks, leave, of which `send` is the beginning: 1, 2, 4, .. of them.
pub fn pieces(transfer: &mut Transfer, mut send: Send, count: u16) {
    let mut next = 1;
    loop {
        let piece = next.min(count + 1 - next);
        assert_eq!(send, Send::Blocks { first: next.into(), count: piece });
        next += piece;
        if next > count {
            return;
        }
        send = transfer.handle(Event::Timeout, transfer.deadline());
    }
}

impl Scene<'_> {
    fn terms(&self) -> Terms {
        let gated = self.answer.is_some();
        Terms { agreed: self.agreed, size: self.size, acknowledge: true, gated, timing: TIMING }
    }

    /// Plays it to its end, for at most one simulated hour.
    pub fn play(&self) -> Run {
        Play::new(self).until_it_is_over()
    }
}

struct Play<'a> {
    scene: &'a Scene<'a>,
    random: Random,
    down: Link<Down>,
    up: Link<Up>,
    lose: Vec<u64>,
    opens: Time,
    /// The piece that is held is paid for.
    paid: bool,
    run: Run,
}

impl<'a> Play<'a> {
    fn new(scene: &'a Scene<'a>) -> Play<'a> {
        let receiver = Receiver::new(scene.habit, scene.agreed, scene.size);
        let (transfer, send) = Transfer::start(scene.terms(), 1);
        let run = Run { outcome: None, receiver, sent: 0, took: 1, transfer, asked: 0, before: 0 };
        let mut play = Play {
            scene,
            random: Random::new(scene.seed),
            down: Link::new(scene.quality),
            up: Link::new(scene.quality),
            lose: scene.lose.to_vec(),
            opens: Time::MAX,
            paid: false,
            run,
        };
        play.send(send, 1);
        play
    }

    fn until_it_is_over(mut self) -> Run {
        while !self.is_over() {
            let timer = if self.run.transfer.outcome().is_some() { Time::MAX } else { self.run.transfer.deadline() };
            let next =
                self.down.next().min(self.up.next()).min(timer).min(self.run.receiver.deadline()).min(self.opens);
            let now = self.run.took.max(next);
            if now > 3_600_000_000 {
                break;
            }
            self.run.took = now;
            self.step(timer, now);
        }
        self.run.outcome = self.run.transfer.outcome();
        self.run
    }

    /// Who got no answer yet asks again.
    fn is_over(&self) -> bool {
        let Run { receiver, transfer, .. } = &self.run;
        transfer.outcome().is_some() && (receiver.agreed || receiver.gave_up)
    }

    fn step(&mut self, timer: Time, now: Time) {
        if self.opens <= now {
            self.opens = Time::MAX;
            self.tell(Event::Opened, now);
        } else if let Some(item) = self.down.take(now) {
            let ack = match item {
                Down::Acknowledgment => self.run.receiver.acknowledged(now),
                Down::Block(block) => self.run.receiver.data(block, now),
            };
            self.say(ack.map(Up::Ack), now);
        } else if let Some(item) = self.up.take(now) {
            match item {
                Up::Ack((block, wanted)) => self.tell(Event::Ack(block, wanted), now),
                Up::Request => self.requested(now),
            }
        } else if self.run.receiver.deadline() <= now {
            let said = self.run.receiver.silence(now);
            self.say(said, now);
        } else if timer <= now {
            self.paid = self.run.transfer.is_held();
            self.tell(Event::Timeout, now);
            let Run { transfer, .. } = &self.run;
            assert!(transfer.outcome().is_some() || transfer.deadline() > now, "a deadline that stands still");
        }
    }

    fn requested(&mut self, now: Time) {
        if self.run.transfer.outcome().is_some() {
            let (transfer, send) = Transfer::start(self.scene.terms(), now);
            self.run.transfer = transfer;
            self.send(send, now);
        } else if self.run.transfer.is_half_open() {
            self.tell(Event::Repeated, now);
        }
    }

    fn say(&mut self, item: Option<Up>, now: Time) {
        if let Some(item) = item {
            self.up.send(item, now, &mut self.random);
        }
    }

    fn tell(&mut self, event: Event, now: Time) {
        let send = self.run.transfer.handle(event, now);
        self.send(send, now);
    }

    fn send(&mut self, send: Send, now: Time) {
        match send {
            Send::Acknowledgment => self.down.send(Down::Acknowledgment, now, &mut self.random),
            Send::Blocks { first, count } => {
                let bytes = u64::from(count) * (u64::from(self.scene.agreed.block) + 46);
                let pace = self.scene.pace.filter(|_| !std::mem::take(&mut self.paid));
                let departure = pace.map_or(now, |pace| pace.reserve(bytes, now));
                if departure > now {
                    self.run.transfer.hold(first, departure, now);
                } else {
                    (first..first + u64::from(count)).for_each(|block| self.send_block(block, now));
                }
            }
            Send::Ask => {
                self.run.asked += 1;
                self.opens = now + self.scene.answer.unwrap_or_default();
            }
            Send::Nothing | Send::Error(..) => {}
        }
    }

    fn send_block(&mut self, block: u64, now: Time) {
        self.run.sent += 1;
        if self.run.asked == 0 || self.opens < Time::MAX {
            self.run.before = block.max(self.run.before);
        }
        match self.lose.iter().position(|&lost| lost == block) {
            Some(place) => {
                self.lose.remove(place);
            }
            None => self.down.send(Down::Block(block), now, &mut self.random),
        }
    }
}
