//! What is served: names folded once, files opened once (safety T6, T7; W-77, W-78).

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use crate::engine::deadline::Time;
use crate::sys::file::Root;
use crate::wire::name::{BadName, Name};

/// One published file: immutable, below the content library's root.
pub struct Published {
    /// The name it is served under, as its publisher spelled it.
    pub name: Box<str>,
    /// Its size in bytes.
    pub size: u64,
    path: Box<str>,
    file: OnceLock<Arc<File>>,
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
    /// The files `(full name, path below the root, size)`; a full name is `SMSImages/<image>/<name>`.
    ///
    /// # Errors
    /// The first name that cannot be served.
    pub fn new(root: Root, files: Vec<(String, String, u64)>) -> Result<Namespace, Unservable> {
        let mut names = HashMap::with_capacity(files.len());
        for (name, path, size) in files {
            let folded = match Name::fold(name.as_bytes()) {
                Ok(folded) => folded,
                Err(why) => return Err(Unservable::Name(name, why)),
            };
            let file = Published { name: name.clone().into(), size, path: path.into(), file: OnceLock::new() };
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

    /// Opens a file found here, or gives what was opened before.
    ///
    /// # Errors
    /// The system's own error; `InvalidData` for what is not the file that was published.
    pub fn open(&self, published: &Published) -> io::Result<Arc<File>> {
        if let Some(file) = published.file.get() {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.root.open_file(&published.path, published.size)?);
        Ok(Arc::clone(published.file.get_or_init(|| file)))
    }
}

/// The folder of the image that a folded full name lies in: `smsimages/<image>`.
pub fn image_folder(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b"smsimages/")?;
    let image = rest.iter().position(|&byte| byte == b'/').filter(|&length| length > 0)?;
    name.get(..b"smsimages/".len() + image)
}

/// Whose folder each machine sees as its root: the image of its live session, known by the machine's address.
pub struct Roots {
    roots: HashMap<Ipv4Addr, (Box<[u8]>, Time)>,
    most: usize,
}

/// A session without a request for so long is over, in microseconds.
const LIFE: Time = 3_600_000_000;

impl Roots {
    /// Room for so many machines.
    pub fn new(most: usize) -> Roots {
        Roots { roots: HashMap::new(), most }
    }

    /// From now on `address` sees `folder`, whatever it saw before: two images never mix.
    pub fn set(&mut self, address: Ipv4Addr, folder: &[u8], now: Time) {
        match self.roots.get_mut(&address) {
            Some((known, used)) if **known == *folder => *used = now,
            Some(root) => *root = (folder.into(), now),
            None => {
                if self.roots.len() >= self.most {
                    self.make_room(now);
                }
                self.roots.insert(address, (folder.into(), now));
            }
        }
    }

    /// The folder that `address` sees.
    pub fn of(&mut self, address: Ipv4Addr, now: Time) -> Option<&[u8]> {
        let (folder, used) = self.roots.get_mut(&address)?;
        if now.saturating_sub(*used) > LIFE {
            return None;
        }
        *used = now;
        Some(folder)
    }

    /// Drops what is over, else the half that was silent longest.
    fn make_room(&mut self, now: Time) {
        self.roots.retain(|_, (_, used)| now.saturating_sub(*used) <= LIFE);
        if self.roots.len() < self.most {
            return;
        }
        let mut uses: Vec<Time> = self.roots.values().map(|(_, used)| *used).collect();
        let middle = uses.len() / 2;
        let median = *uses.select_nth_unstable(middle).1;
        self.roots.retain(|_, (_, used)| *used > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(names: &[&str]) -> Result<Namespace, Unservable> {
        let files = names.iter().map(|name| ((*name).to_owned(), "x".to_owned(), 1)).collect();
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

    #[test]
    fn a_machine_sees_its_newest_image_until_its_session_is_over() {
        let mut roots = Roots::new(10);
        let address = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(roots.of(address, 0), None);
        roots.set(address, b"smsimages/a", 0);
        assert_eq!(roots.of(address, LIFE), Some(&b"smsimages/a"[..]));
        roots.set(address, b"smsimages/b", LIFE);
        assert_eq!(roots.of(address, 2 * LIFE), Some(&b"smsimages/b"[..]));
        assert_eq!(roots.of(address, 3 * LIFE + 1), None);
    }

    #[test]
    fn a_flood_of_addresses_keeps_the_newest() {
        let mut roots = Roots::new(100);
        for n in 0..1000u32 {
            roots.set(Ipv4Addr::from(n), b"smsimages/a", Time::from(n));
        }
        assert!(roots.roots.len() <= 100);
        assert!(roots.of(Ipv4Addr::from(999), 1000).is_some());
    }
}
