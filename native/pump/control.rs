//! How other threads speak with the pump, and its own with each other: commands in; gates and reports of ended
//! transfers out.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::door::{Asked, Refused};
use super::files::{Namespace, Published};
use super::gate::{Gate, Session, TransferId, Verdict};
use super::handover::Estate;
use super::mail::Mailbox;
use super::queue::Waiting;
use super::roots::Shown;
use super::transfers::Begin;
use crate::engine::deadline::Time;
use crate::engine::measure::Measures;
use crate::engine::negotiate::Agreed;
use crate::engine::transfer::Outcome;
use crate::sys::poll::Bell;
use crate::sys::random;

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
    /// What was measured.
    pub measures: Measures,
}

/// What the door is told.
pub(super) enum ToDoor {
    Publish(Arc<Namespace>),
    Answered(Ipv4Addr, Option<Shown>),
    Offered(Session, Shown),
    /// The machine that was offered this session was given this address.
    Settled(Session, Ipv4Addr),
    Forget(Ipv4Addr),
    /// Tell what everybody sees.
    Leave(Sender<Estate>),
    Adopt(Estate),
    /// This peer's transfer has ended.
    Ended(SocketAddrV4),
    /// One more may begin.
    Room,
    /// This request was no repeat: it begins anew.
    Again(Box<Asked>),
    /// No request is read from now on.
    Close,
    /// Requests are read again.
    Open,
    /// Show who waits.
    Look(Sender<Vec<Waiting>>),
}

/// What a worker is told.
pub(super) enum ToWorker {
    Begin(Box<Begin>),
    /// A request of a peer that has a transfer here.
    Again(Box<Asked>),
    Gate(TransferId, Verdict),
    /// Show what runs here.
    Look(Sender<Vec<Live>>),
    Stop,
}

/// One transfer under way, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Live {
    /// The file.
    pub published: Arc<Published>,
    /// Its size in bytes.
    pub size: u64,
    /// Who fetches it.
    pub peer: SocketAddrV4,
    /// Bytes that the peer acknowledged.
    pub bytes: u64,
    /// What was agreed.
    pub agreed: Agreed,
    /// Blocks sent again.
    pub resent: u32,
    /// Since its request, in microseconds.
    pub age: Time,
    /// The smoothed round trip, in microseconds.
    pub round_trip: Option<Time>,
    /// What it does now.
    pub state: &'static str,
    /// The worker that it runs in.
    pub worker: usize,
}

/// One worker, as others see it.
pub(super) struct Member {
    /// Drawn by chance: its part of the ids of its transfers.
    pub id: u64,
    pub bell: Bell,
    pub mail: Mailbox<ToWorker>,
    /// Transfers that it has or is about to have.
    pub transfers: AtomicUsize,
    /// Of them, those that gave no sign of life yet.
    pub half_open: AtomicUsize,
    /// Of those, the ones that were silent for a whole timeout: they give way to who asks (safety T11).
    pub silent: AtomicUsize,
}

/// Speaks to a running pump from other threads.
pub struct Control {
    pub(super) door: Mailbox<ToDoor>,
    pub(super) workers: Vec<Member>,
    gates: Mutex<Vec<Gate>>,
    /// Wakes who answers gates.
    listener: Arc<Bell>,
    reports: Mutex<VecDeque<Report>>,
    refused: Mutex<Vec<Refused>>,
}

/// How long the pump's loops may take for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Reports kept for the log.
const REPORTS: usize = 4096;
/// Refused requests kept for the log: a flood of them is told by its counters.
const REFUSALS: usize = 64;

impl Control {
    pub(super) fn new(workers: usize, listener: Arc<Bell>) -> io::Result<Control> {
        let member = |_| {
            Ok(Member {
                id: random::number()?,
                bell: Bell::new()?,
                mail: Mailbox::default(),
                transfers: AtomicUsize::new(0),
                half_open: AtomicUsize::new(0),
                silent: AtomicUsize::new(0),
            })
        };
        Ok(Control {
            door: Mailbox::default(),
            workers: (0..workers).map(member).collect::<io::Result<_>>()?,
            gates: Mutex::default(),
            listener,
            reports: Mutex::new(VecDeque::with_capacity(REPORTS)),
            refused: Mutex::default(),
        })
    }

