//! The native core of pxefast: the TFTP block pump and the DHCP packet parser.
//!
//! - [`wire`]: bytes and their meaning; pure.
//! - [`engine`]: the protocol's decisions in time; sans-I/O.
//! - [`sys`]: the kernel; the only `unsafe`.
//! - [`pump`]: the loops that join engine and sys.
//! - `py`: the boundary to Python; the only user of pyo3.

#![warn(missing_docs)]

pub mod engine;
pub mod pump;
#[cfg(feature = "python")]
mod py;
pub mod sys;
pub mod wire;
