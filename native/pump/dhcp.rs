//! Ports 67 and 4011: batches of datagrams in, questions out, replies back.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::gate::Session;
use super::leases::Leases;
use super::request_rates::{Limits, Rate, RecordedMachines, RequestRates};
use super::stats::{Counter, Stats};
use crate::engine::arrival::{Arrivals, Wall};
use crate::engine::deadline::Time;
use crate::engine::destination::{destination, Asked};
use crate::sys::clock::{self, Steps};
use crate::sys::poll::{Bell, Interest, Poll};
use crate::sys::stamps::Stamps;
use crate::sys::udp::{Batch, Received, Socket, ToSend, BATCH};
use crate::wire::dhcp::{code, Packet};
use crate::wire::pxe::{asks, Ask, Door, Drop, Reading};
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
    /// The earliest time at which it can have come.
    pub heard: Time,
}

/// One port: its socket, and what is known of the datagrams in it.
struct Port {
    door: Door,
    socket: Socket,
    arrivals: Arrivals,
    /// Datagrams that the socket had no room for, as the kernel counted them last.
    overflowed: u32,
}

/// What is read of each packet, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Option 82 without a relay's address is accepted at port 67 (W-50).
    pub accept_82_without_giaddr: bool,
    /// How often may be asked (D15).
    pub limits: Limits,
}

/// The sockets of ports 67 (where it is listened to) and 4011.
pub struct Dhcp {
    /// The boot server's port first: it has its turn before whatever comes to the other.
    ports: Vec<Port>,
    /// The wall clock, which the kernel stamps datagrams with, and who tells that it was set.
    wall: Wall,
    steps: Steps,
    _stamps: Stamps,
    rates: RequestRates,
    leases: Leases,
    /// Machines that said which address they were given, since somebody asked.
    settled: Vec<(Session, Ipv4Addr)>,
    poll: Poll,
    bell: Arc<Bell>,
    batch: Batch,
    /// Whether the doors are among what `poll` reports; and whether they shall be, which any thread may say.
    reads: bool,
    drained: Arc<AtomicBool>,
    rules: Rules,
    stats: Arc<Stats>,
}

