//! The other end: one read transfer as a client makes it, for the demo, tests and benches (RFC 1350, 2347, 7440).

use super::deadline::Time;
use super::seq;
use crate::wire::tftp::{self, Packet};

/// A silent server is asked again after this long, in microseconds.
const RETRY: Time = 1_000_000;
/// So often.
const TRIES: u8 = 5;

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Waits for the next datagram.
    Wait,
    /// Sends the request (again) to the server's TFTP port.
    Request,
    /// Acknowledges this number to the transfer's port.
    Ack(u16),
    /// Acknowledges this number; the file is whole.
    Last(u16),
}

/// Why a download ended without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server said so: code and words.
    Refused(u16, String),
    /// The server was silent.
    Silent,
    /// The server acknowledged options that were not asked for or are larger than asked.
    BadAcknowledgment,
}

/// One download.
pub struct Download {
    block: u64,
    window: u64,
    agreed: bool,
    /// Blocks received in order, and how many of them were acknowledged.
    received: u64,
    acked: u64,
    /// The size that the server told, in bytes.
    pub size: Option<u64>,
    tries: u8,
    deadline: Time,
    done: bool,
}

impl Download {
    /// A download that asks for these sizes.
    pub fn new(block: u16, window: u16, now: Time) -> Download {
        Download {
            block: u64::from(block),
            window: u64::from(window.max(1)),
            agreed: false,
            received: 0,
            acked: 0,
            size: None,
            tries: 0,
            deadline: now + RETRY,
            done: false,
        }
    }

    /// Takes a datagram from the server; hands each block in order to `sink`.
    ///
    /// # Errors
    /// Why it is over.
    pub fn handle(&mut self, datagram: &[u8], now: Time, mut sink: impl FnMut(&[u8])) -> Result<Step, Failure> {
        let Ok(packet) = Packet::parse(datagram) else { return Ok(Step::Wait) };
        match packet {
            Packet::Error { code, message } => {
                Err(Failure::Refused(code, String::from_utf8_lossy(message).into_owned()))
            }
            Packet::Oack(options) if self.received == 0 => {
                if !self.agreed {
                    self.agree(options)?;
                }
                self.alive(now);
                Ok(Step::Ack(0))
            }
            Packet::Data { block, payload } => {
                if !self.agreed {
                    // No acknowledgment of options: none holds (RFC 2347).
                    (self.agreed, self.block, self.window) = (true, 512, 1);
                }
                self.alive(now);
                Ok(self.data(block, payload, &mut sink))
            }
            Packet::Oack(_) | Packet::Ack { .. } | Packet::Read(_) | Packet::Write(_) => Ok(Step::Wait),
        }
    }

    fn agree(&mut self, options: tftp::Options<'_>) -> Result<(), Failure> {
        let (mut block, mut window) = (512, 1);
        for (name, value) in options {
            let value = tftp::decimal(value).ok_or(Failure::BadAcknowledgment)?;
            if name.eq_ignore_ascii_case(b"blksize") && value <= self.block {
                block = value.max(1);
            } else if name.eq_ignore_ascii_case(b"windowsize") && value <= self.window {
                window = value.max(1);
            } else if name.eq_ignore_ascii_case(b"tsize") {
                self.size = Some(value);
            } else {
                return Err(Failure::BadAcknowledgment);
            }
        }
        (self.agreed, self.block, self.window) = (true, block, window);
        Ok(())
    }

    fn data(&mut self, number: u16, payload: &[u8], sink: &mut impl FnMut(&[u8])) -> Step {
        if self.done || seq::from_wire(number, self.received + 1, self.received + 1).is_none() {
            self.acked = self.received;
            return Step::Ack(seq::to_wire(self.received));
        }
        self.received += 1;
        sink(payload);
        self.done = (payload.len() as u64) < self.block;
        if self.done {
            return Step::Last(number);
        }
        if self.received - self.acked >= self.window {
            self.acked = self.received;
            return Step::Ack(number);
        }
        Step::Wait
    }

    fn alive(&mut self, now: Time) {
        self.tries = 0;
        self.deadline = now + RETRY;
    }

    /// The deadline has come.
    ///
    /// # Errors
    /// [`Failure::Silent`] after the last try.
    pub fn timeout(&mut self, now: Time) -> Result<Step, Failure> {
        self.tries += 1;
        if self.tries > TRIES {
            return Err(Failure::Silent);
        }
        self.deadline = now + RETRY;
        self.acked = self.received;
        Ok(if self.agreed { Step::Ack(seq::to_wire(self.received)) } else { Step::Request })
    }

    /// When [`Download::timeout`] is due.
    pub fn deadline(&self) -> Time {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(block: u16, payload: &[u8]) -> Vec<u8> {
        [&tftp::data_header(block)[..], payload].concat()
    }

    #[test]
    fn a_window_is_acknowledged_once_and_a_gap_at_once() {
        let mut download = Download::new(8, 2, 0);
        let mut file = Vec::new();
        let mut take = |datagram: &[u8]| download.handle(datagram, 1, |bytes| file.extend_from_slice(bytes)).unwrap();
        assert_eq!(take(b"\x00\x06blksize\x008\0windowsize\x002\0tsize\x0019\0"), Step::Ack(0));
        assert_eq!(take(&data(1, b"12345678")), Step::Wait);
        assert_eq!(take(&data(2, b"abcdefgh")), Step::Ack(2));
        assert_eq!(take(&data(4, b"?")), Step::Ack(2));
        assert_eq!(take(&data(3, b"end")), Step::Last(3));
        assert_eq!(download.size, Some(19));
        assert_eq!(file, b"12345678abcdefghend");
    }

    #[test]
    fn an_option_that_was_not_asked_for_or_is_too_large_ends_it() {
        for oack in [&b"\x00\x06blksize\x009\0"[..], b"\x00\x06windowsize\x003\0", b"\x00\x06other\x001\0"] {
            let answer = Download::new(8, 2, 0).handle(oack, 1, |_| {});
            assert_eq!(answer, Err(Failure::BadAcknowledgment));
        }
    }

    #[test]
    fn a_silent_server_is_asked_five_times() {
        let mut download = Download::new(8, 2, 0);
        for _ in 0..5 {
            assert_eq!(download.timeout(download.deadline()), Ok(Step::Request));
        }
        assert_eq!(download.timeout(download.deadline()), Err(Failure::Silent));
    }

    #[test]
    fn a_server_without_options_is_read_in_lock_step() {
        let mut download = Download::new(1468, 16, 0);
        assert_eq!(download.handle(&data(1, &[7; 512]), 1, |_| {}), Ok(Step::Ack(1)));
        assert_eq!(download.handle(&data(2, &[]), 1, |_| {}), Ok(Step::Last(2)));
    }
}
