//! What each machine sees, known by its address: its image's folder as root, and a file of its session.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::files::{image_folder, Namespace, Published};
use super::gate::Session;
use crate::engine::deadline::Time;
use crate::wire::name::Name;

/// The session's file, below the root of the machine whose session it is.
pub const SESSION_FILE: &str = "session.env";

/// What the answer to a machine lets it see, instead of all that it saw before.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its image's folder, folded.
    pub folder: Box<[u8]>,
    /// The session in the name that it was told.
    pub session: Option<Session>,
    /// Its [`SESSION_FILE`].
    pub file: Option<Arc<Published>>,
}

/// A file that a machine asked for.
pub struct Found {
    /// The file.
    pub published: Arc<Published>,
    /// The session that its machine was last seen with.
    pub session: Option<Session>,
}

struct Root {
    shown: Shown,
    /// When the answer came.
    since: Time,
    used: Time,
}

/// Whose folder each machine sees as its root: the image of its live session.
pub struct Roots {
    roots: HashMap<Ipv4Addr, Root>,
    most: usize,
}

/// A session without a request for so long is over, in microseconds; its file is gone so long after the answer.
const LIFE: Time = 3_600_000_000;

impl Roots {
    /// Room for so many machines.
    pub fn new(most: usize) -> Roots {
        Roots { roots: HashMap::new(), most }
    }

    /// `address` was answered: it sees `shown`, whatever it saw before. Where the answer names no file it keeps its
    /// folder, but its session is over.
    pub fn answered(&mut self, address: Ipv4Addr, shown: Option<Shown>, now: Time) {
        if let Some(shown) = shown {
            self.put(address, shown, now);
        } else if let Some(root) = self.roots.get_mut(&address) {
            (root.shown.session, root.shown.file) = (None, None);
        }
    }

    /// The file that `address` means by `name`: by its full name, also with a session in it; the file of its session;
    /// by its name below the folder that `address` sees.
    pub fn find(&mut self, namespace: &Namespace, address: Ipv4Addr, name: &Name, now: Time) -> Option<Found> {
        if let Some(published) = namespace.find(name) {
            // Only a name that is a file tells which image the machine boots.
            let session = self.named(address, name, None, now);
            return Some(Found { published: Arc::clone(published), session });
        }
        if let Some((session, plain)) = Session::split(name) {
            let published = namespace.find(&plain)?;
            let session = self.named(address, &plain, Some(session), now);
            return Some(Found { published: Arc::clone(published), session });
        }
        let root = self.of(address, now)?;
        let session = root.shown.session;
        let own = root.shown.file.as_ref().filter(|_| name.as_bytes() == SESSION_FILE.as_bytes());
        if let Some(file) = own.filter(|_| now.saturating_sub(root.since) <= LIFE) {
            return Some(Found { published: Arc::clone(file), session });
        }
        let published = namespace.find(&Name::join(&root.shown.folder, name)?)?;
        Some(Found { published: Arc::clone(published), session })
    }

    /// `address` asked for a file by its full name: it boots that image. The session that it has now.
    fn named(&mut self, address: Ipv4Addr, name: &Name, session: Option<Session>, now: Time) -> Option<Session> {
        let folder = image_folder(name.as_bytes())?;
        if let Some(root) = self.of(address, now) {
            // Two images never mix: a session is of one.
            if *root.shown.folder != *folder {
                (root.shown.folder, root.shown.session) = (folder.into(), None);
            }
            root.shown.session = session.or(root.shown.session);
            return root.shown.session;
        }
        self.put(address, Shown { folder: folder.into(), session, file: None }, now);
        session
    }

    /// What `address` sees, unless that is over.
    fn of(&mut self, address: Ipv4Addr, now: Time) -> Option<&mut Root> {
        let root = self.roots.get_mut(&address).filter(|root| now.saturating_sub(root.used) <= LIFE)?;
        root.used = now;
        Some(root)
    }

    fn put(&mut self, address: Ipv4Addr, shown: Shown, now: Time) {
        if self.roots.len() >= self.most && !self.roots.contains_key(&address) {
            self.make_room(now);
        }
        self.roots.insert(address, Root { shown, since: now, used: now });
    }

