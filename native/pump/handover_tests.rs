use super::*;
use crate::pump::roots::Roots;
use crate::wire::name::Name;

const ONE: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const TWO: &[u8; 32] = b"fedcba9876543210fedcba9876543210";
const HOUR: Time = 3_600_000_000;

fn session(digits: &[u8; 32]) -> Option<Session> {
    Session::of(*digits)
}

fn file(name: &str, bytes: &Arc<[u8]>) -> (Box<[u8]>, Arc<Published>) {
    let folded = Name::fold(name.as_bytes()).unwrap();
    (folded.as_bytes().into(), Arc::new(Published::in_memory(name, Arc::clone(bytes))))
}

fn seen() -> Vec<Seen> {
    let store: Arc<[u8]> = Arc::from([7; 1000]);
    let own: Arc<[u8]> = Arc::from(*b"A=1");
    let empty: Arc<[u8]> = Arc::from([]);
    let shown = |image: &[u8], session, files, block| Shown {
        image: image.into(),
        session,
        files,
        block,
        window: 4,
        address: None,
    };
    vec![
        Seen {
            who: Who::Address(Ipv4Addr::new(192, 0, 2, 1)),
            shown: shown(b"ps100001", session(ONE), vec![file("Boot\\BCD", &store), file("session.env", &own)], 8192),
            used: 5,
        },
        Seen {
            who: Who::Session(session(TWO).unwrap()),
            shown: Shown {
                address: Some(Ipv4Addr::new(192, 0, 2, 9)),
                ..shown(b"ps100002", None, vec![file("boot/bcd", &store), file("none", &empty)], 0)
            },
            used: HOUR,
        },
        Seen { who: Who::Address(Ipv4Addr::LOCALHOST), shown: shown(b"", None, Vec::new(), u16::MAX), used: 0 },
    ]
}

fn estate() -> Estate {
    let from = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 2070);
    let request =
        Request { from, local: Ipv4Addr::new(192, 0, 2, 1), interface: 3, bytes: Box::from(*b"\0\x01a\0octet\0") };
    let other =
        Request { from: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 65_535), bytes: Box::from([]), ..request.clone() };
    Estate { seen: seen(), waiting: vec![request, other] }
}

fn plain(all: &[Seen]) -> Vec<String> {
    let file = |(name, file): &(Box<[u8]>, Arc<Published>)| {
        format!("{} {} {:?}", name.escape_ascii(), file.name, file.memory())
    };
    let one = |seen: &Seen| {
        let shown = &seen.shown;
        let files: Vec<String> = shown.files.iter().map(file).collect();
        format!(
            "{:?} {:?} {:?} {} {} {} {files:?}",
            seen.who, shown.image, shown.session, shown.block, shown.window, seen.used
        )
    };
    let mut lines: Vec<String> = all.iter().map(one).collect();
    lines.sort();
    lines
}

#[test]
fn what_is_handed_over_arrives_as_it_was_and_shared_files_are_written_once() {
    let bytes = write(&estate());
    let arrived = read(&bytes).unwrap();
    assert_eq!(plain(&arrived.seen), plain(&seen()));
    assert_eq!(arrived.waiting, estate().waiting);
    assert!(bytes.len() < 2 * 1000, "the store that two sessions share is there once: {}", bytes.len());
    assert!(read(&write(&Estate::default())).unwrap().seen.is_empty());
}

#[test]
fn roots_that_were_handed_over_show_what_they_showed_and_for_as_long() {
    let mut old = Roots::new(10);
    seen().into_iter().for_each(|seen| old.adopt(seen));
    let mut new = Roots::new(10);
    let handed = Estate { seen: old.seen(), waiting: Vec::new() };
    read(&write(&handed)).unwrap().seen.into_iter().for_each(|seen| new.adopt(seen));
    assert_eq!(plain(&new.seen()), plain(&seen()));
    let namespace = crate::pump::files::tests::namespace(&["SMSImages/PS100001/boot.efi"]).unwrap();
    let name = Name::fold(b"boot/bcd").unwrap();
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let found = new.find(&namespace, address, &name, HOUR).unwrap();
    assert_eq!((found.published.memory().len(), found.session, found.block), (1000, session(ONE), 8192));
    assert!(old.find(&namespace, address, &name, 2 * HOUR).is_none(), "an hour after its last use it is over");
}

#[test]
fn bytes_of_another_form_and_bytes_that_were_cut_are_refused() {
    let bytes = write(&estate());
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut other = bytes.clone();
    other[FORM.len() - 2] = b'1';
    assert!(read(&other).is_err());
    let mut longer = bytes;
    longer.push(0);
    assert!(read(&longer).is_err());
}
