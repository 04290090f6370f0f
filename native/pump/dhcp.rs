//! Ports 67 and 4011: batches of datagrams in, questions out, replies back.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::stats::{Counter, Stats};
use crate::engine::deadline::Time;
use crate::engine::destination::{destination, Asked};
use crate::sys::clock;
use crate::sys::poll::{Bell, Interest, Poll};
use crate::sys::udp::{Batch, Socket, ToSend, BATCH};
use crate::wire::dhcp::{code, Packet};
use crate::wire::pxe::{asks, Ask, Door, Reading};
use crate::wire::relay::RelayAgent;

/// A packet that asks us something, with all that its answer needs.
#[derive(Clone, Debug)]
pub struct Question {
    /// The packet; it parses.
    pub bytes: Box<[u8]>,
    /// The port it came to.
    pub door: Door,
    /// What it asks.
    pub ask: Ask,
    /// Its source.
    pub from: SocketAddrV4,
    /// Our address that it came to: the answer's source and server identifier.
    pub local: Ipv4Addr,
    /// The interface that it came in by.
    pub interface: u32,
}

/// The sockets of ports 67 (where it is listened to) and 4011.
pub struct Dhcp {
    doors: Vec<(Door, Socket)>,
    /// When each of them was last known to be empty.
    empty: Vec<Time>,
    poll: Poll,
    bell: Arc<Bell>,
    batch: Batch,
    /// Whether the doors are among what `poll` reports; and whether they shall be, which any thread may say.
    reads: bool,
    drained: Arc<AtomicBool>,
    accept_82_without_giaddr: bool,
    stats: Arc<Stats>,
}

const BELL: u64 = u64::MAX - 1;
/// Receive buffer of each port: a thousand machines that start at once.
const BUFFER: i32 = 2 << 20;

impl Dhcp {
    /// Listens on `doors`: where a socket is given on that, else on one bound to the address.
    ///
    /// # Errors
    /// The address that could not be bound, and the system's error.
    pub fn bind(
        doors: Vec<(Door, SocketAddrV4, Option<Socket>)>,
        accept_82_without_giaddr: bool,
        stats: Arc<Stats>,
    ) -> Result<Dhcp, (SocketAddrV4, io::Error)> {
        let unbound = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let poll = Poll::new(4).map_err(|error| (unbound, error))?;
        let bell = Arc::new(Bell::new().map_err(|error| (unbound, error))?);
        poll.add(&*bell, BELL, Interest::Read).map_err(|error| (unbound, error))?;
        let (mut open, mut empty) = (Vec::with_capacity(doors.len()), Vec::with_capacity(doors.len()));
        for (door, address, given) in doors {
            // Nobody knows how long a question may have waited in a socket that another opened.
            empty.push(if given.is_some() { 0 } else { clock::now() });
            let socket = listen(address, given).map_err(|error| (address, error))?;
            poll.add(&socket, open.len() as u64, Interest::Read).map_err(|error| (address, error))?;
            open.push((door, socket));
        }
        Ok(Dhcp {
            doors: open,
            empty,
            poll,
            bell,
            batch: Batch::default(),
            reads: true,
            drained: Arc::default(),
            accept_82_without_giaddr,
            stats,
        })
    }

