//! Native errors as Python exceptions, in one table: the system's own stay `OSError` with errno.

use std::io;
use std::net::Ipv4Addr;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::PyErr;

use crate::pump::files::Unservable;
use crate::pump::load::Lost;
use crate::sys::descriptors::too_many;

/// An `OSError` (or its subclass by errno) whose text says what it was about.
pub(super) fn system(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> PyErr {
    move |error| match error.raw_os_error() {
        Some(errno) => {
            let text = error.to_string();
            let reason = text.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((errno, format!("{what}: {reason}")))
        }
        None => PyOSError::new_err(format!("{what}: {error}")),
    }
}

/// The `OSError` of too many open files, with what to do about it.
pub(super) fn too_few_files(text: impl std::fmt::Display) -> PyErr {
    PyOSError::new_err((too_many().raw_os_error(), text.to_string()))
}

/// A `ValueError`: the publisher should have refused the name.
pub(super) fn unservable(error: Unservable) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// An `OSError`, with errno where the system said it.
pub(super) fn lost(error: Lost) -> PyErr {
    match error {
        Lost::Io(error) => system("download")(error),
        Lost::Failure(_) => PyOSError::new_err(error.to_string()),
    }
}

/// An IPv4 address from its text.
pub(super) fn address(text: &str) -> Result<Ipv4Addr, PyErr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("{text:?} is not an IPv4 address")))
}
