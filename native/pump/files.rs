//! What is served: names folded once, files opened once (safety T6, T7; W-77, W-78).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::sys::file::{read_exact_at, Root, Stamp};
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
    Fixed { path: Box<str>, size: u64, file: OnceLock<Arc<File>> },
    /// A file of anybody's folder, who may replace it at any time: each request opens what is there then.
    Loose { path: Box<str> },
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
    /// An open file, and what it was when the transfer began.
    File(Arc<File>, Stamp),
    Memory(Arc<[u8]>),
}

impl Source {
    fn file(file: Arc<File>) -> io::Result<Source> {
        let stamp = Stamp::of(&file)?;
        Ok(Source { size: stamp.size, bytes: Bytes::File(file, stamp) })
    }

    fn memory(bytes: &Arc<[u8]>) -> Source {
        Source { size: bytes.len() as u64, bytes: Bytes::Memory(Arc::clone(bytes)) }
    }

    /// Whether all that was read is still what it was when the transfer began. A file that was replaced or
    /// removed, but not written to, still is.
    pub fn is_unchanged(&self) -> bool {
        match &self.bytes {
            Bytes::File(file, stamp) => Stamp::of(file).is_ok_and(|now| now == *stamp),
            Bytes::Memory(_) => true,
        }
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when it ends before, else the system's own error.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.bytes {
            Bytes::File(file, _) => read_exact_at(file, buffer, offset),
            Bytes::Memory(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                let piece = from.and_then(|bytes| bytes.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(piece);
                Ok(())
            }
        }
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
            let content = Content::Fixed { path: path.into(), size, file: OnceLock::new() };
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
            namespace.add(name, false, Content::Loose { path: path.into() })?;
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
    /// `InvalidData` for what is not the file that was published; of a folder's file the system's own error, too.
    pub fn open(&self, published: &Published) -> io::Result<Source> {
        match &published.content {
            Content::Fixed { path, size, file } => {
                self.open_fixed(path, *size, file).map_err(|_| io::ErrorKind::InvalidData.into())
            }
            Content::Loose { path } => Source::file(Arc::new(self.root.open_file(path, true)?)),
            Content::Memory(bytes) => Ok(Source::memory(bytes)),
        }
    }

    fn open_fixed(&self, path: &str, size: u64, kept: &OnceLock<Arc<File>>) -> io::Result<Source> {
        let file = match kept.get() {
            Some(file) => Arc::clone(file),
            None => Arc::new(self.root.open_file(path, false)?),
        };
        let source = Source::file(Arc::clone(&file))?;
        if source.size != size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        kept.get_or_init(|| file);
        Ok(source)
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
        assert!(first.is_unchanged() && second.is_unchanged());
        let before = std::time::SystemTime::UNIX_EPOCH;
        std::fs::OpenOptions::new().write(true).open(path.join("a")).unwrap().set_modified(before).unwrap();
        assert!(first.is_unchanged() && !second.is_unchanged());
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn bytes_in_memory_are_read_like_a_file_and_end_like_one() {
        let source = Source::memory(&Arc::from(&b"KEY=1\n"[..]));
        let mut buffer = [0; 4];
        source.read_exact_at(&mut buffer, 2).unwrap();
        assert_eq!(&buffer, b"Y=1\n");
        source.read_exact_at(&mut [], 6).unwrap();
        for offset in [3, 6, 7, u64::MAX] {
            let error = source.read_exact_at(&mut buffer, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
        }
    }
}
