//! What is served: names folded once, files opened once (safety T6, T7; W-77, W-78).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::engine::deadline::Time;
use crate::sys::file::{read_exact_at, size, Root, Stamp};
use crate::sys::map::{Mapping, Span};
use crate::wire::name::{BadName, Name};

/// One published file; immutable.
pub struct Published {
    /// The name it is served under, as its publisher spelled it.
    pub name: Box<str>,
    /// Its final byte leaves only with a recorded launch (B2).
    pub gated: bool,
    content: Content,
}

enum Content {
    /// A file of the content library, of so many bytes for ever, opened once.
    Fixed { path: Box<str>, size: u64, kept: OnceLock<Arc<Open>> },
    /// A file of anybody's folder, who may replace it at any time: each request opens what is there then. Transfers
    /// that meet the same file share one, as long as one of them runs.
    Loose { path: Box<str>, shared: Mutex<Weak<Open>> },
    /// Bytes that never were on a disk.
    Memory(Arc<[u8]>),
}

/// Where one transfer's bytes come from.
pub struct Source {
    /// How many there are.
    pub size: u64,
    bytes: Bytes,
}

enum Bytes {
    File(Arc<Open>, Box<Stamp>),
    Memory(Arc<[u8]>),
}

/// An open file, as it was when it was opened.
struct Open {
    file: File,
    stamp: Stamp,
    mapping: Mapping,
    /// When its size was last asked for and was right.
    looked: AtomicU64,
}

impl Open {
    fn new(file: File, stamp: Stamp) -> io::Result<Arc<Open>> {
        let mapping = Mapping::new(&file, stamp.size)?;
        Ok(Arc::new(Open { file, stamp, mapping, looked: AtomicU64::new(0) }))
    }

    /// Whether it has its size, asked once a turn for all transfers that it serves then.
    fn is_whole(&self, now: Time) -> bool {
        if self.looked.load(Ordering::Relaxed) == now {
            return true;
        }
        let whole = size(&self.file).is_ok_and(|size| size == self.stamp.size);
        if whole {
            self.looked.store(now, Ordering::Relaxed);
        }
        whole
    }
}

impl Source {
    fn file(open: Arc<Open>, stamp: Stamp) -> Source {
        Source { size: stamp.size, bytes: Bytes::File(open, Box::new(stamp)) }
    }

    fn memory(bytes: &Arc<[u8]>) -> Source {
        Source { size: bytes.len() as u64, bytes: Bytes::Memory(Arc::clone(bytes)) }
    }

    /// `length` bytes from `offset` on, to be sent from where they are. The file had its size still in this turn of the
    /// loop, `now`: the page that one is cut in reads as zeros to its end, and only what is beyond fails. Whether it was
    /// written to, [`Source::ending`] finds out.
    ///
    /// # Errors
    /// `UnexpectedEof` when it ends before, or elsewhere than when the transfer began.
    pub fn piece(&self, offset: u64, length: usize, now: Time) -> io::Result<Span<'_>> {
        let piece = match &self.bytes {
            Bytes::File(open, _) => open.mapping.span(offset, length).filter(|_| open.is_whole(now)),
            Bytes::Memory(bytes) => {
                usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)?.get(..length)).map(Span::from)
            }
        };
        piece.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The last `length` bytes, from `offset` on, and only where nobody wrote to the file since the transfer began
    /// they are copied, by way of `copy`, and then the file is looked at, so that what left before is
    /// covered, too. A mixture may begin, but it never ends. A file that was replaced or removed, but not written to, is
    /// still what it was.
    ///
    /// # Errors
    /// `UnexpectedEof` when it ends before, `InvalidData` when it was written to, else the system's own error.
    pub fn ending<'a>(&'a self, copy: &'a mut Vec<u8>, offset: u64, length: usize) -> io::Result<Span<'a>> {
        let Bytes::File(open, stamp) = &self.bytes else { return self.piece(offset, length, 0) };
        copy.resize(length, 0);
        read_exact_at(&open.file, copy, offset)?;
        if Stamp::of(&open.file)? != **stamp {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Span::from(&**copy))
    }
}

