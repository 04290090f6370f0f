//! UDP sockets: batches in, windows out.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::cmsg::{self, Control, Told};
use super::map::Span;
use super::{check, descriptors, length};

/// Datagrams taken by one [`Socket::receive`].
pub const BATCH: usize = 32;
/// The longest datagram received whole; a longer one is reported as truncated.
pub const DATAGRAM: usize = 4096;
/// The most blocks one [`Socket::send_window`] takes.
pub const WINDOW: usize = 64;
/// What the kernel cuts from one send at most (UDP_MAX_SEGMENTS before Linux 6.9).
const SEGMENTS: usize = 64;
/// The longest UDP payload over IPv4.
const PAYLOAD: usize = 65_507;

/// Where a received datagram came from and to.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Bytes of it in the batch's buffer.
    pub len: usize,
    /// It was longer than [`DATAGRAM`].
    pub truncated: bool,
    /// Its source.
    pub from: SocketAddrV4,
    /// The destination address in the packet (broadcast, perhaps).
    pub to: Ipv4Addr,
    /// Our address to answer from; unspecified where the interface has none.
    pub local: Ipv4Addr,
    /// The index of the interface that it came in by.
    pub interface: u32,
    /// When the kernel received it, in microseconds of the wall clock; of sockets that [`Socket::stamp`].
    pub stamp: Option<i64>,
    /// How many datagrams the socket had no room for before it, as far as the kernel says so.
    pub overflowed: Option<u32>,
}

impl Received {
    /// A datagram that was sent to `local`, of which the kernel tells no more.
    pub const fn untold(len: usize, from: SocketAddrV4, local: Ipv4Addr, interface: u32) -> Received {
        Received { len, truncated: false, from, to: local, local, interface, stamp: None, overflowed: None }
    }
}

/// Room for [`BATCH`] datagrams.
pub struct Batch {
    buffers: Vec<[u8; DATAGRAM]>,
    received: Vec<Received>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { buffers: vec![[0; DATAGRAM]; BATCH], received: Vec::with_capacity(BATCH) }
    }
}

impl Batch {
    /// The datagrams of the last receive.
    pub fn iter(&self) -> impl Iterator<Item = (&Received, &[u8])> {
        self.received.iter().zip(&self.buffers).map(|(r, b)| (r, b.get(..r.len).unwrap_or(&[])))
    }
}

/// One datagram to send from an unconnected socket.
#[derive(Clone, Copy, Debug)]
pub struct ToSend<'a> {
    /// The payload.
    pub bytes: &'a [u8],
    /// Where to.
    pub to: SocketAddrV4,
    /// The source address.
    pub from: Ipv4Addr,
    /// The interface to leave by; 0 lets the route decide.
    pub interface: u32,
}

