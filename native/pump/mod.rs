//! The loops that join engine and sys. No Python inside; in the steady loop no lock, no log and no allocation.

mod caps;
pub mod control;
pub mod dhcp;
pub mod door;
pub mod files;
pub mod gate;
pub mod handover;
pub mod histogram;
mod leases;
pub mod load;
mod mail;
pub mod queue;
pub mod request_rates;
pub mod roots;
pub mod settings;
mod slots;
pub mod stats;
pub mod tftp;
mod transfers;
pub mod worker;
