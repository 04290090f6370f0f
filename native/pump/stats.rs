//! What happened, counted: each reason for dropping a packet has a counter of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use super::control::Report;
use super::histogram::{Histogram, Reading, Scale};
use crate::engine::transfer::Outcome;
use crate::wire::name::BadName;
use crate::wire::pxe::Drop;
use crate::wire::{names, What};

names! {
    /// What is counted beside the reasons that the wire itself names.
    pub enum Counter {
        /// Datagrams at ports 67 and 4011.
        DhcpReceived => "dhcp.received",
        /// Of them, questions handed to the decision.
        DhcpQuestions => "dhcp.questions",
        /// Dropped: longer than any DHCP packet.
        DhcpTooLong => "dhcp.dropped.datagram_too_long",
        /// Dropped: the interface has no address to answer from.
        DhcpNoAddress => "dhcp.dropped.interface_without_address",
        /// Dropped: the client asks too often (D15).
        DhcpClientRate => "dhcp.dropped.client_rate",
        /// Dropped: all clients of one interface or relay together ask too often (D15).
        DhcpNetworkRate => "dhcp.dropped.network_rate",
        /// Questions of recorded machines that their network's limit would have dropped (T12).
        DhcpReserved => "dhcp.reserved",
        /// Dropped: the client has asked the same again before it was looked at; the newer one counts.
        DhcpRepeated => "dhcp.dropped.repeated",
        /// Datagrams at ports 67 and 4011 that the kernel's queue had no room for.
        DhcpOverflowed => "dhcp.queue.overflowed",
        /// Questions whose option 250 is malformed; they count as without one (W-61).
        DhcpLoaderMalformed => "dhcp.malformed_loader",
        /// Replies sent.
        DhcpReplies => "dhcp.replies",
        /// Replies that the kernel refused.
        DhcpSendFailed => "dhcp.send_failed",
        /// Replies without option 82, since it did not fit (RFC 3046).
        DhcpRelayAgentDropped => "dhcp.relay_agent_dropped",
        /// Errors in receiving, a moment's (ICMP) or lasting.
        ReceiveFailed => "receive_failed",
        /// Datagrams at port 69.
        TftpReceived => "tftp.received",
        /// Dropped: neither a read nor a write request.
        TftpNoRequest => "tftp.dropped.no_request",
        /// Dropped: from a port that no client uses (T9).
        TftpSourcePort => "tftp.dropped.source_port",
        /// Dropped: sent to a broadcast address (RFC 1123 §4.2.3.5).
        TftpBroadcast => "tftp.dropped.broadcast",
        /// Dropped: longer than any request.
        TftpTooLong => "tftp.dropped.datagram_too_long",
        /// Dropped: the client has its share of transfers.
        TftpClientTransfers => "tftp.dropped.client_transfers",
        /// Dropped: the client asks too often.
        TftpClientRate => "tftp.dropped.client_rate",
        /// Dropped: from outside the networks that are served.
        TftpSourceNetwork => "tftp.dropped.source_network",
        /// Requests that had to wait for a place or for their turn.
        TftpQueued => "tftp.queue.entered",
        /// How many wait now.
        TftpQueueLength => "tftp.queue.length",
        /// Of them, dropped since the queue was full: the oldest gave way.
        TftpQueueFull => "tftp.queue.overflowed",
        /// Of them, forgotten since their client asked no more.
        TftpQueueGivenUp => "tftp.queue.given_up",
        /// Dropped: every place is taken by a proven transfer.
        TftpFull => "tftp.dropped.full",
        /// Dropped: no socket could be had.
        TftpNoSocket => "tftp.dropped.no_socket",
        /// Refused: a write request.
        TftpWrite => "tftp.refused.write",
        /// Refused: a mode other than octet and netascii.
        TftpMode => "tftp.refused.mode",
        /// Refused: not published.
        TftpNotFound => "tftp.refused.not_found",
        /// Refused: published, but not readable as such.
        TftpUnreadable => "tftp.refused.unreadable",
        /// Gates that transfers asked for before a file's final byte.
        TftpGatesAsked => "tftp.gates.asked",
        /// Gates that were opened.
        TftpGatesOpened => "tftp.gates.opened",
        /// Answers to gates whose transfer had ended.
        TftpGatesLate => "tftp.gates.late",
        /// Transfers begun.
        TftpStarted => "tftp.started",
        /// Requests that came again for a transfer under way.
        TftpRepeated => "tftp.repeated",
        /// Blocks sent, resent ones among them.
        TftpBlocks => "tftp.blocks",
        /// Bytes of files sent, resent ones among them.
        TftpBytes => "tftp.bytes",
        /// Blocks sent again.
        TftpResent => "tftp.resent",
        /// Acknowledgments that meant nothing new.
        TftpIgnored => "tftp.ignored_acks",
        /// Datagrams of another kind on a transfer's port.
        TftpStray => "tftp.stray",
        /// Sends that the socket took only in part.
        TftpHeldBack => "tftp.held_back",
        /// Sends that the kernel refused.
        TftpSendFailed => "tftp.send_failed",
        /// Times that segment offload was given up.
        OffloadGivenUp => "tftp.offload_given_up",
        /// Reports of ended transfers that nobody fetched in time.
        ReportsLost => "tftp.reports_lost",
        /// Refused requests that nobody was told of but their clients: too many at once.
        RefusalsLost => "tftp.refusals_lost",
    }
}

