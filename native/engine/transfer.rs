//! One read transfer: every transition of it, for windows of 1 to 64 alike (RFC 1350, 2347, 7440; W-82..W-104).
//!
//! What real firmware does (F-53, F-54) shapes three rules that RFC 7440 leaves open:
//! - An ACK that repeats is never answered. EDK2 sends one for each packet out of order and for each duplicate; a
//!   server that answers them sends every window twice to the end of the file.
//! - A timeout resends *one* block. The receiver then tells what it really has, and the transfer goes on from there.
//!   Only after [`GENTLE`] silent timeouts the whole window goes out again, for receivers that tell nothing.
//! - An ACK inside the window means a gap: rewind behind it. But while a rewound window is on its way, ACKs of blocks
//!   sent before it still come in; after [`REWINDS`] rewinds in a row they only let the window slide.
//!
//! A client with `msftwindow` says in each ACK how many blocks it wants next (W-107, W-108): the window that begins behind
//! that ACK is so long, rewound or not. A repeated ACK says so too, for the window that the timer sends.
//!
//! A gated transfer has a launch barrier (B2, safety 5.4): the window that holds the file's final byte waits for
//! [`Event::Opened`]. That is the byte without which nothing can run, not the empty closing block behind it: a client
//! that knows the size has everything before that one comes.

use super::deadline::Time;
use super::negotiate::Agreed;
use super::seq;
use crate::wire::tftp::ErrorCode;

/// Timeouts that resend one block only.
const GENTLE: u8 = 2;
/// Rewinds in a row until ACKs of a rewound window only slide it.
const REWINDS: u8 = 3;
/// Datagrams that an unproven peer gets: twice DATA 1, or three times the option acknowledgment (safety T1, T2).
const UNPROVEN: (u8, u8) = (2, 3);
/// An unproven peer is waited for no longer at a time, whatever timeout it asked for: its place is free after 10 s.
const UNPROVEN_WAIT: Time = 3_000_000;
/// Resends of the final block after which its ACK is taken as lost (W-89).
const FINAL: u8 = 3;
/// A proven peer that made no progress for so long is given up, after at least so many timeouts (W-103).
const PATIENCE: (Time, u8) = (25_000_000, 7);
/// An asked gate is waited for no longer; what asks for a launch must know soon whether it has one.
const ANSWER: Time = 10_000_000;
/// Bounds of the retransmission timer, in microseconds.
const TIMER: (Time, Time) = (50_000, 5_000_000);

/// What happens to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An acknowledgment with this number on the wire, and how many blocks the peer wants next; 0 says nothing of that.
    Ack(u16, u8),
    /// The peer ended the transfer with this error code.
    PeerError(u16),
    /// The peer's port is closed (ICMP).
    Refused,
    /// The request that began this transfer came again.
    Repeated,
    /// The socket has room again.
    Writable,
    /// The deadline has come.
    Timeout,
    /// The gate that was asked for is open: the launch is recorded for this transfer.
    Opened,
    /// The gate that was asked for stays closed.
    Denied,
}

/// What a transfer is begun with.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What was agreed with the client.
    pub agreed: Agreed,
    /// The file's size in bytes.
    pub size: u64,
    /// Options were granted: the first datagram acknowledges them.
    pub acknowledge: bool,
    /// The window with the file's final byte leaves only after [`Event::Opened`].
    pub gated: bool,
    /// The first timeout in microseconds, where the client named none.
    pub retransmit: Time,
}

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Nothing.
    Nothing,
    /// The option acknowledgment.
    Acknowledgment,
    /// `count` blocks from `first` on.
    Blocks {
        /// The first block, counted from 1.
        first: u64,
        /// How many.
        count: u16,
    },
    /// Nothing to the peer: the gate is asked for, once.
    Ask,
    /// An error, after which nothing follows.
    Error(ErrorCode, &'static str),
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer acknowledged the last block.
    Complete,
    /// All was sent; the last acknowledgment never came (W-89).
    Unconfirmed,
    /// The peer only wanted the size (F-50, W-97).
    SizeProbe,
    /// The peer ended it with this error code.
    Aborted(u16),
    /// The peer was silent too long.
    TimedOut,
    /// The peer's port is closed.
    Refused,
    /// The file could not be read as it was published.
    Failed,
    /// Another request or a need for room took its place.
    Displaced,
    /// The gate stayed closed: the final byte never left.
    Denied,
    /// Nobody said whether the gate opens: the final byte never left.
    Unanswered,
}

