//! A client on a socket of its own: one download, for the demo, tests and benches.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use crate::engine::deadline::Time;
use crate::engine::download::{Download, Failure, Step};
use crate::engine::negotiate::VARIABLE;
use crate::sys::clock;
use crate::wire::tftp;

/// Why a download ended without its file.
#[derive(Debug)]
pub enum Lost {
    /// The server or its silence.
    Failure(Failure),
    /// The socket.
    Io(io::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Failure(Failure::Refused(code, words)) => write!(f, "the server refused (error {code}): {words}"),
            Lost::Failure(Failure::Silent) => f.write_str("the server is silent"),
            Lost::Failure(Failure::BadAcknowledgment) => f.write_str("the server acknowledged what was not asked for"),
            Lost::Io(error) => error.fmt(f),
        }
    }
}

/// One download under way.
pub struct Client {
    socket: UdpSocket,
    server: SocketAddrV4,
    /// The transfer's own port, once the server has answered from it.
    peer: Option<SocketAddr>,
    download: Download,
    request: Vec<u8>,
    buffer: Vec<u8>,
    begun: bool,
    done: bool,
}

impl Client {
    /// A client at `local` that asks `server` for `name` with these sizes, in bytes and blocks, and to vary its window.
    ///
    /// # Errors
    /// The system's own error; `InvalidInput` for a name that no request can carry.
    pub fn new(
        server: SocketAddrV4,
        local: Ipv4Addr,
        name: &[u8],
        (block, window): (u16, u16),
        variable: bool,
    ) -> io::Result<Client> {
        let mut request = vec![0; tftp::MAX_REQUEST];
        let sizes: [(&[u8], u64); 3] =
            [(b"tsize", 0), (b"blksize", u64::from(block)), (b"windowsize", u64::from(window))];
        let vary = variable.then_some((&b"msftwindow"[..], VARIABLE.0));
        let length = tftp::emit_request(&mut request, name, sizes.into_iter().chain(vary))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        request.truncate(length);
        Ok(Client {
            socket: UdpSocket::bind((local, 0))?,
            server,
            peer: None,
            download: Download::new(block, window, variable, clock::now()),
            request,
            buffer: vec![0; usize::from(block).max(512) + 5],
            begun: false,
            done: false,
        })
    }

    /// Goes on for at most `budget` microseconds, handing each block in order to `sink`. True when the file is whole.
    ///
    /// # Errors
    /// Why it is lost.
    pub fn run(&mut self, budget: Time, mut sink: impl FnMut(&[u8])) -> Result<bool, Lost> {
        let end = clock::now().saturating_add(budget);
        if !self.begun {
            self.begun = true;
            self.act(Step::Request)?;
        }
        while !self.done {
            let now = clock::now();
            if now >= end {
                return Ok(false);
            }
            let step = if now >= self.download.deadline() {
                self.download.timeout(now).map_err(Lost::Failure)?
            } else {
                self.receive(self.download.deadline().min(end) - now, &mut sink)?
            };
            self.act(step)?;
        }
        Ok(true)
    }

    fn receive(&mut self, patience: Time, sink: &mut impl FnMut(&[u8])) -> Result<Step, Lost> {
        self.socket.set_read_timeout(Some(Duration::from_micros(patience.max(1000)))).map_err(Lost::Io)?;
        let (length, from) = match self.socket.recv_from(&mut self.buffer) {
            Ok(received) => received,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(Step::Wait);
            }
            Err(error) => return Err(Lost::Io(error)),
        };
        if from.ip() != SocketAddr::V4(self.server).ip() || self.peer.is_some_and(|peer| peer != from) {
            return Ok(Step::Wait);
        }
        self.peer = Some(from);
        let datagram = self.buffer.get(..length).unwrap_or(&[]);
        self.download.handle(datagram, clock::now(), sink).map_err(Lost::Failure)
    }

    fn act(&mut self, step: Step) -> Result<(), Lost> {
        let sent = match (step, self.peer) {
            (Step::Request, _) => self.socket.send_to(&self.request, self.server),
            (Step::Ack(block, wanted), Some(peer)) => self.acknowledge(block, wanted, peer),
            (Step::Last(block), Some(peer)) => self.acknowledge(block, None, peer),
            (Step::Wait, _) | (Step::Ack(..) | Step::Last(_), None) => Ok(0),
        };
        sent.map_err(Lost::Io)?;
        self.done = matches!(step, Step::Last(_));
        Ok(())
    }

    fn acknowledge(&self, block: u16, wanted: Option<u8>, peer: SocketAddr) -> io::Result<usize> {
        let mut ack = [0; 5];
        let length = tftp::emit_ack(&mut ack, block, wanted).unwrap_or(0);
        self.socket.send_to(ack.get(..length).unwrap_or(&[]), peer)
    }

    /// The size that the server told, in bytes.
    pub fn size(&self) -> Option<u64> {
        self.download.size
    }
}