names! {
    /// What is measured of each transfer, put down once, at its end.
    pub enum Measure {
        /// The smoothed round trip, in seconds.
        RoundTrip => "tftp.round_trip_seconds",
        /// Blocks sent again.
        Resent => "tftp.resent_blocks",
        /// Blocks in a window, as granted.
        Window => "tftp.window_blocks",
        /// Blocks acknowledged a second.
        BlocksPerSecond => "tftp.blocks_per_second",
        /// From the request to the departure of the first block, in seconds.
        FirstBlock => "tftp.first_block_seconds",
        /// Bytes acknowledged a second.
        BytesPerSecond => "tftp.bytes_per_second",
    }
}

impl Measure {
    /// From what no network is faster than to what no transfer survives; one reads a quantile to within a quarter.
    fn scale(self) -> Scale {
        match self {
            Measure::RoundTrip | Measure::FirstBlock => Scale { least: 1e-5, doublings: 20, steps: 4, zero: false },
            Measure::Resent => Scale { least: 1.0, doublings: 20, steps: 1, zero: true },
            Measure::Window => Scale { least: 1.0, doublings: 8, steps: 1, zero: false },
            Measure::BlocksPerSecond => Scale { least: 1.0, doublings: 21, steps: 4, zero: false },
            Measure::BytesPerSecond => Scale { least: 1024.0, doublings: 23, steps: 4, zero: false },
        }
    }
}

const OUTCOMES: [&str; 10] = [
    "complete",
    "unconfirmed",
    "size_probe",
    "aborted",
    "timed_out",
    "refused",
    "failed",
    "displaced",
    "denied",
    "unanswered",
];

/// The counters and distributions, shared by all threads.
pub struct Stats {
    counters: [AtomicU64; Counter::ALL.len()],
    dropped: [AtomicU64; Drop::ALL.len()],
    dhcp_malformed: [AtomicU64; What::ALL.len()],
    tftp_malformed: [AtomicU64; What::ALL.len()],
    bad_names: [AtomicU64; BadName::ALL.len()],
    outcomes: [AtomicU64; OUTCOMES.len()],
    measures: Vec<Histogram>,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            counters: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            dropped: [const { AtomicU64::new(0) }; Drop::ALL.len()],
            dhcp_malformed: [const { AtomicU64::new(0) }; What::ALL.len()],
            tftp_malformed: [const { AtomicU64::new(0) }; What::ALL.len()],
            bad_names: [const { AtomicU64::new(0) }; BadName::ALL.len()],
            outcomes: [const { AtomicU64::new(0) }; OUTCOMES.len()],
            measures: Measure::ALL.iter().map(|measure| Histogram::new(measure.scale())).collect(),
        }
    }
}

