//! The boundary to Python: the only user of pyo3.

mod errors;
mod load;
mod look;
mod measures;
mod packets;
mod request;
mod server;
mod settings;

use pyo3::prelude::*;

use crate::sys::{file, udp};

/// The native core of pxefast. Its contract is `_native.pyi`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("build_profile", env!("PXEFAST_PROFILE"))?;
    module.add_function(wrap_pyfunction!(capabilities, module)?)?;
    packets::register(module)?;
    settings::register(module)?;
    request::register(module)?;
    server::register(module)?;
    look::register(module)?;
    measures::register(module)?;
    load::register(module)
}

/// What the kernel offers.
#[pyfunction]
fn capabilities() -> PyResult<Vec<(&'static str, bool)>> {
    let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    let socket = udp::Socket::bind(any).map_err(errors::system("a UDP socket"))?;
    Ok(vec![("udp_segment", socket.knows_segments()), ("openat2", file::has_openat2())])
}
