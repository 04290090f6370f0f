//! One transfer in the pump: its socket, its file and its engine.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use super::control::Control;
use super::files::{Published, Source};
use super::gate::{Gate, Verdict};
use super::stats::{Counter, Stats};
use crate::engine::deadline::Time;
use crate::engine::seq;
use crate::engine::transfer::{Event, Outcome, Send, Transfer};
use crate::sys::poll::{Interest, Poll};
use crate::sys::udp::{Socket, WINDOW};
use crate::wire::tftp::{self, ErrorCode, Packet};

/// The longest option acknowledgment: five options, each name and value at their longest.
pub(super) const ACKNOWLEDGMENT: usize = 96;
/// Bytes of IP, UDP and TFTP headers before a block.
const OVERHEAD: u32 = 32;

/// What the pump's transfers share, so that none needs a buffer of its own.
pub(super) struct Shared {
    pub poll: Poll,
    pub control: Arc<Control>,
    pub stats: Arc<Stats>,
    /// Windows leave by segment offload where a block fits the path.
    pub offload: bool,
    /// The last bytes of a file, on their way; grows to the longest.
    ending: Vec<u8>,
}

impl Shared {
    pub fn new(poll: Poll, control: Arc<Control>, stats: Arc<Stats>, offload: bool) -> Shared {
        Shared { poll, control, stats, offload, ending: Vec::new() }
    }
}

/// A transfer under way.
pub(super) struct Running {
    pub transfer: Transfer,
    pub peer: SocketAddrV4,
    /// The request that began it, hashed: its repeat is a retransmission.
    pub request: u64,
    pub published: Arc<Published>,
    pub began: Time,
    /// What is asked before a gated file's final byte.
    pub gate: Option<Gate>,
    socket: Socket,
    pub source: Source,
    token: u64,
    mtu: u32,
    wants_room: bool,
    acknowledgment: [u8; ACKNOWLEDGMENT],
    acknowledgment_len: usize,
}

/// What a new transfer is made of.
pub(super) struct Parts {
    pub transfer: Transfer,
    pub peer: SocketAddrV4,
    pub request: u64,
    pub published: Arc<Published>,
    pub gate: Option<Gate>,
    pub socket: Socket,
    pub source: Source,
    pub token: u64,
    pub mtu: u32,
    pub acknowledgment: ([u8; ACKNOWLEDGMENT], usize),
}

impl Running {
    pub fn new(parts: Parts, now: Time) -> Running {
        Running {
            transfer: parts.transfer,
            peer: parts.peer,
            request: parts.request,
            published: parts.published,
            began: now,
            gate: parts.gate,
            socket: parts.socket,
            source: parts.source,
            token: parts.token,
            mtu: parts.mtu,
            wants_room: false,
            acknowledgment: parts.acknowledgment.0,
            acknowledgment_len: parts.acknowledgment.1,
        }
    }

    /// Takes one datagram from the peer.
    pub fn readable(&mut self, shared: &mut Shared, now: Time) {
        let mut datagram = [0; 576];
        let event = match self.socket.receive_one(&mut datagram) {
            Ok(length) => match Packet::parse(datagram.get(..length).unwrap_or(&[])) {
                Ok(Packet::Ack { block, next_window }) => Event::Ack(block, next_window.unwrap_or_default()),
                Ok(Packet::Error { code, .. }) => Event::PeerError(code),
                Ok(Packet::Read(_) | Packet::Write(_) | Packet::Data { .. } | Packet::Oack(_)) | Err(_) => {
                    return shared.stats.count(Counter::TftpStray);
                }
            },
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Event::Refused,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return shared.stats.count(Counter::ReceiveFailed),
        };
        self.take(event, shared, now);
    }

    /// The socket has room again.
    pub fn writable(&mut self, shared: &mut Shared, now: Time) {
        if self.wants_room {
            self.wants_room = false;
            let _ = shared.poll.change(&self.socket, self.token, Interest::Read);
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

    /// Hands an event to the engine and does what it says.
    pub fn take(&mut self, event: Event, shared: &mut Shared, now: Time) {
        let send = self.transfer.handle(event, now);
        self.send(send, shared, now);
    }

    /// Does what the engine says.
    pub fn send(&mut self, send: Send, shared: &mut Shared, now: Time) {
        match send {
            Send::Nothing => {}
            Send::Acknowledgment => {
                let bytes = self.acknowledgment.get(..self.acknowledgment_len).unwrap_or(&[]);
                let sent = self.socket.send(bytes);
                self.judge(sent, shared, now);
            }
            Send::Blocks { first, count } => self.send_blocks(first, usize::from(count), shared, now),
            Send::Ask => {
                if let Some(gate) = &self.gate {
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
        let mut sent = 0;
        while sent < count {
            let piece = (count - sent).min(WINDOW);
            let Some(left) = self.send_piece(first + sent as u64, piece, shared, now) else { return };
            sent += left;
            if left < piece {
                shared.stats.count(Counter::TftpHeldBack);
                self.transfer.held_back(first + sent as u64);
                self.wants_room = shared.poll.change(&self.socket, self.token, Interest::ReadWrite).is_ok();
                return;
            }
        }
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
        shared.stats.add(Counter::TftpBlocks, taken as u64);
        shared.stats.add(Counter::TftpBytes, length.min(taken.saturating_mul(block)) as u64);
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
