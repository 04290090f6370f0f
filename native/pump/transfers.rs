//! One transfer in the pump: its socket, its file and its engine.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use super::caps::Tolls;
use super::control::{Control, Live, Report};
use super::files::{Published, Source};
use super::gate::{Gate, Session, TransferId, Verdict};
use super::stats::{Counter, Stats};
use crate::engine::deadline::Time;
use crate::engine::negotiate::Agreed;
use crate::engine::seq;
use crate::engine::timer::Timing;
use crate::engine::transfer::{Event, Outcome, Send, Terms, Transfer};
use crate::sys::poll::{Interest, Poll};
use crate::sys::udp::{Socket, WINDOW};
use crate::wire::tftp::{self, ErrorCode, Packet};

/// The longest option acknowledgment: five options, each name and value at their longest.
pub(super) const ACKNOWLEDGMENT: usize = 96;
/// Bytes of IP, UDP and TFTP headers before a block.
const OVERHEAD: u32 = 32;
/// Datagrams of one peer that are taken at a time; more wait for the next, so that none holds up the others.
const DATAGRAMS: usize = 64;

/// Nothing waits to be read.
struct Silence;

/// What the pump's transfers share, so that none needs a buffer of its own.
pub(super) struct Shared {
    pub poll: Poll,
    pub control: Arc<Control>,
    pub stats: Arc<Stats>,
    /// Windows leave by segment offload where a block fits the path.
    pub offload: bool,
    /// Blocks and bytes sent that are not counted yet: counters are everybody's, and dear to touch with each window.
    blocks: u64,
    bytes: u64,
    /// The last bytes of a file, on their way; grows to the longest.
    ending: Vec<u8>,
}

impl Shared {
    pub fn new(poll: Poll, control: Arc<Control>, stats: Arc<Stats>, offload: bool) -> Shared {
        Shared { poll, control, stats, offload, blocks: 0, bytes: 0, ending: Vec::new() }
    }

    /// Counts what was sent since the last time.
    pub fn tell_counts(&mut self) {
        if self.blocks > 0 {
            self.stats.add(Counter::TftpBlocks, std::mem::take(&mut self.blocks));
            self.stats.add(Counter::TftpBytes, std::mem::take(&mut self.bytes));
        }
    }
}

/// A transfer that the door begins: what was agreed, and what it is made of.
pub(super) struct Begin {
    pub peer: SocketAddrV4,
    /// The request, hashed: its repeat is a retransmission.
    pub request: u64,
    pub agreed: Agreed,
    /// What acknowledges its options, where there are any.
    pub acknowledgment: Option<([u8; ACKNOWLEDGMENT], usize)>,
    pub published: Arc<Published>,
    /// The session that its machine was last seen with.
    pub session: Option<Session>,
    pub source: Source,
    pub socket: Socket,
    pub mtu: u32,
    pub tolls: Option<Tolls>,
    /// When it was asked for.
    pub asked: Time,
}

/// A transfer under way: what a block asks for, and no more, because each of thousands is fetched from memory anew for each
/// of its windows.
#[repr(align(64))]
pub(super) struct Running {
    pub transfer: Transfer,
    /// Its place and life there, as the kernel's events name them.
    pub token: u64,
    /// When it is looked at next, whatever happens; its deadline may have moved behind that.
    pub listed: Time,
    /// It counts as half open, and as silent.
    pub half_open: bool,
    pub silent: bool,
    wants_room: bool,
    socket: Socket,
    mtu: u32,
    source: Source,
    /// What bounds its bandwidth.
    tolls: Option<Box<Tolls>>,
    pub origin: Box<Origin>,
}

const _: () = assert!(size_of::<Running>() <= 7 * 64);

/// What a transfer came from: what only its beginning, its end and its gate ask for.
pub(super) struct Origin {
    pub peer: SocketAddrV4,
    /// The request, hashed.
    pub request: u64,
    /// What is asked before a gated file's final byte.
    pub gate: Option<Gate>,
    published: Arc<Published>,
    began: Time,
    acknowledgment: Option<([u8; ACKNOWLEDGMENT], usize)>,
}

impl Running {
    /// Begins a transfer in the place that `id` names, and sends what comes first.
    ///
    /// # Errors
    /// What is counted, where its socket cannot be polled.
    pub fn begin(
        begin: Begin,
        id: TransferId,
        timing: Timing,
        shared: &mut Shared,
        now: Time,
    ) -> Result<Running, Counter> {
        let Begin { peer, request, agreed, acknowledgment, published, session, source, socket, mtu, tolls, asked } =
            begin;
        shared.poll.add(&socket, id.token, Interest::Arrivals).map_err(|_| Counter::TftpNoSocket)?;
        let (acknowledge, gated) = (acknowledgment.is_some(), published.gated);
        let terms = Terms { agreed, size: source.size, acknowledge, gated, timing };
        let (transfer, send) = Transfer::start(terms, now);
        let gate = gated.then(|| Gate { transfer: id, published: Arc::clone(&published), peer, session });
        let origin = Box::new(Origin { peer, request, gate, published, began: asked, acknowledgment });
        let mut running = Running {
            transfer,
            token: id.token,
            listed: Time::MAX,
            half_open: true,
            silent: false,
            wants_room: false,
            socket,
            mtu,
            source,
            tolls: tolls.map(Box::new),
            origin,
        };
        running.send(send, shared, now);
        Ok(running)
    }

