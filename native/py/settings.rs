//! A server's settings as one object with named fields.

use std::net::{Ipv4Addr, SocketAddrV4};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::errors;
use crate::engine::buckets::Allowance;
use crate::engine::limits::Limits;
use crate::engine::negotiate::Bounds;
use crate::engine::timer::Timing;
use crate::pump::dhcp::Rules;
use crate::pump::request_rates;
use crate::pump::settings::{workers as as_many, Caps, Network, Settings};
use crate::wire::pxe::Door;

/// How a [`super::server`] is set up.
#[pyclass(frozen, module = "pxefast._native")]
pub(super) struct ServerSettings {
    address: Ipv4Addr,
    dhcp_port: Option<u16>,
    boot_port: Option<u16>,
    pub(super) rules: Rules,
    pub(super) tftp: Settings,
}

#[pymethods]
impl ServerSettings {
    #[new]
    #[pyo3(signature = (*, address, dhcp_port, boot_port, tftp_port, accept_option82_without_giaddr, workers,
        max_block_size, max_window_size, max_block_size_windows, max_transfers, max_transfers_per_client,
        requests_per_second, requests_per_second_per_client, request_burst_per_client, queue, queue_seconds,
        retransmit_milliseconds, min_retransmit_milliseconds, kilobits_per_second, kilobits_per_second_per_transfer,
        kilobits_per_second_of, networks, questions_per_second_per_client=50, question_burst_per_client=100,
        questions_per_second_per_network=2000, question_burst_per_network=4000))]
    #[allow(clippy::too_many_arguments)] // named ones, all of them
    fn new(
        address: &str,
        dhcp_port: Option<u16>,
        boot_port: Option<u16>,
        tftp_port: u16,
        accept_option82_without_giaddr: bool,
        workers: u16,
        max_block_size: u16,
        max_window_size: u16,
        max_block_size_windows: u16,
        max_transfers: u32,
        max_transfers_per_client: u32,
        requests_per_second: u32,
        requests_per_second_per_client: u32,
        request_burst_per_client: u32,
        queue: u32,
        queue_seconds: u32,
        retransmit_milliseconds: u32,
        min_retransmit_milliseconds: u32,
        kilobits_per_second: u64,
        kilobits_per_second_per_transfer: u64,
        kilobits_per_second_of: Vec<(String, u64)>,
        networks: Vec<String>,
        questions_per_second_per_client: u32,
        question_burst_per_client: u32,
        questions_per_second_per_network: u32,
        question_burst_per_network: u32,
    ) -> PyResult<ServerSettings> {
        let address = errors::address(address)?;
        let capped = kilobits_per_second_of.into_iter().map(|(of, rate)| Ok((network(&of)?, bits(rate))));
        let tftp = Settings {
            address: SocketAddrV4::new(address, tftp_port),
            workers: as_many(usize::from(workers)),
            bounds: Bounds { block: max_block_size, block_windows: max_block_size_windows, window: max_window_size },
            limits: Limits {
                transfers: max_transfers as usize,
                transfers_per_client: max_transfers_per_client,
                requests_per_second: requests_per_second_per_client,
                burst: request_burst_per_client,
            },
            requests_per_second,
            queue: queue as usize,
            queue_patience: u64::from(queue_seconds) * 1_000_000,
            timing: Timing {
                first: u64::from(retransmit_milliseconds) * 1000,
                floor: u64::from(min_retransmit_milliseconds) * 1000,
            },
            caps: Caps {
                point: bits(kilobits_per_second),
                transfer: bits(kilobits_per_second_per_transfer),
                networks: capped.collect::<PyResult<_>>()?,
            },
            networks: networks.iter().map(|text| network(text)).collect::<PyResult<_>>()?,
        };
        let allowance = |per_second, burst| Allowance { per_second, burst };
        let rules = Rules {
            accept_82_without_giaddr: accept_option82_without_giaddr,
            limits: request_rates::Limits {
                client: allowance(questions_per_second_per_client, question_burst_per_client),
                network: allowance(questions_per_second_per_network, question_burst_per_network),
            },
        };
        Ok(ServerSettings { address, dhcp_port, boot_port, rules, tftp })
    }
}

impl ServerSettings {
    /// The doors beside TFTP's that are listened to, and where.
    pub(super) fn doors(&self) -> Vec<(Door, SocketAddrV4)> {
        let doors = [(Door::Dhcp67, self.dhcp_port), (Door::Boot4011, self.boot_port)];
        doors.into_iter().filter_map(|(door, port)| Some((door, SocketAddrV4::new(self.address, port?)))).collect()
    }
}

fn network(text: &str) -> PyResult<Network> {
    text.parse().map_err(PyValueError::new_err)
}

fn bits(kilobits: u64) -> u64 {
    kilobits.saturating_mul(1000)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ServerSettings>()
}
