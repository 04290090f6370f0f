//! The server: ports 67 and 4011 in batches on the caller's thread, TFTP on threads of its own.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::errors;
use super::look::{Live, Refused, Transfer, Waiting};
use super::measures::{histograms, Histogram};
use super::request::Request;
use super::settings::ServerSettings;
use crate::engine::answer::{self, Answer};
use crate::pump::control::Control;
use crate::pump::dhcp::{answer_to, Dhcp};
use crate::pump::files::{Namespace, Published};
use crate::pump::gate::{self, Session, Verdict};
use crate::pump::handover;
use crate::pump::request_rates::{Mac, RecordedMachines};
use crate::pump::roots::Shown;
use crate::pump::stats::{Counter, Stats};
use crate::pump::tftp::Pump;
use crate::sys::descriptors;
use crate::sys::file::{raise_open_files, Root};
use crate::sys::poll::Bell;
use crate::sys::udp::Socket;
use crate::wire::dhcp::Packet;
use crate::wire::name::Name;
use crate::wire::pxe::{Ask, Door};

/// The longest file in memory, in bytes, and how many names of such a session may have: what a flood of sessions holds
/// has a bound.
const SESSION_FILES: (usize, usize) = (65_536, 16);
/// The longest words that a refused client is told, in bytes: a one-line answer to a request that may be forged.
const LONGEST_REFUSAL: usize = 255;
/// The longest reply: one Ethernet frame's UDP payload.
const REPLY: usize = 1472;

