//! Who may be sent how much: what a transfer reserves before its blocks leave.

use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::settings::{self, Network};
use crate::engine::deadline::Time;
use crate::engine::pace::Pace;

/// Bytes of headers of a block, UDP's and TFTP's, and of each frame that carries it or a fragment of it, Ethernet's and
/// IPv4's.
const HEADERS: (u64, u64) = (12, 34);

/// The caps of a point and of its networks, each shared by all transfers that it bounds.
pub(super) struct Caps {
    point: Option<Arc<Pace>>,
    networks: Vec<(Network, Option<Arc<Pace>>)>,
    transfer: Option<NonZeroU64>,
}

impl Caps {
    pub fn new(caps: &settings::Caps) -> Caps {
        let pace = |bits| NonZeroU64::new(bits).map(|bits| Arc::new(Pace::new(bits)));
        Caps {
            point: pace(caps.point),
            networks: caps.networks.iter().map(|&(network, bits)| (network, pace(bits))).collect(),
            transfer: NonZeroU64::new(caps.transfer),
        }
    }

    /// What bounds a new transfer to `client`, with blocks of so many bytes on a path of this MTU.
    pub fn of(&self, client: Ipv4Addr, block: u16, mtu: u32) -> Tolls {
        let network = self.networks.iter().find(|(network, _)| network.contains(client));
        let own = self.transfer.map(|bits| Arc::new(Pace::new(bits)));
        let paces = [self.point.clone(), network.and_then(|(_, pace)| pace.clone()), own];
        let frames = (u64::from(block) + HEADERS.0).div_ceil(u64::from(mtu.saturating_sub(20).max(8) & !7));
        Tolls { paces, headers: HEADERS.0 + HEADERS.1 * frames, paid: 0, departure: None }
    }
}

/// The caps of one transfer: what it sends is paid before it leaves, and leaves when the last of them says.
pub(super) struct Tolls {
    paces: [Option<Arc<Pace>>; 3],
    /// Bytes of headers that a block costs.
    headers: u64,
    /// Bytes that were paid for and have not left yet.
    paid: u64,
    /// When they may leave.
    departure: Option<Time>,
}

impl Tolls {
    /// When what waits may leave; `None` where nothing waits.
    pub fn departure(&self) -> Option<Time> {
        self.departure
    }

    /// What waited shall leave now; it is paid for.
    pub fn due(&mut self) {
        self.departure = None;
    }

    /// Pays for `blocks` datagrams with `bytes` of a file in all. True: they leave now; false: at
    /// [`Tolls::departure`], where they are asked for again and nothing is paid twice.
    pub fn pay(&mut self, blocks: usize, bytes: usize, now: Time) -> bool {
        if self.paces.iter().all(Option::is_none) {
            return true;
        }
        if self.departure.is_some_and(|departure| now < departure) {
            return false;
        }
        let price = bytes as u64 + blocks as u64 * self.headers;
        let owed = price.saturating_sub(self.paid);
        self.paid = self.paid.max(price);
        // Each cap sells from now on: what one lets wait keeps no place in the others' future.
        let departure = self.paces.iter().flatten().filter(|_| owed > 0).map(|pace| pace.reserve(owed, now)).max();
        self.departure = departure.filter(|departure| now < *departure);
        if self.departure.is_none() {
            self.paid -= price;
        }
        self.departure.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const SECOND: Time = 1_000_000;

    fn caps(point: u64, transfer: u64, networks: &[(&str, u64)]) -> Caps {
        let networks = networks.iter().map(|(network, bits)| (network.parse().unwrap(), *bits)).collect();
        Caps::new(&settings::Caps { point, transfer, networks })
    }

    /// Bytes on Ethernet that transfers to these clients, who always want more, are let send in so many seconds.
    fn sent(caps: &Caps, clients: &[Ipv4Addr], seconds: Time) -> Vec<u64> {
        let (blocks, block) = (16, 1456);
        let mut tolls: Vec<Tolls> = clients.iter().map(|client| caps.of(*client, block, 1500)).collect();
        let mut sent = vec![0; clients.len()];
        let mut now = SECOND;
        while now < SECOND + seconds * SECOND {
            for (tolls, sent) in tolls.iter_mut().zip(&mut sent) {
                if tolls.departure().is_none_or(|departure| departure <= now)
                    && tolls.pay(blocks, blocks * usize::from(block), now)
                {
                    *sent += blocks as u64 * (u64::from(block) + 46);
                }
            }
            let next = tolls.iter().map(|tolls| tolls.departure().unwrap_or(now + 100)).min();
            now = next.unwrap_or(now).max(now + 1);
        }
        sent
    }

    fn is_near(sent: u64, wanted: u64) -> bool {
        sent.abs_diff(wanted) * 50 <= wanted
    }

    #[test]
    fn one_transfer_gets_its_own_cap_and_many_share_the_points() {
        let own = sent(&caps(0, 8_000_000, &[]), &[A, B], 10);
        assert!(own.iter().all(|sent| is_near(*sent, 10_000_000)), "{own:?}");
        let shared = sent(&caps(8_000_000, 0, &[]), &[A, B, ELSEWHERE, A], 10);
        assert!(is_near(shared.iter().sum(), 10_000_000), "{shared:?}");
        assert!(shared.iter().all(|sent| is_near(*sent, 2_500_000)), "{shared:?}");
    }

    #[test]
    fn of_a_networks_cap_only_its_clients_have_a_part_and_the_first_network_counts() {
        let caps = caps(0, 80_000_000, &[("10.1.0.2/32", 4_000_000), ("10.1.0.0/16", 8_000_000)]);
        let sent = sent(&caps, &[A, A, B, ELSEWHERE], 10);
        assert!(is_near(sent[0] + sent[1], 10_000_000) && is_near(sent[0], 5_000_000), "{sent:?}");
        assert!(is_near(sent[2], 5_000_000) && is_near(sent[3], 100_000_000), "{sent:?}");
    }

    #[test]
    fn who_waits_pays_once_and_for_the_difference_where_more_is_to_leave_then() {
        let caps = caps(8_000_000, 0, &[]);
        let mut tolls = caps.of(A, 954, 1500);
        assert!(tolls.pay(64, 64 * 954, SECOND));
        assert!(!tolls.pay(10, 10 * 954, SECOND));
        let departure = tolls.departure().unwrap();
        assert!(!tolls.pay(10, 10 * 954, departure - 1));
        assert!(!tolls.pay(15, 15 * 954, departure));
        assert_eq!(tolls.departure(), Some(departure + 5_000));
        assert!(tolls.pay(12, 12 * 954, departure + 5_000));
        assert!(tolls.pay(3, 3 * 954, departure + 5_000), "what was paid and did not leave is not lost");
    }

    #[test]
    fn a_block_in_fragments_pays_for_each_frame() {
        let caps = caps(8_000_000, 0, &[]);
        assert_eq!(caps.of(A, 1468, 1500).headers, 46);
        assert_eq!(caps.of(A, 1469, 1500).headers, 12 + 2 * 34);
        assert_eq!(caps.of(A, 8192, 1500).headers, 12 + 6 * 34);
    }

    #[test]
    fn without_caps_all_leaves_at_once() {
        let mut tolls = caps(0, 0, &[("10.0.0.0/8", 0)]).of(A, 1456, 1500);
        assert!((0..1000).all(|_| tolls.pay(64, 64 * 1456, SECOND)) && tolls.departure().is_none());
    }
}
