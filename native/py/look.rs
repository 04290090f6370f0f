//! What is told of transfers: those that ended, run or wait, and what was refused.

use pyo3::prelude::*;

use crate::pump::control;
use crate::pump::door;
use crate::pump::queue;

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// One ended transfer.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Transfer(pub(super) control::Report);

#[pymethods]
impl Transfer {
    #[getter]
    fn name(&self) -> &str {
        &self.0.published.name
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.size
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
        self.0.agreed.block
    }

    #[getter]
    fn window_size(&self) -> u16 {
        self.0.window
    }

    #[getter]
    fn variable_window(&self) -> bool {
        self.0.agreed.variable
    }

    #[getter]
    fn resent(&self) -> u32 {
        self.0.resent
    }

    #[getter]
    fn seconds(&self) -> f64 {
        seconds(self.0.took)
    }

    #[getter]
    fn window_granted(&self) -> u16 {
        self.0.agreed.window
    }

    #[getter]
    fn windows(&self) -> u32 {
        self.0.measures.windows
    }

    #[getter]
    fn gap_windows(&self) -> u32 {
        self.0.measures.gap_windows
    }

    #[getter]
    fn gap_at(&self) -> u16 {
        self.0.measures.gap_at
    }

    #[getter]
    fn gap_blocks(&self) -> u64 {
        self.0.measures.gap_blocks
    }

    #[getter]
    fn timeouts(&self) -> u32 {
        self.0.measures.timeouts
    }

    #[getter]
    fn rewinds(&self) -> u32 {
        self.0.measures.rewinds
    }

    #[getter]
    fn round_trip(&self) -> Option<f64> {
        self.0.measures.round_trip.smooth.map(seconds)
    }

    #[getter]
    fn first_block(&self) -> Option<f64> {
        self.0.measures.first_block.map(seconds)
    }

    #[getter]
    fn waited_server(&self) -> f64 {
        seconds(self.0.measures.waited(self.0.took).server)
    }

    #[getter]
    fn waited_network(&self) -> f64 {
        seconds(self.0.measures.waited(self.0.took).network)
    }

    #[getter]
    fn waited_client(&self) -> f64 {
        seconds(self.0.measures.waited(self.0.took).client)
    }

    #[getter]
    fn slow_side(&self) -> Option<&'static str> {
        (self.0.bytes > 0).then(|| self.0.measures.slow_side(self.0.took).name())
    }
}

/// A transfer under way, as it was when it was looked at.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Live(pub(super) control::Live);

#[pymethods]
impl Live {
    #[getter]
    fn name(&self) -> &str {
        &self.0.published.name
    }

    #[getter]
    fn peer(&self) -> String {
        self.0.peer.to_string()
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.size
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    #[getter]
    fn block_size(&self) -> u16 {
        self.0.agreed.block
    }

    #[getter]
    fn window_size(&self) -> u16 {
        self.0.agreed.window
    }

    #[getter]
    fn resent(&self) -> u32 {
        self.0.resent
    }

    #[getter]
    fn seconds(&self) -> f64 {
        seconds(self.0.age)
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.0.state
    }

    #[getter]
    fn round_trip(&self) -> Option<f64> {
        self.0.round_trip.map(seconds)
    }

    #[getter]
    fn worker(&self) -> usize {
        self.0.worker
    }
}

/// A request that waits for its turn.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Waiting(pub(super) queue::Waiting);

#[pymethods]
impl Waiting {
    #[getter]
    fn peer(&self) -> String {
        self.0.peer.to_string()
    }

    #[getter]
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.0.name).into_owned()
    }

    #[getter]
    fn seconds(&self) -> f64 {
        seconds(self.0.age)
    }
}

/// A request that was answered with an error.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct Refused(pub(super) door::Refused);

#[pymethods]
impl Refused {
    #[getter]
    fn peer(&self) -> String {
        self.0.peer.to_string()
    }

    #[getter]
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.0.name).into_owned()
    }

    #[getter]
    fn reason(&self) -> &'static str {
        self.0.reason
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Transfer>()?;
    module.add_class::<Live>()?;
    module.add_class::<Waiting>()?;
    module.add_class::<Refused>()
}
