//! The launch barrier's way to the ledger and back (B2, I3): a gated transfer asks once, and the answer finds that
//! transfer or nobody.

use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;

use super::files::{folder, Published};
use crate::wire::name::Name;

/// One transfer, for ever: a later one has another id, after a restart too, so that no late answer fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferId {
    /// Drawn by chance by the worker that it runs in.
    pub(super) worker: u64,
    /// Its place there, and which life of that place.
    pub(super) token: u64,
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.worker, self.token)
    }
}

/// A session as a boot file's name carries it: 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session([u8; 32]);

impl Session {
    /// Takes the session out of a folded name `smsimages/<image>/<session>/<rest>` or `smsboot/..`: it and the name
    /// without it.
    pub fn split(name: &Name) -> Option<(Session, Name)> {
        let bytes = name.as_bytes();
        let (first, image) = folder(bytes)?;
        let (folder, rest) = bytes.split_at_checked(first.len() + 1 + image.len())?;
        let (digits, rest) = rest.strip_prefix(b"/")?.split_first_chunk::<32>()?;
        let rest = Name::fold(rest.strip_prefix(b"/")?).ok()?;
        Some((Session::of(*digits)?, Name::join(folder, &rest)?))
    }

    /// The session with these digits; none where one is no such digit.
    pub fn of(digits: [u8; 32]) -> Option<Session> {
        digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(Session(digits))
    }

    /// Its digits.
    pub fn digits(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

/// A transfer that waits before the window with its file's final byte.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Which one; only it may ever be let through.
    pub transfer: TransferId,
    /// Its file.
    pub published: Arc<Published>,
    /// Who fetches it.
    pub peer: SocketAddrV4,
    /// The session that this machine's address was last seen with.
    pub session: Option<Session>,
}

/// What is said to a gate.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The launch is recorded for this transfer: the final byte may leave.
    Open,
    /// It may not; the words are for the client.
    Refuse(Box<str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str) -> Option<(String, String)> {
        let (session, plain) = Session::split(&Name::fold(name.as_bytes()).unwrap())?;
        Some((session.to_string(), String::from_utf8(plain.as_bytes().to_vec()).unwrap()))
    }

    #[test]
    fn a_session_is_32_hexadecimal_digits_behind_the_image() {
        let session = "0123456789abcdef0123456789abcdef";
        let (found, plain) = split(&format!("\\SMSImages\\PS100001\\{session}\\boot\\A.efi")).unwrap();
        assert_eq!((found.as_str(), plain.as_str()), (session, "smsimages/ps100001/boot/a.efi"));
        let (found, plain) = split(&format!("SMSBoot/PS100001/{session}/x64/A.efi")).unwrap();
        assert_eq!((found.as_str(), plain.as_str()), (session, "smsboot/ps100001/x64/a.efi"));
        for none in [
            format!("SMSTemp/PS100001/{session}/boot.efi"),
            "SMSImages/PS100001/boot.efi".to_owned(),
            format!("SMSImages/PS100001/{session}"),
            format!("SMSImages/PS100001/{session}0/boot.efi"),
            format!("SMSImages/PS100001/{}/boot.efi", &session[1..]),
            format!("SMSImages/PS100001/{}/boot.efi", session.replace('f', "g")),
            format!("SMSImages/{session}/boot.efi"),
            format!("{session}/boot.efi"),
        ] {
            assert_eq!(split(&none), None, "{none}");
        }
    }

    #[test]
    fn ids_of_two_workers_and_of_two_lives_differ() {
        let id = TransferId { worker: 1, token: 2 };
        assert_eq!(id.to_string(), "00000000000000010000000000000002");
        assert_ne!(id, TransferId { worker: 2, token: 2 });
        assert_ne!(id.to_string(), TransferId { worker: 1, token: 1 << 32 | 2 }.to_string());
    }
}
