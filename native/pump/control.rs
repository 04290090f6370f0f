//! How other threads speak with the TFTP pump: commands in; gates and reports of ended transfers out.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::files::{Namespace, Published};
use super::gate::{Gate, Session, TransferId, Verdict};
use super::handover::Seen;
use super::roots::Shown;
use crate::engine::deadline::Time;
use crate::engine::negotiate::Agreed;
use crate::engine::transfer::Outcome;
use crate::sys::poll::Bell;

/// One ended transfer, for the log.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub published: Arc<Published>,
    /// Its size in bytes.
    pub size: u64,
    /// Who fetched it.
    pub peer: SocketAddrV4,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes that the peer acknowledged.
    pub bytes: u64,
    /// What was agreed.
    pub agreed: Agreed,
    /// Blocks in the largest window that was sent.
    pub window: u16,
    /// Blocks sent again.
    pub resent: u32,
    /// From request to end, in microseconds.
    pub took: Time,
}

pub(super) enum Command {
    Publish(Arc<Namespace>),
    Answered(Ipv4Addr, Option<Shown>),
    Offered(Session, Shown),
    Forget(Ipv4Addr),
    Seen(SyncSender<Vec<Seen>>),
    Adopt(Vec<Seen>),
    Gate(TransferId, Verdict),
    Stop,
}

/// Speaks to a running pump from other threads.
pub struct Control {
    commands: Mutex<Vec<Command>>,
    waiting: AtomicBool,
    pub(super) bell: Bell,
    gates: Mutex<Vec<Gate>>,
    /// Wakes who answers gates.
    listener: Arc<Bell>,
    reports: Mutex<VecDeque<Report>>,
}

/// How long the pump may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Reports kept for the log.
const REPORTS: usize = 4096;

impl Control {
    pub(super) fn new(listener: Arc<Bell>) -> io::Result<Control> {
        Ok(Control {
            commands: Mutex::default(),
            waiting: AtomicBool::new(false),
            bell: Bell::new()?,
            gates: Mutex::default(),
            listener,
            reports: Mutex::new(VecDeque::with_capacity(REPORTS)),
        })
    }

    /// Serves `namespace` from now on; transfers under way keep their files.
    pub fn publish(&self, namespace: Namespace) {
        self.say(Command::Publish(Arc::new(namespace)));
    }

    /// `address` was answered and sees this now, before its next request is read; `None`: its session is over.
    pub fn answered(&self, address: Ipv4Addr, shown: Option<Shown>) {
        self.say(Command::Answered(address, shown));
    }

    /// An offer named this session: the first address that asks with it sees this.
    pub fn offered(&self, session: Session, shown: Shown) {
        self.say(Command::Offered(session, shown));
    }

    /// `address` sees no more than any stranger.
    pub fn forget(&self, address: Ipv4Addr) {
        self.say(Command::Forget(address));
    }

    /// What everybody sees, for another process; none when the pump does not say it in time.
    pub fn seen(&self) -> Option<Vec<Seen>> {
        let (sender, receiver) = sync_channel(1);
        self.say(Command::Seen(sender));
        receiver.recv_timeout(PATIENCE).ok()
    }

    /// What the process before this one showed to everybody.
    pub fn adopt(&self, seen: Vec<Seen>) {
        self.say(Command::Adopt(seen));
    }

    /// Answers the gate of a transfer; nobody hears it when that has ended.
    pub fn answer(&self, transfer: TransferId, verdict: Verdict) {
        self.say(Command::Gate(transfer, verdict));
    }

    /// The gates that were asked for since the last call and still wait.
    pub fn gates(&self) -> Vec<Gate> {
        std::mem::take(&mut *self.gates.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the pump.
    pub fn stop(&self) {
        self.say(Command::Stop);
    }

    /// The transfers that ended since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn say(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.waiting.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// What was said since the last call.
    pub(super) fn heard(&self) -> Vec<Command> {
        if !self.waiting.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for a gate. A transfer asks once, so there are never more than transfers.
    pub(super) fn ask(&self, gate: Gate) {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).push(gate);
        self.listener.ring();
    }

    /// A transfer that asked has ended: no launch need be recorded for it.
    pub(super) fn withdraw(&self, transfer: TransferId) {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).retain(|gate| gate.transfer != transfer);
    }

    /// Keeps a report until it is fetched; false when an older one had to go for it.
    pub(super) fn report(&self, report: Report) -> bool {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let room = reports.len() < REPORTS;
        if !room {
            reports.pop_front();
        }
        reports.push_back(report);
        room
    }
}
