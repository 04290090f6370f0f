//! What is told of transfers: those that ended, run or wait, and what was refused.

use pyo3::prelude::*;

use crate::pump::control;
use crate::pump::door;
use crate::pump::queue;

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// One ended transfer.
#[pyclass(frozen, get_all, module = "pxefast._native")]
pub(super) struct Transfer {
    name: String,
    size: u64,
    peer: String,
    gated: bool,
    outcome: &'static str,
    bytes: u64,
    block_size: u16,
    window_size: u16,
    variable_window: bool,
    resent: u32,
    seconds: f64,
    window_granted: u16,
    windows: u32,
    gap_windows: u32,
    gap_at: u16,
    gap_blocks: u64,
    timeouts: u32,
    rewinds: u32,
    round_trip: Option<f64>,
    first_block: Option<f64>,
    waited_server: f64,
    waited_network: f64,
    waited_client: f64,
    slow_side: Option<&'static str>,
}

impl From<control::Report> for Transfer {
    fn from(report: control::Report) -> Transfer {
        let (measures, took) = (&report.measures, report.took);
        let waited = measures.waited(took);
        Transfer {
            name: report.published.name.to_string(),
            size: report.size,
            peer: report.peer.to_string(),
            gated: report.published.gated,
            outcome: report.outcome.name(),
            bytes: report.bytes,
            block_size: report.agreed.block,
            window_size: report.window,
            variable_window: report.agreed.variable,
            resent: report.resent,
            seconds: seconds(took),
            window_granted: report.agreed.window,
            windows: measures.windows,
            gap_windows: measures.gap_windows,
            gap_at: measures.gap_at,
            gap_blocks: measures.gap_blocks,
            timeouts: measures.timeouts,
            rewinds: measures.rewinds,
            round_trip: measures.round_trip.smooth.map(seconds),
            first_block: measures.first_block.map(seconds),
            waited_server: seconds(waited.server),
            waited_network: seconds(waited.network),
            waited_client: seconds(waited.client),
            slow_side: (report.bytes > 0).then(|| measures.slow_side(took).name()),
        }
    }
}

/// A transfer under way, as it was when it was looked at.
#[pyclass(frozen, get_all, module = "pxefast._native")]
pub(super) struct Live {
    name: String,
    peer: String,
    size: u64,
    bytes: u64,
    block_size: u16,
    window_size: u16,
    resent: u32,
    seconds: f64,
    state: &'static str,
    round_trip: Option<f64>,
    worker: usize,
}

impl From<control::Live> for Live {
    fn from(live: control::Live) -> Live {
        Live {
            name: live.published.name.to_string(),
            peer: live.peer.to_string(),
            size: live.size,
            bytes: live.bytes,
            block_size: live.agreed.block,
            window_size: live.agreed.window,
            resent: live.resent,
            seconds: seconds(live.age),
            state: live.state,
            round_trip: live.round_trip.map(seconds),
            worker: live.worker,
        }
    }
}

/// A request that waits for its turn.
#[pyclass(frozen, get_all, module = "pxefast._native")]
pub(super) struct Waiting {
    peer: String,
    name: String,
    seconds: f64,
}

impl From<queue::Waiting> for Waiting {
    fn from(waiting: queue::Waiting) -> Waiting {
        let name = String::from_utf8_lossy(&waiting.name).into_owned();
        Waiting { peer: waiting.peer.to_string(), name, seconds: seconds(waiting.age) }
    }
}

/// A request that was answered with an error.
#[pyclass(frozen, get_all, module = "pxefast._native")]
pub(super) struct Refused {
    peer: String,
    name: String,
    reason: &'static str,
}

impl From<door::Refused> for Refused {
    fn from(refused: door::Refused) -> Refused {
        let name = String::from_utf8_lossy(&refused.name).into_owned();
        Refused { peer: refused.peer.to_string(), name, reason: refused.reason }
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Transfer>()?;
    module.add_class::<Live>()?;
    module.add_class::<Waiting>()?;
    module.add_class::<Refused>()
}
