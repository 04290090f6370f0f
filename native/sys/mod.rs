//! The kernel, in safe clothes: sockets, control messages, readiness, files and their mappings, clocks. The only `unsafe` of the crate.

#![allow(unsafe_code)]

pub mod cache;
pub mod clock;
mod cmsg;
pub mod descriptors;
pub mod file;
pub mod map;
pub mod poll;
pub mod random;
pub mod stamps;
pub mod udp;

use std::io;

/// The result of a system call that says -1 and errno on failure.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for calls that return a length.
fn length(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
