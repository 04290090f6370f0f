//! Port 69: who asks for what, whether it may have it, and when its turn comes. What a request begins runs in a worker.

use std::collections::hash_map::DefaultHasher;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::caps::Caps;
use super::control::{Control, Member, ToDoor, ToWorker};
use super::dhcp::listen;
use super::files::{Namespace, Source};
use super::handover::{self, Estate};
use super::queue::Queue;
use super::roots::{Found, Roots};
use super::settings::{Network, Settings};
use super::slots::half_open_share;
use super::stats::{Counter, Stats};
use super::transfers::{Begin, ACKNOWLEDGMENT};
use crate::engine::deadline::Time;
use crate::engine::limits::{Clients, Excess, Rate};
use crate::engine::negotiate::{agree, Bounds, Path};
use crate::sys::poll::{Interest, Poll};
use crate::sys::udp::{Batch, Received, Socket, ToSend, WINDOW};
use crate::wire::name::{BadName, Name};
use crate::wire::tftp::{self, ErrorCode, Mode, Packet, Request};

/// The door's token where it is polled.
pub(super) const DOOR: u64 = u64::MAX - 1;
/// Ports that no TFTP client sends from (safety T9).
const LOWEST_CLIENT_PORT: u16 = 1024;
const BOOT_SERVER: u16 = 4011;

/// A datagram with a read request.
pub(super) struct Asked {
    pub received: Received,
    bytes: Box<[u8]>,
}

impl Asked {
    fn new(received: &Received, bytes: &[u8]) -> Asked {
        Asked { received: *received, bytes: bytes.into() }
    }

    #[cfg(test)]
    pub fn of(from: SocketAddrV4, bytes: &[u8]) -> Asked {
        let local = Ipv4Addr::LOCALHOST;
        let received = Received::untold(bytes.len(), from, local, 1);
        Asked::new(&received, bytes)
    }

    /// A hash of the whole request: its repeat has the same.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        hasher.finish()
    }

    fn request(&self) -> Option<Request<'_>> {
        match Packet::parse(&self.bytes) {
            Ok(Packet::Read(request)) => Some(request),
            _ => None,
        }
    }

    /// The file's name, as it was asked for.
    pub fn name(&self) -> &[u8] {
        self.request().map_or(&[], |request| request.filename)
    }
}

/// A request that was answered with an error.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who asked.
    pub peer: SocketAddrV4,
    /// What for, as it was asked.
    pub name: Box<[u8]>,
    /// Why not: the last word of its counter's name.
    pub reason: &'static str,
}

