//! A PXE client's question, with all that its answer needs.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::pump::dhcp::{answer_to, Question};
use crate::sys::udp::interface_name;
use crate::wire::dhcp::{code, Packet};
use crate::wire::loader;
use crate::wire::pxe::{guid_text, Ask, Reading};

/// One PXE client's question.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Request(pub(super) Question);

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
            loader: reading.loader.map(Loader),
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

    /// The earliest time at which it can have come, in seconds since the machine started.
    #[getter]
    fn heard(&self) -> f64 {
        self.0.heard as f64 / 1e6
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
    loader: Option<Loader>,
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

/// What a Windows loader says of itself.
#[pyclass(frozen, module = "pxefast._native")]
#[derive(Clone, Copy)]
pub(super) struct Loader(pub(super) loader::Loader);

#[pymethods]
impl Loader {
    #[getter]
    fn architecture(&self) -> Option<u16> {
        self.0.architecture
    }

    #[getter]
    fn prompt_done(&self) -> Option<bool> {
        self.0.prompt_done
    }

    #[getter]
    fn action_done(&self) -> Option<bool> {
        self.0.action_done
    }

    #[getter]
    fn version(&self) -> Option<u16> {
        self.0.version
    }

    #[getter]
    fn request_id(&self) -> Option<u32> {
        self.0.request_id
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Request>()?;
    module.add_class::<Fields>()?;
    module.add_class::<Loader>()
}
