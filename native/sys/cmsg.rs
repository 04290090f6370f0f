//! Control messages: which address and interface a datagram came to (IP_PKTINFO), and how long the segments of one
//! send are (UDP_SEGMENT).

use std::net::Ipv4Addr;

/// Room for the control messages of one datagram.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control([u8; 64]);

impl Control {
    pub(super) const EMPTY: Control = Control([0; 64]);

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// The address in the packet, the local address to answer from, and the interface's index.
pub(super) fn packet_info(header: &libc::msghdr) -> Option<(Ipv4Addr, Ipv4Addr, u32)> {
    // SAFETY: `header` was filled by recvmsg and its control buffer lives; the CMSG macros stay within msg_controllen.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::IPPROTO_IP && (*message).cmsg_type == libc::IP_PKTINFO {
                let info: libc::in_pktinfo = std::ptr::read_unaligned(libc::CMSG_DATA(message).cast());
                return Some((address(info.ipi_addr), address(info.ipi_spec_dst), info.ipi_ifindex.unsigned_abs()));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
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
    // SAFETY: `header` names a live, aligned Control of 64 bytes, more than CMSG_SPACE of either value
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
