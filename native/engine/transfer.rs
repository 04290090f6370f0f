//! One read transfer: every transition of it, for windows of 1 to 64 alike (RFC 1350, 2347, 7440; W-82..W-104).
//!
//! What real firmware does (F-53, F-54) shapes four rules that RFC 7440 leaves open:
//! - An ACK inside the window means a gap: rewind behind it. But while a rewound window is on its way, ACKs of blocks
//!   sent before it still come in; those that come too early to speak of it only let the window slide (`window.rs`).
//! - A timeout resends *one* block, the last that is out. The receiver then has its window whole, or tells what it
//!   really has. The next one resends the window, for receivers that tell a gap once or never; and so on in turns.
//! - An ACK that repeats is not answered. EDK2 sends one for each packet out of order and for each duplicate; a server
//!   that answers them sends every window twice to the end of the file.
//! - Except for one that can only mean that a window's first block is lost: the answer to the block that a timeout
//!   resent; and one that comes when the window was long enough on its way, though then not again before [`LULL`]
//!   windows went by without such a one. So a packet that the network doubles costs a window at most, once.
//!
//! A window above 1 starts slowly (T3): of the first one 1, 2, 4, .. blocks leave a round trip apart. What meets a closed
//! port ends the transfer before the next of these pieces leaves.
//!
//! A client with `msftwindow` says in each ACK how many blocks it wants next (W-107, W-108): the window that begins behind
//! that ACK is so long, rewound or not. A repeated ACK says so too, for the window that the timer sends.
//!
//! A gated transfer has a launch barrier (B2, safety 5.4): the window that holds the file's final byte waits for
//! [`Event::Opened`]. That is the byte without which nothing can run, not the empty closing block behind it: a client
//! that knows the size has everything before that one comes.

use super::deadline::Time;
pub use super::event::{Event, Outcome, Send, Terms};
use super::measure::Measures;
use super::negotiate::Agreed;
use super::timer::Timing;
use super::watch::Watch;
use super::window::{Owed, Piece, Told, Window};
use crate::wire::tftp::ErrorCode;

/// Windows without a late repeated ACK after which the next such ACK is believed again.
const LULL: u8 = 4;
/// Bounds of the time between the pieces of a slow start, in microseconds.
const STEP: (Time, Time) = (200, 5_000);
/// Datagrams that an unproven peer gets: twice DATA 1, or three times the option acknowledgment (safety T1, T2).
const UNPROVEN: (u8, u8) = (2, 3);
/// An unproven peer is waited for no longer at a time, whatever timeout it asked for: its place is free after 10 s.
const UNPROVEN_WAIT: Time = 3_000_000;
/// Resends of the final block after which its ACK is taken as lost (W-89), where the peer does not say that it lacks it.
const FINAL: u8 = 3;
/// Blocks that the timer resends at most to who acknowledged options, but never a block: it may be no client at all.
const UNKNOWN: u64 = 2;
/// A proven peer that made no progress for so long is given up, after at least so many timeouts (W-103). GRUB is silent
/// for 35 s before it gives up itself (F-54).
const PATIENCE: (Time, u8) = (45_000_000, 7);
/// An asked gate is waited for no longer; what asks for a launch must know soon whether it has one.
const ANSWER: Time = 10_000_000;
/// A copy of the request that comes within this time of the last progress was late on its way (W-98).
const LATE: Time = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The option acknowledgment is out; ACK 0 is awaited.
    Offered,
    /// Blocks flow.
    Flowing,
    /// What may leave next has a time of departure that has not come yet.
    Held,
    /// The gate is asked for; nothing is sent until the answer.
    Asking,
    /// Over.
    Ended(Outcome),
}

/// The state of one transfer.
#[derive(Clone, Debug)]
pub struct Transfer {
    agreed: Agreed,
    phase: Phase,
    window: Window,
    /// While the gate is closed: the block with the file's final byte.
    gate: Option<u64>,
    /// The first window leaves in pieces, and is not out yet.
    starting: bool,
    /// An acknowledgment came: of the options or of a block.
    proven: bool,
    /// Timeouts since then, and how many of them there were when the peer last repeated itself.
    misses: u8,
    heard: u8,
    /// How often the timeout is doubled: at each, until a round trip is measured (Karn). So a path that became slow, by
    /// a crowd perhaps, is not sent everything twice.
    doublings: u8,
    /// The last of them resent a block to learn what has arrived.
    probing: bool,
    /// Windows since the last repeated ACK that meant a lost first block, as far as [`LULL`].
    lull: u8,
    timing: Timing,
    watch: Watch,
    progress_at: Time,
    deadline: Time,
    ignored: u32,
}