/// A server with its ports bound.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Server {
    dhcp: Mutex<Dhcp>,
    bell: Arc<Bell>,
    control: Arc<Control>,
    threads: Mutex<Vec<JoinHandle<std::io::Result<()>>>>,
    workers: usize,
    places: usize,
    drained: Arc<AtomicBool>,
    recorded: Arc<RecordedMachines>,
    stats: Arc<Stats>,
    /// Each door's port and descriptor, which stays the socket's own.
    doors: Vec<(&'static str, u16, RawFd)>,
    offload: bool,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (settings, *, sockets=None))]
    fn new(settings: &ServerSettings, sockets: Option<BTreeMap<String, RawFd>>) -> PyResult<Server> {
        let (mut tftp_settings, files) = (settings.tftp.clone(), raise_open_files());
        let places = places(files, tftp_settings.limits.transfers)?;
        tftp_settings.limits.transfers = places;
        let mut given = given(sockets.unwrap_or_default())?;
        let stats = Arc::new(Stats::default());
        let mut take = |name| given.remove(name);
        let doors = settings.doors().into_iter().map(|(door, address)| (door, address, take(door_name(door))));
        let doors = doors.collect();
        let tftp = take(TFTP);
        if let Some(name) = given.keys().next() {
            return Err(PyValueError::new_err(format!(
                "a socket is given for {name:?}, which these settings do not listen on"
            )));
        }
        let dhcp = Dhcp::bind(doors, settings.rules, Arc::clone(&stats))
            .map_err(|(address, error)| errors::system(format_args!("UDP {address}"))(error))?;
        let address = tftp_settings.address;
        let on_tftp = || errors::system(format!("UDP {address}"));
        let pump = Pump::bind(&tftp_settings, tftp, &stats, dhcp.bell()).map_err(on_tftp())?;
        let mut doors: Vec<_> = dhcp.doors().map(|(door, at, socket)| (door_name(door), at.port(), socket)).collect();
        doors.push((TFTP, pump.bound().port(), pump.descriptor()));
        let (bell, control, offload) = (dhcp.bell(), pump.control(), pump.offload());
        let mut threads = Vec::new();
        for worker in pump.workers() {
            let thread = std::thread::Builder::new().name("pxefast-tftp".into()).spawn(move || worker.run());
            // Those that run already would keep the port.
            threads.push(thread.inspect_err(|_| control.stop()).map_err(errors::system("a TFTP thread"))?);
        }
        let (drained, recorded, workers) = (dhcp.drained(), dhcp.recorded(), threads.len());
        let (dhcp, threads) = (Mutex::new(dhcp), Mutex::new(threads));
        Ok(Server { dhcp, bell, control, threads, workers, places, drained, recorded, stats, doors, offload })
    }

    /// How many threads carry transfers.
    #[getter]
    fn workers(&self) -> usize {
        self.workers
    }

    /// How many transfers may run at once.
    #[getter]
    fn max_transfers(&self) -> usize {
        self.places
    }

    /// How many transfers run.
    #[getter]
    fn transferring(&self) -> usize {
        self.control.transfers()
    }

    /// No request is read from now on; transfers go on.
    fn drain(&self) {
        self.drained.store(true, Ordering::Release);
        self.control.close_door();
        self.bell.ring();
    }

    /// Requests are read again.
    fn resume(&self) {
        self.drained.store(false, Ordering::Release);
        self.control.open_door();
        self.bell.ring();
    }

    /// The port that each service is bound to.
    #[getter]
    fn ports(&self) -> BTreeMap<&'static str, u16> {
        self.doors.iter().map(|&(name, port, _)| (name, port)).collect()
    }

    /// The descriptor of each door.
    fn sockets(&self) -> BTreeMap<&'static str, RawFd> {
        self.doors.iter().map(|&(name, _, socket)| (name, socket)).collect()
    }

    /// Whether windows leave by segment offload.
    #[getter]
    fn offload(&self) -> bool {
        self.offload
    }

    /// Serves these files from now on.
    fn publish(&self, root: PathBuf, files: Vec<(String, String, u64, bool)>) -> PyResult<()> {
        self.control.publish(Namespace::new(open(&root)?, files).map_err(errors::unservable)?);
        Ok(())
    }

    /// Serves these files of a folder from now on.
    fn publish_folder(&self, root: PathBuf, files: Vec<(String, String)>) -> PyResult<()> {
        self.control.publish(Namespace::of_folder(open(&root)?, files).map_err(errors::unservable)?);
        Ok(())
    }

    /// Waits for requests, without the GIL; then lets Python's signal handlers run.
    fn wait(&self, py: Python<'_>, milliseconds: u32) -> PyResult<Vec<Request>> {
        let (questions, settled) = py.detach(|| {
            let mut dhcp = self.lock(&self.dhcp);
            let questions = dhcp.wait(milliseconds);
            (questions, dhcp.settled())
        });
        settled.into_iter().for_each(|(session, address)| self.control.settled(session, address));
        let questions = questions.map_err(errors::system("wait"))?;
        py.check_signals()?;
        if self.lock(&self.threads).iter().any(JoinHandle::is_finished) {
            return Err(PyRuntimeError::new_err("a TFTP thread has ended"));
        }
        Ok(questions.into_iter().map(Request).collect())
    }

    /// When every port was last known to be empty, in seconds.
    #[getter]
    fn empty(&self) -> f64 {
        self.lock(&self.dhcp).empty() as f64 / 1e6
    }

    /// Every port was empty at this time, in seconds, as who read it before knows.
    fn emptied(&self, seconds: f64) {
        // A number that is no time becomes 0: nothing is known then.
        self.lock(&self.dhcp).emptied((seconds.max(0.0) * 1e6) as u64);
    }

    /// Replaces the recorded machines, by their MAC addresses of six bytes, one after the other.
    fn set_recorded_machines(&self, macs: &[u8]) {
        self.recorded.replace(macs.chunks_exact(6).filter_map(|mac| Mac::try_from(mac).ok()).collect());
    }

    /// Answers a request. Returns where to, or None when it did not leave.
    #[pyo3(signature = (request, boot_file="", *, image=None, files=Vec::new(), options=Vec::new(),
        block_size=0, window_size=0), text_signature = "($self, request, boot_file='', *, image=None, files=(), \
        options=(), block_size=0, window_size=0)")]
    #[allow(clippy::too_many_arguments)] // named ones, most of them
    fn answer(
        &self,
        request: &Request,
        boot_file: &str,
        image: Option<&str>,
        files: Vec<(String, Py<MemoryFile>)>,
        options: Vec<(u8, PyBackedBytes)>,
        block_size: u16,
        window_size: u16,
    ) -> PyResult<Option<String>> {
        let question = &request.0;
        let shown = shown(boot_file, image, &files, block_size, window_size)?;
        let Ok(packet) = Packet::parse(&question.bytes) else { return Ok(None) };
        let Some(to) = answer_to(question, &packet) else { return Ok(None) };
        let windows: Vec<(u8, &[u8])> = options.iter().map(|(code, value)| (*code, &value[..])).collect();
        let answer =
            Answer { ask: question.ask, server: question.local, boot_file: boot_file.as_bytes(), windows: &windows };
        let mut buffer = [0; REPLY];
        let emitted = answer::emit(&answer, &packet, &mut buffer).map_err(|error| {
            let codes: Vec<u8> = options.iter().map(|(code, _)| *code).collect();
            PyValueError::new_err(format!("boot file {boot_file:?} with options {codes:?}: {error}"))
        })?;
        if emitted.relay_agent_dropped {
            self.stats.count(Counter::DhcpRelayAgentDropped);
        }
        match question.ask {
            Ask::Request => {
                let address = if question.from.ip().is_unspecified() { packet.ciaddr() } else { *question.from.ip() };
                if !address.is_unspecified() {
                    self.control.answered(address, shown);
                }
            }
            // The machine has no address yet: which it is given it will say to its DHCP server.
            Ask::Discover => {
                if let Some((session, mut shown)) = shown.and_then(|shown| Some((shown.session?, shown))) {
                    let source = *question.from.ip();
                    let has_address = question.door == Door::Boot4011 && !source.is_unspecified();
                    shown.address = if has_address || source.is_loopback() {
                        Some(source)
                    } else {
                        self.lock(&self.dhcp).offered(question, &packet, session)
                    };
                    self.control.offered(session, shown);
                }
            }
        }
        let sent = self.lock(&self.dhcp).send(question, to, buffer.get(..emitted.len).unwrap_or(&[]));
        Ok(sent.then(|| to.to_string()))
    }

    /// Ends the root and the session of this address.
    fn forget(&self, address: &str) -> PyResult<()> {
        self.control.forget(errors::address(address)?);
        Ok(())
    }

    /// The gates that were asked for since the last call and still wait.
    fn gates(&self) -> Vec<Gate> {
        self.control.gates().into_iter().map(Gate).collect()
    }

    /// Lets the final byte of this transfer leave.
    fn open(&self, gate: &Gate) {
        self.control.answer(gate.0.transfer, Verdict::Open);
    }

    /// Ends this transfer with an error of these words.
    fn refuse(&self, gate: &Gate, text: &str) {
        let fits = |&(at, letter): &(usize, char)| at + letter.len_utf8() <= LONGEST_REFUSAL;
        let words = text.char_indices().take_while(fits).map(|(_, letter)| letter).collect();
        self.control.answer(gate.0.transfer, Verdict::Refuse(words));
    }

    /// What everybody sees, and who waits.
    fn leave(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let estate =
            py.detach(|| self.control.leave()).ok_or_else(|| PyRuntimeError::new_err("the TFTP thread is silent"))?;
        Ok(handover::write(&estate))
    }

    /// Takes over what `leave` returned elsewhere.
    fn adopt(&self, estate: &[u8]) -> PyResult<()> {
        let estate =
            handover::read(estate).map_err(|error| PyValueError::new_err(format!("what was left: {error}")))?;
        self.control.adopt(estate);
        Ok(())
    }

    /// The transfers that ended since the last call.
    fn transfers(&self) -> Vec<Transfer> {
        self.control.reports().into_iter().map(Transfer::from).collect()
    }

    /// The transfers that run.
    fn live(&self, py: Python<'_>) -> Vec<Live> {
        py.detach(|| self.control.live()).into_iter().map(Live::from).collect()
    }

    /// The requests that wait for their turn.
    fn waiting(&self, py: Python<'_>) -> Vec<Waiting> {
        py.detach(|| self.control.waiting()).into_iter().map(Waiting::from).collect()
    }

    /// The requests that were refused since the last call.
    fn refused(&self) -> Vec<Refused> {
        self.control.refused().into_iter().map(Refused::from).collect()
    }

    /// Every counter.
    fn counters(&self) -> BTreeMap<String, u64> {
        self.stats.all().into_iter().collect()
    }

    /// Every distribution.
    fn histograms(&self) -> BTreeMap<&'static str, Histogram> {
        histograms(&self.stats)
    }

    /// Ends a `wait` from another thread.
    fn wake(&self) {
        self.bell.ring();
    }

    /// Ends the TFTP threads.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.control.stop();
        let threads = std::mem::take(&mut *self.lock(&self.threads));
        let ended: Vec<_> = py.detach(|| threads.into_iter().map(JoinHandle::join).collect());
        for end in ended {
            match end {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(errors::system("a TFTP thread")(error)),
                Err(_) => return Err(PyRuntimeError::new_err("a TFTP thread panicked")),
            }
        }
        Ok(())
    }
}

