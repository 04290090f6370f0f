//! What comes to a transfer, what it says to that, and how it ends.

use super::negotiate::Agreed;
use super::timer::Timing;
use crate::wire::tftp::ErrorCode;

/// What happens to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An acknowledgment with this number on the wire, and how many blocks the peer wants next; 0 says nothing of that.
    Ack(u16, u8),
    /// The peer ended the transfer with this error code.
    PeerError(u16),
    /// The peer's port is closed (ICMP).
    Refused,
    /// The request that began this transfer came again.
    Repeated,
    /// What was held back may leave: the socket has room again.
    Writable,
    /// The deadline has come: of a timeout, of the next piece of a slow start, or of a departure.
    Timeout,
    /// The gate that was asked for is open: the launch is recorded for this transfer.
    Opened,
    /// The gate that was asked for stays closed.
    Denied,
}

/// What a transfer is begun with.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What was agreed with the client.
    pub agreed: Agreed,
    /// The file's size in bytes.
    pub size: u64,
    /// Options were granted: the first datagram acknowledges them.
    pub acknowledge: bool,
    /// The window with the file's final byte leaves only after [`Event::Opened`].
    pub gated: bool,
    /// The retransmission timer's bounds.
    pub timing: Timing,
}

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Nothing.
    Nothing,
    /// The option acknowledgment.
    Acknowledgment,
    /// `count` blocks from `first` on.
    Blocks {
        /// The first block, counted from 1.
        first: u64,
        /// How many.
        count: u16,
    },
    /// Nothing to the peer: the gate is asked for, once.
    Ask,
    /// An error, after which nothing follows.
    Error(ErrorCode, &'static str),
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer acknowledged the last block.
    Complete,
    /// All was sent; the last acknowledgment never came (W-89).
    Unconfirmed,
    /// The peer only wanted the size (F-50, W-97).
    SizeProbe,
    /// The peer ended it with this error code.
    Aborted(u16),
    /// The peer was silent too long.
    TimedOut,
    /// The peer's port is closed.
    Refused,
    /// The file could not be read as it was published.
    Failed,
    /// Another request or a need for room took its place.
    Displaced,
    /// The gate stayed closed: the final byte never left.
    Denied,
    /// Nobody said whether the gate opens: the final byte never left.
    Unanswered,
}

impl Outcome {
    /// Its name in events and counters.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Unconfirmed => "unconfirmed",
            Outcome::SizeProbe => "size_probe",
            Outcome::Aborted(_) => "aborted",
            Outcome::TimedOut => "timed_out",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Displaced => "displaced",
            Outcome::Denied => "denied",
            Outcome::Unanswered => "unanswered",
        }
    }
}