impl Transfer {
    /// A transfer and what it sends first.
    pub fn start(terms: Terms, now: Time) -> (Transfer, Send) {
        let Terms { agreed, size, acknowledge, gated, timing } = terms;
        let first = agreed.timeout.map_or(timing.first, |seconds| Time::from(seconds) * 1_000_000);
        let block = u64::from(agreed.block.max(1));
        let mut transfer = Transfer {
            agreed,
            phase: if acknowledge { Phase::Offered } else { Phase::Flowing },
            window: Window::new(agreed.window, size / block + 1),
            gate: gated.then_some(size.div_ceil(block).max(1)),
            starting: true,
            proven: false,
            misses: 0,
            heard: 0,
            doublings: 0,
            probing: false,
            lull: LULL,
            timing: Timing { first, ..timing },
            watch: Watch::new(now),
            progress_at: now,
            deadline: 0,
            ignored: 0,
        };
        let send = if acknowledge {
            transfer.arm(now);
            Send::Acknowledgment
        } else {
            transfer.send_window(now)
        };
        (transfer, send)
    }

    /// Takes an event; returns what to send.
    pub fn handle(&mut self, event: Event, now: Time) -> Send {
        match (self.phase, event) {
            (Phase::Offered, Event::Ack(0, wanted)) => {
                self.phase = Phase::Flowing;
                self.doublings = 0;
                self.watch.agreed(self.agreed.timeout.is_some(), now);
                self.want(wanted);
                self.progress(now);
                self.send_window(now)
            }
            (Phase::Offered, Event::Ack(..)) => self.ignore(),
            (Phase::Offered, Event::PeerError(0 | 8)) if self.agreed.size_asked => self.end(Outcome::SizeProbe),
            (Phase::Offered | Phase::Flowing | Phase::Held | Phase::Asking, Event::PeerError(code)) => {
                self.end(Outcome::Aborted(code))
            }
            (Phase::Offered | Phase::Flowing | Phase::Held | Phase::Asking, Event::Refused) => {
                self.give_up(Outcome::Refused)
            }
            (Phase::Offered, Event::Repeated) => {
                self.watch.leaves_again(now);
                Send::Acknowledgment
            }
            (Phase::Offered, Event::Writable) => Send::Nothing,
            (Phase::Offered, Event::Timeout) => {
                self.watch.silent(now);
                self.misses += 1;
                self.doublings = self.misses;
                if self.misses >= UNPROVEN.1 {
                    return self.end(Outcome::TimedOut);
                }
                self.watch.leaves_again(now);
                self.arm(now);
                Send::Acknowledgment
            }
            (Phase::Flowing | Phase::Held | Phase::Asking, Event::Ack(number, wanted)) => {
                self.acknowledged(number, wanted, now)
            }
            (Phase::Flowing, Event::Repeated) => self.send_again(self.window.base(), now),
            (Phase::Flowing, Event::Writable) => self.release(now),
            (Phase::Flowing, Event::Timeout) if self.starting => self.send_next_piece(now),
            (Phase::Flowing, Event::Timeout) => self.timed_out(now),
            (Phase::Held, Event::Timeout | Event::Writable) => {
                self.phase = Phase::Flowing;
                // The time that it was held was ours, not the peer's.
                self.progress_at = self.progress_at.saturating_add(self.watch.held_for(now)).min(now);
                self.arm(now);
                self.release(now)
            }
            (Phase::Held | Phase::Asking, Event::Repeated) | (Phase::Asking, Event::Writable) => Send::Nothing,
            (Phase::Asking, Event::Timeout) => {
                self.watch.let_go(now);
                self.end(Outcome::Unanswered);
                Send::Error(ErrorCode::NotDefined, "not launched: no answer in time")
            }
            (Phase::Asking, Event::Opened) => {
                self.gate = None;
                self.phase = Phase::Flowing;
                self.misses = 0;
                self.progress_at = now;
                self.send_window(now)
            }
            (Phase::Asking, Event::Denied) => {
                self.watch.let_go(now);
                self.end(Outcome::Denied);
                Send::Error(ErrorCode::AccessViolation, "not launched")
            }
            (Phase::Offered | Phase::Flowing | Phase::Held, Event::Opened | Event::Denied) => Send::Nothing,
            (
                Phase::Ended(_),
                Event::Ack(..)
                | Event::PeerError(_)
                | Event::Refused
                | Event::Repeated
                | Event::Writable
                | Event::Timeout
                | Event::Opened
                | Event::Denied,
            ) => Send::Nothing,
        }
    }

