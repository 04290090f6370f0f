//! A TFTP service: one door and its workers.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::control::Control;
use super::door::Door;
use super::settings::Settings;
use super::stats::Stats;
use super::transfers::Shared;
use super::worker::Worker;
use crate::sys::poll::Bell;
use crate::sys::udp::Socket;

/// A TFTP service that is bound and does not run yet.
pub struct Pump {
    control: Arc<Control>,
    workers: Vec<Worker>,
    bound: SocketAddrV4,
    descriptor: RawFd,
    offload: bool,
}

impl Pump {
    /// Binds port 69, or takes over the socket of who had it. `listener` rings whenever a gate is asked for.
    ///
    /// # Errors
    /// The system's own error.
    pub fn bind(
        settings: &Settings,
        given: Option<Socket>,
        stats: &Arc<Stats>,
        listener: Arc<Bell>,
    ) -> io::Result<Pump> {
        let count = settings.workers.max(1);
        let places = settings.limits.transfers.div_ceil(count).max(1);
        let control = Arc::new(Control::new(count, listener)?);
        let door = Door::open(settings, given, places, Arc::clone(&control), Arc::clone(stats))?;
        let (bound, descriptor) = (door.socket().local()?, door.socket().as_raw_fd());
        let offload = door.socket().knows_segments();
        let mut keeper = Some(door);
        let worker = |index| {
            let shared = Shared::new(Worker::poll()?, Arc::clone(&control), Arc::clone(stats), offload);
            Worker::new(index, places, settings.timing, shared, keeper.take())
        };
        let workers = (0..count).map(worker).collect::<io::Result<_>>()?;
        Ok(Pump { control, workers, bound, descriptor, offload })
    }

    /// Speaks to this pump.
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Where it listens.
    pub fn bound(&self) -> SocketAddrV4 {
        self.bound
    }

    /// The door's descriptor, which stays the pump's.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// Whether windows leave by segment offload.
    pub fn offload(&self) -> bool {
        self.offload
    }

    /// The workers, each to be run in a thread of its own.
    pub fn workers(self) -> Vec<Worker> {
        self.workers
    }
}
