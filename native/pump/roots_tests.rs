use super::*;
use crate::pump::files::tests::namespace;

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const ONE: &str = "0123456789abcdef0123456789abcdef";
const BCD: &str = "SMSTemp\\2026.11.22.{0}.boot.bcd";

fn files() -> Namespace {
    namespace(&[
        "SMSImages/A/boot.efi",
        "SMSImages/A/session.env",
        "SMSImages/A/SMSBoot/x64/bootmgfw.efi",
        "SMSBoot/A/x64/bootmgfw.efi",
        "SMSImages/B/boot.efi",
        "SMSBoot/x64/bootmgfw.efi",
        "SMSBoot/x64/wdsmgfw.efi",
        "SMSBoot/abort/abortpxe.com",
    ])
    .unwrap()
}

fn shown(image: &str, files: &[(&str, &str)]) -> Shown {
    let fold = |name: &str| Box::from(Name::fold(name.as_bytes()).unwrap().as_bytes());
    let file = |text: &str| Arc::new(Published::in_memory(text, Arc::from(text.as_bytes())));
    let files = files.iter().map(|(name, text)| (fold(name), file(text))).collect();
    Shown { image: image.as_bytes().into(), session: None, files, block: 0, window: 0, address: None }
}

fn session() -> Session {
    Session::split(&Name::fold(format!("SMSBoot/A/{ONE}/x").as_bytes()).unwrap()).unwrap().0
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
    roots.answered(A, Some(shown("a", &[])), 0);
    assert_eq!(name(&mut roots, A, "boot.efi", LIFE).as_deref(), Some("SMSImages/A/boot.efi"));
    assert_eq!(name(&mut roots, B, "boot.efi", LIFE), None);
    roots.answered(A, Some(shown("b", &[])), LIFE);
    assert_eq!(name(&mut roots, A, "boot.efi", 2 * LIFE).as_deref(), Some("SMSImages/B/boot.efi"));
    assert_eq!(name(&mut roots, A, "boot.efi", 3 * LIFE + 1), None);
}

#[test]
fn a_machines_own_image_comes_before_everybodys_and_a_full_name_before_both() {
    let mut roots = Roots::new(10);
    let asked = "\\SMSBoot\\x64\\bootmgfw.efi";
    assert_eq!(name(&mut roots, A, asked, 0).as_deref(), Some("SMSBoot/x64/bootmgfw.efi"));
    roots.answered(A, Some(shown("a", &[])), 1);
    assert_eq!(name(&mut roots, A, asked, 2).as_deref(), Some("SMSImages/A/SMSBoot/x64/bootmgfw.efi"));
    assert_eq!(name(&mut roots, A, "SMSBoot/x64/wdsmgfw.efi", 2).as_deref(), Some("SMSBoot/x64/wdsmgfw.efi"));
    assert_eq!(name(&mut roots, A, "SMSBoot/abort/abortpxe.com", 2).as_deref(), Some("SMSBoot/abort/abortpxe.com"));
    assert_eq!(name(&mut roots, A, "boot.efi", 3).as_deref(), Some("SMSImages/A/boot.efi"), "the root stays");
    assert_eq!(name(&mut roots, A, "SMSBoot/A/x64/bootmgfw.efi", 3).as_deref(), Some("SMSBoot/A/x64/bootmgfw.efi"));
}

#[test]
fn the_boot_program_of_an_image_tells_which_root_its_machine_sees() {
    let mut roots = Roots::new(10);
    assert!(name(&mut roots, A, "SMSBoot\\A\\x64\\bootmgfw.efi", 0).is_some());
    assert_eq!(name(&mut roots, A, "boot.efi", 1).as_deref(), Some("SMSImages/A/boot.efi"));
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
    roots.answered(A, Some(shown("a", &[])), 5);
    assert_eq!(find(&mut roots, A, "boot.efi", 6).unwrap().1, None, "the answer began another session");
    assert_eq!(name(&mut roots, A, &format!("SMSImages/A/{ONE}/missing"), 7), None);
    assert_eq!(find(&mut roots, B, &long, 8), seen);
    assert_eq!(find(&mut roots, B, "SMSImages/A/boot.efi", LIFE + 9).unwrap().1, None, "an hour later it is over");
}

