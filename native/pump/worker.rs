//! Transfers: each worker has its own, in one loop on one thread, with no lock and no allocation while blocks flow.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::control::{Control, Live, Member, ToDoor, ToWorker};
use super::door::{Asked, Door, DOOR};
use super::gate::{TransferId, Verdict};
use super::slots::Slots;
use super::stats::Counter;
use super::transfers::{Begin, Running, Shared};
use crate::engine::deadline::Time;
use crate::engine::timer::Timing;
use crate::engine::transfer::{Event, Outcome};
use crate::sys::clock;
use crate::sys::poll::{Interest, Poll};

const BELL: u64 = u64::MAX - 2;
const EVENTS: usize = 256;

/// One worker. [`Worker::run`] is its thread's whole life; the first worker's thread keeps the door as well.
pub struct Worker {
    index: usize,
    control: Arc<Control>,
    door: Option<Door>,
    shared: Shared,
    slots: Slots,
    timing: Timing,
    /// Half-open transfers that were silent for a whole timeout.
    silent: usize,
    /// More may begin than the door was told.
    room: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.door.is_some() {
            self.control.door.close();
        }
        if let Some(member) = self.control.workers.get(self.index) {
            member.mail.close();
        }
    }
}

impl Worker {
    /// A worker with so many places, and the door where it shall keep it.
    ///
    /// # Errors
    /// The system's own error.
    pub(super) fn new(
        index: usize,
        places: usize,
        timing: Timing,
        shared: Shared,
        door: Option<Door>,
    ) -> io::Result<Worker> {
        let control = Arc::clone(&shared.control);
        if let Some(member) = control.workers.get(index) {
            shared.poll.add(&member.bell, BELL, Interest::Read)?;
        }
        Ok(Worker { index, control, door, shared, slots: Slots::new(places), timing, silent: 0, room: false })
    }

