//! What is served: names folded once, files opened once (safety T6, T7; W-77, W-78).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::sys::file::{read_exact_at, Root};
use crate::wire::name::{BadName, Name};

/// One published file; immutable.
pub struct Published {
    /// The name it is served under, as its publisher spelled it.
    pub name: Box<str>,
    /// Its size in bytes.
    pub size: u64,
    /// Its final byte leaves only with a recorded launch (B2).
    pub gated: bool,
    content: Content,
}

enum Content {
    /// A file below the content library's root, opened once.
    Below { path: Box<str>, file: OnceLock<Arc<File>> },
    /// Bytes that never were on a disk.
    Memory(Arc<[u8]>),
}

/// Where a transfer's bytes come from.
#[derive(Clone)]
pub enum Source {
    /// An open file.
    File(Arc<File>),
    /// Bytes in memory.
    Memory(Arc<[u8]>),
}

impl Source {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when it ends before, else the system's own error.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Source::File(file) => read_exact_at(file, buffer, offset),
            Source::Memory(bytes) => {
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
        Published { name: name.into(), size: bytes.len() as u64, gated: false, content: Content::Memory(bytes) }
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
        let mut names = HashMap::with_capacity(files.len());
        let mut images = HashSet::new();
        for (name, path, size, gated) in files {
            let folded = match Name::fold(name.as_bytes()) {
                Ok(folded) => folded,
                Err(why) => return Err(Unservable::Name(name, why)),
            };
            if let Some((IMAGES, image)) = folder(folded.as_bytes()) {
                images.insert(image.into());
            }
            let content = Content::Below { path: path.into(), file: OnceLock::new() };
            let file = Published { name: name.clone().into(), size, gated, content };
            if names.insert(folded.as_bytes().into(), Arc::new(file)).is_some() {
                return Err(Unservable::Twice(name));
            }
        }
        Ok(Namespace { root, names, images })
    }

    /// The file of exactly this name.
    pub fn find(&self, name: &Name) -> Option<&Arc<Published>> {
        self.names.get(name.as_bytes())
    }

    /// The image that a full name is of: `smsimages/<image>/..`, or its boot programs' `smsboot/<image>/..`.
    pub fn image<'n>(&self, name: &'n Name) -> Option<&'n [u8]> {
        folder(name.as_bytes()).map(|(_, image)| image).filter(|image| self.images.contains(*image))
    }

    /// Opens a published file, or gives what was opened before.
    ///
    /// # Errors
    /// The system's own error; `InvalidData` for what is not the file that was published.
    pub fn open(&self, published: &Published) -> io::Result<Source> {
        let (path, file) = match &published.content {
            Content::Below { path, file } => (path, file),
            Content::Memory(bytes) => return Ok(Source::Memory(Arc::clone(bytes))),
        };
        if let Some(file) = file.get() {
            return Ok(Source::File(Arc::clone(file)));
        }
        let opened = Arc::new(self.root.open_file(path, published.size)?);
        Ok(Source::File(Arc::clone(file.get_or_init(|| opened))))
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

    pub fn namespace(names: &[&str]) -> Result<Namespace, Unservable> {
        let files = names.iter().map(|name| ((*name).to_owned(), "x".to_owned(), 1, false)).collect();
        Namespace::new(Root::open("/").unwrap(), files)
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
    fn bytes_in_memory_are_read_like_a_file_and_end_like_one() {
        let source = Source::Memory(Arc::from(&b"KEY=1\n"[..]));
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