impl Outcome {
    /// Its name in events and counters.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Unconfirmed => "unconfirmed",
            Outcome::SizeProbe => "size_probe",
            Outcome::Aborted(_) => "aborted",
            Outcome::TimedOut => "timed_out",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Displaced => "displaced",
            Outcome::Denied => "denied",
            Outcome::Unanswered => "unanswered",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The option acknowledgment is out; ACK 0 is awaited.
    Offered,
    /// Blocks flow.
    Flowing,
    /// The gate is asked for; nothing is sent until the answer.
    Asking,
    /// Over.
    Ended(Outcome),
}

/// The state of one transfer.
#[derive(Clone, Debug)]
pub struct Transfer {
    agreed: Agreed,
    /// Blocks in a window now, and in the largest that was sent.
    window: u16,
    largest: u16,
    phase: Phase,
    /// While the gate is closed: the block with the file's final byte.
    gate: Option<u64>,
    /// The last block; shorter than the others, perhaps empty (W-86).
    last: u64,
    /// The lowest block not acknowledged.
    base: u64,
    /// The next block to send.
    next: u64,
    /// One behind the highest block ever sent.
    fresh: u64,
    /// The end of a rewound window, while ACKs below it may speak of what was sent before.
    recover: u64,
    rewinds: u8,
    proven: bool,
    misses: u8,
    timer: Timer,
    sent_at: Option<Time>,
    progress_at: Time,
    deadline: Time,
    resent: u32,
    ignored: u32,
}

impl Transfer {
    /// A transfer and what it sends first.
    pub fn start(terms: Terms, now: Time) -> (Transfer, Send) {
        let Terms { agreed, size, acknowledge, gated, retransmit } = terms;
        let first = agreed.timeout.map_or(retransmit, |seconds| Time::from(seconds) * 1_000_000);
        let block = u64::from(agreed.block.max(1));
        let mut transfer = Transfer {
            agreed,
            window: agreed.window.max(1),
            largest: 0,
            phase: if acknowledge { Phase::Offered } else { Phase::Flowing },
            gate: gated.then_some(size.div_ceil(block).max(1)),
            last: size / block + 1,
            base: 1,
            next: 1,
            fresh: 1,
            recover: 0,
            rewinds: 0,
            proven: false,
            misses: 0,
            timer: Timer { first, smooth: None, spread: 0 },
            sent_at: None,
            progress_at: now,
            deadline: 0,
            resent: 0,
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
                self.want(wanted);
                self.progress(now);
                self.send_window(now)
            }
            (Phase::Offered, Event::Ack(..)) => self.ignore(),
            (Phase::Offered, Event::PeerError(0 | 8)) if self.agreed.size_asked => self.end(Outcome::SizeProbe),
            (Phase::Offered | Phase::Flowing | Phase::Asking, Event::PeerError(code)) => {
                self.end(Outcome::Aborted(code))
            }
            (Phase::Offered | Phase::Flowing | Phase::Asking, Event::Refused) => self.give_up(Outcome::Refused),
            (Phase::Offered, Event::Repeated) => Send::Acknowledgment,
            (Phase::Offered, Event::Writable) => Send::Nothing,
            (Phase::Offered, Event::Timeout) => {
                self.misses = self.misses.saturating_add(1);
                if self.misses >= UNPROVEN.1 {
                    return self.end(Outcome::TimedOut);
                }
                self.arm(now);
                Send::Acknowledgment
            }
            (Phase::Flowing | Phase::Asking, Event::Ack(number, wanted)) => self.acknowledged(number, wanted, now),
            (Phase::Flowing, Event::Repeated) => self.resend_one(),
            (Phase::Flowing, Event::Writable) => self.send_window(now),
            (Phase::Flowing, Event::Timeout) => self.timed_out(now),
            (Phase::Asking, Event::Repeated | Event::Writable) => Send::Nothing,
            (Phase::Asking, Event::Timeout) => {
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
                self.end(Outcome::Denied);
                Send::Error(ErrorCode::AccessViolation, "not launched")
            }
            (Phase::Offered | Phase::Flowing, Event::Opened | Event::Denied) => Send::Nothing,
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
        let newest = self.next.max(self.fresh);
        let Some(block) = seq::from_wire(number, self.base, newest.saturating_sub(1)) else {
            if number == seq::to_wire(self.base - 1) {
                self.want(wanted);
            }
            return self.ignore();
        };
        self.want(wanted);
        let whole = block + 1 >= self.next;
        if whole {
            if let Some(sent_at) = self.sent_at {
                self.timer.sample(now.saturating_sub(sent_at));
            }
        }
        self.base = block + 1;
        self.next = self.next.max(self.base);
        self.progress(now);
        if self.base > self.last {
            return self.end(Outcome::Complete);
        }
        if whole {
            self.recover = 0;
            self.rewinds = 0;
        } else if block >= self.recover || self.rewinds < REWINDS {
            self.rewinds = if block >= self.recover { 1 } else { self.rewinds + 1 };
            self.next = self.base;
            self.recover = self.window_end();
        }
        self.send_window(now)
    }