    /// When something is to be done without any word from the peer.
    pub fn deadline(&self) -> Time {
        self.transfer.deadline()
    }

    /// Its deadline may have come.
    pub fn due(&mut self, shared: &mut Shared, now: Time) {
        if self.deadline() <= now {
            self.readable(shared, now);
        }
        if self.deadline() <= now {
            self.take(Event::Timeout, shared, now);
        }
    }

    /// How it went, for the log.
    pub fn report(&self, outcome: Outcome, now: Time) -> Report {
        Report {
            bytes: self.acknowledged(),
            size: self.source.size,
            published: Arc::clone(&self.origin.published),
            peer: self.origin.peer,
            outcome,
            agreed: self.transfer.agreed(),
            window: self.transfer.largest_window(),
            resent: self.transfer.resent(),
            took: now.saturating_sub(self.origin.began),
            measures: self.transfer.measures(),
        }
    }

    /// How it is, for who looks.
    pub fn live(&self, worker: usize, now: Time) -> Live {
        Live {
            published: Arc::clone(&self.origin.published),
            size: self.source.size,
            peer: self.origin.peer,
            bytes: self.acknowledged(),
            agreed: self.transfer.agreed(),
            resent: self.transfer.resent(),
            age: now.saturating_sub(self.origin.began),
            round_trip: self.transfer.round_trip(),
            state: if self.wants_room { "held" } else { self.transfer.state() },
            worker,
        }
    }

    /// Bytes that the peer acknowledged.
    fn acknowledged(&self) -> u64 {
        let block = u64::from(self.transfer.agreed().block);
        self.transfer.acknowledged_blocks().saturating_mul(block).min(self.source.size)
    }

    /// Takes what came from the peer, up to what a new window leaves for: an answer to that will be told of again. Where
    /// a window was rewound more may be said of it already, and what is read late would look like another gap.
    pub fn readable(&mut self, shared: &mut Shared, now: Time) {
        let mut refused = false;
        for _ in 0..DATAGRAMS {
            match self.receive(shared) {
                // An error is told before what came earlier: the last ACK may still be there.
                Ok(Some(Event::Refused)) => refused = true,
                Ok(Some(event)) => {
                    let left = self.take(event, shared, now);
                    if self.transfer.outcome().is_some() || left && !refused && self.transfer.is_in_step() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(Silence) => break,
            }
        }
        if refused {
            self.take(Event::Refused, shared, now);
        }
    }

    /// What the next datagram means; `None` for one that means nothing.
    fn receive(&self, shared: &Shared) -> Result<Option<Event>, Silence> {
        let mut datagram = [0; 576];
        match self.socket.receive_one(&mut datagram) {
            Ok(length) => match Packet::parse(datagram.get(..length).unwrap_or(&[])) {
                Ok(Packet::Ack { block, next_window }) => return Ok(Some(Event::Ack(block, next_window.unwrap_or(0)))),
                Ok(Packet::Error { code, .. }) => return Ok(Some(Event::PeerError(code))),
                Ok(Packet::Read(_) | Packet::Write(_) | Packet::Data { .. } | Packet::Oack(_)) | Err(_) => {
                    shared.stats.count(Counter::TftpStray);
                }
            },
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Some(Event::Refused)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Silence),
            Err(_) => shared.stats.count(Counter::ReceiveFailed),
        }
        Ok(None)
    }

    /// The socket has room again.
    pub fn writable(&mut self, shared: &mut Shared, now: Time) {
        if self.wants_room {
            self.wants_room = false;
            let _ = shared.poll.change(&self.socket, self.token, Interest::Arrivals);
            self.take(Event::Writable, shared, now);
        }
    }

    /// Takes the answer to its gate; false when it does not wait for one.
    pub fn answered(&mut self, verdict: &Verdict, shared: &mut Shared, now: Time) -> bool {
        if !self.transfer.is_asking() {
            return false;
        }
        match verdict {
            Verdict::Open => {
                shared.stats.count(Counter::TftpGatesOpened);
                self.take(Event::Opened, shared, now);
            }
            Verdict::Refuse(words) => {
                if let Send::Error(code, _) = self.transfer.handle(Event::Denied, now) {
                    let sent = self.send_error(code, words);
                    self.judge(sent, shared, now);
                }
            }
        }
        true
    }

    /// Hands an event to the engine and does what it says; whether something left, and is not held here.
    pub fn take(&mut self, event: Event, shared: &mut Shared, now: Time) -> bool {
        let send = self.transfer.handle(event, now);
        self.send(send, shared, now);
        !matches!(send, Send::Nothing | Send::Ask) && !self.transfer.is_held()
    }

