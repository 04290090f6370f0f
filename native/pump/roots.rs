//! What each machine sees, known by its address: its image's folder as root, and the files of its session.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::files::{Namespace, Published, IMAGES};
use super::gate::Session;
use super::handover::{Seen, Who};
use crate::engine::deadline::Time;
use crate::wire::name::Name;

/// What an answer lets a machine see, instead of all that it saw before.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its image, folded: the folder below [`IMAGES`] that is its root.
    pub image: Box<[u8]>,
    /// The session in the name that it was told.
    pub session: Option<Session>,
    /// The files of its session, by folded name: full, or below the root.
    pub files: Vec<(Box<[u8]>, Arc<Published>)>,
    /// The largest block that it may have beyond its path's MTU, in bytes; 0: none.
    pub block: u16,
    /// The largest window that it gets, in blocks; 0: no bound of its own.
    pub window: u16,
    /// Of an offer to a machine without an address: the address that its DHCP server gave it, once that is known. No
    /// other one gets the files of the session.
    pub address: Option<Ipv4Addr>,
}

/// A file that a machine asked for.
pub struct Found {
    /// The file.
    pub published: Arc<Published>,
    /// The session that its machine was last seen with.
    pub session: Option<Session>,
    /// The largest block beyond the path's MTU, in bytes.
    pub block: u16,
    /// The largest window of this machine, in blocks; 0: no bound of its own.
    pub window: u16,
}

impl Found {
    fn new(published: &Arc<Published>, shown: &Shown) -> Found {
        Found { published: Arc::clone(published), session: shown.session, block: shown.block, window: shown.window }
    }
}

/// What each machine sees: the image and the files of its live session.
pub struct Roots {
    machines: Recent<Ipv4Addr>,
    /// Named in offers to machines that have no address yet; the address that the machine is given has it.
    offered: Recent<Session>,
}

impl Roots {
    /// Room for so many machines.
    pub fn new(most: usize) -> Roots {
        Roots { machines: Recent::new(most), offered: Recent::new(most) }
    }

    /// `address` was answered: it sees `shown`, whatever it saw before. Where the answer shows nothing it keeps its
    /// root, but its session is over.
    pub fn answered(&mut self, address: Ipv4Addr, shown: Option<Shown>, now: Time) {
        if let Some(shown) = shown {
            self.machines.put(address, shown, now);
        } else if let Some(old) = self.machines.get(address, now) {
            (old.session, old.files, old.block) = (None, Vec::new(), 0);
        }
    }

    /// An offer named this session: the machine sees `shown` at its address, once that is known.
    pub fn offered(&mut self, session: Session, shown: Shown, now: Time) {
        self.offered.put(session, shown, now);
    }

    /// The machine that was offered this session was given `address` by its DHCP server.
    pub fn settled(&mut self, session: Session, address: Ipv4Addr, now: Time) {
        let Some(offered) = self.offered.get(session, now) else { return };
        offered.address = Some(address);
        // It may have asked for its boot program already.
        let waits = |seen: &mut Shown| seen.session == Some(session) && seen.files.is_empty();
        if self.machines.get(address, now).is_some_and(waits) {
            if let Some(shown) = self.offered.take(session, now) {
                self.machines.put(address, Shown { session: Some(session), ..shown }, now);
            }
        }
    }

    /// `address` sees no more than any stranger.
    pub fn forget(&mut self, address: Ipv4Addr) {
        self.machines.take(address, 0);
    }

    /// Everything that somebody sees, for a process that takes over.
    pub fn seen(&self) -> Vec<Seen> {
        let addresses = self.machines.all().map(|(&address, entry)| (Who::Address(address), entry));
        let sessions = self.offered.all().map(|(&session, entry)| (Who::Session(session), entry));
        let seen = |(who, entry): (Who, &Entry)| Seen { who, shown: entry.shown.clone(), used: entry.used };
        addresses.chain(sessions).map(seen).collect()
    }

    /// What the process before this one showed to somebody.
    pub fn adopt(&mut self, seen: Seen) {
        match seen.who {
            Who::Address(address) => self.machines.put(address, seen.shown, seen.used),
            Who::Session(session) => self.offered.put(session, seen.shown, seen.used),
        };
    }