impl Published {
    /// A file of these bytes.
    pub fn in_memory(name: &str, bytes: Arc<[u8]>) -> Published {
        Published { name: name.into(), gated: false, content: Content::Memory(bytes) }
    }

    /// Its bytes, where they never were on a disk; else none.
    pub fn memory(&self) -> &[u8] {
        match &self.content {
            Content::Memory(bytes) => bytes,
            Content::Fixed { .. } | Content::Loose { .. } => &[],
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A published name that cannot be served.
#[derive(Debug)]
pub enum Unservable {
    /// No client could ever ask for it.
    Name(String, BadName),
    /// Two names differ only in the case of their letters.
    Twice(String),
}

impl fmt::Display for Unservable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unservable::Name(name, why) => write!(f, "{name}: {why}"),
            Unservable::Twice(name) => write!(f, "{name}: published twice, case aside"),
        }
    }
}

/// All published files, as one immutable value; a change swaps the whole.
pub struct Namespace {
    root: Root,
    names: HashMap<Box<[u8]>, Arc<Published>>,
    /// The images that have a file, folded.
    images: HashSet<Box<[u8]>>,
}

impl Namespace {
    /// The files `(full name, path below the root, size, gated)`; an image's are `SMSImages/<image>/<name>`.
    ///
    /// # Errors
    /// The first name that cannot be served.
    pub fn new(root: Root, files: Vec<(String, String, u64, bool)>) -> Result<Namespace, Unservable> {
        let mut namespace = Namespace::empty(root, files.len());
        for (name, path, size, gated) in files {
            let content = Content::Fixed { path: path.into(), size, kept: OnceLock::new() };
            let folded = namespace.add(name, gated, content)?;
            if let Some((IMAGES, image)) = folder(folded.as_bytes()) {
                namespace.images.insert(image.into());
            }
        }
        Ok(namespace)
    }

    /// The files `(name, path below the root)` of anybody's folder. Names mean themselves, whoever asks: no image's.
    ///
    /// # Errors
    /// The first name that cannot be served.
    pub fn of_folder(root: Root, files: Vec<(String, String)>) -> Result<Namespace, Unservable> {
        let mut namespace = Namespace::empty(root, files.len());
        for (name, path) in files {
            namespace.add(name, false, Content::Loose { path: path.into(), shared: Mutex::default() })?;
        }
        Ok(namespace)
    }

    fn empty(root: Root, room: usize) -> Namespace {
        Namespace { root, names: HashMap::with_capacity(room), images: HashSet::new() }
    }

    fn add(&mut self, name: String, gated: bool, content: Content) -> Result<Name, Unservable> {
        let folded = match Name::fold(name.as_bytes()) {
            Ok(folded) => folded,
            Err(why) => return Err(Unservable::Name(name, why)),
        };
        match self.names.entry(folded.as_bytes().into()) {
            Entry::Occupied(_) => return Err(Unservable::Twice(name)),
            Entry::Vacant(vacant) => vacant.insert(Arc::new(Published { name: name.into(), gated, content })),
        };
        Ok(folded)
    }

    /// The file of exactly this name.
    pub fn find(&self, name: &Name) -> Option<&Arc<Published>> {
        self.names.get(name.as_bytes())
    }