    /// Does what the engine says.
    pub fn send(&mut self, send: Send, shared: &mut Shared, now: Time) {
        match send {
            Send::Nothing => {}
            Send::Acknowledgment => {
                let bytes = self.origin.acknowledgment.as_ref().and_then(|(bytes, length)| bytes.get(..*length));
                let sent = self.socket.send(bytes.unwrap_or(&[]));
                self.judge(sent, shared, now);
            }
            Send::Blocks { first, count } => self.send_blocks(first, usize::from(count), shared, now),
            Send::Ask => {
                if let Some(gate) = &self.origin.gate {
                    shared.stats.count(Counter::TftpGatesAsked);
                    shared.control.ask(gate.clone());
                }
            }
            Send::Error(code, words) => {
                let sent = self.send_error(code, words);
                self.judge(sent, shared, now);
            }
        }
    }

    fn send_blocks(&mut self, first: u64, count: usize, shared: &mut Shared, now: Time) {
        let bytes = self.bytes(first, count);
        if let Some(departure) = self.tolls.as_mut().and_then(|tolls| tolls.pay(count, bytes, now)) {
            return self.transfer.hold(first, departure, now);
        }
        let mut sent = 0;
        while sent < count {
            let piece = (count - sent).min(WINDOW);
            let Some(left) = self.send_piece(first + sent as u64, piece, shared, now) else { return };
            sent += left;
            if left < piece {
                shared.stats.count(Counter::TftpHeldBack);
                let stayed = self.bytes(first + sent as u64, count - sent);
                if let Some(tolls) = &mut self.tolls {
                    tolls.stayed(count - sent, stayed);
                }
                self.transfer.held_back(first + sent as u64, now);
                self.wants_room = shared.poll.change(&self.socket, self.token, Interest::ArrivalsAndRoom).is_ok();
                return;
            }
        }
    }

    /// Bytes of the file in `count` blocks from `first` on.
    fn bytes(&self, first: u64, count: usize) -> usize {
        let block = self.transfer.agreed().block;
        let left = self.source.size.saturating_sub((first - 1).saturating_mul(u64::from(block)));
        usize::try_from(left).unwrap_or(usize::MAX).min(count.saturating_mul(usize::from(block)))
    }

    /// Sends at most [`WINDOW`] blocks; how many the socket took, or `None` where an error ended or will end it.
    fn send_piece(&mut self, first: u64, count: usize, shared: &mut Shared, now: Time) -> Option<usize> {
        let block = usize::from(self.transfer.agreed().block);
        let offset = (first - 1).saturating_mul(block as u64);
        let left = self.source.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(count.saturating_mul(block));
        let data = if length as u64 == left {
            self.source.ending(&mut shared.ending, offset, length)
        } else {
            self.source.piece(offset, length, now)
        };
        let Ok(data) = data else {
            self.fail(shared, now);
            return None;
        };
        let mut headers = [[0; 4]; WINDOW];
        for (header, number) in headers.iter_mut().zip(first..).take(count) {
            *header = tftp::data_header(seq::to_wire(number));
        }
        let headers = headers.get(..count.min(WINDOW)).unwrap_or(&[]);
        let fits = block as u64 + u64::from(OVERHEAD) <= u64::from(self.mtu);
        let mut sent = self.socket.send_window(headers, data, block, shared.offload && fits);
        if shared.offload && sent.as_ref().is_err_and(refuses_offload) {
            shared.offload = false;
            shared.stats.count(Counter::OffloadGivenUp);
            sent = self.socket.send_window(headers, data, block, false);
        }
        let taken = match sent {
            Ok(taken) => taken,
            Err(error) if is_full(&error) => 0,
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                self.fail(shared, now);
                return None;
            }
            Err(error) => {
                self.judge(Err(error), shared, now);
                return None;
            }
        };
        shared.blocks += taken as u64;
        shared.bytes += length.min(taken.saturating_mul(block)) as u64;
        Some(taken)
    }

    /// The file is not what was published any more: better no file than a wrong one (safety T19).
    fn fail(&mut self, shared: &mut Shared, now: Time) {
        self.transfer.stop(Outcome::Failed);
        let sent = self.send_error(ErrorCode::NotDefined, "the file changed");
        self.judge(sent, shared, now);
    }

    fn send_error(&self, code: ErrorCode, words: &str) -> io::Result<()> {
        let mut buffer = [0; 512];
        let length = tftp::emit_error(&mut buffer, code, words).unwrap_or(0);
        self.socket.send(buffer.get(..length).unwrap_or(&[]))
    }

    /// A closed port ends the transfer; anything else the timer mends.
    fn judge(&mut self, sent: io::Result<()>, shared: &mut Shared, now: Time) {
        if let Err(error) = sent {
            shared.stats.count(Counter::TftpSendFailed);
            if error.kind() == io::ErrorKind::ConnectionRefused {
                self.transfer.handle(Event::Refused, now);
            }
        }
    }
}

fn refuses_offload(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS))
}