/// Questions that one wait returns at most: of port 4011, where machines boot, and of port 67.
const QUESTIONS: (usize, usize) = (256, 32);
/// Batches of one port that one wait reads at most: what is dropped costs little, but not nothing.
const BATCHES: usize = 128;
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
        rules: Rules,
        stats: Arc<Stats>,
    ) -> Result<Dhcp, (SocketAddrV4, io::Error)> {
        let unbound = |error| (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), error);
        let poll = Poll::new(4).map_err(unbound)?;
        let bell = Arc::new(Bell::new().map_err(unbound)?);
        poll.add(&*bell, BELL, Interest::Read).map_err(unbound)?;
        // Before any port is open: what comes to one is stamped as it comes.
        let stamps = Stamps::begin().map_err(unbound)?;
        let wall = Wall::new(clock::ahead(), stamps.works(), clock::now());
        let steps = Steps::new().map_err(unbound)?;
        let mut ports = Vec::with_capacity(doors.len());
        for (door, address, given) in doors {
            // Nobody knows how long a question may have waited in a socket that another opened.
            let empty = if given.is_some() { 0 } else { clock::now() };
            let socket = listen(address, given).map_err(|error| (address, error))?;
            socket.stamp().map_err(|error| (address, error))?;
            ports.push(Port { door, socket, arrivals: Arrivals::new(empty), overflowed: 0 });
        }
        ports.sort_by_key(|port| port.door != Door::Boot4011);
        for (token, port) in (0..).zip(&ports) {
            poll.add(&port.socket, token, Interest::Read).map_err(unbound)?;
        }
        Ok(Dhcp {
            ports,
            wall,
            steps,
            _stamps: stamps,
            rates: RequestRates::new(&rules.limits),
            leases: Leases::default(),
            settled: Vec::new(),
            poll,
            bell,
            batch: Batch::default(),
            reads: true,
            drained: Arc::default(),
            rules,
            stats,
        })
    }

    /// Set, and the bell rung: no door is read from the next wait on. What comes stays in the sockets, for who shares them.
    pub fn drained(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.drained)
    }

    /// Returns the recorded machines, which have a share of the questions of their network (T12).
    pub fn recorded(&self) -> Arc<RecordedMachines> {
        self.rates.recorded()
    }

    /// Ends a wait from another thread.
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// The address that each door is bound to, and its descriptor, which stays this one's.
    pub fn doors(&self) -> impl Iterator<Item = (Door, SocketAddrV4, RawFd)> + '_ {
        self.ports.iter().filter_map(|port| Some((port.door, port.socket.local().ok()?, port.socket.as_raw_fd())))
    }

    /// The time at which every socket was known to be empty: no question that is still in one came before.
    pub fn empty(&self) -> Time {
        self.ports.iter().map(|port| port.arrivals.empty()).min().unwrap_or(0)
    }

    /// Every socket was empty at `at`, as who read it before knows.
    pub fn emptied(&mut self, at: Time) {
        self.ports.iter_mut().for_each(|port| port.arrivals.emptied(at));
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
        let is_ready =
            |poll: &Poll, token| (0..count).any(|index| poll.ready(index).is_some_and(|ready| ready.token == token));
        if is_ready(&self.poll, BELL) {
            self.bell.hush();
        }
        let mut questions = Vec::new();
        if !self.reads || self.drained.load(Ordering::Acquire) {
            return Ok(questions);
        }
        let mut ports = std::mem::take(&mut self.ports);
        for (token, port) in (0..).zip(&mut ports) {
            if is_ready(&self.poll, token) {
                self.read_port(port, &mut questions);
            } else {
                port.arrivals.emptied(began);
            }
        }
        self.ports = ports;
        Ok(questions)
    }

    /// Reads a port until it is empty or has given its share of questions.
    fn read_port(&mut self, port: &mut Port, questions: &mut Vec<Question>) {
        let mut batch = std::mem::take(&mut self.batch);
        let first = questions.len();
        let share = if port.door == Door::Boot4011 { QUESTIONS.0 } else { QUESTIONS.1 };
        for _ in 0..BATCHES {
            let most = share.saturating_sub(questions.len().saturating_sub(first)).min(BATCH);
            if most == 0 {
                break;
            }
            let before = clock::now();
            let Ok(count) = port.socket.receive_some(&mut batch, most) else {
                self.stats.count(Counter::ReceiveFailed);
                break;
            };
            if count > 0 {
                self.wall.look(clock::ahead(), self.steps.happened(), clock::now());
                self.read(port, &batch, first, questions);
            }
            // Where there were as many as asked for, more may have been left.
            if count < most {
                port.arrivals.emptied(before);
                break;
            }
        }
        self.batch = batch;
    }

    /// The questions among what came to a port; the rest is counted. Those from `first` on are the port's.
    fn read(&mut self, port: &mut Port, batch: &Batch, first: usize, questions: &mut Vec<Question>) {
        let now = clock::now();
        for (received, bytes) in batch.iter() {
            if let Some(lost) = received.overflowed {
                let more = lost.wrapping_sub(std::mem::replace(&mut port.overflowed, lost));
                self.stats.add(Counter::DhcpOverflowed, u64::from(more));
            }
            let Some(ask) = self.judge(received, bytes, port.door, now) else { continue };
            let question = Question {
                bytes: bytes.into(),
                door: port.door,
                ask,
                from: received.from,
                local: received.local,
                interface: received.interface,
                heard: port.arrivals.earliest(received.stamp, &self.wall, now),
            };
            match questions.iter_mut().skip(first).find(|earlier| repeats(&question, earlier)) {
                // The client asks once more before its first question was looked at: one answer is enough.
                Some(earlier) => {
                    self.stats.count(Counter::DhcpRepeated);
                    *earlier = question;
                }
                None => {
                    self.stats.count(Counter::DhcpQuestions);
                    questions.push(question);
                }
            }
        }
    }

    /// What a datagram asks us; where it is no question, or one too many, that is counted.
    fn judge(&mut self, received: &Received, bytes: &[u8], door: Door, now: Time) -> Option<Ask> {
        let stats = &self.stats;
        stats.count(Counter::DhcpReceived);
        if received.truncated {
            stats.count(Counter::DhcpTooLong);
            return None;
        }
        if received.local.is_unspecified() {
            stats.count(Counter::DhcpNoAddress);
            return None;
        }
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                stats.dhcp_malformed(error.what);
                return None;
            }
        };
        let reading = Reading::of(&packet);
        let ask = match asks(&packet, &reading, door, received.local, self.rules.accept_82_without_giaddr) {
            Ok(ask) => ask,
            Err(why) => {
                stats.dropped(why);
                // It may be what a machine that was offered a boot says to its DHCP server.
                if why == Drop::MessageType && door == Door::Dhcp67 {
                    self.settled.extend(self.leases.taken(&packet, received, now));
                }
                return None;
            }
        };
        match self.rates.take(&packet, door, received, now) {
            Rate::Within => {}
            Rate::Reserved => stats.count(Counter::DhcpReserved),
            Rate::ClientExceeded => {
                stats.count(Counter::DhcpClientRate);
                return None;
            }
            Rate::NetworkExceeded => {
                stats.count(Counter::DhcpNetworkRate);
                return None;
            }
        }
        if reading.loader.is_none() && packet.option(code::LOADER).is_some() {
            stats.count(Counter::DhcpLoaderMalformed);
        }
        Some(ask)
    }

    /// A machine without an address is offered a boot with this session. Returns its address, where that is known.
    pub fn offered(&mut self, question: &Question, packet: &Packet<'_>, session: Session) -> Option<Ipv4Addr> {
        self.leases.offered(packet, *question.from.ip(), question.interface, session, clock::now())
    }

    /// The machines that were offered a boot and have said since the last call which address they were given.
    pub fn settled(&mut self) -> Vec<(Session, Ipv4Addr)> {
        std::mem::take(&mut self.settled)
    }

    /// Follows what was said of reading.
    fn heed(&mut self) -> io::Result<()> {
        let reads = !self.drained.load(Ordering::Acquire);
        if reads != self.reads {
            for (token, port) in (0..).zip(&self.ports) {
                if reads {
                    self.poll.add(&port.socket, token, Interest::Read)?;
                } else {
                    self.poll.remove(&port.socket)?;
                }
            }
            self.reads = reads;
        }
        Ok(())
    }

    /// Sends the answer to `question`, from the address and by the interface that it came to; where no route leads
    /// back by that interface, by the one that the route names. Returns whether it left.
    pub fn send(&self, question: &Question, to: SocketAddrV4, reply: &[u8]) -> bool {
        let Some(Port { socket, .. }) = self.ports.iter().find(|port| port.door == question.door) else { return false };
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

/// The same question from the same client; only the seconds that it has been waiting (bytes 8 and 9) may differ.
fn repeats(question: &Question, earlier: &Question) -> bool {
    let same = |from: usize, to: usize| question.bytes.get(from..to) == earlier.bytes.get(from..to);
    question.from == earlier.from
        && question.local == earlier.local
        && question.bytes.len() == earlier.bytes.len()
        && same(0, 8)
        && same(10, question.bytes.len())
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