    /// The image that a full name is of: `smsimages/<image>/..`, or its boot programs' `smsboot/<image>/..`.
    pub fn image<'n>(&self, name: &'n Name) -> Option<&'n [u8]> {
        folder(name.as_bytes()).map(|(_, image)| image).filter(|image| self.images.contains(*image))
    }

    /// The bytes of a published file, for one transfer.
    ///
    /// # Errors
    /// `InvalidData` for what is not the file that was published, else the system's own error; `NotFound` only of a
    /// folder's file.
    pub fn open(&self, published: &Published) -> io::Result<Source> {
        match &published.content {
            Content::Fixed { path, size, kept } => {
                self.open_fixed(path, *size, kept).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => io::ErrorKind::InvalidData.into(),
                    _ => error,
                })
            }
            Content::Loose { path, shared } => self.open_loose(path, shared),
            Content::Memory(bytes) => Ok(Source::memory(bytes)),
        }
    }

    fn open_fixed(&self, path: &str, size: u64, kept: &OnceLock<Arc<Open>>) -> io::Result<Source> {
        let (open, stamp) = match kept.get() {
            Some(open) => (Arc::clone(open), Stamp::of(&open.file)?),
            None => {
                let file = self.root.open_file(path, false)?;
                let stamp = Stamp::of(&file)?;
                (Open::new(file, stamp)?, stamp)
            }
        };
        if stamp.size != size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Source::file(Arc::clone(kept.get_or_init(|| open)), stamp))
    }

    fn open_loose(&self, path: &str, shared: &Mutex<Weak<Open>>) -> io::Result<Source> {
        let file = self.root.open_file(path, true)?;
        let stamp = Stamp::of(&file)?;
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match shared.upgrade().filter(|open| open.stamp == stamp) {
            Some(open) => open,
            None => Open::new(file, stamp)?,
        };
        *shared = Arc::downgrade(&open);
        Ok(Source::file(open, stamp))
    }
}

/// The folder of all images' folders, folded.
pub const IMAGES: &[u8] = b"smsimages";
/// The folder of the images' Windows boot programs, by image and, for everybody, by architecture, folded.
const BOOT_PROGRAMS: &[u8] = b"smsboot";