    fn acknowledged(&mut self, number: u16, wanted: u8, now: Time) -> Send {
        let Some(block) = self.window.find(number) else {
            if !self.window.repeats(number) {
                return self.ignore();
            }
            self.heard = self.misses;
            self.want(wanted);
            if !self.first_is_lost(now) {
                return self.ignore();
            }
            self.window.rewind();
            self.starting = self.window.base() == 1;
            self.watch.gap(0, now);
            return self.send_window(now);
        };
        self.want(wanted);
        self.watch.told();
        self.lull = LULL.min(self.lull + 1);
        let learned = match self.window.acknowledge(block, self.watch.is_late(now)) {
            Told::Whole => self.watch.arrived(now),
            Told::Gap(arrived) => {
                self.starting = false;
                self.watch.gap(arrived, now)
            }
            Told::Slid => false,
        };
        if learned {
            self.doublings = 0;
        }
        self.progress(now);
        if self.window.is_over() {
            return self.end(Outcome::Complete);
        }
        self.send_window(now)
    }

    /// A repeated ACK speaks of the window that is out, and not of what was sent before it.
    fn first_is_lost(&mut self, now: Time) -> bool {
        // A single block that is lost has nothing behind it that would make a peer repeat itself (W-88).
        if self.phase != Phase::Flowing || self.window.outstanding() < 2 {
            return false;
        }
        if self.probing {
            self.probing = false;
            return true;
        }
        if !self.watch.is_once() || !self.watch.is_late(now) {
            return false;
        }
        let believed = self.lull >= LULL;
        self.lull = 0;
        believed
    }

    /// The next window is as long as the peer wants it, where it may vary it.
    fn want(&mut self, wanted: u8) {
        if self.agreed.variable && wanted > 0 {
            self.window.resize(u16::from(wanted));
        }
    }

    fn timed_out(&mut self, now: Time) -> Send {
        let out = self.window.outstanding();
        self.misses = self.misses.saturating_add(1);
        self.doublings = self.doublings.saturating_add(1);
        if out > 0 {
            self.watch.silent(now);
        }
        let patient = now.saturating_sub(self.progress_at) < PATIENCE.0 || self.misses < PATIENCE.1;
        if !self.proven && self.misses >= UNPROVEN.0 {
            return self.end(Outcome::TimedOut);
        }
        if self.window.is_at_last() && self.misses.saturating_sub(self.heard) > FINAL {
            return self.end(Outcome::Unconfirmed);
        }
        if !patient {
            self.give_up(Outcome::TimedOut);
            return Send::Error(ErrorCode::NotDefined, "timeout");
        }
        self.window.forget_rewind();
        self.arm(now);
        if out == 0 {
            return self.send_window(now);
        }
        self.probing = true;
        if self.misses % 2 == 1 {
            return self.send_again(self.window.base() + out - 1, now);
        }
        self.window.rewind();
        self.send_at_most(if self.window.base() > 1 { u64::MAX } else { UNKNOWN }, now)
    }

    /// What the window still allows, from the next block on; of the first window as many blocks as left so far, and one.
    fn send_window(&mut self, now: Time) -> Send {
        self.send_at_most(if self.starting { self.window.next() } else { u64::MAX }, now)
    }

    fn send_next_piece(&mut self, now: Time) -> Send {
        let send = self.send_window(now);
        if send == Send::Nothing {
            self.starting = false;
            self.arm(now);
        }
        send
    }

    /// The window that holds the final byte is held back whole, for a receiver of a part of it would only wait for the
    /// rest.
    fn send_at_most(&mut self, most: u64, now: Time) -> Send {
        if self.phase == Phase::Held || self.window.is_out() {
            return Send::Nothing;
        }
        if self.phase == Phase::Asking || self.gate.is_some_and(|block| block <= self.window.end()) {
            return self.ask(now);
        }
        let Some(piece) = self.window.take(most) else { return Send::Nothing };
        let Piece { first, count, begins, fresh } = piece;
        self.watch.let_go(now);
        self.starting &= !self.window.is_out();
        self.watch.leaves(begins, fresh, now);
        if first == 1 && fresh {
            self.watch.leaves_first(now);
        }
        self.arm(now);
        Send::Blocks { first, count }
    }

    /// One block once more.
    fn send_again(&mut self, block: u64, now: Time) -> Send {
        if !self.proven && self.window.resent() + 1 >= u32::from(UNPROVEN.0) {
            return Send::Nothing;
        }
        self.watch.leaves_again(now);
        let Piece { first, count, .. } = self.window.take_again(block);
        Send::Blocks { first, count }
    }

    /// What was held back leaves.
    fn release(&mut self, now: Time) -> Send {
        if !self.watch.is_held() {
            return Send::Nothing;
        }
        self.watch.let_go(now);
        match self.window.owed() {
            Some(Owed::Again(block)) => self.send_again(block, now),
            Some(Owed::More(count)) => self.send_at_most(count, now),
            None => self.send_window(now),
        }
    }