/// A UDP socket over IPv4 that never blocks.
pub struct Socket(OwnedFd);

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Socket {
    /// A socket bound to `local`. Port 0 is a random free port: the only secret that TFTP has (safety T3).
    /// Never shares a port (no SO_REUSEADDR: it would take packets from a DHCP server, safety T21).
    ///
    /// # Errors
    /// The system's own error: `AddrInUse`, `PermissionDenied`, too many open files.
    pub fn bind(local: SocketAddrV4) -> io::Result<Socket> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are passed; the descriptor returned is ours alone.
        let socket = Socket(unsafe { OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET, kind, 0))?) });
        socket.allow_fragments()?;
        let address = sockaddr(local);
        // SAFETY: `address` is a valid sockaddr_in that lives through the call.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LENGTH) })?;
        Ok(socket)
    }

    /// The same for one transfer, which leaves the last descriptors to everything else.
    ///
    /// # Errors
    /// As [`Socket::bind`]; too many open files where only those are left.
    pub fn of_transfer(local: SocketAddrV4) -> io::Result<Socket> {
        descriptors::of_transfer(Socket::bind(local)?)
    }

    /// A socket that another process, or another part of this one, has opened and bound: the same one under a descriptor
    /// of our own.
    ///
    /// # Errors
    /// `InvalidInput` for what is no bound, unconnected UDP socket of IPv4, else the system's own error.
    pub fn given(descriptor: RawFd) -> io::Result<Socket> {
        // SAFETY: no pointers are passed; the descriptor returned is ours alone.
        let socket = Socket(unsafe { OwnedFd::from_raw_fd(check(libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0))?) });
        let is = |name, value| Ok::<_, io::Error>(socket.asked(libc::SOL_SOCKET, name)? == value);
        let wrong = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !is(libc::SO_DOMAIN, libc::AF_INET)? || !is(libc::SO_PROTOCOL, libc::IPPROTO_UDP)? {
            return wrong("not a UDP socket of IPv4");
        }
        if socket.local()?.port() == 0 {
            return wrong("bound to no port");
        }
        if socket.path_mtu().is_ok() {
            return wrong("connected to one peer");
        }
        // SAFETY: no pointers are passed.
        let flags = check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
        // SAFETY: no pointers are passed.
        check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
        socket.allow_fragments()?;
        Ok(socket)
    }

    /// Fragments may leave where a block is larger than the path's MTU (W-110): DF stays clear.
    fn allow_fragments(&self) -> io::Result<()> {
        self.option(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    }

    /// Makes the socket tell each datagram's address and interface, and lets it send to broadcast addresses.
    ///
    /// # Errors
    /// The system's own error.
    pub fn listen(&self) -> io::Result<()> {
        self.option(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        self.option(libc::SOL_SOCKET, libc::SO_BROADCAST, 1)
    }

    /// Makes the socket tell when the kernel received each datagram, and how many it had no room for.
    ///
    /// # Errors
    /// The system's own error.
    pub fn stamp(&self) -> io::Result<()> {
        self.option(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        self.option(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
    }

    /// Speaks with `peer` alone from now on; ICMP errors of that peer are told by later calls.
    ///
    /// # Errors
    /// The system's own error (no route).
    pub fn connect(&self, peer: SocketAddrV4) -> io::Result<()> {
        let address = sockaddr(peer);
        // SAFETY: `address` is a valid sockaddr_in that lives through the call.
        check(unsafe { libc::connect(self.as_raw_fd(), (&raw const address).cast(), ADDRESS_LENGTH) })?;
        Ok(())
    }

    /// Asks for a receive buffer of at least `bytes`; beyond the system's bound where the process may. One that is
    /// larger stays, for whoever opened the socket may have had more rights.
    pub fn set_receive_buffer(&self, bytes: i32) {
        // The kernel tells twice what was asked for: its own overhead is in it.
        let has = self.asked(libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap_or(0);
        if has / 2 >= bytes {
            return;
        }
        if self.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes).is_err() {
            let _ = self.option(libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
        }
    }

    /// Asks for a send buffer of at least `bytes`; beyond the system's bound where the process may.
    pub fn set_send_buffer(&self, bytes: i32) {
        if self.option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes).is_err() {
            let _ = self.option(libc::SOL_SOCKET, libc::SO_SNDBUF, bytes);
        }
    }

    fn option(&self, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: `value` is an int that lives through the call, `size` is its size.
        check(unsafe { libc::setsockopt(self.as_raw_fd(), level, name, (&raw const value).cast(), size) })?;
        Ok(())
    }

    /// The MTU of the path to the connected peer, in bytes of IP packet.
    ///
    /// # Errors
    /// The system's own error (not connected).
    pub fn path_mtu(&self) -> io::Result<u32> {
        self.asked(libc::IPPROTO_IP, libc::IP_MTU).map(libc::c_int::unsigned_abs)
    }

    fn asked(&self, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
        let mut value: libc::c_int = 0;
        let mut size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: `value` and `size` are writable and live through the call.
        check(unsafe { libc::getsockopt(self.as_raw_fd(), level, name, (&raw mut value).cast(), &mut size) })?;
        Ok(value)
    }

    /// The address and port that the socket is bound to.
    ///
    /// # Errors
    /// The system's own error.
    pub fn local(&self) -> io::Result<SocketAddrV4> {
        let mut address = sockaddr(UNSPECIFIED);
        let mut size = ADDRESS_LENGTH;
        // SAFETY: `address` and `size` are writable and live through the call.
        check(unsafe { libc::getsockname(self.as_raw_fd(), (&raw mut address).cast(), &mut size) })?;
        Ok(from_sockaddr(&address))
    }

    /// Takes up to [`BATCH`] datagrams in one call. Returns how many; none when nothing waits.
    ///
    /// # Errors
    /// The system's own error, `WouldBlock` excepted.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        self.receive_some(batch, BATCH)
    }

    /// Takes up to `most` datagrams, and [`BATCH`], in one call. Returns how many; none when nothing waits.
    ///
    /// # Errors
    /// The system's own error, `WouldBlock` excepted.
    pub fn receive_some(&self, batch: &mut Batch, most: usize) -> io::Result<usize> {
        batch.received.clear();
        let mut names = [sockaddr(UNSPECIFIED); BATCH];
        let mut controls = [Told::EMPTY; BATCH];
        // SAFETY: iovec and mmsghdr are plain data for which all zeros is a valid value.
        let (mut slices, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { std::mem::zeroed() };
        let parts = names.iter_mut().zip(&mut controls).zip(&mut slices).zip(&mut batch.buffers).zip(&mut headers);
        for ((((name, control), slice), buffer), header) in parts {
            *slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut *name).cast();
            header.msg_namelen = ADDRESS_LENGTH;
            header.msg_iov = slice;
            header.msg_iovlen = 1;
            header.msg_controllen = control.len();
            header.msg_control = control.as_mut_ptr();
        }
        // SAFETY: each of the BATCH headers points to a name, a control buffer and a data buffer of the stated sizes,
        // all of which live through the call.
        let count = unsafe {
            libc::recvmmsg(
                self.as_raw_fd(),
                headers.as_mut_ptr(),
                most.min(BATCH) as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = match check(count) {
            Ok(count) => count.unsigned_abs() as usize,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        for (header, name) in headers.iter().zip(&names).take(count) {
            let facts = cmsg::facts(&header.msg_hdr);
            let (to, local, interface) = facts.info.unwrap_or((Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, 0));
            batch.received.push(Received {
                len: header.msg_len as usize,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                from: from_sockaddr(name),
                to,
                local,
                interface,
                stamp: facts.stamp,
                overflowed: facts.overflowed,
            });
        }
        Ok(count)
    }

    /// Takes one datagram from the connected peer.
    ///
    /// # Errors
    /// The system's own error: `WouldBlock` when nothing waits, `ConnectionRefused` after ICMP port unreachable.
    pub fn receive_one(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buffer` is writable for its whole length through the call.
        length(unsafe { libc::recv(self.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) })
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// The system's own error.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: `bytes` is readable for its whole length through the call.
        length(unsafe { libc::send(self.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) })?;
        Ok(())
    }

    /// Sends one datagram from an address and an interface of our choice.
    ///
    /// # Errors
    /// The system's own error.
    pub fn send_from(&self, datagram: &ToSend<'_>) -> io::Result<()> {
        let mut name = sockaddr(datagram.to);
        let mut control = Control::EMPTY;
        let mut slice =
            libc::iovec { iov_base: datagram.bytes.as_ptr().cast_mut().cast(), iov_len: datagram.bytes.len() };
        // SAFETY: msghdr is plain data for which all zeros is a valid value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = ADDRESS_LENGTH;
        header.msg_iov = &mut slice;
        header.msg_iovlen = 1;
        header.msg_controllen = control.len();
        header.msg_control = control.as_mut_ptr();
        header.msg_controllen = cmsg::write_packet_info(&header, datagram.from, datagram.interface);
        // SAFETY: the header's name, data and control message live through the call; the kernel only reads them.
        length(unsafe { libc::sendmsg(self.as_raw_fd(), &header, libc::MSG_NOSIGNAL) })?;
        Ok(())
    }

    /// Sends one block a header to the connected peer: `data` cut into pieces of `block` bytes, the last perhaps
    /// shorter or empty, each behind its own header. With `offload` the kernel cuts (UDP_SEGMENT), else one sendmmsg
    /// carries them. At most [`WINDOW`] blocks. Returns how many left; fewer than asked when the socket is full.
    ///
    /// # Errors
    /// The system's own error when none left; `EFAULT` where a mapped file has lost these bytes. With `offload`, `EIO`,
    /// `EINVAL` or `EMSGSIZE` says that the path does not take it.
    pub fn send_window(
        &self,
        headers: &[[u8; 4]],
        mut data: Span<'_>,
        block: usize,
        offload: bool,
    ) -> io::Result<usize> {
        if let [header] = headers {
            return self.send_block(header, data.take(block));
        }
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut slices = [[empty; 2]; WINDOW];
        let count = headers.len().min(WINDOW);
        for (header, slice) in headers.iter().zip(&mut slices) {
            *slice = [iovec(header), data.take(block)];
        }
        let slices = slices.get_mut(..count).unwrap_or_default();
        if offload {
            self.send_segments(slices, block)
        } else {
            self.send_each(slices)
        }
    }

    fn send_block(&self, header: &[u8; 4], data: libc::iovec) -> io::Result<usize> {
        let mut slices = [iovec(header), data];
        // SAFETY: msghdr is plain data for which all zeros is a valid value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = slices.as_mut_ptr();
        message.msg_iovlen = slices.len();
        // SAFETY: both slices live through the call; the kernel only reads them.
        length(unsafe { libc::sendmsg(self.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })?;
        Ok(1)
    }

    fn send_segments(&self, slices: &mut [[libc::iovec; 2]], block: usize) -> io::Result<usize> {
        let size = block.saturating_add(4);
        let most = (PAYLOAD / size).clamp(1, SEGMENTS);
        let segment = u16::try_from(size).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        let mut sent = 0;
        for chunk in slices.chunks_mut(most) {
            let mut control = Control::EMPTY;
            // SAFETY: msghdr is plain data for which all zeros is a valid value.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_iov = chunk.as_mut_ptr().cast();
            header.msg_iovlen = chunk.len() * 2;
            header.msg_controllen = control.len();
            header.msg_control = control.as_mut_ptr();
            header.msg_controllen = cmsg::write_segment(&header, segment);
            // SAFETY: the two slices of each block and the control message live through the call; the kernel only
            // reads them.
            match length(unsafe { libc::sendmsg(self.as_raw_fd(), &header, libc::MSG_NOSIGNAL) }) {
                Ok(_) => sent += chunk.len(),
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    fn send_each(&self, slices: &mut [[libc::iovec; 2]]) -> io::Result<usize> {
        // SAFETY: mmsghdr is plain data for which all zeros is a valid value.
        let mut headers: [libc::mmsghdr; WINDOW] = unsafe { std::mem::zeroed() };
        for (slice, header) in slices.iter_mut().zip(&mut headers) {
            header.msg_hdr.msg_iov = slice.as_mut_ptr();
            header.msg_hdr.msg_iovlen = 2;
        }
        let count = u32::try_from(slices.len().min(WINDOW)).unwrap_or(0);
        // SAFETY: `count` headers were filled, each with two slices that live through the call; the kernel writes only
        // the headers' lengths.
        let sent = unsafe { libc::sendmmsg(self.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_NOSIGNAL) };
        Ok(check(sent)?.unsigned_abs() as usize)
    }

    /// Asks whether the kernel knows UDP_SEGMENT (Linux 4.18).
    pub fn knows_segments(&self) -> bool {
        self.option(libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok()
    }
}

/// The name of an interface, from its index.
pub fn interface_name(index: u32) -> Option<String> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the IF_NAMESIZE bytes that the call wants; it is NUL-terminated after success.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    std::ffi::CStr::from_bytes_until_nul(&name).ok().map(|name| name.to_string_lossy().into_owned())
}

const UNSPECIFIED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
const ADDRESS_LENGTH: libc::socklen_t = std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;

fn iovec(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: cmsg::in_addr(*address.ip()),
        sin_zero: [0; 8],
    }
}

fn from_sockaddr(address: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(cmsg::address(address.sin_addr), u16::from_be(address.sin_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use crate::sys::stamps::Stamps;

    fn pair() -> (Socket, Socket) {
        let loopback = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let (a, b) = (Socket::bind(loopback).unwrap(), Socket::bind(loopback).unwrap());
        a.connect(b.local().unwrap()).unwrap();
        b.connect(a.local().unwrap()).unwrap();
        (a, b)
    }

    fn window(offload: bool, blocks: u16, block: usize, last: usize) {
        let (a, b) = pair();
        b.set_receive_buffer(4 << 20);
        let headers: Vec<[u8; 4]> = (1..=blocks).map(|n| [0, 3, (n >> 8) as u8, n as u8]).collect();
        let data: Vec<u8> = (0..(blocks as usize - 1) * block + last).map(|i| (i % 251) as u8).collect();
        assert_eq!(a.send_window(&headers, Span::from(&*data), block, offload).unwrap(), blocks as usize);
        let mut whole = Vec::new();
        for header in &headers {
            let mut buffer = vec![0; block + 5];
            let length = b.receive_one(&mut buffer).unwrap();
            assert_eq!(&buffer[..4], header);
            whole.extend_from_slice(&buffer[4..length]);
        }
        assert_eq!(whole, data);
        assert_eq!(b.receive_one(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_window_arrives_block_by_block_cut_by_the_kernel_or_not() {
        for offload in [false, true] {
            for (blocks, block, last) in
                [(1, 512, 512), (1, 512, 0), (4, 1468, 1468), (4, 1468, 3), (64, 1456, 0), (64, 8, 1)]
            {
                window(offload, blocks, block, last);
            }
        }
        window(false, 16, 16_384, 100);
    }

    #[test]
    fn a_batch_tells_source_and_local_address_and_what_was_too_long() {
        let server = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        server.listen().unwrap();
        let client = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect(server.local().unwrap()).unwrap();
        client.send(b"hello").unwrap();
        client.send(&[0; DATAGRAM + 1]).unwrap();
        let mut batch = Batch::default();
        assert_eq!(server.receive(&mut batch).unwrap(), 2);
        let seen: Vec<(Received, Vec<u8>)> = batch.iter().map(|(r, b)| (*r, b.to_vec())).collect();
        assert_eq!(seen[0].1, b"hello");
        assert_eq!(seen[0].0.from, client.local().unwrap());
        assert_eq!((seen[0].0.to, seen[0].0.local), (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST));
        assert_eq!(interface_name(seen[0].0.interface).as_deref(), Some("lo"));
        assert!(!seen[0].0.truncated && seen[1].0.truncated);
        assert_eq!(server.receive(&mut batch).unwrap(), 0);
        server
            .send_from(&ToSend { bytes: b"back", to: client.local().unwrap(), from: Ipv4Addr::LOCALHOST, interface: 0 })
            .unwrap();
        let mut buffer = [0; 8];
        assert_eq!(client.receive_one(&mut buffer).unwrap(), 4);
    }

    #[test]
    fn a_socket_that_stamps_tells_when_each_datagram_came_and_how_many_were_lost_before_it() {
        let stamps = Stamps::begin().unwrap();
        assert!(stamps.works() && stamps.as_raw_fd() >= 0);
        let server = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        server.listen().unwrap();
        server.stamp().unwrap();
        server.option(libc::SOL_SOCKET, libc::SO_RCVBUF, 4096).unwrap();
        let client = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect(server.local().unwrap()).unwrap();
        let before = clock::wall();
        for _ in 0..64 {
            client.send(&[0; 512]).unwrap();
        }
        let sent = clock::wall();
        let mut batch = Batch::default();
        let kept = server.receive(&mut batch).unwrap();
        assert!(kept > 0 && kept < 64, "{kept}");
        client.send(b"after").unwrap();
        let first = batch.iter().next().unwrap().0.stamp.unwrap();
        assert!((before..=sent).contains(&first), "{before} {first}");
        assert_eq!(server.receive(&mut batch).unwrap(), 1);
        let (received, _) = batch.iter().next().unwrap();
        assert_eq!(received.overflowed.map(|lost| lost as usize), Some(64 - kept));
        assert_eq!(received.local, Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn a_peer_that_closed_its_port_is_told_as_refused() {
        let (a, b) = pair();
        drop(b);
        a.send(b"x").unwrap();
        assert_eq!(a.receive_one(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_given_door_is_the_same_one_and_what_is_none_is_refused() {
        let door = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let given = Socket::given(door.as_raw_fd()).unwrap();
        assert_eq!(given.local().unwrap(), door.local().unwrap());
        drop(door);
        let client = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect(given.local().unwrap()).unwrap();
        client.send(b"hello").unwrap();
        assert_eq!(given.receive_one(&mut [0; 8]).unwrap(), 5);
        let kind = |descriptor| Socket::given(descriptor).err().map(|error| error.kind());
        assert_eq!(kind(client.as_raw_fd()), Some(io::ErrorKind::InvalidInput));
        let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(kind(stream.as_raw_fd()), Some(io::ErrorKind::InvalidInput));
        let unbound = std::net::UdpSocket::bind("[::1]:0").map(|socket| kind(socket.as_raw_fd()));
        assert!(unbound.is_err() || unbound.unwrap() == Some(io::ErrorKind::InvalidInput));
        assert!(Socket::given(-1).is_err());
    }

    #[test]
    fn a_larger_receive_buffer_stays() {
        let socket = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let size = |socket: &Socket| socket.asked(libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap();
        socket.set_receive_buffer(100_000);
        let large = size(&socket);
        socket.set_receive_buffer(50_000);
        assert_eq!(size(&socket), large);
    }

    #[test]
    fn a_port_is_never_shared() {
        let first = Socket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let taken = first.local().unwrap();
        assert_eq!(Socket::bind(taken).err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse));
    }
}
