//! The server: ports 67 and 4011 in batches on the caller's thread, TFTP on a thread of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors;
use super::settings::ServerSettings;
use crate::engine::answer::{self, Answer};
use crate::pump::control::{Control, Report};
use crate::pump::dhcp::{answer_to, Dhcp, Question};
use crate::pump::files::{image_folder, Namespace, Published};
use crate::pump::gate::{self, Session, Verdict};
use crate::pump::roots::{Shown, SESSION_FILE};
use crate::pump::stats::{Counter, Stats};
use crate::pump::tftp::Pump;
use crate::sys::file::{raise_open_files, Root};
use crate::sys::poll::Bell;
use crate::sys::udp::interface_name;
use crate::wire::dhcp::{code, Packet};
use crate::wire::name::Name;
use crate::wire::pxe::{guid_text, Ask, Door, Reading};

/// The longest session file, in bytes.
const LONGEST_SESSION_FILE: usize = 8192;
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
    thread: Mutex<Option<JoinHandle<std::io::Result<()>>>>,
    stats: Arc<Stats>,
    ports: Vec<(&'static str, u16)>,
    offload: bool,
}

#[pymethods]
impl Server {
    #[new]
    fn new(settings: &ServerSettings) -> PyResult<Server> {
        raise_open_files();
        let stats = Arc::new(Stats::default());
        let dhcp = Dhcp::bind(&settings.doors(), settings.accept_option82_without_giaddr, Arc::clone(&stats))
            .map_err(|(address, error)| errors::system(format_args!("UDP {address}"))(error))?;
        let tftp = settings.tftp();
        let on_tftp = || errors::system(format!("UDP {}", tftp.address));
        let pump = Pump::bind(tftp, Arc::clone(&stats), dhcp.bell()).map_err(on_tftp())?;
        let mut ports: Vec<_> =
            dhcp.bound().into_iter().map(|(door, address)| (port_name(door), address.port())).collect();
        ports.push(("tftp", pump.bound().map_err(on_tftp())?.port()));
        let (bell, control, offload) = (dhcp.bell(), pump.control(), pump.offload());
        let thread = std::thread::Builder::new()
            .name("pxefast-tftp".into())
            .spawn(move || pump.run())
            .map_err(errors::system("the TFTP thread"))?;
        Ok(Server { dhcp: Mutex::new(dhcp), bell, control, thread: Mutex::new(Some(thread)), stats, ports, offload })
    }

    /// The port that each service is bound to.
    #[getter]
    fn ports(&self) -> std::collections::HashMap<&'static str, u16> {
        self.ports.iter().copied().collect()
    }

    /// Whether windows leave by segment offload.
    #[getter]
    fn offload(&self) -> bool {
        self.offload
    }

    /// Serves these files from now on.
    fn publish(&self, root: &str, files: Vec<(String, String, u64, bool)>) -> PyResult<()> {
        let root = Root::open(root).map_err(errors::system(root))?;
        self.control.publish(Namespace::new(root, files).map_err(errors::unservable)?);
        Ok(())
    }

    /// Waits for requests, without the GIL; then lets Python's signal handlers run.
    fn wait(&self, py: Python<'_>, milliseconds: i32) -> PyResult<Vec<Request>> {
        let questions = py.detach(|| self.lock(&self.dhcp).wait(milliseconds)).map_err(errors::system("wait"))?;
        py.check_signals()?;
        if self.lock(&self.thread).as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(PyRuntimeError::new_err("the TFTP thread has ended"));
        }
        Ok(questions.into_iter().map(Request).collect())
    }

    /// Answers a request. Returns where to, or None when it did not leave.
    #[pyo3(signature = (request, boot_file="", session_file=None))]
    fn answer(&self, request: &Request, boot_file: &str, session_file: Option<&[u8]>) -> PyResult<Option<String>> {
        if session_file.is_some_and(|bytes| bytes.len() > LONGEST_SESSION_FILE) {
            return Err(PyValueError::new_err(format!("a session file of more than {LONGEST_SESSION_FILE} bytes")));
        }
        let question = &request.0;
        let Ok(packet) = Packet::parse(&question.bytes) else { return Ok(None) };
        let Some(to) = answer_to(question, &packet) else { return Ok(None) };
        let answer = Answer { ask: question.ask, server: question.local, boot_file: boot_file.as_bytes() };
        let mut buffer = [0; REPLY];
        let emitted = answer::emit(&answer, &packet, &mut buffer)
            .map_err(|error| PyValueError::new_err(format!("boot file {boot_file}: {error}")))?;
        if emitted.relay_agent_dropped {
            self.stats.count(Counter::DhcpRelayAgentDropped);
        }
        if question.ask == Ask::Request {
            self.show(question, &packet, boot_file, session_file);
        }
        let sent = self.lock(&self.dhcp).send(question, to, buffer.get(..emitted.len).unwrap_or(&[]));
        Ok(sent.then(|| to.to_string()))
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

    /// The transfers that ended since the last call.
    fn transfers(&self) -> Vec<Transfer> {
        self.control.reports().into_iter().map(Transfer).collect()
    }

    /// Every counter.
    fn counters(&self) -> std::collections::BTreeMap<String, u64> {
        self.stats.all().into_iter().collect()
    }

    /// Ends a `wait` from another thread.
    fn wake(&self) {
        self.bell.ring();
    }

    /// Ends the TFTP thread.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.control.stop();
        let thread = self.lock(&self.thread).take();
        match py.detach(|| thread.map(JoinHandle::join)) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(errors::system("the TFTP thread")(error)),
            Some(Err(_)) => Err(PyRuntimeError::new_err("the TFTP thread panicked")),
        }
    }
}