#[test]
fn the_files_of_a_session_are_seen_by_its_machine_alone_and_before_all_others() {
    let mut roots = Roots::new(10);
    let own = shown("b", &[("session.env", "KEY=1"), (BCD, "the store"), ("Boot/BCD", "the store")]);
    roots.answered(A, Some(own), 0);
    roots.answered(B, Some(shown("b", &[])), 0);
    assert_eq!(name(&mut roots, A, "/Session.ENV", 1).as_deref(), Some("KEY=1"));
    for spelled in
        [BCD, "smstemp/2026.11.22.{0}.boot.bcd", "\\\\SMSTEMP\\2026.11.22.{0}.BOOT.BCD", "\\Boot\\BCD", "boot/bcd"]
    {
        assert_eq!(name(&mut roots, A, spelled, 1).as_deref(), Some("the store"), "{spelled}");
        assert_eq!(name(&mut roots, B, spelled, 1), None, "{spelled}");
    }
    assert_eq!(name(&mut roots, B, "session.env", 1), None);
    assert_eq!(name(&mut roots, A, "SMSImages/B/session.env", 1), None);
    assert_eq!(name(&mut roots, A, &format!("SMSImages/B/{ONE}/session.env"), 1), None);
    roots.answered(A, Some(shown("a", &[("session.env", "KEY=2")])), LIFE);
    assert_eq!(name(&mut roots, A, "session.env", LIFE).as_deref(), Some("KEY=2"));
    assert_eq!(name(&mut roots, A, "boot/bcd", LIFE), None, "the answer before had it");
    roots.answered(A, None, LIFE);
    assert_eq!(name(&mut roots, A, "session.env", LIFE).as_deref(), Some("SMSImages/A/session.env"));
}

#[test]
fn the_files_of_a_session_last_as_long_as_their_machine_asks_for_something_each_hour() {
    let mut roots = Roots::new(10);
    roots.answered(A, Some(shown("a", &[(BCD, "the store")])), 0);
    for hour in 1..=3 {
        assert!(name(&mut roots, A, "missing.ttf", hour * LIFE).is_none());
        assert!(name(&mut roots, A, BCD, hour * LIFE).is_some());
    }
    assert_eq!(name(&mut roots, A, BCD, 4 * LIFE + 1), None);
}

#[test]
fn who_is_forgotten_sees_neither_its_root_nor_its_session() {
    let mut roots = Roots::new(10);
    roots.answered(A, Some(shown("a", &[(BCD, "the store")])), 0);
    roots.forget(A);
    assert_eq!((name(&mut roots, A, BCD, 1), name(&mut roots, A, "boot.efi", 1)), (None, None));
    roots.forget(B);
}

fn offer() -> Shown {
    Shown { session: Some(session()), block: 8192, window: 4, ..shown("a", &[("Boot/BCD", "the store")]) }
}

fn long() -> String {
    format!("SMSBoot\\A\\{ONE}\\x64\\bootmgfw.efi")
}

#[test]
fn a_session_in_an_offer_is_the_machines_at_the_address_that_it_was_given() {
    let mut roots = Roots::new(10);
    roots.offered(session(), offer(), 0);
    roots.settled(session(), A, 0);
    assert_eq!(name(&mut roots, A, "Boot/BCD", 1), None);
    assert_eq!(name(&mut roots, A, &format!("SMSImages/B/{ONE}/boot.efi"), 1).as_deref(), Some("SMSImages/B/boot.efi"));
    assert_eq!(name(&mut roots, A, "Boot/BCD", 1), None, "a session is of one image");
    let found = roots.find(&files(), A, &Name::fold(long().as_bytes()).unwrap(), 2).unwrap();
    assert_eq!((&*found.published.name, found.block, found.window), ("SMSBoot/A/x64/bootmgfw.efi", 8192, 4));
    assert_eq!(find(&mut roots, A, "Boot/BCD", 3), Some(("the store".to_owned(), Some(ONE.to_owned()))));
    assert!(name(&mut roots, B, &long(), 4).is_some());
    assert_eq!(name(&mut roots, B, "Boot/BCD", 4), None, "it is given once");
    assert!(name(&mut roots, A, &long(), 5).is_some());
    assert_eq!(name(&mut roots, A, "Boot/BCD", 6).as_deref(), Some("the store"), "asking again changes nothing");

    roots.offered(session(), offer(), 10);
    roots.settled(session(), B, LIFE + 11);
    assert!(name(&mut roots, B, &long(), LIFE + 11).is_some());
    assert_eq!(name(&mut roots, B, "Boot/BCD", LIFE + 12), None, "nobody came within an hour");
}