/// The first two parts of a folded full name that an image's may have, and nothing of what follows them.
pub fn folder(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = name.splitn(3, |&byte| byte == b'/');
    let (first, image, _) = (parts.next()?, parts.next()?, parts.next()?);
    matches!(first, IMAGES | BOOT_PROGRAMS).then_some((first, image))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

    pub fn namespace(names: &[&str]) -> Result<Namespace, Unservable> {
        let files = names.iter().map(|name| ((*name).to_owned(), "x".to_owned(), 1, false)).collect();
        Namespace::new(Root::open(Path::new("/")).unwrap(), files)
    }

    #[test]
    fn a_name_is_found_whatever_its_case_and_slashes() {
        let namespace = namespace(&["SMSImages/PS100001/Boot/A.efi"]).unwrap();
        for spelled in
            ["smsimages/ps100001/boot/a.efi", "\\SMSImages\\PS100001\\boot\\A.EFI", "//SMSIMAGES/ps100001//Boot/a.efi"]
        {
            assert!(namespace.find(&Name::fold(spelled.as_bytes()).unwrap()).is_some(), "{spelled}");
        }
        assert!(namespace.find(&Name::fold(b"boot/a.efi").unwrap()).is_none());
    }

    #[test]
    fn names_that_differ_only_in_case_or_can_never_be_asked_for_are_refused() {
        assert!(matches!(namespace(&["SMSImages/P/a", "SMSImages/P/A"]), Err(Unservable::Twice(_))));
        assert!(matches!(namespace(&["SMSImages/P/../a"]), Err(Unservable::Name(..))));
    }

    #[test]
    fn a_full_name_is_of_an_image_that_is_published_and_of_nothing_else() {
        let namespace = namespace(&["SMSImages/PS100001/a", "SMSBoot/x64/a", "SMSBoot/PS100001/x64/a"]).unwrap();
        let image = |name: &str| namespace.image(&Name::fold(name.as_bytes()).unwrap()).map(<[u8]>::to_vec);
        for name in ["SMSImages/PS100001/grub/grub.cfg", "SMSBoot\\PS100001\\x64\\bootmgfw.efi"] {
            assert_eq!(image(name).as_deref(), Some(&b"ps100001"[..]));
        }
        for name in
            ["SMSImages/PS100001", "SMSImages/PS100002/a", "SMSBoot/x64/a", "grub/grub.cfg", "SMSTemp/PS100001/a"]
        {
            assert_eq!(image(name), None, "{name}");
        }
    }

    #[test]
    fn a_folders_names_are_no_images_whatever_they_look_like() {
        let files = vec![("SMSImages/PS100001/a".to_owned(), "a".to_owned())];
        let namespace = Namespace::of_folder(Root::open(Path::new("/")).unwrap(), files).unwrap();
        let name = Name::fold(b"SMSImages/PS100001/a").unwrap();
        assert!(namespace.find(&name).is_some() && namespace.image(&name).is_none());
    }

    #[test]
    fn a_file_of_a_folder_is_what_is_there_at_each_request_and_a_change_in_place_is_noticed() {
        let path = std::env::temp_dir().join(format!("pxefast-loose-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let files = vec![("a".to_owned(), "a".to_owned())];
        let namespace = Namespace::of_folder(Root::open(&path).unwrap(), files).unwrap();
        let published = namespace.find(&Name::fold(b"a").unwrap()).unwrap();
        assert_eq!(namespace.open(published).err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
        std::fs::write(path.join("a"), b"one").unwrap();
        let first = namespace.open(published).unwrap();
        std::fs::write(path.join("b"), b"three").unwrap();
        std::fs::rename(path.join("b"), path.join("a")).unwrap();
        let second = namespace.open(published).unwrap();
        assert_eq!((first.size, second.size), (3, 5));
        let ends = |source: &Source| source.ending(&mut Vec::new(), 0, source.size as usize).map(|_| ());
        assert!(ends(&first).is_ok() && ends(&second).is_ok());
        let before = std::time::SystemTime::UNIX_EPOCH;
        std::fs::OpenOptions::new().write(true).open(path.join("a")).unwrap().set_modified(before).unwrap();
        assert!(ends(&first).is_ok());
        assert_eq!(ends(&second).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn transfers_of_the_same_file_share_it_until_it_changes_or_none_is_left() {
        let path = std::env::temp_dir().join(format!("pxefast-shared-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("a"), b"one").unwrap();
        let namespace =
            Namespace::of_folder(Root::open(&path).unwrap(), vec![("a".to_owned(), "a".to_owned())]).unwrap();
        let published = namespace.find(&Name::fold(b"a").unwrap()).unwrap();
        let open = |source: &Source| match &source.bytes {
            Bytes::File(open, _) => Arc::as_ptr(open),
            Bytes::Memory(_) => std::ptr::null(),
        };
        let (first, second) = (namespace.open(published).unwrap(), namespace.open(published).unwrap());
        assert_eq!(open(&first), open(&second));
        std::fs::write(path.join("b"), b"one").unwrap();
        std::fs::rename(path.join("b"), path.join("a")).unwrap();
        let third = namespace.open(published).unwrap();
        assert_ne!(open(&first), open(&third));
        assert!(
            matches!(&published.content, Content::Loose { shared, .. } if shared.lock().unwrap().strong_count() == 1)
        );
        drop(third);
        assert!(
            matches!(&published.content, Content::Loose { shared, .. } if shared.lock().unwrap().strong_count() == 0)
        );
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn bytes_in_memory_end_like_a_file() {
        let source = Source::memory(&Arc::from(&b"KEY=1\n"[..]));
        assert_eq!(source.piece(2, 4, 0).unwrap().len(), 4);
        assert!(source.ending(&mut Vec::new(), 6, 0).unwrap().is_empty());
        for offset in [3, 6, 7, u64::MAX] {
            let error = source.piece(offset, 4, 0).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
        }
    }
}