    /// Events that one wait may bring.
    ///
    /// # Errors
    /// The system's own error.
    pub(super) fn poll() -> io::Result<Poll> {
        Poll::new(EVENTS)
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// The system's own error of the wait itself; nothing that a packet brings ends the loop.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let count = match self.shared.poll.wait(self.next_deadline()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
            let now = clock::now();
            if self.obey(now) {
                return Ok(());
            }
            for index in 0..count {
                let Some(ready) = self.shared.poll.ready(index) else { continue };
                if let Some(next) = self.shared.poll.ready(index + 1) {
                    self.slots.fetch(next.token);
                }
                match ready.token {
                    DOOR => {
                        if let Some(door) = &mut self.door {
                            door.requests(&self.shared.poll, now);
                        }
                    }
                    // Obeyed again once it is silent: a letter put in between has rung in vain.
                    BELL => {
                        if let Some(member) = self.control.workers.get(self.index) {
                            member.bell.hush();
                        }
                        if self.obey(now) {
                            return Ok(());
                        }
                    }
                    token => self.event(token, ready.readable, ready.writable, now),
                }
            }
            while let Some(slot) = self.slots.expired(now) {
                self.with(slot, |running, shared| running.due(shared, now));
                self.fell_silent(slot);
                self.settle(slot, now);
            }
            self.shared.tell_counts();
            self.tell_room();
        }
    }

    /// A half-open transfer whose timeout came gives way from now on.
    fn fell_silent(&mut self, slot: u32) {
        if let Some(running) = self.slots.get(slot) {
            if running.transfer.is_silent() && !running.silent {
                running.silent = true;
                self.silent += 1;
                self.room = true;
            }
        }
    }

    /// Says that more may begin, where somebody waits for that. The door of this thread sees it anyway.
    fn tell_room(&mut self) {
        if std::mem::take(&mut self.room) {
            if let Some(member) = self.control.workers.get(self.index) {
                member.silent.store(self.silent, Ordering::Relaxed);
            }
            if self.door.is_none() && self.shared.stats.get(Counter::TftpQueueLength) > 0 {
                self.control.tell_door(ToDoor::Room);
            }
        }
    }

    /// Does what was said, to the door first; true when that was to stop.
    fn obey(&mut self, now: Time) -> bool {
        if let Some(door) = &mut self.door {
            door.obey(&self.shared.poll, now);
        }
        if self.control.workers.get(self.index).is_none_or(|member| member.mail.is_empty()) {
            return false;
        }
        let control = Arc::clone(&self.control);
        let Some(member) = control.workers.get(self.index) else { return true };
        for letter in member.mail.take() {
            match letter {
                ToWorker::Begin(begin) => self.begin(*begin, member, now),
                ToWorker::Again(asked) => self.again(asked, now),
                ToWorker::Gate(transfer, verdict) => self.answered(transfer, &verdict, now),
                // Who looks may have gone.
                ToWorker::Look(sender) => drop(sender.send(self.live(now))),
                ToWorker::Stop => return true,
            }
        }
        false
    }

    /// When something is due.
    fn next_deadline(&self) -> Option<Time> {
        let door = self.door.as_ref().and_then(Door::deadline);
        self.slots.next_deadline().into_iter().chain(door).min()
    }

    fn begin(&mut self, begin: Begin, member: &Member, now: Time) {
        self.make_room(now);
        let peer = begin.peer;
        let begun = self.slots.vacant().ok_or(Counter::TftpFull).and_then(|place| {
            let id = TransferId { worker: member.id, token: place.token() };
            let running = Running::begin(begin, id, self.timing, &mut self.shared, now)?;
            Ok((place, running))
        });
        match begun {
            Ok((place, running)) => {
                self.slots.fill(place, running);
                self.shared.stats.count(Counter::TftpStarted);
                self.settle(place.slot, now);
            }
            Err(counter) => {
                self.shared.stats.count(counter);
                member.transfers.fetch_sub(1, Ordering::Relaxed);
                member.half_open.fetch_sub(1, Ordering::Relaxed);
                self.control.tell_door(ToDoor::Ended(peer));
            }
        }
    }

    /// Where too many are half open, the oldest gives way whose word does not wait to be read.
    fn make_room(&mut self, now: Time) {
        while let Some(oldest) = self.slots.crowded() {
            self.with(oldest, |running, shared| running.readable(shared, now));
            if self.slots.get(oldest).is_some_and(|running| running.transfer.is_half_open()) {
                return self.end(oldest, Outcome::Displaced, now);
            }
            self.settle(oldest, now);
        }
    }

    /// A peer asks while it has a transfer: a repeat is answered again, anything else takes its place (W-98).
    fn again(&mut self, asked: Box<Asked>, now: Time) {
        let Some(slot) = self.slots.of_peer(asked.received.from) else {
            return self.control.tell_door(ToDoor::Again(asked));
        };
        // What it told its transfer came before: an ERROR ended the probe that is now asked for again (W-97).
        self.with(slot, |running, shared| running.readable(shared, now));
        self.settle(slot, now);
        match self.slots.get(slot) {
            Some(running) if running.origin.request == asked.key() && running.transfer.is_half_open() => {
                self.shared.stats.count(Counter::TftpRepeated);
                self.with(slot, |running, shared| {
                    running.take(Event::Repeated, shared, now);
                });
                self.settle(slot, now);
            }
            Some(running) if running.origin.request == asked.key() && running.transfer.is_lively(now) => {
                self.shared.stats.count(Counter::TftpRepeated);
            }
            found => {
                if found.is_some() {
                    self.end(slot, Outcome::Displaced, now);
                }
                self.control.tell_door(ToDoor::Again(asked));
            }
        }
    }

    /// Brings the answer of a gate to the transfer that asked for it, and to no other (I3).
    fn answered(&mut self, transfer: TransferId, verdict: &Verdict, now: Time) {
        let mut met = false;
        if let Some(slot) = self.slots.living(transfer.token) {
            self.with(slot, |running, shared| met = running.answered(verdict, shared, now));
            self.settle(slot, now);
        }
        if !met {
            self.shared.stats.count(Counter::TftpGatesLate);
        }
    }

    fn event(&mut self, token: u64, readable: bool, writable: bool, now: Time) {
        let Some(slot) = self.slots.living(token) else { return };
        self.with(slot, |running, shared| {
            if writable {
                running.writable(shared, now);
            }
            if readable {
                running.readable(shared, now);
            }
        });
        self.settle(slot, now);
    }

    fn with(&mut self, slot: u32, act: impl FnOnce(&mut Running, &mut Shared)) {
        if let Some(running) = self.slots.get(slot) {
            act(running, &mut self.shared);
        }
    }

    /// After an event: the next deadline, or the end.
    fn settle(&mut self, slot: u32, now: Time) {
        let Some(running) = self.slots.get(slot) else { return };
        if running.half_open && !running.transfer.is_half_open() {
            running.half_open = false;
            self.silent -= usize::from(std::mem::take(&mut running.silent));
            self.room = true;
            if let Some(member) = self.control.workers.get(self.index) {
                member.half_open.fetch_sub(1, Ordering::Relaxed);
            }
        }
        match running.transfer.outcome() {
            None => {
                let deadline = running.deadline();
                self.slots.due(slot, deadline);
            }
            Some(outcome) => self.end(slot, outcome, now),
        }
    }

    fn end(&mut self, slot: u32, outcome: Outcome, now: Time) {
        let Some(running) = self.slots.clear(slot) else { return };
        if running.silent {
            self.silent -= 1;
            self.room = true;
        }
        if let Some(member) = self.control.workers.get(self.index) {
            member.transfers.fetch_sub(1, Ordering::Relaxed);
            member.half_open.fetch_sub(usize::from(running.half_open), Ordering::Relaxed);
        }
        if let Some(gate) = &running.origin.gate {
            self.control.withdraw(gate.transfer);
        }
        let stats = &self.shared.stats;
        stats.ended(outcome);
        stats.add(Counter::TftpResent, u64::from(running.transfer.resent()));
        stats.add(Counter::TftpIgnored, u64::from(running.transfer.ignored()));
        let report = running.report(outcome, now);
        stats.measured(&report);
        if !self.control.report(report) {
            self.shared.stats.count(Counter::ReportsLost);
        }
        self.control.tell_door(ToDoor::Ended(running.origin.peer));
    }

    fn live(&self, now: Time) -> Vec<Live> {
        self.slots.all().map(|running| running.live(self.index, now)).collect()
    }
}