    fn ask(&mut self, now: Time) -> Send {
        if self.phase == Phase::Asking {
            return Send::Nothing;
        }
        self.phase = Phase::Asking;
        self.watch.hold(now);
        self.deadline = now.saturating_add(ANSWER);
        Send::Ask
    }

    fn progress(&mut self, now: Time) {
        self.proven = true;
        self.misses = 0;
        self.heard = 0;
        self.probing = false;
        self.progress_at = now;
    }

    fn arm(&mut self, now: Time) {
        let wait = self.timing.after(&self.watch.measures.round_trip, self.doublings);
        self.deadline = now.saturating_add(match self.proven {
            false => wait.min(UNPROVEN_WAIT),
            true if self.starting => self.watch.measures.handshake.map_or(STEP.1, |time| time.clamp(STEP.0, STEP.1)),
            true => wait,
        });
    }

    fn ignore(&mut self) -> Send {
        self.ignored = self.ignored.saturating_add(1);
        Send::Nothing
    }

    fn end(&mut self, outcome: Outcome) -> Send {
        self.phase = Phase::Ended(outcome);
        Send::Nothing
    }

    /// Ends without a last word from the peer: where all was sent, it may well have all.
    fn give_up(&mut self, outcome: Outcome) -> Send {
        let flowing = matches!(self.phase, Phase::Flowing | Phase::Held);
        let all_sent = flowing && self.proven && self.window.is_all_sent();
        self.end(if all_sent { Outcome::Unconfirmed } else { outcome })
    }

    /// Ends it from outside: the file failed, or its place is needed.
    pub fn stop(&mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// The socket took the blocks before `block` only of those that were just to be sent; the rest goes out on
    /// [`Event::Writable`].
    pub fn held_back(&mut self, block: u64, now: Time) {
        self.window.held_back(block);
        self.watch.hold(now);
    }

    /// The blocks from `block` on of those that were just to be sent may leave at `departure`: then the deadline comes,
    /// and the retransmission timer begins when they leave.
    pub fn hold(&mut self, block: u64, departure: Time, now: Time) {
        if self.phase == Phase::Flowing {
            self.phase = Phase::Held;
            self.deadline = departure;
            self.held_back(block, now);
        }
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            Phase::Offered | Phase::Flowing | Phase::Held | Phase::Asking => None,
        }
    }

    /// It waits for the departure that [`Transfer::hold`] named.
    pub fn is_held(&self) -> bool {
        self.phase == Phase::Held
    }

    /// It waits for [`Event::Opened`] or [`Event::Denied`].
    pub fn is_asking(&self) -> bool {
        self.phase == Phase::Asking
    }

    /// The smoothed round trip in microseconds, once one was measured.
    pub fn round_trip(&self) -> Option<Time> {
        self.watch.measures.round_trip.smooth
    }

    /// What is out was not rewound: an acknowledgment of it can only come once it has arrived.
    pub fn is_in_step(&self) -> bool {
        !self.window.is_rewound()
    }

    /// No acknowledgment has come yet, of the options or of the first block: a repeated request is a retransmission
    /// (W-98), and the peer is unproven. Who has acknowledged options knows them; who asks once more does not, and began
    /// anew at the same port.
    pub fn is_half_open(&self) -> bool {
        !self.proven && self.outcome().is_none()
    }

    /// It is half open, and a whole timeout went by without a word.
    pub fn is_silent(&self) -> bool {
        self.is_half_open() && self.misses > 0
    }

    /// A repeat of the request is a copy that was late on its way or in a queue: the peer goes on with this transfer.
    /// A peer that really began anew repeats it until that is no longer so.
    pub fn is_lively(&self, now: Time) -> bool {
        self.outcome().is_none() && now.saturating_sub(self.progress_at) < LATE
    }

    /// Blocks sent more than once.
    pub fn resent(&self) -> u32 {
        self.window.resent()
    }

    /// Acknowledgments that meant nothing new.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// Blocks that the peer acknowledged.
    pub fn acknowledged_blocks(&self) -> u64 {
        self.window.base() - 1
    }

    /// Blocks in the largest window that was sent; as agreed, before any was.
    pub fn largest_window(&self) -> u16 {
        self.window.largest()
    }

    /// What was agreed.
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// What was measured so far.
    pub fn measures(&self) -> Measures {
        self.watch.measures
    }

    /// What it does now, in a word for people.
    pub fn state(&self) -> &'static str {
        match self.phase {
            Phase::Offered => "offered",
            Phase::Flowing => "flowing",
            Phase::Held => "held",
            Phase::Asking => "asking",
            Phase::Ended(_) => "ended",
        }
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