impl Server {
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From its answer on, the machine sees its image's folder as TFTP root, and its session's file there.
    fn show(&self, question: &Question, packet: &Packet<'_>, boot_file: &str, session_file: Option<&[u8]>) {
        let address = if question.from.ip().is_unspecified() { packet.ciaddr() } else { *question.from.ip() };
        if address.is_unspecified() {
            return;
        }
        let shown = Name::fold(boot_file.as_bytes()).ok().and_then(|name| {
            Some(Shown {
                folder: image_folder(name.as_bytes())?.into(),
                session: Session::split(&name).map(|(session, _)| session),
                file: session_file.map(|bytes| Arc::new(Published::in_memory(SESSION_FILE, bytes))),
            })
        });
        self.control.answered(address, shown);
    }
}

fn port_name(door: Door) -> &'static str {
    match door {
        Door::Dhcp67 => "dhcp",
        Door::Boot4011 => "boot",
    }
}

/// One PXE client's question.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Request(Question);

impl Request {
    fn read<T>(&self, get: impl FnOnce(&Packet<'_>, &Reading<'_>) -> T) -> Option<T> {
        let packet = Packet::parse(&self.0.bytes).ok()?;
        Some(get(&packet, &Reading::of(&packet)))
    }
}

#[pymethods]
impl Request {
    /// All that the decision needs, read once.
    fn fields(&self) -> PyResult<Fields> {
        let (door, from, local) = (self.0.ask, self.0.from, self.0.local);
        self.read(|packet, reading| Fields {
            mac: reading.mac().map(mac_text).unwrap_or_default(),
            guid: reading.guid.map(|guid| String::from_utf8_lossy(&guid_text(&guid)).into_owned()),
            architecture: reading.architecture(),
            ipxe: reading.ipxe,
            door: if door == Ask::Discover { "discover" } else { "request" },
            secs: packet.secs(),
            xid: packet.xid(),
            giaddr: Some(packet.giaddr()).filter(|address| !address.is_unspecified()).map(|a| a.to_string()),
            ciaddr: Some(packet.ciaddr()).filter(|address| !address.is_unspecified()).map(|a| a.to_string()),
            source: from.to_string(),
            server: local.to_string(),
        })
        .ok_or_else(|| PyRuntimeError::new_err("a packet that was read before cannot be read again"))
    }

    /// The name of the interface that it came in by; "" when it is gone.
    #[getter]
    fn interface(&self) -> String {
        interface_name(self.0.interface).unwrap_or_default()
    }

    /// Where its answer goes; None where no honest client or relay could be.
    #[getter]
    fn destination(&self) -> Option<String> {
        self.read(|packet, _| answer_to(&self.0, packet).map(|to| to.to_string()))?
    }

    /// Option 82 as it came.
    #[getter]
    fn relay_agent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let value =
            self.read(|packet, _| packet.option(code::RELAY_AGENT).map(|value| value.bytes().collect::<Vec<u8>>()))?;
        value.map(|value| PyBytes::new(py, &value))
    }

    /// The packet itself.
    #[getter]
    fn packet<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.bytes)
    }
}

/// A request's fields, as text and numbers.
#[pyclass(frozen, get_all, module = "pxefast._native")]
pub(super) struct Fields {
    mac: String,
    guid: Option<String>,
    architecture: Option<u16>,
    ipxe: bool,
    door: &'static str,
    secs: u16,
    xid: u32,
    giaddr: Option<String>,
    ciaddr: Option<String>,
    source: String,
    server: String,
}

fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
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

/// One ended transfer.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Transfer(Report);

#[pymethods]
impl Transfer {
    #[getter]
    fn name(&self) -> &str {
        &self.0.published.name
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.published.size
    }

    #[getter]
    fn peer(&self) -> String {
        self.0.peer.to_string()
    }

    #[getter]
    fn gated(&self) -> bool {
        self.0.published.gated
    }

    #[getter]
    fn outcome(&self) -> &'static str {
        self.0.outcome.name()
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    #[getter]
    fn block_size(&self) -> u16 {
        self.0.agreed.0
    }

    #[getter]
    fn window_size(&self) -> u16 {
        self.0.agreed.1
    }

    #[getter]
    fn resent(&self) -> u32 {
        self.0.resent
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.0.took as f64 / 1e6
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Server>()?;
    module.add_class::<Request>()?;
    module.add_class::<Fields>()?;
    module.add_class::<Gate>()?;
    module.add_class::<Transfer>()
}
