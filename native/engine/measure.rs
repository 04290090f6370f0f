//! What a transfer took, and whose time it was: fed only by times that the engine has anyway.

use super::deadline::Time;
use super::timer::RoundTrip;

/// What is measured of one transfer. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Its round trips.
    pub round_trip: RoundTrip,
    /// From the option acknowledgment to its ACK; `None` where there was none, or one of them left twice.
    pub handshake: Option<Time>,
    /// From the request to the departure of block 1.
    pub first_block: Option<Time>,
    /// Acknowledgments that moved the transfer on: one a window, where nothing is lost.
    pub windows: u32,
    /// Windows of which the client told that a block is missing.
    pub gap_windows: u32,
    /// The fewest blocks that arrived of such a window in front of the gap; 0: no block ever arrived before one.
    pub gap_at: u16,
    /// The blocks that arrived of such windows in front of their gaps, all together.
    pub gap_blocks: u64,
    /// Times that the peer was silent until the timer had to speak.
    pub timeouts: u32,
    /// Windows that were begun again because the client told of a gap.
    pub rewinds: u32,
    /// Time in which blocks could have left but for us: a cap, a full socket, a closed gate.
    pub held: Time,
    /// Time in which blocks were out that never arrived.
    pub recovering: Time,
}

/// Who a transfer waited for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Us: a cap, a full socket, a gate.
    Server,
    /// Lost packets, or a path so long that its round trips are most of the time.
    Network,
    /// The client: what remains.
    Client,
}

impl Side {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Side::Server => "server",
            Side::Network => "network",
            Side::Client => "client",
        }
    }
}

/// A transfer's whole time, divided; in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// For us.
    pub server: Time,
    /// For packets on their way, and for those that were lost.
    pub network: Time,
    /// For the client.
    pub client: Time,
}

impl Measures {
    /// Divides `total`: the three parts make it up.
    pub fn waited(&self, total: Time) -> Waited {
        let server = self.held.min(total);
        let network = self.recovering.saturating_add(self.travelling()).min(total - server);
        Waited { server, network, client: total - server - network }
    }

    /// The slow side of a transfer that took `total`. One of a lossy path is the network's long before lost packets are
    /// half of its time, for they are its whole delay against what it could have been.
    pub fn slow_side(&self, total: Time) -> Side {
        if self.held >= total.div_ceil(2) {
            Side::Server
        } else if self.recovering >= total.div_ceil(4) || self.travelling() >= total.div_ceil(2) {
            Side::Network
        } else {
            Side::Client
        }
    }

    /// What the windows would have taken with a client that needs no time at all.
    fn travelling(&self) -> Time {
        self.round_trip.smallest.unwrap_or(0).saturating_mul(self.windows.into())
    }

    /// A window is begun again of which so many blocks arrived before a gap.
    pub(super) fn gap(&mut self, arrived: u16) {
        self.rewinds = self.rewinds.saturating_add(1);
        self.gap_windows = self.gap_windows.saturating_add(1);
        self.gap_blocks = self.gap_blocks.saturating_add(arrived.into());
        if arrived > 0 && (self.gap_at == 0 || arrived < self.gap_at) {
            self.gap_at = arrived;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: Time = 10_000_000;

    fn measures(smallest: Time, windows: u32, held: Time, recovering: Time) -> Measures {
        let mut round_trip = RoundTrip::default();
        round_trip.sample(smallest);
        Measures { round_trip, windows, held, recovering, ..Measures::default() }
    }

    #[test]
    fn a_transfer_that_was_held_half_its_time_was_slow_for_the_server() {
        assert_eq!(measures(100, 1_000, TOTAL / 2, TOTAL / 2).slow_side(TOTAL), Side::Server);
        assert_eq!(measures(100, 1_000, TOTAL / 2 - 1, 0).slow_side(TOTAL), Side::Client);
    }

    #[test]
    fn a_quarter_of_its_time_lost_to_recovery_makes_it_the_networks() {
        assert_eq!(measures(100, 1_000, 0, TOTAL / 4).slow_side(TOTAL), Side::Network);
        assert_eq!(measures(100, 1_000, 0, TOTAL / 4 - 1).slow_side(TOTAL), Side::Client);
    }

    #[test]
    fn round_trips_that_make_up_half_its_time_are_the_networks() {
        assert_eq!(measures(5_000, 1_000, 0, 0).slow_side(TOTAL), Side::Network);
        assert_eq!(measures(5_000, 999, 0, 0).slow_side(TOTAL), Side::Client);
    }

    #[test]
    fn the_parts_make_up_the_whole_whatever_was_measured() {
        for held in [0, 1, TOTAL / 2, 2 * TOTAL] {
            for recovering in [0, TOTAL / 3, Time::MAX] {
                for windows in [0, 7, u32::MAX] {
                    let Waited { server, network, client } = measures(999, windows, held, recovering).waited(TOTAL);
                    assert_eq!(server + network + client, TOTAL);
                }
            }
        }
        let waited = measures(1_000, 2_000, 1_000_000, 500_000).waited(TOTAL);
        assert_eq!(waited, Waited { server: 1_000_000, network: 2_500_000, client: 6_500_000 });
    }

    #[test]
    fn the_shortest_beginning_of_a_window_with_a_gap_is_kept() {
        let mut measures = Measures::default();
        for arrived in [0, 37, 32, 40] {
            measures.gap(arrived);
        }
        assert_eq!((measures.gap_windows, measures.gap_at, measures.gap_blocks), (4, 32, 109));
    }
}