/// Why a request begins nothing, and what its client is told.
type Refusal = (Why, ErrorCode, &'static str);

enum Why {
    Counted(Counter),
    Name(BadName),
}

const MISSING: Refusal = (Why::Counted(Counter::TftpNotFound), ErrorCode::FileNotFound, "File not found");

/// The door. It alone knows which address sees what and has how much; workers tell it what ended.
pub(super) struct Door {
    bounds: Bounds,
    networks: Vec<Network>,
    caps: Caps,
    socket: Socket,
    /// Refusals leave from here: a port that is no transfer's and not the well-known one (W-84).
    refusals: Socket,
    batch: Batch,
    control: Arc<Control>,
    stats: Arc<Stats>,
    namespace: Option<Arc<Namespace>>,
    roots: Roots,
    clients: Clients,
    /// All clients together.
    rate: Rate,
    /// Which worker has this peer's transfer.
    peers: HashMap<SocketAddrV4, usize>,
    queue: Queue,
    /// How many waited when everybody was told.
    told: usize,
    /// Transfers that one worker has room for.
    places: usize,
    /// Its socket is polled; and somebody said that it shall not be.
    reads: bool,
    closed: bool,
}

impl Door {
    /// Opens port 69, or takes over the socket of who had it.
    ///
    /// # Errors
    /// The system's own error.
    pub fn open(
        settings: &Settings,
        given: Option<Socket>,
        places: usize,
        control: Arc<Control>,
        stats: Arc<Stats>,
    ) -> io::Result<Door> {
        let socket = listen(settings.address, given)?;
        let refusals = Socket::bind(SocketAddrV4::new(*socket.local()?.ip(), 0))?;
        refusals.listen()?;
        let limits = settings.limits;
        Ok(Door {
            socket,
            refusals,
            batch: Batch::default(),
            namespace: None,
            roots: Roots::new(limits.transfers.saturating_mul(16)),
            clients: Clients::new(limits),
            rate: Rate::new(settings.requests_per_second),
            peers: HashMap::with_capacity(limits.transfers),
            queue: Queue::new(settings.queue, settings.queue_patience),
            told: 0,
            places,
            reads: false,
            closed: false,
            control,
            stats,
            bounds: settings.bounds,
            networks: settings.networks.clone(),
            caps: Caps::new(&settings.caps),
        })
    }

    /// Its socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Does what was said. Comes before any request is read, so that a machine's root is known before its first request.
    pub fn obey(&mut self, poll: &Poll, now: Time) {
        for letter in self.control.door.take() {
            match letter {
                ToDoor::Publish(namespace) => self.namespace = Some(namespace),
                ToDoor::Answered(address, shown) => self.roots.answered(address, shown, now),
                ToDoor::Offered(session, shown) => self.roots.offered(session, shown, now),
                ToDoor::Settled(session, address) => self.roots.settled(session, address, now),
                ToDoor::Forget(address) => self.roots.forget(address),
                // Who asked may have given up.
                ToDoor::Leave(asker) => drop(asker.send(self.leave())),
                ToDoor::Adopt(estate) => self.adopt(estate, now),
                ToDoor::Ended(peer) => {
                    self.peers.remove(&peer);
                    self.clients.release(*peer.ip());
                }
                ToDoor::Room => {}
                ToDoor::Again(asked) => self.asked(asked, now),
                ToDoor::Close => self.closed = true,
                ToDoor::Open => self.closed = false,
                // Who looks may have gone.
                ToDoor::Look(sender) => drop(sender.send(self.queue.all(now))),
            }
        }
        self.attend(poll);
        self.advance(now);
    }

    /// Has its socket polled, or not: what comes before there is anything to serve, or after it was closed, waits there.
    fn attend(&mut self, poll: &Poll) {
        let reads = self.namespace.is_some() && !self.closed;
        if reads != self.reads {
            let done = if reads { poll.add(&self.socket, DOOR, Interest::Read) } else { poll.remove(&self.socket) };
            self.reads = reads == done.is_ok();
        }
    }

    /// When the queue moves by itself: at the next request that the rate allows, or when somebody in it gives up.
    pub fn deadline(&self) -> Option<Time> {
        let patience = self.queue.deadline().filter(|_| self.reads)?;
        Some(if self.place().is_some() { patience.min(self.rate.next()) } else { patience })
    }

    /// Reads requests.
    pub fn requests(&mut self, poll: &Poll, now: Time) {
        let mut batch = std::mem::take(&mut self.batch);
        let received = self.socket.receive(&mut batch);
        // What was said before a request came counts for it: nobody asks before its answer has left.
        self.obey(poll, now);
        match received {
            Ok(_) => batch.iter().for_each(|(received, bytes)| self.datagram(received, bytes, now)),
            Err(_) => self.stats.count(Counter::ReceiveFailed),
        }
        self.batch = batch;
    }

    fn datagram(&mut self, received: &Received, bytes: &[u8], now: Time) {
        self.stats.count(Counter::TftpReceived);
        let port = received.from.port();
        if port < LOWEST_CLIENT_PORT || port == BOOT_SERVER {
            self.stats.count(Counter::TftpSourcePort);
        } else if received.to != received.local {
            self.stats.count(Counter::TftpBroadcast);
        } else if received.truncated {
            self.stats.count(Counter::TftpTooLong);
        } else if !self.admits(*received.from.ip()) {
            self.stats.count(Counter::TftpSourceNetwork);
        } else {
            match Packet::parse(bytes) {
                Ok(Packet::Read(_)) => self.asked(Box::new(Asked::new(received, bytes)), now),
                Ok(Packet::Write(request)) => {
                    let why = Why::Counted(Counter::TftpWrite);
                    let words = "this server is read only";
                    self.refuse(received, request.filename, (why, ErrorCode::AccessViolation, words));
                }
                // Nothing else that comes to port 69 is ever answered: no loop can begin here (T9).
                Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::Error { .. } | Packet::Oack(_)) => {
                    self.stats.count(Counter::TftpNoRequest);
                }
                Err(error) => self.stats.tftp_malformed(error.what),
            }
        }
    }

    fn admits(&self, address: Ipv4Addr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(address))
    }

    /// A read request, new, repeated or handed back by a worker.
    fn asked(&mut self, mut asked: Box<Asked>, now: Time) {
        let peer = asked.received.from;
        if let Some(&worker) = self.peers.get(&peer) {
            return self.control.tell_worker(worker, ToWorker::Again(asked));
        }
        if self.queue.repeated(&mut asked, now) {
            return self.stats.count(Counter::TftpRepeated);
        }
        let found = match self.find(&asked, now) {
            Ok(found) => found,
            Err(refusal) => return self.refuse(&asked.received, asked.name(), refusal),
        };
        match self.clients.admit(*peer.ip(), now) {
            Ok(()) => {}
            Err(Excess::Transfers) => return self.stats.count(Counter::TftpClientTransfers),
            Err(Excess::Rate) => return self.stats.count(Counter::TftpClientRate),
        }
        // What was read before the door was closed has no queue left to wait in.
        match self.place().filter(|_| self.closed || self.queue.len() == 0 && self.rate.take(now)) {
            Some(worker) => self.begin(&asked, found, worker, now),
            None => self.wait(asked, now),
        }
    }

    fn wait(&mut self, asked: Box<Asked>, now: Time) {
        self.stats.count(Counter::TftpQueued);
        if let Some(oldest) = self.queue.put(asked, now) {
            self.stats.count(Counter::TftpQueueFull);
            self.clients.release(*oldest.received.from.ip());
        }
        self.tell_queue();
    }

    /// How many wait, for everybody, where that is another number than before.
    fn tell_queue(&mut self) {
        let length = self.queue.len();
        if std::mem::replace(&mut self.told, length) != length {
            self.stats.set(Counter::TftpQueueLength, length as u64);
        }
    }

    /// Lets the queue move as far as there is room.
    fn advance(&mut self, now: Time) {
        if self.queue.len() > 0 && self.reads {
            self.move_on(now);
        }
        self.tell_queue();
    }

    fn move_on(&mut self, now: Time) {
        for gone in self.queue.given_up(now) {
            self.stats.count(Counter::TftpQueueGivenUp);
            self.clients.release(*gone.ip());
        }
        while self.queue.len() > 0 {
            let Some(worker) = self.place().filter(|_| self.rate.take(now)) else { return };
            let Some(asked) = self.queue.next() else { return };
            match self.find(&asked, now) {
                Ok(found) => self.begin(&asked, found, worker, now),
                Err(refusal) => {
                    self.clients.release(*asked.received.from.ip());
                    self.refuse(&asked.received, asked.name(), refusal);
                }
            }
        }
    }

    /// The worker with the most room; where none has any, one with a half-open transfer that was silent for so long that
    /// it gives way (safety T11). Any other is still awaited: in a storm an honest client's first word takes its time.
    fn place(&self) -> Option<usize> {
        let workers = || self.control.workers.iter().enumerate();
        let least = workers()
            .filter(|(_, member)| self.has_room(member))
            .min_by_key(|(_, member)| member.transfers.load(Ordering::Relaxed));
        let found = least.or_else(|| workers().find(|(_, member)| member.silent.load(Ordering::Relaxed) > 0));
        found.map(|(worker, _)| worker)
    }

    fn has_room(&self, member: &Member) -> bool {
        member.transfers.load(Ordering::Relaxed) < self.places
            && member.half_open.load(Ordering::Relaxed) < half_open_share(self.places)
    }

    /// The file that is asked for, opened.
    fn find(&mut self, asked: &Asked, now: Time) -> Result<(Found, Source), Refusal> {
        let request = asked.request().ok_or(MISSING)?;
        match request.mode {
            Mode::Octet | Mode::NetAscii => {}
            Mode::Mail | Mode::Other => {
                let why = Why::Counted(Counter::TftpMode);
                return Err((why, ErrorCode::IllegalOperation, "only mode octet is served"));
            }
        }
        let name = Name::fold(request.filename)
            .map_err(|why| (Why::Name(why), ErrorCode::AccessViolation, "no file can have this name"))?;
        let namespace = self.namespace.as_ref().ok_or(MISSING)?;
        let found = self.roots.find(namespace, *asked.received.from.ip(), &name, now).ok_or(MISSING)?;
        let unreadable = |code, words| (Why::Counted(Counter::TftpUnreadable), code, words);
        let source = namespace.open(&found.published).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MISSING,
            io::ErrorKind::PermissionDenied => {
                unreadable(ErrorCode::AccessViolation, "the server may not read this file")
            }
            io::ErrorKind::InvalidData => unreadable(ErrorCode::NotDefined, "the file is not as it was published"),
            _ => unreadable(ErrorCode::NotDefined, "the server cannot open the file"),
        })?;
        Ok((found, source))
    }

    fn begin(&mut self, asked: &Asked, found: (Found, Source), worker: usize, now: Time) {
        let peer = asked.received.from;
        match self.agreed(asked, found, now) {
            Ok(begin) => {
                self.peers.insert(peer, worker);
                if let Some(member) = self.control.workers.get(worker) {
                    if !self.has_room(member) {
                        // One silent transfer gives way to one request.
                        let _ = member
                            .silent
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |silent| silent.checked_sub(1));
                    }
                    member.transfers.fetch_add(1, Ordering::Relaxed);
                    member.half_open.fetch_add(1, Ordering::Relaxed);
                }
                self.control.tell_worker(worker, ToWorker::Begin(Box::new(begin)));
            }
            Err(_) => {
                self.clients.release(*peer.ip());
                self.stats.count(Counter::TftpNoSocket);
            }
        }
    }

    /// A socket of its own for the transfer, and what holds on its way.
    fn agreed(&self, asked: &Asked, (found, source): (Found, Source), now: Time) -> io::Result<Begin> {
        let Received { from, local, .. } = asked.received;
        let Found { published, session, block, window } = found;
        let socket = Socket::of_transfer(SocketAddrV4::new(local, 0))?;
        socket.connect(from)?;
        let mtu = socket.path_mtu()?;
        let request = asked.request().ok_or(io::ErrorKind::InvalidData)?;
        let (agreed, granted) =
            agree(request.options, source.size, &self.bounds.within(window), Path { mtu, told: block });
        let mut acknowledgment = [0; ACKNOWLEDGMENT];
        let length = tftp::emit_oack(&mut acknowledgment, granted.iter()).map_err(|_| io::ErrorKind::InvalidData)?;
        let acknowledgment = (!granted.is_empty()).then_some((acknowledgment, length));
        // A longer window goes out as the socket empties: what waits there is memory that many transfers share.
        let whole = usize::from(agreed.largest_window()).min(WINDOW);
        socket.set_send_buffer(2 * whole as i32 * (i32::from(agreed.block.min(16_384)) + 256));
        let tolls = self.caps.of(*from.ip(), agreed.block, mtu);
        Ok(Begin {
            peer: from,
            request: asked.key(),
            agreed,
            acknowledgment,
            published,
            session,
            source,
            socket,
            mtu,
            tolls,
            asked: now,
        })
    }

    /// What this door knows, and who waits at it, for the one of another process.
    fn leave(&mut self) -> Estate {
        let mut waiting = Vec::with_capacity(self.queue.len());
        while let Some(asked) = self.queue.next() {
            let Asked { received: Received { from, local, interface, .. }, bytes } = *asked;
            self.clients.release(*from.ip());
            waiting.push(handover::Request { from, local, interface, bytes });
        }
        Estate { seen: self.roots.seen(), waiting }
    }

    /// Goes on where the door of another process left.
    fn adopt(&mut self, estate: Estate, now: Time) {
        estate.seen.into_iter().for_each(|seen| self.roots.adopt(seen));
        for handover::Request { from, local, interface, bytes } in estate.waiting {
            if self.clients.admit(*from.ip(), now).is_ok() {
                let received = Received::untold(bytes.len(), from, local, interface);
                self.wait(Box::new(Asked { received, bytes }), now);
            }
        }
    }

    /// Tells a client why it gets nothing, and whoever wants to know, too.
    fn refuse(&self, received: &Received, name: &[u8], (why, code, words): Refusal) {
        let counted = match why {
            Why::Counted(counter) => {
                self.stats.count(counter);
                counter.name()
            }
            Why::Name(why) => {
                self.stats.bad_name(why);
                why.name()
            }
        };
        let reason = counted.rsplit('.').next().unwrap_or(counted);
        if !self.control.refuse(|| Refused { peer: received.from, name: name.into(), reason }) {
            self.stats.count(Counter::RefusalsLost);
        }
        let mut buffer = [0; 64];
        let length = tftp::emit_error(&mut buffer, code, words).unwrap_or(0);
        let bytes = buffer.get(..length).unwrap_or(&[]);
        let datagram = ToSend { bytes, to: received.from, from: received.local, interface: 0 };
        if self.refusals.send_from(&datagram).is_err() {
            self.stats.count(Counter::TftpSendFailed);
        }
    }
}
