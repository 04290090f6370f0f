//! What ended transfers measured, as distributions.

use std::collections::BTreeMap;

use pyo3::prelude::*;

use crate::pump::histogram::Reading;
use crate::pump::stats::Stats;

/// One distribution as it was when it was read.
#[pyclass(frozen, get_all, module = "pxefast._native")]
pub(super) struct Histogram {
    bounds: Vec<f64>,
    counts: Vec<u64>,
    sum: f64,
}

/// Every distribution by its dotted name.
pub(super) fn histograms(stats: &Stats) -> BTreeMap<&'static str, Histogram> {
    let told = |(name, Reading { bounds, counts, sum })| (name, Histogram { bounds, counts, sum });
    stats.histograms().into_iter().map(told).collect()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Histogram>()
}
