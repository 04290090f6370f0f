//! Packets for Python: parsed into plain values, written from plain values.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::wire::dhcp::{self, Reply};
use crate::wire::name::{BadName, Name};
use crate::wire::pxe::{asks, guid_text, Ask, ClientClass, Door, Reading};
use crate::wire::relay::RelayAgent;
use crate::wire::tftp::{self, ErrorCode, Mode};
use crate::wire::value::{SubValue, Value};
use crate::wire::{Error, What};

use super::errors::address;
use super::request::Loader;

/// The most that one UDP datagram carries, in bytes.
const MAX_DATAGRAM: usize = 65_507;

/// Adds this file's functions and classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<WireError>()?;
    m.add_class::<DhcpPacket>()?;
    m.add_class::<TftpPacket>()?;
    m.add_function(wrap_pyfunction!(parse_dhcp, m)?)?;
    m.add_function(wrap_pyfunction!(classify_dhcp, m)?)?;
    m.add_function(wrap_pyfunction!(emit_dhcp_reply, m)?)?;
    m.add_function(wrap_pyfunction!(parse_tftp, m)?)?;
    m.add_function(wrap_pyfunction!(emit_tftp_request, m)?)?;
    m.add_function(wrap_pyfunction!(emit_tftp_data, m)?)?;
    m.add_function(wrap_pyfunction!(emit_tftp_ack, m)?)?;
    m.add_function(wrap_pyfunction!(emit_tftp_error, m)?)?;
    m.add_function(wrap_pyfunction!(emit_tftp_oack, m)?)?;
    m.add_function(wrap_pyfunction!(fold_name, m)?)?;
    Ok(())
}

#[pyclass(extends = PyValueError, frozen, get_all, module = "pxefast._native")]
struct WireError {
    what: String,
    offset: u16,
}

#[pymethods]
impl WireError {
    #[new]
    fn new(what: String, offset: u16) -> Self {
        Self { what, offset }
    }

    fn __str__(&self) -> String {
        format!("{} at byte {}", self.what, self.offset)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        Self::new::<WireError, _>((error.what.name(), error.at))
    }
}

impl From<BadName> for PyErr {
    fn from(bad: BadName) -> Self {
        Self::new::<WireError, _>((bad.name(), 0))
    }
}

/// The numbers are read once; what needs memory of its own is read again from the packet when it is asked for.
#[pyclass(frozen, module = "pxefast._native")]
struct DhcpPacket {
    bytes: PyBackedBytes,
    #[pyo3(get)]
    op: u8,
    #[pyo3(get)]
    message_type: u8,
    #[pyo3(get)]
    htype: u8,
    #[pyo3(get)]
    hlen: u8,
    #[pyo3(get)]
    hops: u8,
    #[pyo3(get)]
    xid: u32,
    #[pyo3(get)]
    secs: u16,
    #[pyo3(get)]
    flags: u16,
    #[pyo3(get)]
    pxe_class: Option<&'static str>,
    #[pyo3(get)]
    architecture: Option<u16>,
    #[pyo3(get)]
    undi: Option<(u8, u8, u8)>,
    #[pyo3(get)]
    ipxe: bool,
    #[pyo3(get)]
    loader: Option<Loader>,
    #[pyo3(get)]
    boot_item: Option<(u16, u16)>,
    mac: Option<[u8; 6]>,
    guid: Option<[u8; 16]>,
}

impl DhcpPacket {
    fn packet(&self) -> Result<dhcp::Packet<'_>, Error> {
        dhcp::Packet::parse(&self.bytes)
    }
}

#[pymethods]
impl DhcpPacket {
    #[getter]
    fn ciaddr(&self) -> PyResult<String> {
        Ok(self.packet()?.ciaddr().to_string())
    }

    #[getter]
    fn yiaddr(&self) -> PyResult<String> {
        Ok(self.packet()?.yiaddr().to_string())
    }

    #[getter]
    fn siaddr(&self) -> PyResult<String> {
        Ok(self.packet()?.siaddr().to_string())
    }

    #[getter]
    fn giaddr(&self) -> PyResult<String> {
        Ok(self.packet()?.giaddr().to_string())
    }

    #[getter]
    fn chaddr<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.packet()?.chaddr()))
    }

    #[getter]
    fn mac(&self) -> Option<String> {
        self.mac.map(mac_text)
    }

    #[getter]
    fn sname<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.packet()?.sname()))
    }

    #[getter]
    fn file<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.packet()?.file()))
    }

    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
        let options = options_by_code(&self.packet()?);
        Ok(options.into_iter().map(|(code, value)| (code, PyBytes::new(py, &value))).collect())
    }

    #[getter]
    fn architectures(&self) -> PyResult<Vec<u16>> {
        Ok(Reading::of(&self.packet()?).architectures().collect())
    }

    #[getter]
    fn guid(&self) -> Option<String> {
        self.guid.map(|guid| String::from_utf8_lossy(&guid_text(&guid)).into_owned())
    }

    #[getter]
    fn vendor<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
        let reading = Reading::of(&self.packet()?);
        let bytes = |(code, value): (u8, SubValue<'_>)| (code, PyBytes::new(py, &value.bytes().collect::<Vec<u8>>()));
        Ok(reading.vendor().map(bytes).collect())
    }

    #[getter]
    fn relay_agent<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let agent = RelayAgent::of(&self.packet()?);
        Ok(agent.map(|agent| PyBytes::new(py, &agent.value().bytes().collect::<Vec<u8>>())))
    }

    fn __repr__(&self) -> String {
        format!(
            "<DhcpPacket op={} message_type={} xid={:#010x} mac={}>",
            self.op,
            self.message_type,
            self.xid,
            self.mac().as_deref().unwrap_or("none"),
        )
    }
}

