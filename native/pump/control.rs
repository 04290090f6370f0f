//! How other threads speak with the TFTP pump: commands in, reports of ended transfers out.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{Namespace, Published};
use crate::engine::deadline::Time;
use crate::engine::transfer::Outcome;
use crate::sys::poll::Bell;

/// One ended transfer, for the log.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub published: Arc<Published>,
    /// Who fetched it.
    pub peer: SocketAddrV4,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes that the peer acknowledged.
    pub bytes: u64,
    /// Bytes in a block, blocks in a window.
    pub agreed: (u16, u16),
    /// Blocks sent again.
    pub resent: u32,
    /// From request to end, in microseconds.
    pub took: Time,
}

pub(super) enum Command {
    Publish(Arc<Namespace>),
    Root(Ipv4Addr, Box<[u8]>),
    Stop,
}

/// Speaks to a running pump from other threads.
pub struct Control {
    commands: Mutex<Vec<Command>>,
    waiting: AtomicBool,
    pub(super) bell: Bell,
    reports: Mutex<VecDeque<Report>>,
}

/// Reports kept for the log.
const REPORTS: usize = 4096;

impl Control {
    pub(super) fn new() -> io::Result<Control> {
        Ok(Control {
            commands: Mutex::default(),
            waiting: AtomicBool::new(false),
            bell: Bell::new()?,
            reports: Mutex::new(VecDeque::with_capacity(REPORTS)),
        })
    }

    /// Serves `namespace` from now on; transfers under way keep their files.
    pub fn publish(&self, namespace: Namespace) {
        self.say(Command::Publish(Arc::new(namespace)));
    }

    /// Lets `address` see the image folder `folder` (folded) as its root, before its next request is read.
    pub fn root(&self, address: Ipv4Addr, folder: &[u8]) {
        self.say(Command::Root(address, folder.into()));
    }

    /// Ends the pump.
    pub fn stop(&self) {
        self.say(Command::Stop);
    }

    /// The transfers that ended since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn say(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.waiting.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// What was said since the last call.
    pub(super) fn heard(&self) -> Vec<Command> {
        if !self.waiting.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a report until it is fetched; false when an older one had to go for it.
    pub(super) fn report(&self, report: Report) -> bool {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let room = reports.len() < REPORTS;
        if !room {
            reports.pop_front();
        }
        reports.push_back(report);
        room
    }
}
