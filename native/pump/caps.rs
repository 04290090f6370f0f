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

    /// What bounds a new transfer to `client`, if anything does, with blocks of so many bytes on a path of this MTU.
    pub fn of(&self, client: Ipv4Addr, block: u16, mtu: u32) -> Option<Tolls> {
        let network = self.networks.iter().find(|(network, _)| network.contains(client));
        let own = self.transfer.map(|bits| Arc::new(Pace::new(bits)));
        let paces = [self.point.clone(), network.and_then(|(_, pace)| pace.clone()), own];
        let frames = (u64::from(block) + HEADERS.0).div_ceil(u64::from(mtu.saturating_sub(20).max(8) & !7));
        let headers = HEADERS.0 + HEADERS.1 * frames;
        paces.iter().any(Option::is_some).then_some(Tolls { paces, headers, paid: 0 })
    }
}

/// The caps of one transfer: what it sends is paid for once, and leaves when the last of them says.
pub(super) struct Tolls {
    paces: [Option<Arc<Pace>>; 3],
    /// Bytes of headers that a block costs.
    headers: u64,
    /// Bytes that were paid for and have not left.
    paid: u64,
}

impl Tolls {
    /// Pays for `blocks` datagrams with `bytes` of a file in all. `None`: they leave now. Else when they may leave: they
    /// are asked for again then, and nothing is paid twice.
    pub fn pay(&mut self, blocks: usize, bytes: usize, now: Time) -> Option<Time> {
        let price = self.price(blocks, bytes);
        let owed = price.saturating_sub(self.paid);
        self.paid = self.paid.max(price);
        // Each cap sells from now on: what one lets wait keeps no place in the others' future.
        let reserved = self.paces.iter().flatten().filter(|_| owed > 0).map(|pace| pace.reserve(owed, now)).max();
        let departure = reserved.filter(|departure| now < *departure);
        if departure.is_none() {
            self.paid -= price;
        }
        departure
    }

    /// Of what was paid for these did not leave.
    pub fn stayed(&mut self, blocks: usize, bytes: usize) {
        self.paid = self.paid.saturating_add(self.price(blocks, bytes));
    }

    fn price(&self, blocks: usize, bytes: usize) -> u64 {
        (bytes as u64).saturating_add((blocks as u64).saturating_mul(self.headers))
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

    /// Bytes on Ethernet that transfers to these clients are let send in so many seconds, each a window every 100 us
    /// where nothing holds it.
    fn sent(caps: &Caps, clients: &[Ipv4Addr], seconds: Time) -> Vec<u64> {
        let (blocks, block) = (16, 1456);
        let mut senders: Vec<(Option<Tolls>, Time, u64)> =
            clients.iter().map(|client| (caps.of(*client, block, 1500), SECOND, 0)).collect();
        let end = SECOND + seconds * SECOND;
        while let Some((tolls, at, sent)) = senders.iter_mut().filter(|(_, at, _)| *at < end).min_by_key(|s| s.1) {
            let held = tolls.as_mut().and_then(|tolls| tolls.pay(blocks, blocks * usize::from(block), *at));
            if held.is_none() {
                *sent += blocks as u64 * (u64::from(block) + 46);
            }
            *at = held.unwrap_or(*at + 100);
        }
        senders.into_iter().map(|(_, _, sent)| sent).collect()
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
    fn what_waited_or_stayed_is_not_paid_again_but_for_what_is_more() {
        let mut tolls = caps(8_000_000, 0, &[]).of(A, 954, 1500).unwrap();
        let mut pay = |blocks: usize, now| tolls.pay(blocks, blocks * 954, now);
        assert_eq!(pay(64, SECOND), None);
        let departure = pay(10, SECOND).unwrap();
        assert_eq!(pay(15, departure), Some(departure + 5_000));
        assert_eq!(pay(12, departure + 5_000), None);
        assert_eq!(pay(3, departure + 5_000), None, "three were paid for and did not leave");
        assert_eq!(pay(1, departure + 5_000), Some(departure + 6_000));
        assert_eq!(pay(1, departure + 6_000), None);
        tolls.stayed(1, 954);
        assert_eq!(tolls.pay(1, 954, departure + 6_000), None);
    }

    #[test]
    fn a_block_in_fragments_pays_for_each_frame() {
        let caps = caps(8_000_000, 0, &[]);
        let headers = |block| caps.of(A, block, 1500).unwrap().headers;
        assert_eq!((headers(1468), headers(1469), headers(8192)), (46, 12 + 2 * 34, 12 + 6 * 34));
    }

    #[test]
    fn who_has_no_cap_pays_nothing() {
        assert!(caps(0, 0, &[("10.0.0.0/8", 0)]).of(A, 1456, 1500).is_none());
        assert!(caps(0, 0, &[("10.0.0.0/8", 1)]).of(ELSEWHERE, 1456, 1500).is_none());
    }
}
