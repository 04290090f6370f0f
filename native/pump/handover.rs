//! What machines see, and who waits for a turn, as bytes: a process that ends hands it to the one that takes over.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::files::Published;
use super::gate::Session;
use super::roots::Shown;
use crate::engine::deadline::Time;
use crate::wire::cursor::Cursor;
use crate::wire::{Error, What};

/// Who sees something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The machine at this address.
    Address(Ipv4Addr),
    /// The machine that was offered this session.
    Session(Session),
}

/// What somebody sees, and when it was last used, by a clock that all processes of the host share.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whose it is.
    pub who: Who,
    /// What it is.
    pub shown: Shown,
    /// Its last use.
    pub used: Time,
}

/// A request that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub from: SocketAddrV4,
    /// Our address that it came to, and by which interface.
    pub local: Ipv4Addr,
    /// The index of that interface.
    pub interface: u32,
    /// The datagram.
    pub bytes: Box<[u8]>,
}

/// All that is handed over.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// What machines see.
    pub seen: Vec<Seen>,
    /// Who waits, the oldest first.
    pub waiting: Vec<Request>,
}

/// Which form of bytes this is; another one is another process's.
const FORM: &[u8] = b"pxefast seen 2\0";
const ADDRESS: u8 = 0;
const SESSION: u8 = 1;
const NONE: u8 = 2;

/// All of it as bytes. What several share is written once.
pub fn write(estate: &Estate) -> Vec<u8> {
    let mut contents = Contents::default();
    let mut entries = Vec::new();
    for seen in &estate.seen {
        match seen.who {
            Who::Address(address) => {
                entries.push(ADDRESS);
                entries.extend(address.octets());
            }
            Who::Session(session) => {
                entries.push(SESSION);
                entries.extend(session.digits());
            }
        }
        let shown = &seen.shown;
        entries.extend(seen.used.to_be_bytes());
        put(&mut entries, &shown.image);
        match shown.session {
            Some(session) => {
                entries.push(SESSION);
                entries.extend(session.digits());
            }
            None => entries.push(NONE),
        }
        entries.extend(shown.block.to_be_bytes());
        entries.extend(shown.window.to_be_bytes());
        entries.extend(shown.address.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        count(&mut entries, shown.files.len());
        for (name, published) in &shown.files {
            put(&mut entries, name);
            put(&mut entries, published.name.as_bytes());
            count(&mut entries, contents.place(published.memory()));
        }
    }
    let mut out = FORM.to_vec();
    count(&mut out, contents.places.len());
    out.extend(contents.bytes);
    count(&mut out, estate.seen.len());
    out.extend(entries);
    count(&mut out, estate.waiting.len());
    for request in &estate.waiting {
        out.extend(request.from.ip().octets());
        out.extend(request.from.port().to_be_bytes());
        out.extend(request.local.octets());
        out.extend(request.interface.to_be_bytes());
        put(&mut out, &request.bytes);
    }
    out
}

/// What [`write`] wrote.
///
/// # Errors
/// Where the bytes are none of this form.
pub fn read(bytes: &[u8]) -> Result<Estate, Error> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(FORM.len())? != FORM {
        return Err(Cursor::new(bytes).error(What::Unexpected));
    }
    let mut contents = Vec::new();
    for _ in 0..cursor.u32()? {
        contents.push(Arc::from(part(&mut cursor)?));
    }
    let mut estate = Estate::default();
    for _ in 0..cursor.u32()? {
        estate.seen.push(entry(&mut cursor, &contents)?);
    }
    for _ in 0..cursor.u32()? {
        estate.waiting.push(request(&mut cursor)?);
    }
    cursor.finish()?;
    Ok(estate)
}

fn entry(cursor: &mut Cursor<'_>, contents: &[Arc<[u8]>]) -> Result<Seen, Error> {
    let unexpected = cursor.error(What::Unexpected);
    let who = match cursor.u8()? {
        ADDRESS => Who::Address(Ipv4Addr::from(cursor.u32()?)),
        SESSION => Who::Session(session(cursor)?),
        _ => return Err(unexpected),
    };
    let used = Time::from_be_bytes(cursor.array()?);
    let image = part(cursor)?.into();
    let session = match cursor.u8()? {
        SESSION => Some(session(cursor)?),
        NONE => None,
        _ => return Err(unexpected),
    };
    let (block, window) = (cursor.u16()?, cursor.u16()?);
    let address = Some(Ipv4Addr::from(cursor.u32()?)).filter(|address| !address.is_unspecified());
    let mut own = Vec::new();
    for _ in 0..cursor.u32()? {
        let name = part(cursor)?.into();
        let spelled = String::from_utf8_lossy(part(cursor)?);
        let place = usize::try_from(cursor.u32()?).ok();
        let content = place.and_then(|place| contents.get(place)).ok_or(unexpected)?;
        own.push((name, Arc::new(Published::in_memory(&spelled, Arc::clone(content)))));
    }
    Ok(Seen { who, shown: Shown { image, session, files: own, block, window, address }, used })
}

fn request(cursor: &mut Cursor<'_>) -> Result<Request, Error> {
    let from = SocketAddrV4::new(Ipv4Addr::from(cursor.u32()?), cursor.u16()?);
    let (local, interface) = (Ipv4Addr::from(cursor.u32()?), cursor.u32()?);
    Ok(Request { from, local, interface, bytes: part(cursor)?.into() })
}

fn session(cursor: &mut Cursor<'_>) -> Result<Session, Error> {
    let error = cursor.error(What::Unexpected);
    Session::of(cursor.array()?).ok_or(error)
}

fn part<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
    let length = cursor.u32()?;
    cursor.take(usize::try_from(length).unwrap_or(usize::MAX))
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    count(out, part.len());
    out.extend(part);
}

/// Names, files and their numbers are bounded far below what this holds.
fn count(out: &mut Vec<u8>, number: usize) {
    out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

/// The bytes of all files, each once.
#[derive(Default)]
struct Contents {
    places: HashMap<(*const u8, usize), usize>,
    bytes: Vec<u8>,
}

impl Contents {
    fn place(&mut self, content: &[u8]) -> usize {
        let next = self.places.len();
        *self.places.entry((content.as_ptr(), content.len())).or_insert_with(|| {
            put(&mut self.bytes, content);
            next
        })
    }
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;
