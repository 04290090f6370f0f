//! Receive timestamps: makes sure that the kernel stamps each datagram at its arrival, not when it is read.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::clock;
use super::udp::{Batch, Socket, ToSend};

/// Makes the kernel stamp every datagram as it comes, on every socket, as long as this lives.
///
/// A socket that asks for stamps makes the kernel begin, but a moment later: what comes in between gets the time at which
/// it is read, which makes it look new.
pub struct Stamps {
    socket: Socket,
    works: bool,
}

/// The number of looks whether the kernel has begun, and the time between two of them.
const LOOKS: (u32, Duration) = (250, Duration::from_millis(2));

impl Stamps {
    /// Returns once the kernel stamps what comes, or has not begun to for half a second.
    ///
    /// # Errors
    /// The system's own error.
    pub fn begin() -> io::Result<Stamps> {
        let socket = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        socket.stamp()?;
        let to = socket.local()?;
        let mut batch = Batch::default();
        let works = (0..LOOKS.0).any(|_| stamps_what_comes(&socket, to, &mut batch));
        Ok(Stamps { socket, works })
    }

    /// Each datagram that comes to a socket that is opened from now on has the time at which it came.
    pub fn works(&self) -> bool {
        self.works
    }
}

impl AsRawFd for Stamps {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Sends a datagram to the socket itself, lets it wait, and returns true if its stamp is from before that.
fn stamps_what_comes(socket: &Socket, to: SocketAddrV4, batch: &mut Batch) -> bool {
    let itself = ToSend { bytes: b"", to, from: *to.ip(), interface: 0 };
    if socket.send_from(&itself).is_err() {
        return false;
    }
    std::thread::sleep(LOOKS.1);
    let waited = clock::wall();
    matches!(socket.receive(batch), Ok(count) if count > 0)
        && batch.iter().all(|(received, _)| received.stamp.is_some_and(|stamp| stamp < waited))
}
