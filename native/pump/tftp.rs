//! Port 69 and every transfer: one loop, one thread, no lock and no allocation while blocks flow.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::control::{Command, Control, Report};
use super::dhcp::listen;
use super::files::{Namespace, Source};
use super::gate::{Gate, TransferId, Verdict};
use super::roots::{Found, Roots};
use super::settings::Settings;
use super::slots::{Place, Slots};
use super::stats::{Counter, Stats};
use super::transfers::{Parts, Running, Shared, ACKNOWLEDGMENT};
use crate::engine::deadline::Time;
use crate::engine::limits::{Clients, Excess};
use crate::engine::negotiate::{agree, Path};
use crate::engine::transfer::{Event, Outcome, Terms, Transfer};
use crate::sys::poll::{Bell, Interest, Poll};
use crate::sys::udp::{Batch, Received, Socket, ToSend, WINDOW};
use crate::sys::{clock, random};
use crate::wire::name::Name;
use crate::wire::tftp::{self, ErrorCode, Mode, Packet, Request};

/// The pump. [`Pump::run`] is its thread's whole life.
pub struct Pump {
    settings: Settings,
    door: Socket,
    /// Refusals leave from here: a port that is no transfer's and not the well-known one (W-84).
    refusals: Socket,
    shared: Shared,
    /// Its own number in the ids of its transfers.
    id: u64,
    namespace: Option<Arc<Namespace>>,
    roots: Roots,
    clients: Clients,
    slots: Slots,
}

const DOOR: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const EVENTS: usize = 256;
/// Ports that no TFTP client sends from (safety T9).
const LOWEST_CLIENT_PORT: u16 = 1024;
const BOOT_SERVER: u16 = 4011;

impl Pump {
    /// Takes the given socket, or binds port 69. `listener` rings whenever a gate is asked for.
    ///
    /// # Errors
    /// The system's own error.
    pub fn bind(settings: Settings, given: Option<Socket>, stats: Arc<Stats>, listener: Arc<Bell>) -> io::Result<Pump> {
        let door = listen(settings.address, given)?;
        let refusals = Socket::bind(SocketAddrV4::new(*settings.address.ip(), 0))?;
        refusals.listen()?;
        let poll = Poll::new(EVENTS)?;
        let control = Arc::new(Control::new(listener)?);
        poll.add(&door, DOOR, Interest::Read)?;
        poll.add(&control.bell, BELL, Interest::Read)?;
        let offload = door.knows_segments();
        let limits = settings.limits;
        Ok(Pump {
            settings,
            door,
            refusals,
            shared: Shared::new(poll, control, stats, offload),
            id: random::number()?,
            namespace: None,
            roots: Roots::new(limits.transfers.saturating_mul(16)),
            clients: Clients::new(limits),
            slots: Slots::new(limits.transfers),
        })
    }