    /// The next window is as long as the peer wants it, where it may vary it.
    fn want(&mut self, wanted: u8) {
        if self.agreed.variable && wanted > 0 {
            self.window = u16::from(wanted);
        }
    }

    fn timed_out(&mut self, now: Time) -> Send {
        self.misses = self.misses.saturating_add(1);
        let patient = now.saturating_sub(self.progress_at) < PATIENCE.0 || self.misses < PATIENCE.1;
        if !self.proven && self.misses >= UNPROVEN.0 {
            return self.end(Outcome::TimedOut);
        }
        if self.base == self.last && self.misses > FINAL && self.next > self.last {
            return self.end(Outcome::Unconfirmed);
        }
        if !patient {
            self.give_up(Outcome::TimedOut);
            return Send::Error(ErrorCode::NotDefined, "timeout");
        }
        self.rewinds = 0;
        self.recover = 0;
        self.sent_at = None;
        if self.next == self.base {
            return self.send_window(now);
        }
        self.arm(now);
        if self.misses <= GENTLE {
            return self.resend_one();
        }
        self.next = self.base;
        let send = self.send_window(now);
        self.recover = self.next - 1;
        self.rewinds = REWINDS;
        send
    }

    /// What the window still allows, from the next block on. The window that holds the final byte is held back
    /// whole, for a receiver of a part of it would only wait for the rest.
    fn send_window(&mut self, now: Time) -> Send {
        let end = self.window_end();
        if self.next > end {
            return Send::Nothing;
        }
        if self.phase == Phase::Asking || self.gate.is_some_and(|block| block <= end) {
            return self.ask(now);
        }
        let first = self.next;
        let count = end - first + 1;
        self.next = end + 1;
        self.largest = self.largest.max(self.window);
        // A time is only told by a window that went out whole and for the first time (Karn).
        self.sent_at = (first == self.base && first >= self.fresh && self.misses == 0).then_some(now);
        self.resent = self.resent.saturating_add(self.fresh.min(self.next).saturating_sub(first) as u32);
        self.fresh = self.fresh.max(self.next);
        self.arm(now);
        Send::Blocks { first, count: u16::try_from(count).unwrap_or(u16::MAX) }
    }

    fn ask(&mut self, now: Time) -> Send {
        if self.phase == Phase::Asking {
            return Send::Nothing;
        }
        self.phase = Phase::Asking;
        self.deadline = now.saturating_add(ANSWER);
        Send::Ask
    }

