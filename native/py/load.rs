//! A TFTP client for the demo, tests and benches.

use std::net::SocketAddrV4;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors;
use crate::pump::load::Client;

/// One download.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Download(Mutex<State>);

struct State {
    client: Client,
    keep: bool,
    received: u64,
    data: Vec<u8>,
}

#[pymethods]
impl Download {
    #[new]
    #[allow(clippy::too_many_arguments)] // named ones, most of them
    #[pyo3(signature = (server, port, name, *, block_size=1468, window_size=16, variable_window=false,
        local="0.0.0.0", keep=true))]
    fn new(
        server: &str,
        port: u16,
        name: &str,
        block_size: u16,
        window_size: u16,
        variable_window: bool,
        local: &str,
        keep: bool,
    ) -> PyResult<Download> {
        let server = SocketAddrV4::new(errors::address(server)?, port);
        let local = errors::address(local)?;
        let client = Client::new(server, local, name.as_bytes(), (block_size, window_size), variable_window)
            .map_err(errors::system(format_args!("download of {name} from {server}")))?;
        Ok(Download(Mutex::new(State { client, keep, received: 0, data: Vec::new() })))
    }

    /// Goes on for at most so many seconds, without the GIL.
    fn run(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        py.detach(|| {
            let mut state = self.state();
            let State { client, keep, received, data } = &mut *state;
            client.run((seconds.max(0.0) * 1e6) as u64, |block| {
                *received += block.len() as u64;
                if *keep {
                    data.extend_from_slice(block);
                }
            })
        })
        .map_err(errors::lost)
    }

    #[getter]
    fn received(&self) -> u64 {
        self.state().received
    }

    #[getter]
    fn size(&self) -> Option<u64> {
        self.state().client.size()
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.state().data)
    }
}

impl Download {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Download>()
}