fn bump(counters: &[AtomicU64], place: usize, by: u64) {
    if let Some(counter) = counters.get(place) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Stats {
    /// One more.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// So many more.
    pub fn add(&self, counter: Counter, by: u64) {
        bump(&self.counters, counter as usize, by);
    }

    /// So many now, of what is no count of events.
    pub fn set(&self, counter: Counter, value: u64) {
        if let Some(counter) = self.counters.get(counter as usize) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// What it stands at.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// A DHCP packet that is no question to us.
    pub fn dropped(&self, why: Drop) {
        bump(&self.dropped, why as usize, 1);
    }

    /// A datagram at port 67 or 4011 that is no DHCP packet.
    pub fn dhcp_malformed(&self, what: What) {
        bump(&self.dhcp_malformed, what as usize, 1);
    }

    /// A datagram at port 69 that is no TFTP packet.
    pub fn tftp_malformed(&self, what: What) {
        bump(&self.tftp_malformed, what as usize, 1);
    }

    /// A name that can be no file's.
    pub fn bad_name(&self, why: BadName) {
        bump(&self.bad_names, why as usize, 1);
    }

    /// A transfer that ended.
    pub fn ended(&self, outcome: Outcome) {
        if let Some(place) = OUTCOMES.iter().position(|name| *name == outcome.name()) {
            bump(&self.outcomes, place, 1);
        }
    }

    /// What an ended transfer measured; one that sent nothing, such as a question for a size, measured nothing.
    pub fn measured(&self, report: &Report) {
        if report.bytes == 0 {
            return;
        }
        let seconds = report.took as f64 / 1e6;
        let blocks = report.bytes.div_ceil(u64::from(report.agreed.block.max(1)));
        let times = [
            (Measure::RoundTrip, report.measures.round_trip.smooth),
            (Measure::FirstBlock, report.measures.first_block),
        ];
        for (measure, time) in times {
            time.into_iter().for_each(|time| self.measure(measure, time as f64 / 1e6));
        }
        self.measure(Measure::Window, f64::from(report.agreed.window));
        self.measure(Measure::Resent, f64::from(report.resent));
        self.measure(Measure::BlocksPerSecond, blocks as f64 / seconds);
        self.measure(Measure::BytesPerSecond, report.bytes as f64 / seconds);
    }

    fn measure(&self, measure: Measure, value: f64) {
        if let Some(histogram) = self.measures.get(measure as usize) {
            histogram.put(value);
        }
    }

    /// Every distribution with its dotted name.
    pub fn histograms(&self) -> Vec<(&'static str, Reading)> {
        Measure::ALL.iter().map(|m| m.name()).zip(self.measures.iter().map(Histogram::read)).collect()
    }

    /// Every counter with its dotted name.
    pub fn all(&self) -> Vec<(String, u64)> {
        let plain = Counter::ALL.iter().map(|c| c.name().to_owned()).zip(&self.counters);
        let dropped = Drop::ALL.iter().map(|d| format!("dhcp.dropped.{d}")).zip(&self.dropped);
        let dhcp = What::ALL.iter().map(|w| format!("dhcp.malformed.{w}")).zip(&self.dhcp_malformed);
        let tftp = What::ALL.iter().map(|w| format!("tftp.malformed.{w}")).zip(&self.tftp_malformed);
        let names = BadName::ALL.iter().map(|n| format!("tftp.refused.{n}")).zip(&self.bad_names);
        let ended = OUTCOMES.iter().map(|o| format!("tftp.ended.{o}")).zip(&self.outcomes);
        let all = plain.chain(dropped).chain(dhcp).chain(tftp).chain(names).chain(ended);
        all.map(|(name, counter)| (name, counter.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_moves_its_own_counter_and_names_are_unique() {
        let stats = Stats::default();
        stats.count(Counter::TftpFull);
        stats.dropped(Drop::NotPxe);
        stats.dhcp_malformed(What::BadCookie);
        stats.tftp_malformed(What::BadCookie);
        stats.bad_name(BadName::Dots);
        let outcomes = [
            Outcome::Complete,
            Outcome::Unconfirmed,
            Outcome::SizeProbe,
            Outcome::Aborted(4),
            Outcome::TimedOut,
            Outcome::Refused,
            Outcome::Failed,
            Outcome::Displaced,
            Outcome::Denied,
            Outcome::Unanswered,
        ];
        outcomes.into_iter().for_each(|outcome| stats.ended(outcome));
        let all = stats.all();
        let names: std::collections::HashSet<&String> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        let moved: Vec<&str> = all.iter().filter(|(_, n)| *n == 1).map(|(name, _)| name.as_str()).collect();
        assert_eq!(moved.len(), 5 + outcomes.len());
        assert!(moved.contains(&"dhcp.malformed.bad_cookie") && moved.contains(&"tftp.refused.dots_in_name"));
        assert!(moved.contains(&"tftp.ended.displaced"));
    }

    #[test]
    fn each_measure_moves_its_own_distribution_and_names_are_those_of_no_counter() {
        let stats = Stats::default();
        Measure::ALL.iter().for_each(|measure| stats.measure(*measure, 1.0));
        let all = stats.histograms();
        assert!(all.iter().all(|(_, reading)| reading.counts.iter().sum::<u64>() == 1));
        let counters = stats.all();
        assert!(all.iter().all(|(name, _)| counters.iter().all(|(counter, _)| counter != name)));
    }

    #[test]
    fn what_a_transfer_can_measure_lies_within_the_bounds() {
        let stats = Stats::default();
        for (measure, least, most) in [
            (Measure::RoundTrip, 20e-6, 10.0),
            (Measure::Resent, 0.0, 1e6),
            (Measure::Window, 1.0, 255.0),
            (Measure::BlocksPerSecond, 1.0, 2e6),
            (Measure::FirstBlock, 40e-6, 10.0),
            (Measure::BytesPerSecond, 2048.0, 5e9),
        ] {
            stats.measure(measure, least);
            stats.measure(measure, most);
        }
        assert!(stats.histograms().iter().all(|(_, reading)| reading.counts.last() == Some(&0)));
    }
}