impl Server {
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of so many `transfers` may run where the process may have `limit` open files. From here on no transfer takes
/// one of those that are kept for the database, the journal, the log and the report port.
fn places(limit: u64, transfers: usize) -> PyResult<usize> {
    let share = descriptors::share(limit, descriptors::open()).ok_or_else(|| {
        errors::too_few_files(format_args!(
            "at most {limit} files may be open, too few for a distribution point: raise the limit to {} or more, with \
             LimitNOFILE= of the unit or with ulimit -n",
            descriptors::LEAST
        ))
    })?;
    descriptors::keep(share.first_kept);
    Ok(transfers.min(share.transfers))
}

fn open(root: &Path) -> PyResult<Root> {
    Root::open(root).map_err(errors::system(root.display()))
}

/// What an answer shows to its machine; None where it names no image.
fn shown(
    boot_file: &str,
    image: Option<&str>,
    files: &[(String, Py<MemoryFile>)],
    block: u16,
    window: u16,
) -> PyResult<Option<Shown>> {
    let Some(image) = image else {
        return if files.is_empty() && block == 0 && window == 0 {
            Ok(None)
        } else {
            Err(PyValueError::new_err("a session's files, block size and window need its image"))
        };
    };
    if image.contains(['/', '\\']) {
        return Err(PyValueError::new_err(format!("{image}: no image has this id")));
    }
    if files.len() > SESSION_FILES.1 {
        return Err(PyValueError::new_err(format!("more than {} files of a session", SESSION_FILES.1)));
    }
    let mut own = Vec::with_capacity(files.len());
    for (name, file) in files {
        let published = Published::in_memory(name, Arc::clone(&file.get().0));
        own.push((folded(name)?, Arc::new(published)));
    }
    let session = Name::fold(boot_file.as_bytes()).ok().as_ref().and_then(Session::split).map(|(session, _)| session);
    Ok(Some(Shown { image: folded(image)?, session, files: own, block, window, address: None }))
}

fn folded(name: &str) -> PyResult<Box<[u8]>> {
    let folded = Name::fold(name.as_bytes()).map_err(|why| PyValueError::new_err(format!("{name}: {why}")))?;
    Ok(folded.as_bytes().into())
}

/// A session's file.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct MemoryFile(Arc<[u8]>);

#[pymethods]
impl MemoryFile {
    #[new]
    fn new(data: &[u8]) -> PyResult<MemoryFile> {
        if data.len() > SESSION_FILES.0 {
            return Err(PyValueError::new_err(format!("a file in memory of more than {} bytes", SESSION_FILES.0)));
        }
        Ok(MemoryFile(data.into()))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// The sockets of these descriptors, each under a descriptor of our own.
fn given(sockets: BTreeMap<String, RawFd>) -> PyResult<BTreeMap<String, Socket>> {
    let open = |(name, descriptor): (String, RawFd)| match Socket::given(descriptor) {
        Ok(socket) => Ok((name, socket)),
        Err(error) => Err(PyValueError::new_err(format!("the socket given for {name:?} is not usable: {error}"))),
    };
    sockets.into_iter().map(open).collect()
}

/// The door of TFTP beside those of [`door_name`].
const TFTP: &str = "tftp";

fn door_name(door: Door) -> &'static str {
    match door {
        Door::Dhcp67 => "dhcp",
        Door::Boot4011 => "boot",
    }
}

/// A transfer that waits before its file's final byte.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Gate(gate::Gate);

#[pymethods]
impl Gate {
    #[getter]
    fn name(&self) -> &str {
        &self.0.published.name
    }

    #[getter]
    fn peer(&self) -> String {
        self.0.peer.to_string()
    }

    #[getter]
    fn address(&self) -> String {
        self.0.peer.ip().to_string()
    }

    #[getter]
    fn session(&self) -> Option<String> {
        self.0.session.map(|session| session.to_string())
    }

    #[getter]
    fn transfer(&self) -> String {
        self.0.transfer.to_string()
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Server>()?;
    module.add_class::<MemoryFile>()?;
    module.add_class::<Gate>()
}
