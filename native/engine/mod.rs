//! The protocol's decisions in time. Sans-I/O: events and `now` come in, what to send and the next deadline come out;
//! nothing here sleeps, reads a clock or touches a socket.

pub mod answer;
pub mod arrival;
pub mod buckets;
pub mod deadline;
pub mod destination;
pub mod download;
mod event;
pub mod limits;
pub mod measure;
pub mod negotiate;
pub mod pace;
pub mod seq;
pub mod timer;
pub mod transfer;
mod watch;
mod window;

#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod habits;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod timing_tests;
#[cfg(test)]
mod window_tests;
