//! Whatever name a client asks for is folded to one that stays below its root, or refused; a session in it is taken out and
//! leaves the name that it stood in.

#![no_main]

use _native::pump::gate::Session;
use _native::wire::name::{Name, MAX_COMPONENT, MAX_NAME};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let Ok(name) = Name::fold(raw) else { return };
    check(&name);
    // However it was spelled, it is the same file.
    let mut spelled = b"\\/".to_vec();
    spelled.extend(name.as_bytes().iter().map(|byte| match byte {
        b'/' => b'\\',
        byte => byte.to_ascii_uppercase(),
    }));
    spelled.extend_from_slice(b" \xff\r\n\0rest");
    if !name.as_bytes().ends_with(b" ") {
        assert_eq!(Name::fold(&spelled), Ok(name.clone()));
    }
    for folder in [&b"smsimages"[..], b"SMSBoot/PS100001", b"..", b""] {
        let Some(joined) = Name::join(folder, &name) else { continue };
        check(&joined);
        assert!(joined.as_bytes().ends_with(name.as_bytes()) && folder != b"..");
    }
    if let Some((session, plain)) = Session::split(&name) {
        check(&plain);
        let digits = session.to_string();
        assert!(digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
        let parts: Vec<&[u8]> = name.as_bytes().splitn(4, |&byte| byte == b'/').collect();
        assert_eq!(parts[2], digits.as_bytes());
        assert_eq!([parts[0], parts[1], parts[3]].join(&b'/'), plain.as_bytes());
        assert!(matches!(parts[0], b"smsimages" | b"smsboot"));
    }
});

fn check(name: &Name) {
    assert!(name.as_bytes().len() <= MAX_NAME);
    for part in name.as_bytes().split(|&byte| byte == b'/') {
        assert!((1..=MAX_COMPONENT).contains(&part.len()) && part != b"." && part != b"..");
    }
    assert!(!name
        .as_bytes()
        .iter()
        .any(|byte| byte.is_ascii_control() || byte.is_ascii_uppercase() || b"\\:".contains(byte)));
    assert_eq!(Name::fold(name.as_bytes()).as_ref(), Ok(name));
}
