//! Published files as the kernel alone sees them: mapped, handed to it in pieces, read by no code of ours.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;

use super::check;

/// Bytes for a system call to read; perhaps not there any more when it does, and no reference to them ever exists.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    start: *const u8,
    len: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// How many bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Takes the first `len` bytes, or what is left, off the front.
    pub(super) fn take(&mut self, len: usize) -> libc::iovec {
        let iov_len = len.min(self.len);
        let front = libc::iovec { iov_base: self.start.cast_mut().cast(), iov_len };
        (self.start, self.len) = (self.start.wrapping_add(iov_len), self.len - iov_len);
        front
    }
}

impl<'a> From<&'a [u8]> for Span<'a> {
    fn from(bytes: &'a [u8]) -> Span<'a> {
        Span { start: bytes.as_ptr(), len: bytes.len(), life: PhantomData }
    }
}

/// A file's bytes in the address space, for the kernel to copy from.
///
/// Who truncates the file takes the pages away. What touches them then dies of SIGBUS, but a system call that is handed
/// them as a [`Span`] only fails with EFAULT; and spans are all that this gives away.
pub struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

// SAFETY: the pointer is never followed in this process; the kernel maps and copies for any of its threads.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared Mapping has nothing that changes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `file`. Private, though nothing is written: file systems without a page cache of
    /// their own refuse shared mappings, and to who only reads it is the same pages.
    ///
    /// # Errors
    /// The system's own error: a file system that maps nothing, too many mappings.
    pub fn new(file: &File, len: u64) -> io::Result<Mapping> {
        let len = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
        if len == 0 {
            return Ok(Mapping { start: std::ptr::null_mut(), len });
        }
        // SAFETY: no address is asked for, so that nothing that exists is mapped over.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start, len })
    }

    /// The `len` bytes from `offset` on; `None` where the mapping ends before.
    pub fn span(&self, offset: u64, len: usize) -> Option<Span<'_>> {
        let offset =
            usize::try_from(offset).ok().filter(|offset| offset.checked_add(len).is_some_and(|end| end <= self.len))?;
        Some(Span { start: self.start.cast::<u8>().wrapping_add(offset), len, life: PhantomData })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: exactly what mmap gave; every Span borrows from this value and is gone.
            let _ = check(unsafe { libc::munmap(self.start, self.len) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::udp::Socket;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const PAGE: u64 = 4096;

    /// What the peer gets of `len` bytes from `offset` on of a file of three pages of ones that was cut to `size`.
    fn sent_of_a_file_cut_to(size: u64, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let path = std::env::temp_dir().join(format!("pxefast-map-{}-{size}-{offset}", std::process::id()));
        std::fs::write(&path, vec![1; 3 * PAGE as usize]).unwrap();
        let file = File::open(&path).unwrap();
        let mapping = Mapping::new(&file, 3 * PAGE).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();
        std::fs::remove_file(&path).unwrap();
        let loopback = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let (a, b) = (Socket::bind(loopback).unwrap(), Socket::bind(loopback).unwrap());
        a.connect(b.local().unwrap()).unwrap();
        a.send_window(&[[0, 3, 0, 1]], mapping.span(offset, len).unwrap(), len, false)?;
        let mut buffer = vec![0; len + 4];
        let got = b.receive_one(&mut buffer).unwrap();
        Ok(buffer[4..got].to_vec())
    }

    #[test]
    fn a_span_of_a_mapping_is_sent_as_the_file_has_it() {
        assert_eq!(sent_of_a_file_cut_to(3 * PAGE, PAGE - 3, 1456).unwrap(), vec![1; 1456]);
        assert_eq!(sent_of_a_file_cut_to(3 * PAGE, 3 * PAGE - 7, 7).unwrap(), vec![1; 7]);
        assert_eq!(sent_of_a_file_cut_to(3 * PAGE, 3 * PAGE, 0).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn bytes_that_a_file_lost_cannot_be_sent_and_nobody_dies_of_it() {
        for (size, offset) in [(0, 0), (PAGE, PAGE), (PAGE + 1, 2 * PAGE), (PAGE + 1, 2 * PAGE - 100)] {
            let error = sent_of_a_file_cut_to(size, offset, 1456).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "cut to {size}, sent from {offset}");
        }
    }

    /// Why bytes are not trusted before the file was looked at again.
    #[test]
    fn what_is_left_of_the_page_that_a_file_was_cut_in_reads_as_zeros() {
        assert_eq!(sent_of_a_file_cut_to(PAGE + 1, PAGE, 4).unwrap(), [1, 0, 0, 0]);
    }

    #[test]
    fn a_mapping_gives_nothing_beyond_its_end() {
        let mapping = Mapping::new(&File::open("/proc/self/exe").unwrap(), PAGE).unwrap();
        assert!(mapping.span(PAGE, 0).is_some() && mapping.span(0, 4096).is_some());
        for (offset, len) in [(PAGE, 1), (PAGE + 1, 0), (u64::MAX, 1), (1, usize::MAX)] {
            assert!(mapping.span(offset, len).is_none(), "{offset} {len}");
        }
        let nothing = Mapping::new(&File::open("/proc/self/exe").unwrap(), 0).unwrap();
        assert!(nothing.span(0, 0).is_some_and(Span::is_empty) && nothing.span(0, 1).is_none());
    }
}
