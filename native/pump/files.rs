//! What is served: names folded once, files opened once (safety T6, T7; W-77, W-78).

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::sys::file::{in_memory, Root};
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
    Memory(Box<[u8]>),
}

impl Published {
    /// A file of these bytes.
    pub fn in_memory(name: &str, bytes: &[u8]) -> Published {
        Published { name: name.into(), size: bytes.len() as u64, gated: false, content: Content::Memory(bytes.into()) }
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
}

impl Namespace {
    /// The files `(full name, path below the root, size, gated)`; a full name is `SMSImages/<image>/<name>`.
    ///
    /// # Errors
    /// The first name that cannot be served.
    pub fn new(root: Root, files: Vec<(String, String, u64, bool)>) -> Result<Namespace, Unservable> {
        let mut names = HashMap::with_capacity(files.len());
        for (name, path, size, gated) in files {
            let folded = match Name::fold(name.as_bytes()) {
                Ok(folded) => folded,
                Err(why) => return Err(Unservable::Name(name, why)),
            };
            let content = Content::Below { path: path.into(), file: OnceLock::new() };
            let file = Published { name: name.clone().into(), size, gated, content };
            if names.insert(folded.as_bytes().into(), Arc::new(file)).is_some() {
                return Err(Unservable::Twice(name));
            }
        }
        Ok(Namespace { root, names })
    }

    /// The file of exactly this name.
    pub fn find(&self, name: &Name) -> Option<&Arc<Published>> {
        self.names.get(name.as_bytes())
    }

    /// Opens a published file, or gives what was opened before.
    ///
    /// # Errors
    /// The system's own error; `InvalidData` for what is not the file that was published.
    pub fn open(&self, published: &Published) -> io::Result<Arc<File>> {
        let (path, file) = match &published.content {
            Content::Below { path, file } => (path, file),
            Content::Memory(bytes) => return in_memory(bytes).map(Arc::new),
        };
        if let Some(file) = file.get() {
            return Ok(Arc::clone(file));
        }
        let opened = Arc::new(self.root.open_file(path, published.size)?);
        Ok(Arc::clone(file.get_or_init(|| opened)))
    }
}

/// The folder of the image that a folded full name lies in: `smsimages/<image>`.
pub fn image_folder(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b"smsimages/")?;
    let image = rest.iter().position(|&byte| byte == b'/').filter(|&length| length > 0)?;
    name.get(..b"smsimages/".len() + image)
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
    fn the_folder_of_an_image_is_the_first_two_parts_of_a_full_name() {
        assert_eq!(image_folder(b"smsimages/ps100001/grub/grub.cfg"), Some(&b"smsimages/ps100001"[..]));
        for other in [&b"smsimages/ps100001"[..], b"smsimages//x", b"grub/grub.cfg", b"smsimages/"] {
            assert_eq!(image_folder(other), None);
        }
    }
}