    /// Drops what is over, else the half that was silent longest.
    fn make_room(&mut self, now: Time) {
        self.roots.retain(|_, root| now.saturating_sub(root.used) <= LIFE);
        if self.roots.len() < self.most {
            return;
        }
        let mut uses: Vec<Time> = self.roots.values().map(|root| root.used).collect();
        let middle = uses.len() / 2;
        let median = *uses.select_nth_unstable(middle).1;
        self.roots.retain(|_, root| root.used > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pump::files::tests::namespace;

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const ONE: &str = "0123456789abcdef0123456789abcdef";

    fn files() -> Namespace {
        namespace(&["SMSImages/A/boot.efi", "SMSImages/A/session.env", "SMSImages/B/boot.efi"]).unwrap()
    }

    fn shown(folder: &str, file: Option<&str>) -> Option<Shown> {
        let file = file.map(|text| Arc::new(Published::in_memory(SESSION_FILE, text.as_bytes())));
        Some(Shown { folder: folder.as_bytes().into(), session: None, file })
    }

    fn find(roots: &mut Roots, address: Ipv4Addr, name: &str, now: Time) -> Option<(String, Option<String>)> {
        let found = roots.find(&files(), address, &Name::fold(name.as_bytes()).unwrap(), now)?;
        Some((found.published.name.to_string(), found.session.map(|session| session.to_string())))
    }

    fn name(roots: &mut Roots, address: Ipv4Addr, name: &str, now: Time) -> Option<String> {
        find(roots, address, name, now).map(|found| found.0)
    }

    #[test]
    fn a_machine_sees_its_newest_image_until_its_session_is_over() {
        let mut roots = Roots::new(10);
        assert_eq!(name(&mut roots, A, "boot.efi", 0), None);
        roots.answered(A, shown("smsimages/a", None), 0);
        assert_eq!(name(&mut roots, A, "boot.efi", LIFE).as_deref(), Some("SMSImages/A/boot.efi"));
        assert_eq!(name(&mut roots, B, "boot.efi", LIFE), None);
        roots.answered(A, shown("smsimages/b", None), LIFE);
        assert_eq!(name(&mut roots, A, "boot.efi", 2 * LIFE).as_deref(), Some("SMSImages/B/boot.efi"));
        assert_eq!(name(&mut roots, A, "boot.efi", 3 * LIFE + 1), None);
    }

    #[test]
    fn a_session_in_a_name_is_remembered_for_its_address_and_its_image_alone() {
        let mut roots = Roots::new(10);
        let long = format!("SMSImages/A/{ONE}/boot.efi");
        let seen = Some(("SMSImages/A/boot.efi".to_owned(), Some(ONE.to_owned())));
        assert_eq!(find(&mut roots, A, &long, 0), seen);
        assert_eq!(find(&mut roots, A, "boot.efi", 1), seen);
        assert_eq!(find(&mut roots, A, "SMSImages/A/boot.efi", 2), seen);
        assert_eq!(find(&mut roots, B, "SMSImages/A/boot.efi", 2).unwrap().1, None);
        assert_eq!(find(&mut roots, A, "SMSImages/B/boot.efi", 3).unwrap().1, None);
        assert_eq!(find(&mut roots, A, &long, 4), seen);
        roots.answered(A, shown("smsimages/a", None), 5);
        assert_eq!(find(&mut roots, A, "boot.efi", 6).unwrap().1, None, "the answer began another session");
        assert_eq!(name(&mut roots, A, &format!("SMSImages/A/{ONE}/missing"), 7), None);
        assert_eq!(find(&mut roots, B, &long, 8), seen);
        assert_eq!(find(&mut roots, B, "SMSImages/A/boot.efi", LIFE + 9).unwrap().1, None, "an hour later it is over");
    }

    #[test]
    fn the_file_of_a_session_is_seen_by_its_machine_alone_below_its_root_alone_for_an_hour() {
        let mut roots = Roots::new(10);
        roots.answered(A, shown("smsimages/b", Some("KEY=1")), 0);
        roots.answered(B, shown("smsimages/b", None), 0);
        assert_eq!(name(&mut roots, A, "/Session.ENV", 1).as_deref(), Some(SESSION_FILE));
        assert_eq!(name(&mut roots, B, SESSION_FILE, 1), None);
        assert_eq!(name(&mut roots, A, "SMSImages/B/session.env", 1), None);
        assert_eq!(name(&mut roots, A, &format!("SMSImages/B/{ONE}/session.env"), 1), None);
        assert_eq!(name(&mut roots, A, "boot.efi", LIFE).as_deref(), Some("SMSImages/B/boot.efi"));
        assert_eq!(name(&mut roots, A, SESSION_FILE, LIFE).as_deref(), Some(SESSION_FILE));
        assert_eq!(name(&mut roots, A, SESSION_FILE, LIFE + 1), None);
        roots.answered(A, shown("smsimages/a", Some("KEY=2")), LIFE);
        assert_eq!(name(&mut roots, A, SESSION_FILE, LIFE).as_deref(), Some(SESSION_FILE));
        roots.answered(A, None, LIFE);
        assert_eq!(name(&mut roots, A, SESSION_FILE, LIFE).as_deref(), Some("SMSImages/A/session.env"));
    }

    #[test]
    fn a_flood_of_addresses_keeps_the_newest() {
        let mut roots = Roots::new(100);
        for n in 0..1000u32 {
            roots.answered(Ipv4Addr::from(n), shown("smsimages/a", Some("KEY=1")), Time::from(n));
        }
        assert!(roots.roots.len() <= 100);
        assert!(name(&mut roots, Ipv4Addr::from(999), SESSION_FILE, 1000).is_some());
    }
}
