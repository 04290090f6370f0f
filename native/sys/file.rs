//! Published files: opened once below a root, without following a link, and read by offset.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::{check, descriptors};

/// A folder below which files are opened.
pub struct Root(File);

impl Root {
    /// Opens the folder `path`.
    ///
    /// # Errors
    /// The system's own error; `Unsupported`, with words, where nothing could be opened below it, for want of openat2.
    pub fn open(path: &Path) -> io::Result<Root> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
        openat2(libc::AT_FDCWD, &name, libc::O_DIRECTORY, 0).map(Root).map_err(|error| match error.raw_os_error() {
            // A filter of system calls answers EPERM, too; for a folder that may not be read the kernel says EACCES.
            Some(libc::ENOSYS | libc::EPERM) => io::Error::new(io::ErrorKind::Unsupported, NO_OPENAT2),
            _ => error,
        })
    }

    /// Opens the regular file `name` below the root, for reading; never through a link or a device, and never waiting
    /// for one (safety T6, T7); through a mount point only where `mounts` says so.
    ///
    /// # Errors
    /// The system's own error; `InvalidData` for what is no regular file, or does not lie there itself.
    pub fn open_file(&self, name: &str, mounts: bool) -> io::Result<File> {
        let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let mut resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
        if !mounts {
            resolve |= libc::RESOLVE_NO_XDEV;
        }
        let opened = openat2(self.0.as_raw_fd(), &name, libc::O_NONBLOCK | libc::O_NOFOLLOW, resolve);
        let file = opened.map_err(|error| match error.raw_os_error() {
            // A link; through a mount point, or out of the root; a socket.
            Some(libc::ELOOP | libc::EXDEV | libc::ENXIO) => io::ErrorKind::InvalidData.into(),
            _ => error,
        })?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        descriptors::of_transfer(file)
    }
}

const NO_OPENAT2: &str =
    "files cannot be opened to be served: openat2 needs Linux 5.6, and a filter of system calls may \
    forbid it, as systemd's RestrictSUIDSGID= does";

fn openat2(folder: RawFd, name: &CStr, flags: libc::c_int, resolve: u64) -> io::Result<File> {
    // SAFETY: `open_how` is plain data for which all zeros is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((libc::O_RDONLY | libc::O_CLOEXEC | flags).unsigned_abs());
    how.resolve = resolve;
    // SAFETY: the name is NUL-terminated, `how` and its true size are passed, both live through the call.
    let descriptor =
        unsafe { libc::syscall(libc::SYS_openat2, folder, name.as_ptr(), &how, std::mem::size_of::<libc::open_how>()) };
    let descriptor = check(libc::c_int::try_from(descriptor).unwrap_or(-1))?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// What tells a file from another, and from itself after its bytes were changed in place: which it is, its size, and
/// when it was last written (safety T19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// In bytes.
    pub size: u64,
    /// Its file system's number, and its own there.
    file: (u64, u64),
    /// In seconds and nanoseconds.
    written: (i64, i64),
}

impl Stamp {
    /// The file's, now.
    ///
    /// # Errors
    /// The system's own error.
    pub fn of(file: &File) -> io::Result<Stamp> {
        let metadata = file.metadata()?;
        Ok(Stamp {
            size: metadata.len(),
            file: (metadata.dev(), metadata.ino()),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The file's size now, in bytes: of all that can be asked of a file the cheapest, half an fstat.
///
/// # Errors
/// The system's own error.
pub fn size(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// Fills `buffer` from `offset`. A short read is not the end: it reads on until the buffer is full.
///
/// # Errors
/// `UnexpectedEof` when the file ends before, else the system's own error.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Raises the soft limit of open files to the hard one; returns what holds now.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 0;
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: as above; the kernel only reads `wanted`.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) } == 0 {
        limit.rlim_cur = wanted.rlim_cur;
    }
    limit.rlim_cur
}

/// Whether files can be opened below a root (Linux 5.6).
pub fn has_openat2() -> bool {
    Root::open(Path::new("/")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("pxefast-file-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("inside")).unwrap();
        path
    }

    #[test]
    fn a_file_opens_only_below_the_root_and_never_through_a_link() {
        let path = folder("root");
        std::fs::write(path.join("inside/a"), b"abc").unwrap();
        std::fs::write(path.with_extension("secret"), b"abc").unwrap();
        symlink("a", path.join("inside/link")).unwrap();
        symlink(path.with_extension("secret"), path.join("inside/out")).unwrap();
        let root = Root::open(&path).unwrap();
        let file = root.open_file("inside/a", false).unwrap();
        let mut buffer = [0; 2];
        read_exact_at(&file, &mut buffer, 1).unwrap();
        assert_eq!(&buffer, b"bc");
        for refused in ["inside/link", "inside/out", "../pxefast", "/etc/passwd", "inside", "missing", "in\0side"] {
            assert!(root.open_file(refused, false).is_err() && root.open_file(refused, true).is_err(), "{refused}");
        }
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_file(path.with_extension("secret")).unwrap();
    }

    #[test]
    fn a_truncated_file_ends_with_an_error_and_a_new_stamp() {
        let path = folder("size");
        std::fs::write(path.join("inside/a"), b"abc").unwrap();
        let file = Root::open(&path).unwrap().open_file("inside/a", false).unwrap();
        let stamp = Stamp::of(&file).unwrap();
        assert_eq!((stamp.size, Stamp::of(&file).unwrap()), (3, stamp));
        std::fs::OpenOptions::new().write(true).open(path.join("inside/a")).unwrap().set_len(1).unwrap();
        assert_eq!(size(&file).unwrap(), 1);
        assert_eq!(read_exact_at(&file, &mut [0; 3], 0).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_ne!(Stamp::of(&file).unwrap(), stamp);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_refused_without_waiting() {
        let path = folder("pipe");
        assert!(std::process::Command::new("mkfifo").arg(path.join("inside/p")).status().unwrap().success());
        let root = Root::open(&path).unwrap();
        assert!(root.open_file("inside/p", false).is_err());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