#[test]
fn who_asks_with_anothers_session_first_gets_its_image_and_not_its_files() {
    let mut roots = Roots::new(10);
    roots.offered(session(), offer(), 0);
    for (address, known) in [(B, false), (B, true)] {
        let found = roots.find(&files(), address, &Name::fold(long().as_bytes()).unwrap(), 1).unwrap();
        assert_eq!((found.block, found.window), (8192, 4), "{known}");
        assert_eq!(name(&mut roots, address, "Boot/BCD", 1), None, "{known}");
        roots.settled(session(), A, 1);
    }
    assert!(name(&mut roots, A, &long(), 2).is_some());
    assert_eq!(name(&mut roots, A, "Boot/BCD", 2).as_deref(), Some("the store"));
    assert_eq!(name(&mut roots, B, "Boot/BCD", 2), None);
}

#[test]
fn a_machine_that_asked_before_its_address_was_known_gets_its_files_then() {
    let mut roots = Roots::new(10);
    roots.offered(session(), offer(), 0);
    assert!(name(&mut roots, A, &long(), 1).is_some() && name(&mut roots, B, &long(), 1).is_some());
    assert_eq!(name(&mut roots, A, "Boot/BCD", 2), None);
    roots.settled(session(), A, 3);
    assert_eq!(find(&mut roots, A, "Boot/BCD", 4), Some(("the store".to_owned(), Some(ONE.to_owned()))));
    assert_eq!(name(&mut roots, B, "Boot/BCD", 4), None);
}

#[test]
fn an_offer_whose_machine_is_known_needs_no_word_and_a_new_one_does() {
    let mut roots = Roots::new(10);
    roots.offered(session(), Shown { address: Some(A), ..offer() }, 0);
    assert!(name(&mut roots, A, &long(), 1).is_some());
    assert_eq!(name(&mut roots, A, "Boot/BCD", 2).as_deref(), Some("the store"));
    roots.settled(session(), B, 3);
    assert_eq!(name(&mut roots, B, "Boot/BCD", 3), None, "what is not offered any more settles nothing");
    roots.offered(session(), offer(), 4);
    assert!(name(&mut roots, B, &long(), 5).is_some());
    assert_eq!(name(&mut roots, B, "Boot/BCD", 5), None);
}

#[test]
fn a_flood_of_addresses_or_offers_keeps_the_newest() {
    let mut roots = Roots::new(100);
    for n in 0..1000u32 {
        roots.answered(Ipv4Addr::from(n), Some(shown("a", &[("session.env", "KEY=1")])), Time::from(n));
        let digits = format!("SMSImages/A/{n:032x}/boot.efi");
        let (session, _) = Session::split(&Name::fold(digits.as_bytes()).unwrap()).unwrap();
        roots.offered(session, Shown { address: Some(A), ..shown("a", &[("session.env", "KEY=1")]) }, Time::from(n));
    }
    assert!(roots.machines.entries.len() <= 100 && roots.offered.entries.len() <= 100);
    assert_eq!(name(&mut roots, Ipv4Addr::from(999), "session.env", 1000).as_deref(), Some("KEY=1"));
    assert!(name(&mut roots, A, &format!("SMSImages/A/{:032x}/boot.efi", 999), 1000).is_some());
    assert_eq!(name(&mut roots, A, "session.env", 1000).as_deref(), Some("KEY=1"));
}