#[pyfunction]
#[pyo3(signature = (data, *, port, server, accept_option82_without_giaddr=false))]
fn classify_dhcp(
    data: PyBackedBytes,
    port: u16,
    server: &str,
    accept_option82_without_giaddr: bool,
) -> PyResult<(Option<&'static str>, Option<&'static str>)> {
    let door = match port {
        67 => Door::Dhcp67,
        4011 => Door::Boot4011,
        _ => return Err(PyValueError::new_err(format!("port {port} is neither 67 nor 4011"))),
    };
    let server = address(server)?;
    let packet = dhcp::Packet::parse(&data)?;
    Ok(match asks(&packet, &Reading::of(&packet), door, server, accept_option82_without_giaddr) {
        Ok(Ask::Discover) => (Some("discover"), None),
        Ok(Ask::Request) => (Some("request"), None),
        Err(why) => (None, Some(why.name())),
    })
}

#[pyfunction]
fn parse_dhcp(data: PyBackedBytes) -> PyResult<DhcpPacket> {
    let packet = dhcp::Packet::parse(&data)?;
    let reading = Reading::of(&packet);
    Ok(DhcpPacket {
        op: packet.op(),
        message_type: packet.message_type(),
        htype: packet.htype(),
        hlen: packet.hlen(),
        hops: packet.hops(),
        xid: packet.xid(),
        secs: packet.secs(),
        flags: packet.flags(),
        pxe_class: reading.class.map(|class| match class {
            ClientClass::Pxe => "pxe",
            ClientClass::Http => "http",
        }),
        architecture: reading.architecture(),
        undi: reading.undi,
        ipxe: reading.ipxe,
        loader: reading.loader.map(Loader),
        boot_item: reading.boot_item,
        mac: reading.mac(),
        guid: reading.guid,
        bytes: data,
    })
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Each code once, at its first place, with its whole value.
fn options_by_code(packet: &dhcp::Packet<'_>) -> Vec<(u8, Vec<u8>)> {
    let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
    for (code, piece) in packet.options() {
        match options.iter_mut().find(|(known, _)| *known == code) {
            Some((_, value)) => value.extend_from_slice(piece),
            None => options.push((code, piece.to_vec())),
        }
    }
    options
}

// A row of the packet's own fields, each by keyword only.
#[allow(clippy::too_many_arguments)]
#[pyfunction]
#[pyo3(
    signature = (
        *, message_type, xid, chaddr, htype=1, hlen=6, secs=0, flags=0, ciaddr="0.0.0.0", siaddr="0.0.0.0",
        giaddr="0.0.0.0", sname=&[][..], file=&[][..], options=Vec::new(), relay_agent=None, budget=548
    ),
    text_signature = "(*, message_type, xid, chaddr, htype=1, hlen=6, secs=0, flags=0, ciaddr='0.0.0.0', \
        siaddr='0.0.0.0', giaddr='0.0.0.0', sname=b'', file=b'', options=(), relay_agent=None, budget=548)"
)]
fn emit_dhcp_reply<'py>(
    py: Python<'py>,
    message_type: u8,
    xid: u32,
    chaddr: &[u8],
    htype: u8,
    hlen: u8,
    secs: u16,
    flags: u16,
    ciaddr: &str,
    siaddr: &str,
    giaddr: &str,
    sname: &[u8],
    file: &[u8],
    options: Vec<(u8, PyBackedBytes)>,
    relay_agent: Option<&[u8]>,
    budget: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let options: Vec<(u8, &[u8])> = options.iter().map(|(code, value)| (*code, &value[..])).collect();
    let reply = Reply {
        message_type,
        htype,
        hlen,
        xid,
        secs,
        flags,
        ciaddr: address(ciaddr)?,
        siaddr: address(siaddr)?,
        giaddr: address(giaddr)?,
        chaddr: padded(chaddr)?,
        sname,
        file,
        options: &options,
        relay_agent: relay_agent.map(Value::whole),
    };
    write(py, budget, |buf| reply.emit(buf, budget).map(|emitted| emitted.len))
}

fn padded(chaddr: &[u8]) -> Result<[u8; 16], Error> {
    let mut field = [0; 16];
    let room = field.get_mut(..chaddr.len()).ok_or(Error::new(What::BadHardwareLength, 28))?;
    room.copy_from_slice(chaddr);
    Ok(field)
}