    fn window_end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.window) - 1).min(self.last)
    }

    fn resend_one(&mut self) -> Send {
        self.sent_at = None;
        if !self.proven && self.resent + 1 >= u32::from(UNPROVEN.0) {
            return Send::Nothing;
        }
        self.resent = self.resent.saturating_add(1);
        Send::Blocks { first: self.base, count: 1 }
    }

    fn progress(&mut self, now: Time) {
        self.proven = true;
        self.misses = 0;
        self.progress_at = now;
    }

    fn arm(&mut self, now: Time) {
        let wait = self.timer.after(self.misses);
        self.deadline = now.saturating_add(if self.proven { wait } else { wait.min(UNPROVEN_WAIT) });
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
        let all_sent = self.phase == Phase::Flowing && self.proven && self.fresh > self.last;
        self.end(if all_sent { Outcome::Unconfirmed } else { outcome })
    }

    /// Ends it from outside: the file failed, or its place is needed.
    pub fn stop(&mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// The socket took the blocks before `block` only; the rest goes out on [`Event::Writable`].
    pub fn held_back(&mut self, block: u64) {
        self.next = self.next.min(block.max(self.base));
        self.sent_at = None;
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            Phase::Offered | Phase::Flowing | Phase::Asking => None,
        }
    }

    /// It waits for [`Event::Opened`] or [`Event::Denied`].
    pub fn is_asking(&self) -> bool {
        self.phase == Phase::Asking
    }

    /// What it does now, in a word for people.
    pub fn state(&self) -> &'static str {
        match self.phase {
            Phase::Offered => "offered",
            Phase::Flowing => "flowing",
            Phase::Asking => "asking",
            Phase::Ended(_) => "ended",
        }
    }

    /// The smoothed round trip in microseconds, once one was measured.
    pub fn round_trip(&self) -> Option<Time> {
        self.timer.smooth
    }

    /// No acknowledgment has come yet: a repeated request is a retransmission (W-98), and the peer is unproven.
    pub fn is_half_open(&self) -> bool {
        !self.proven && self.outcome().is_none()
    }

    /// A repeat of the request still means this transfer: ACK 0 or ACK 1 is awaited (W-98).
    pub fn awaits_first_ack(&self) -> bool {
        self.outcome().is_none() && self.base == 1
    }

    /// Blocks sent more than once.
    pub fn resent(&self) -> u32 {
        self.resent
    }

    /// Acknowledgments that meant nothing new.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// Blocks that the peer acknowledged.
    pub fn acknowledged_blocks(&self) -> u64 {
        self.base - 1
    }

    /// Blocks in the largest window that was sent; as agreed, before any was.
    pub fn largest_window(&self) -> u16 {
        if self.largest == 0 {
            self.agreed.window
        } else {
            self.largest
        }
    }

    /// What was agreed.
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }
}

/// The retransmission timer (RFC 6298's arithmetic; W-103's bounds).
#[derive(Clone, Debug)]
struct Timer {
    first: Time,
    smooth: Option<Time>,
    spread: Time,
}

impl Timer {
    fn sample(&mut self, round_trip: Time) {
        let round_trip = round_trip.min(TIMER.1);
        match self.smooth {
            None => {
                self.smooth = Some(round_trip);
                self.spread = round_trip / 2;
            }
            Some(smooth) => {
                self.spread = (3 * self.spread + smooth.abs_diff(round_trip)) / 4;
                self.smooth = Some((7 * smooth + round_trip) / 8);
            }
        }
    }

    /// The timeout after `misses` silent ones: twice as long each time, so that a slow path is never flooded.
    fn after(&self, misses: u8) -> Time {
        let once = self.smooth.map_or(self.first, |smooth| smooth + 4 * self.spread).clamp(TIMER.0, TIMER.1);
        once.saturating_mul(1 << misses.min(16)).min(TIMER.1)
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
