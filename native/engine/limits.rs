//! How much one client, and all together, may ask for (safety T11, D15).

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::deadline::Time;

/// The limits of a distribution point.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Transfers at once.
    pub transfers: usize,
    /// Transfers at once for one address.
    pub transfers_per_client: u32,
    /// Requests a second for one address, in the long run.
    pub requests_per_second: u32,
    /// Requests that one address may save up.
    pub burst: u32,
}

/// Why a request is not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The address has its share of transfers.
    Transfers,
    /// The address asks too often.
    Rate,
}

#[derive(Clone, Copy)]
struct Client {
    transfers: u32,
    /// Requests saved up, in millionths.
    tokens: u64,
    at: Time,
}

/// The ledger of addresses. Loopback is not an address of a client: there the limits do not hold.
pub struct Clients {
    limits: Limits,
    clients: HashMap<Ipv4Addr, Client>,
}

/// One request, in the units of [`Client::tokens`]: a token a second is one unit a microsecond.
const REQUEST: u64 = 1_000_000;

impl Clients {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Clients {
        Clients { limits, clients: HashMap::with_capacity(limits.transfers) }
    }

    /// Takes up one transfer for `address`.
    ///
    /// # Errors
    /// Which limit it would exceed; nothing is taken up then.
    pub fn admit(&mut self, address: Ipv4Addr, now: Time) -> Result<(), Excess> {
        if address.is_loopback() {
            return Ok(());
        }
        let full = u64::from(self.limits.burst) * REQUEST;
        if self.clients.len() >= self.limits.transfers.saturating_mul(4) {
            self.forget_idle(now);
        }
        let client = self.clients.entry(address).or_insert(Client { transfers: 0, tokens: full, at: now });
        let earned = now.saturating_sub(client.at).saturating_mul(u64::from(self.limits.requests_per_second));
        client.tokens = client.tokens.saturating_add(earned).min(full);
        client.at = now;
        if client.transfers >= self.limits.transfers_per_client {
            return Err(Excess::Transfers);
        }
        client.tokens = client.tokens.checked_sub(REQUEST).ok_or(Excess::Rate)?;
        client.transfers += 1;
        Ok(())
    }

    /// One transfer of `address` has ended.
    pub fn release(&mut self, address: Ipv4Addr) {
        if let Some(client) = self.clients.get_mut(&address) {
            client.transfers = client.transfers.saturating_sub(1);
        }
    }

    /// Forgets who has no transfer and has all requests saved up again: nothing is known of them.
    fn forget_idle(&mut self, now: Time) {
        let Limits { burst, requests_per_second, .. } = self.limits;
        let full = u64::from(burst) * REQUEST;
        self.clients.retain(|_, client| {
            let earned = now.saturating_sub(client.at).saturating_mul(u64::from(requests_per_second));
            client.transfers > 0 || client.tokens.saturating_add(earned) < full
        });
    }
}

/// How many requests are taken up a second, whoever asks. A quarter of a second's may come at once.
pub struct Rate {
    /// Microseconds that one costs, in thousandths.
    cost: u64,
    /// When all that was taken is paid for, in thousandths of a microsecond.
    paid: u64,
}

/// What may be owed, in microseconds.
const CREDIT: Time = 250_000;
const THOUSANDTHS: u64 = 1_000;

impl Rate {
    /// So many a second; at least one.
    pub fn new(per_second: u32) -> Rate {
        Rate { cost: 1_000_000 * THOUSANDTHS / u64::from(per_second.max(1)), paid: 0 }
    }

    /// Takes one, where it is not too much.
    pub fn take(&mut self, now: Time) -> bool {
        let free = self.next() <= now;
        if free {
            self.paid = self.paid.max(now.saturating_mul(THOUSANDTHS)).saturating_add(self.cost);
        }
        free
    }

    /// When the next can be taken.
    pub fn next(&self) -> Time {
        (self.paid / THOUSANDTHS).saturating_sub(CREDIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    fn clients() -> Clients {
        Clients::new(Limits { transfers: 100, transfers_per_client: 8, requests_per_second: 20, burst: 40 })
    }

    #[test]
    fn one_address_has_eight_transfers_and_another_still_gets_its_own() {
        let mut clients = clients();
        for _ in 0..8 {
            assert_eq!(clients.admit(A, 0), Ok(()));
        }
        assert_eq!(clients.admit(A, 0), Err(Excess::Transfers));
        assert_eq!(clients.admit(B, 0), Ok(()));
        clients.release(A);
        assert_eq!(clients.admit(A, 0), Ok(()));
    }

    #[test]
    fn one_address_asks_forty_times_at_once_and_twenty_times_a_second() {
        let mut clients = clients();
        let mut ask = |now| {
            let answer = clients.admit(A, now);
            if answer.is_ok() {
                clients.release(A);
            }
            answer
        };
        assert!((0..40).all(|_| ask(0).is_ok()));
        assert_eq!(ask(0), Err(Excess::Rate));
        assert_eq!(ask(50_000), Ok(()));
        assert_eq!(ask(50_000), Err(Excess::Rate));
        assert!((0..40).all(|_| ask(10_000_000).is_ok()));
        assert_eq!(ask(10_000_000), Err(Excess::Rate));
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_ledger_for_ever() {
        let mut clients = clients();
        for n in 0..100_000u32 {
            let address = Ipv4Addr::from(0x0a00_0000 + n);
            let _ = clients.admit(address, Time::from(n) * 1_000);
            clients.release(address);
        }
        assert!(clients.clients.len() <= 401, "{}", clients.clients.len());
    }

    #[test]
    fn a_rate_holds_in_the_long_run_and_lets_a_quarter_of_a_second_s_come_at_once() {
        let mut rate = Rate::new(1000);
        let start = 1_000_000;
        let taken = |rate: &mut Rate, now| std::iter::from_fn(|| rate.take(now).then_some(())).count();
        assert_eq!(taken(&mut rate, start), 251);
        assert_eq!(taken(&mut rate, start), 0);
        assert_eq!(rate.next(), start + 1000);
        let later: usize = (1..=10_000).map(|n| taken(&mut rate, start + n * 1000)).sum();
        assert_eq!(later, 10_000);
    }

    #[test]
    fn loopback_has_no_limit() {
        let mut clients = clients();
        assert!((0..1000).all(|_| clients.admit(Ipv4Addr::LOCALHOST, 0).is_ok()));
    }
}