    /// Set, and the bell rung: no door is read from the next wait on. What comes stays in the sockets, for who shares them.
    pub fn drained(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.drained)
    }

    /// Ends a wait from another thread.
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// The address that each door is bound to, and its descriptor, which stays this one's.
    pub fn doors(&self) -> impl Iterator<Item = (Door, SocketAddrV4, RawFd)> + '_ {
        self.doors.iter().filter_map(|(door, socket)| Some((*door, socket.local().ok()?, socket.as_raw_fd())))
    }

    /// No question that the next wait returns can have come in before this.
    pub fn heard(&self) -> Time {
        self.empty.iter().copied().min().unwrap_or(0)
    }

    /// Waits for questions; none when the time passed, the bell rang, a signal came or all was dropped.
    ///
    /// # Errors
    /// The system's own error of the wait itself; errors of one socket are counted and passed over.
    pub fn wait(&mut self, milliseconds: u32) -> io::Result<Vec<Question>> {
        self.heed()?;
        let began = clock::now();
        let count = match self.poll.wait(Some(began + u64::from(milliseconds) * 1000)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let ready = |token| (0..count).any(|index| self.poll.ready(index).is_some_and(|ready| ready.token == token));
        if ready(BELL) {
            self.bell.hush();
        }
        let mut questions = Vec::new();
        if !self.reads || self.drained.load(Ordering::Acquire) {
            return Ok(questions);
        }
        for (token, ((door, socket), empty)) in (0..).zip(self.doors.iter().zip(&mut self.empty)) {
            if !ready(token) {
                *empty = began;
                continue;
            }
            let before = clock::now();
            match socket.receive(&mut self.batch) {
                Ok(count) => {
                    read(&self.batch, *door, self.accept_82_without_giaddr, &self.stats, &mut questions);
                    // Of a full batch more may have been left than it took.
                    if count < BATCH {
                        *empty = before;
                    }
                }
                Err(_) => self.stats.count(Counter::ReceiveFailed),
            }
        }
        Ok(questions)
    }

    /// Follows what was said of reading.
    fn heed(&mut self) -> io::Result<()> {
        let reads = !self.drained.load(Ordering::Acquire);
        if reads != self.reads {
            for (token, (_, socket)) in self.doors.iter().enumerate() {
                if reads {
                    self.poll.add(socket, token as u64, Interest::Read)?;
                } else {
                    self.poll.remove(socket)?;
                }
            }
            self.reads = reads;
        }
        Ok(())
    }

    /// Sends the answer to `question`, from the address and by the interface that it came to; where no route leads
    /// back by that interface, by the one that the route names. Returns whether it left.
    pub fn send(&self, question: &Question, to: SocketAddrV4, reply: &[u8]) -> bool {
        let Some((_, socket)) = self.doors.iter().find(|(door, _)| *door == question.door) else { return false };
        let mut datagram = ToSend { bytes: reply, to, from: question.local, interface: question.interface };
        let mut sent = socket.send_from(&datagram);
        if sent.is_err() && !to.ip().is_broadcast() {
            datagram.interface = 0;
            sent = socket.send_from(&datagram);
        }
        self.stats.count(if sent.is_ok() { Counter::DhcpReplies } else { Counter::DhcpSendFailed });
        sent.is_ok()
    }
}

/// The questions among what came to a door; the rest is counted.
fn read(batch: &Batch, door: Door, accept_82_without_giaddr: bool, stats: &Stats, questions: &mut Vec<Question>) {
    for (received, bytes) in batch.iter() {
        stats.count(Counter::DhcpReceived);
        if received.truncated {
            stats.count(Counter::DhcpTooLong);
            continue;
        }
        if received.local.is_unspecified() {
            stats.count(Counter::DhcpNoAddress);
            continue;
        }
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                stats.dhcp_malformed(error.what);
                continue;
            }
        };
        let reading = Reading::of(&packet);
        match asks(&packet, &reading, door, received.local, accept_82_without_giaddr) {
            Ok(ask) => {
                stats.count(Counter::DhcpQuestions);
                if reading.loader.is_none() && packet.option(code::LOADER).is_some() {
                    stats.count(Counter::DhcpLoaderMalformed);
                }
                questions.push(Question {
                    bytes: bytes.into(),
                    door,
                    ask,
                    from: received.from,
                    local: received.local,
                    interface: received.interface,
                });
            }
            Err(why) => stats.dropped(why),
        }
    }
}

/// Where the answer to `question` goes; `None` where no honest client or relay could be.
pub fn answer_to(question: &Question, packet: &Packet<'_>) -> Option<SocketAddrV4> {
    destination(&Asked {
        boot_server: question.door == Door::Boot4011,
        from: question.from,
        local: question.local,
        giaddr: packet.giaddr(),
        ciaddr: packet.ciaddr(),
        relay_port: RelayAgent::of(packet).is_some_and(|agent| agent.relay_source_port()),
    })
}

/// A door: the socket that is given, else one bound to `address`.
pub(super) fn listen(address: SocketAddrV4, given: Option<Socket>) -> io::Result<Socket> {
    let socket = given.map_or_else(|| Socket::bind(address), Ok)?;
    socket.listen()?;
    socket.set_receive_buffer(BUFFER);
    Ok(socket)
}