/// What `emit` writes into a buffer of `size` bytes, but at least of the shortest reply's.
fn write(
    py: Python<'_>,
    size: usize,
    emit: impl FnOnce(&mut [u8]) -> Result<usize, Error>,
) -> PyResult<Bound<'_, PyBytes>> {
    let mut buf = vec![0; size.clamp(crate::wire::reply::MIN_REPLY, MAX_DATAGRAM)];
    let length = emit(&mut buf)?;
    Ok(PyBytes::new(py, buf.get(..length).unwrap_or_default()))
}

#[pyclass(frozen, get_all, module = "pxefast._native")]
struct TftpPacket {
    opcode: &'static str,
    filename: Option<Vec<u8>>,
    mode: Option<&'static str>,
    options: Vec<(Vec<u8>, Vec<u8>)>,
    block: Option<u16>,
    payload: Option<Vec<u8>>,
    next_window: Option<u8>,
    code: Option<u16>,
    message: Option<Vec<u8>>,
}

impl TftpPacket {
    const fn bare(opcode: &'static str) -> Self {
        Self {
            opcode,
            filename: None,
            mode: None,
            options: Vec::new(),
            block: None,
            payload: None,
            next_window: None,
            code: None,
            message: None,
        }
    }

    fn request(opcode: &'static str, request: tftp::Request<'_>) -> Self {
        let mode = match request.mode {
            Mode::Octet => "octet",
            Mode::NetAscii => "netascii",
            Mode::Mail => "mail",
            Mode::Other => "other",
        };
        Self {
            filename: Some(request.filename.to_vec()),
            mode: Some(mode),
            options: pairs(request.options),
            ..Self::bare(opcode)
        }
    }
}

#[pymethods]
impl TftpPacket {
    fn __repr__(&self) -> String {
        let filename = self.filename.as_ref().map(|name| format!(" filename=b\"{}\"", name.escape_ascii()));
        let block = self.block.map(|block| format!(" block={block}"));
        format!("<TftpPacket {}{}{}>", self.opcode, filename.unwrap_or_default(), block.unwrap_or_default())
    }
}

#[pyfunction]
fn parse_tftp(data: &[u8]) -> PyResult<TftpPacket> {
    use tftp::Packet::{Ack, Data, Error, Oack, Read, Write};
    Ok(match tftp::Packet::parse(data)? {
        Read(request) => TftpPacket::request("rrq", request),
        Write(request) => TftpPacket::request("wrq", request),
        Data { block, payload } => {
            TftpPacket { block: Some(block), payload: Some(payload.to_vec()), ..TftpPacket::bare("data") }
        }
        Ack { block, next_window } => TftpPacket { block: Some(block), next_window, ..TftpPacket::bare("ack") },
        Error { code, message } => {
            TftpPacket { code: Some(code), message: Some(message.to_vec()), ..TftpPacket::bare("error") }
        }
        Oack(options) => TftpPacket { options: pairs(options), ..TftpPacket::bare("oack") },
    })
}

fn pairs(options: tftp::Options<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    options.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

type Numbers = Vec<(PyBackedBytes, u64)>;

fn numbers(options: &Numbers) -> impl Iterator<Item = (&[u8], u64)> {
    options.iter().map(|(name, value)| (&name[..], *value))
}

#[pyfunction]
#[pyo3(signature = (filename, options=Vec::new()), text_signature = "(filename, options=())")]
fn emit_tftp_request<'py>(py: Python<'py>, filename: &[u8], options: Numbers) -> PyResult<Bound<'py, PyBytes>> {
    write(py, MAX_DATAGRAM, |buf| tftp::emit_request(buf, filename, numbers(&options)))
}

#[pyfunction]
fn emit_tftp_data<'py>(py: Python<'py>, block: u16, payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if payload.len() > MAX_DATAGRAM - 4 {
        return Err(Error::new(What::TooLong, MAX_DATAGRAM).into());
    }
    Ok(PyBytes::new(py, &[&tftp::data_header(block), payload].concat()))
}

#[pyfunction]
#[pyo3(signature = (block, next_window=None))]
fn emit_tftp_ack(py: Python<'_>, block: u16, next_window: Option<u8>) -> PyResult<Bound<'_, PyBytes>> {
    write(py, 5, |buf| tftp::emit_ack(buf, block, next_window))
}

#[pyfunction]
#[pyo3(signature = (code, message=""))]
fn emit_tftp_error<'py>(py: Python<'py>, code: u16, message: &str) -> PyResult<Bound<'py, PyBytes>> {
    let known = ErrorCode::ALL.into_iter().find(|known| known.code() == code);
    let code = known.ok_or_else(|| PyValueError::new_err(format!("not a TFTP error code: {code}")))?;
    write(py, MAX_DATAGRAM, |buf| tftp::emit_error(buf, code, message))
}

#[pyfunction]
fn emit_tftp_oack(py: Python<'_>, options: Numbers) -> PyResult<Bound<'_, PyBytes>> {
    write(py, MAX_DATAGRAM, |buf| tftp::emit_oack(buf, numbers(&options)))
}

#[pyfunction]
fn fold_name<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, Name::fold(raw)?.as_bytes()))
}
