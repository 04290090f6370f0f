//! Control messages: which address and interface a datagram came to (IP_PKTINFO), when it came (SCM_TIMESTAMPNS), how many
//! the kernel dropped before it (SO_RXQ_OVFL), and how long the segments of one send are (UDP_SEGMENT).

use std::net::Ipv4Addr;

/// Room for the control messages of one datagram. What is sent has one message of at most 32 bytes; what is received has
/// the address (32 bytes), the time (32) and the count of dropped datagrams (24).
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Room<const SIZE: usize>([u8; SIZE]);

/// Room for the control message of one datagram that is sent.
pub(super) type Control = Room<64>;
/// Room for the control messages of one datagram that is received.
pub(super) type Told = Room<96>;

impl<const SIZE: usize> Room<SIZE> {
    pub(super) const EMPTY: Room<SIZE> = Room([0; SIZE]);

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// What the kernel tells of one datagram.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts {
    /// The address in the packet, the local address to answer from, and the interface's index.
    pub info: Option<(Ipv4Addr, Ipv4Addr, u32)>,
    /// When it came, in microseconds of the wall clock.
    pub stamp: Option<i64>,
    /// How many datagrams this socket had no room for before it.
    pub overflowed: Option<u32>,
}

/// Reads the control messages of a datagram that was received.
pub(super) fn facts(header: &libc::msghdr) -> Facts {
    let mut facts = Facts::default();
    // SAFETY: `header` was filled by recvmsg and its control buffer lives; the CMSG macros stay within msg_controllen.
    // A value is read only where its message is as long as the value.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    facts.info = value::<libc::in_pktinfo>(message).map(|info| {
                        (address(info.ipi_addr), address(info.ipi_spec_dst), info.ipi_ifindex.unsigned_abs())
                    });
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    facts.stamp = value::<libc::timespec>(message).map(|at| microseconds(&at));
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => facts.overflowed = value(message),
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    facts
}

/// The value of a control message, where it is whole.
///
/// # Safety
/// `message` points to a control message within a live buffer; every bit pattern is a valid `T`.
// SAFETY: its one caller walks the messages of a buffer that lives.
#[allow(clippy::unnecessary_cast)] // the length is a u32 in musl
unsafe fn value<T>(message: *const libc::cmsghdr) -> Option<T> {
    // SAFETY: the caller's word; as many bytes are read as the message says that it has.
    unsafe {
        let whole = (*message).cmsg_len as usize >= libc::CMSG_LEN(std::mem::size_of::<T>() as u32) as usize;
        whole.then(|| std::ptr::read_unaligned(libc::CMSG_DATA(message).cast()))
    }
}

/// A time in microseconds.
pub(super) fn microseconds(time: &libc::timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

/// Writes the one control message "send from this address, out of this interface". Returns its length.
pub(super) fn write_packet_info(header: &libc::msghdr, from: Ipv4Addr, interface: u32) -> usize {
    let info = libc::in_pktinfo {
        ipi_ifindex: libc::c_int::try_from(interface).unwrap_or(0),
        ipi_spec_dst: in_addr(from),
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    write(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
}

/// Writes the one control message "cut this send into datagrams of `size` bytes". Returns its length.
pub(super) fn write_segment(header: &libc::msghdr, size: u16) -> usize {
    write(header, libc::SOL_UDP, libc::UDP_SEGMENT, size)
}

fn write<T>(header: &libc::msghdr, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
    let size = std::mem::size_of::<T>() as u32;
    // SAFETY: `header` names a live, aligned Control of 64 bytes or more, more than CMSG_SPACE of either value
    // (in_pktinfo: 32, u16: 24); CMSG_FIRSTHDR of such a buffer is its start.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size) as usize;
        std::ptr::write_unaligned(libc::CMSG_DATA(message).cast(), value);
        libc::CMSG_SPACE(size) as usize
    }
}

pub(super) fn address(value: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be(value.s_addr))
}

pub(super) fn in_addr(value: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from(value).to_be() }
}
