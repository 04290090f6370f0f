//! A server's settings as one object with named fields.

use std::net::{Ipv4Addr, SocketAddrV4};

use pyo3::prelude::*;

use super::errors;
use crate::engine::limits::Limits;
use crate::engine::negotiate::Bounds;
use crate::pump::tftp;
use crate::wire::pxe::Door;

/// How a [`super::server`] is set up.
#[pyclass(frozen, module = "pxefast._native")]
#[derive(Clone)]
pub(super) struct ServerSettings {
    address: Ipv4Addr,
    dhcp_port: Option<u16>,
    boot_port: Option<u16>,
    tftp_port: u16,
    pub(super) accept_option82_without_giaddr: bool,
    bounds: Bounds,
    limits: Limits,
    retransmit_milliseconds: u32,
}

#[pymethods]
impl ServerSettings {
    #[new]
    #[pyo3(signature = (*, address, dhcp_port, boot_port, tftp_port, accept_option82_without_giaddr, max_block_size,
        max_window_size, max_block_size_windows, max_transfers, max_transfers_per_client, requests_per_second_per_client,
        request_burst_per_client, retransmit_milliseconds))]
    #[allow(clippy::too_many_arguments)] // named ones, all of them
    fn new(
        address: &str,
        dhcp_port: Option<u16>,
        boot_port: Option<u16>,
        tftp_port: u16,
        accept_option82_without_giaddr: bool,
        max_block_size: u16,
        max_window_size: u16,
        max_block_size_windows: u16,
        max_transfers: u32,
        max_transfers_per_client: u32,
        requests_per_second_per_client: u32,
        request_burst_per_client: u32,
        retransmit_milliseconds: u32,
    ) -> PyResult<ServerSettings> {
        Ok(ServerSettings {
            address: errors::address(address)?,
            dhcp_port,
            boot_port,
            tftp_port,
            accept_option82_without_giaddr,
            bounds: Bounds { block: max_block_size, block_windows: max_block_size_windows, window: max_window_size },
            limits: Limits {
                transfers: max_transfers as usize,
                transfers_per_client: max_transfers_per_client,
                requests_per_second: requests_per_second_per_client,
                burst: request_burst_per_client,
            },
            retransmit_milliseconds,
        })
    }
}

impl ServerSettings {
    pub(super) fn doors(&self) -> Vec<(Door, SocketAddrV4)> {
        let doors = [(Door::Dhcp67, self.dhcp_port), (Door::Boot4011, self.boot_port)];
        doors.into_iter().filter_map(|(door, port)| Some((door, SocketAddrV4::new(self.address, port?)))).collect()
    }

    pub(super) fn tftp(&self) -> tftp::Settings {
        tftp::Settings {
            address: SocketAddrV4::new(self.address, self.tftp_port),
            bounds: self.bounds,
            limits: self.limits,
            retransmit: u64::from(self.retransmit_milliseconds) * 1000,
        }
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ServerSettings>()
}