    /// Speaks to this pump.
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.shared.control)
    }

    /// Where it listens.
    pub fn bound(&self) -> io::Result<SocketAddrV4> {
        self.door.local()
    }

    /// The door's descriptor, which stays the pump's.
    pub fn descriptor(&self) -> RawFd {
        self.door.as_raw_fd()
    }

    /// Whether windows leave by segment offload.
    pub fn offload(&self) -> bool {
        self.shared.offload
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// The system's own error of the wait itself; nothing that a packet brings ends the loop.
    pub fn run(mut self) -> io::Result<()> {
        let mut batch = Batch::default();
        loop {
            let count = match self.shared.poll.wait(self.patience()) {
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
                match ready.token {
                    DOOR => self.requests(&mut batch, now),
                    // Obeyed again once it is silent: a command said in between has rung in vain.
                    BELL => {
                        self.shared.control.bell.hush();
                        if self.obey(now) {
                            return Ok(());
                        }
                    }
                    token => self.event(token, ready.readable, ready.writable, now),
                }
            }
            while let Some(slot) = self.slots.expired(now) {
                self.with(slot, |running, shared| {
                    if running.transfer.deadline() <= now {
                        running.take(Event::Timeout, shared, now);
                    }
                });
                self.settle(slot, now);
            }
        }
    }

    /// Does what was said; true when that was to stop. Comes before any request is read, so that a machine's root is
    /// known before its first request.
    fn obey(&mut self, now: Time) -> bool {
        for command in self.shared.control.heard() {
            match command {
                Command::Publish(namespace) => self.namespace = Some(namespace),
                Command::Answered(address, shown) => self.roots.answered(address, shown, now),
                Command::Offered(session, shown) => self.roots.offered(session, shown, now),
                Command::Forget(address) => self.roots.forget(address),
                // Who asked may have given up.
                Command::Seen(asker) => drop(asker.try_send(self.roots.seen())),
                Command::Adopt(all) => all.into_iter().for_each(|seen| self.roots.adopt(seen)),
                Command::Gate(transfer, verdict) => self.answered(transfer, &verdict, now),
                Command::Stop => return true,
            }
        }
        false
    }

    /// Brings the answer of a gate to the transfer that asked for it, and to no other (I3).
    fn answered(&mut self, transfer: TransferId, verdict: &Verdict, now: Time) {
        let mut met = false;
        let slot = self.slots.living(Place::of(transfer.token)).filter(|_| transfer.pump == self.id);
        if let Some(slot) = slot {
            self.with(slot, |running, shared| met = running.answered(verdict, shared, now));
            self.settle(slot, now);
        }
        if !met {
            self.shared.stats.count(Counter::TftpGatesLate);
        }
    }

    /// Milliseconds until the next deadline; a minute when there is none.
    fn patience(&self) -> i32 {
        let wait = self.slots.next_deadline().map_or(60_000_000, |deadline| deadline.saturating_sub(clock::now()));
        i32::try_from(wait.div_ceil(1000)).unwrap_or(i32::MAX)
    }

    fn event(&mut self, token: u64, readable: bool, writable: bool, now: Time) {
        let Some(slot) = self.slots.living(Place::of(token)) else { return };
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
        let Some(transfer) = self.slots.get(slot).map(|running| &running.transfer) else { return };
        match transfer.outcome() {
            None => {
                let deadline = transfer.deadline();
                self.slots.due(slot, deadline);
            }
            Some(outcome) => self.end(slot, outcome, now),
        }
    }

    fn end(&mut self, slot: u32, outcome: Outcome, now: Time) {
        let Some(running) = self.slots.clear(slot) else { return };
        self.clients.release(*running.peer.ip());
        if let Some(gate) = &running.gate {
            self.shared.control.withdraw(gate.transfer);
        }
        let transfer = &running.transfer;
        let stats = &self.shared.stats;
        stats.ended(outcome);
        stats.add(Counter::TftpResent, u64::from(transfer.resent()));
        stats.add(Counter::TftpIgnored, u64::from(transfer.ignored()));
        let agreed = transfer.agreed();
        let acknowledged = transfer.acknowledged_blocks().saturating_mul(u64::from(agreed.block));
        let report = Report {
            bytes: acknowledged.min(running.source.size),
            size: running.source.size,
            published: running.published,
            peer: running.peer,
            outcome,
            agreed,
            window: transfer.largest_window(),
            resent: transfer.resent(),
            took: now.saturating_sub(running.began),
        };
        stats.measured(&report);
        if !self.shared.control.report(report) {
            self.shared.stats.count(Counter::ReportsLost);
        }
    }

    fn requests(&mut self, batch: &mut Batch, now: Time) {
        if self.door.receive(batch).is_err() {
            return self.shared.stats.count(Counter::ReceiveFailed);
        }
        for (received, bytes) in batch.iter() {
            self.shared.stats.count(Counter::TftpReceived);
            let port = received.from.port();
            if port < LOWEST_CLIENT_PORT || port == BOOT_SERVER {
                self.shared.stats.count(Counter::TftpSourcePort);
            } else if received.to != received.local {
                self.shared.stats.count(Counter::TftpBroadcast);
            } else if received.truncated {
                self.shared.stats.count(Counter::TftpTooLong);
            } else {
                self.packet(received, bytes, now);
            }
        }
    }

    fn packet(&mut self, received: &Received, bytes: &[u8], now: Time) {
        match Packet::parse(bytes) {
            Ok(Packet::Read(request)) => {
                if let Err((counter, code, words)) = self.request(received, bytes, &request, now) {
                    if let Some(counter) = counter {
                        self.shared.stats.count(counter);
                    }
                    self.refuse(received, code, words);
                }
            }
            Ok(Packet::Write(_)) => {
                self.shared.stats.count(Counter::TftpWrite);
                self.refuse(received, ErrorCode::AccessViolation, "this server is read only");
            }
            // Nothing else that comes to port 69 is ever answered: no loop can begin here (T9).
            Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::Error { .. } | Packet::Oack(_)) => {
                self.shared.stats.count(Counter::TftpNoRequest);
            }
            Err(error) => self.shared.stats.tftp_malformed(error.what),
        }
    }

    fn request(
        &mut self,
        received: &Received,
        bytes: &[u8],
        request: &Request<'_>,
        now: Time,
    ) -> Result<(), (Option<Counter>, ErrorCode, &'static str)> {
        let key = hash(bytes);
        if let Some(slot) = self.slots.of_peer(received.from) {
            if self.repeated(slot, key, now) {
                return Ok(());
            }
        }
        match request.mode {
            Mode::Octet | Mode::NetAscii => {}
            Mode::Mail | Mode::Other => {
                return Err((Some(Counter::TftpMode), ErrorCode::IllegalOperation, "only mode octet is served"));
            }
        }
        let name = Name::fold(request.filename).map_err(|why| {
            self.shared.stats.bad_name(why);
            (None, ErrorCode::AccessViolation, "no file can have this name")
        })?;
        let missing = (Some(Counter::TftpNotFound), ErrorCode::FileNotFound, "File not found");
        let namespace = self.namespace.clone().ok_or(missing)?;
        let found = self.roots.find(&namespace, *received.from.ip(), &name, now).ok_or(missing)?;
        let source = namespace.open(&found.published).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing,
            io::ErrorKind::PermissionDenied => {
                (Some(Counter::TftpUnreadable), ErrorCode::AccessViolation, "the server may not read this file")
            }
            _ => (Some(Counter::TftpUnreadable), ErrorCode::NotDefined, "the file is not as it was published"),
        })?;
        match self.clients.admit(*received.from.ip(), now) {
            Ok(()) => {}
            Err(Excess::Transfers) => {
                self.shared.stats.count(Counter::TftpClientTransfers);
                return Ok(());
            }
            Err(Excess::Rate) => {
                self.shared.stats.count(Counter::TftpClientRate);
                return Ok(());
            }
        }
        let begun = self.begin(received, request, key, found, source, now);
        if let Err(counter) = begun {
            self.clients.release(*received.from.ip());
            self.shared.stats.count(counter);
        }
        Ok(())
    }

    /// The peer has a transfer already: a repeat is answered again, anything else takes its place (W-98).
    fn repeated(&mut self, slot: u32, key: u64, now: Time) -> bool {
        // What it told its transfer came before: an ERROR ended the probe that is now asked for again (W-97).
        self.with(slot, |running, shared| running.readable(shared, now));
        self.settle(slot, now);
        let Some(running) = self.slots.get(slot) else { return false };
        if running.request != key || !running.transfer.awaits_first_ack() {
            self.end(slot, Outcome::Displaced, now);
            return false;
        }
        self.shared.stats.count(Counter::TftpRepeated);
        self.with(slot, |running, shared| running.take(Event::Repeated, shared, now));
        self.settle(slot, now);
        true
    }

    fn begin(
        &mut self,
        received: &Received,
        request: &Request<'_>,
        key: u64,
        found: Found,
        source: Source,
        now: Time,
    ) -> Result<(), Counter> {
        if let Some(oldest) = self.slots.crowded() {
            self.end(oldest, Outcome::Displaced, now);
        }
        let place = self.slots.vacant().ok_or(Counter::TftpFull)?;
        let token = place.token();
        let Found { published, session, block, window: most } = found;
        let bounds = self.settings.bounds.within(most);
        let socket = Socket::bind(SocketAddrV4::new(received.local, 0)).map_err(|_| Counter::TftpNoSocket)?;
        socket.connect(received.from).map_err(|_| Counter::TftpNoSocket)?;
        let path = Path { mtu: socket.path_mtu().map_err(|_| Counter::TftpNoSocket)?, told: block };
        let (agreed, granted) = agree(request.options.clone(), source.size, &bounds, path);
        let mut acknowledgment = [0; ACKNOWLEDGMENT];
        let length = tftp::emit_oack(&mut acknowledgment, granted.iter()).map_err(|_| Counter::TftpNoSocket)?;
        // A longer window goes out as the socket empties: what waits there is memory that many transfers share.
        let window = usize::from(agreed.largest_window()).min(WINDOW);
        socket.set_send_buffer(2 * window as i32 * (i32::from(agreed.block.min(16_384)) + 256));
        self.shared.poll.add(&socket, token, Interest::Read).map_err(|_| Counter::TftpNoSocket)?;
        let terms = Terms {
            agreed,
            size: source.size,
            acknowledge: !granted.is_empty(),
            gated: published.gated,
            retransmit: self.settings.retransmit,
        };
        let (transfer, send) = Transfer::start(terms, now);
        let id = TransferId { pump: self.id, token };
        let gate = Gate { transfer: id, published: Arc::clone(&published), peer: received.from, session };
        let parts = Parts {
            transfer,
            peer: received.from,
            request: key,
            gate: published.gated.then_some(gate),
            published,
            socket,
            source,
            token,
            mtu: path.mtu,
            acknowledgment: (acknowledgment, length),
        };
        let mut running = Running::new(parts, now);
        running.send(send, &mut self.shared, now);
        self.slots.fill(place, running);
        self.shared.stats.count(Counter::TftpStarted);
        self.settle(place.slot, now);
        Ok(())
    }

    fn refuse(&self, received: &Received, code: ErrorCode, words: &str) {
        let mut buffer = [0; 64];
        let length = tftp::emit_error(&mut buffer, code, words).unwrap_or(0);
        let bytes = buffer.get(..length).unwrap_or(&[]);
        let datagram = ToSend { bytes, to: received.from, from: received.local, interface: 0 };
        if self.refusals.send_from(&datagram).is_err() {
            self.shared.stats.count(Counter::TftpSendFailed);
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