    /// Serves `namespace` from now on; transfers under way keep their files.
    pub fn publish(&self, namespace: Namespace) {
        self.tell_door(ToDoor::Publish(Arc::new(namespace)));
    }

    /// `address` was answered and sees this now, before its next request is read; `None`: its session is over.
    pub fn answered(&self, address: Ipv4Addr, shown: Option<Shown>) {
        self.tell_door(ToDoor::Answered(address, shown));
    }

    /// An offer named this session: its machine sees this at its address, once that is known.
    pub fn offered(&self, session: Session, shown: Shown) {
        self.tell_door(ToDoor::Offered(session, shown));
    }

    /// The machine that was offered this session was given `address` by its DHCP server.
    pub fn settled(&self, session: Session, address: Ipv4Addr) {
        self.tell_door(ToDoor::Settled(session, address));
    }

    /// `address` sees no more than any stranger.
    pub fn forget(&self, address: Ipv4Addr) {
        self.tell_door(ToDoor::Forget(address));
    }

    /// No request is read from now on; they wait for whoever else has the socket. Transfers go on.
    pub fn close_door(&self) {
        self.tell_door(ToDoor::Close);
    }

    /// Requests are read again, after [`Control::close_door`].
    pub fn open_door(&self) {
        self.tell_door(ToDoor::Open);
    }

    /// How many transfers run.
    pub fn transfers(&self) -> usize {
        self.workers.iter().map(|member| member.transfers.load(Ordering::Relaxed)).sum()
    }

    /// What runs now, worker by worker; a worker that has ended, or does not answer within [`PATIENCE`], is left out.
    pub fn live(&self) -> Vec<Live> {
        let (sender, receiver) = channel();
        (0..self.workers.len()).for_each(|worker| self.tell_worker(worker, ToWorker::Look(sender.clone())));
        drop(sender);
        let end = Instant::now() + PATIENCE;
        let left = || end.saturating_duration_since(Instant::now());
        (0..self.workers.len()).map_while(|_| receiver.recv_timeout(left()).ok()).flatten().collect()
    }

    /// Who waits for a place, the oldest first; nobody where the door does not answer within [`PATIENCE`].
    pub fn waiting(&self) -> Vec<Waiting> {
        let (sender, receiver) = channel();
        self.tell_door(ToDoor::Look(sender));
        receiver.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// What everybody sees, and who waits, who no longer waits here: for another process. None when the door does not
    /// say it in time.
    pub fn leave(&self) -> Option<Estate> {
        let (sender, receiver) = channel();
        self.tell_door(ToDoor::Leave(sender));
        receiver.recv_timeout(PATIENCE).ok()
    }

    /// What the process before this one showed to everybody, and who waited there.
    pub fn adopt(&self, estate: Estate) {
        self.tell_door(ToDoor::Adopt(estate));
    }

    /// Answers the gate of a transfer; nobody hears it when that has ended.
    pub fn answer(&self, transfer: TransferId, verdict: Verdict) {
        if let Some(worker) = self.workers.iter().position(|member| member.id == transfer.worker) {
            self.tell_worker(worker, ToWorker::Gate(transfer, verdict));
        }
    }

    /// The gates that were asked for since the last call and still wait.
    pub fn gates(&self) -> Vec<Gate> {
        std::mem::take(&mut *self.gates.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the pump.
    pub fn stop(&self) {
        for worker in 0..self.workers.len() {
            self.tell_worker(worker, ToWorker::Stop);
        }
    }

    /// The transfers that ended since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// The requests that were refused since the last call; at most the first [`REFUSALS`].
    pub fn refused(&self) -> Vec<Refused> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a refused request until it is fetched; false where there is no room.
    pub(super) fn refuse(&self, refused: impl FnOnce() -> Refused) -> bool {
        let mut kept = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let room = kept.len() < REFUSALS;
        if room {
            kept.push(refused());
        }
        room
    }

    pub(super) fn tell_door(&self, letter: ToDoor) {
        // The door is in the first worker's thread.
        if let (true, Some(first)) = (self.door.put(letter), self.workers.first()) {
            first.bell.ring();
        }
    }

    pub(super) fn tell_worker(&self, worker: usize, letter: ToWorker) {
        if let Some(member) = self.workers.get(worker) {
            if member.mail.put(letter) {
                member.bell.ring();
            }
        }
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