    /// The file that `address` means by `name`: one of its session; an image's, by a full name, also with a session in
    /// it; one below its own root; any other by its full name. What is a machine's own comes before what is everybody's.
    pub fn find(&mut self, namespace: &Namespace, address: Ipv4Addr, name: &Name, now: Time) -> Option<Found> {
        if let Some(shown) = self.machines.get(address, now) {
            if let Some((_, file)) = shown.files.iter().find(|(own, _)| **own == *name.as_bytes()) {
                return Some(Found::new(file, shown));
            }
        }
        if let Some(image) = namespace.image(name) {
            // Only a name that is a file tells which image the machine boots.
            if let Some(published) = namespace.find(name) {
                return Some(Found::new(published, self.named(address, image, None, now)));
            }
            if let Some((session, plain)) = Session::split(name) {
                let published = namespace.find(&plain)?;
                return Some(Found::new(published, self.named(address, image, Some(session), now)));
            }
        }
        let shown = self.machines.get(address, now);
        let below = shown.as_ref().and_then(|shown| Name::join(IMAGES, &Name::join(&shown.image, name)?));
        if let (Some(shown), Some(published)) = (&shown, below.and_then(|name| namespace.find(&name))) {
            return Some(Found::new(published, shown));
        }
        let (block, window) = shown.map_or((0, 0), |shown| (shown.block, shown.window));
        Some(Found { published: Arc::clone(namespace.find(name)?), session: None, block, window })
    }

    /// `address` asked for a file of `image` by its full name: it boots that image. What it sees now.
    fn named(&mut self, address: Ipv4Addr, image: &[u8], session: Option<Session>, now: Time) -> &Shown {
        let offered = session.and_then(|session| self.offer(session, address, image, now));
        let seen = offered.or_else(|| self.machines.take(address, now));
        let nothing =
            || Shown { image: image.into(), session: None, files: Vec::new(), block: 0, window: 0, address: None };
        let mut shown = seen.unwrap_or_else(nothing);
        // Two images never mix: a session is of one.
        if *shown.image != *image {
            (shown.image, shown.session) = (image.into(), None);
        }
        shown.session = session.or(shown.session);
        self.machines.put(address, shown, now)
    }

    /// What an offer that named `session` shows to who asks from `address`: all of it to the machine that was offered it;
    /// to others, and as long as nobody knows that machine's address, everything but the files of the session.
    fn offer(&mut self, session: Session, address: Ipv4Addr, image: &[u8], now: Time) -> Option<Shown> {
        let offered = self.offered.get(session, now).filter(|shown| *shown.image == *image)?;
        if offered.address == Some(address) {
            return self.offered.take(session, now);
        }
        let (block, window) = (offered.block, offered.window);
        // Who asked with this session before keeps what it sees.
        let known = self.machines.get(address, now).is_some_and(|seen| seen.session == Some(session));
        let bare =
            Shown { image: image.into(), session: Some(session), files: Vec::new(), block, window, address: None };
        (!known).then_some(bare)
    }
}

/// What is shown by key, as long as it is used; bounded.
struct Recent<K> {
    entries: HashMap<K, Entry>,
    most: usize,
}

struct Entry {
    shown: Shown,
    used: Time,
}

/// What nobody used for so long is over, in microseconds. Windows fetches its variables minutes after it began (W-60).
const LIFE: Time = 3_600_000_000;

impl<K: Copy + Eq + Hash> Recent<K> {
    fn new(most: usize) -> Recent<K> {
        Recent { entries: HashMap::new(), most }
    }

    /// What is shown to `key`, unless that is over; this is a use of it.
    fn get(&mut self, key: K, now: Time) -> Option<&mut Shown> {
        let entry = self.entries.get_mut(&key).filter(|entry| entry.lives(now))?;
        entry.used = now;
        Some(&mut entry.shown)
    }

    fn take(&mut self, key: K, now: Time) -> Option<Shown> {
        self.entries.remove(&key).filter(|entry| entry.lives(now)).map(|entry| entry.shown)
    }

    fn put(&mut self, key: K, shown: Shown, now: Time) -> &Shown {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        let entry = Entry { shown, used: now };
        &self.entries.entry(key).insert_entry(entry).into_mut().shown
    }

    fn all(&self) -> impl Iterator<Item = (&K, &Entry)> {
        self.entries.iter()
    }

    /// Drops what is over, else the half that was silent longest.
    fn make_room(&mut self, now: Time) {
        self.entries.retain(|_, entry| entry.lives(now));
        if self.entries.len() < self.most {
            return;
        }
        let mut uses: Vec<Time> = self.entries.values().map(|entry| entry.used).collect();
        let middle = uses.len() / 2;
        let median = *uses.select_nth_unstable(middle).1;
        self.entries.retain(|_, entry| entry.used > median);
    }
}

impl Entry {
    fn lives(&self, now: Time) -> bool {
        now.saturating_sub(self.used) <= LIFE
    }
}

#[cfg(test)]
#[path = "roots_tests.rs"]
mod tests;
