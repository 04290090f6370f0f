//! The other end: one read transfer as a client makes it, for the demo, tests and benches (RFC 1350, 2347, 7440).

use super::deadline::Time;
use super::negotiate::VARIABLE;
use super::seq;
use crate::wire::tftp::{self, Packet};

/// A silent server is asked again after this long, in microseconds.
const RETRY: Time = 1_000_000;
/// So often.
const TRIES: u8 = 5;
/// The largest window that a client asks for by `msftwindow`, in blocks.
const LARGEST: u64 = 64;

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Waits for the next datagram.
    Wait,
    /// Sends the request (again) to the server's TFTP port.
    Request,
    /// Acknowledges this number to the transfer's port, and says how many blocks it wants next (W-107).
    Ack(u16, Option<u8>),
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
    /// The window may vary: asked for and, once agreed, granted.
    variable: bool,
    /// A gap was met, and no block in order since.
    gap: bool,
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
    pub fn new(block: u16, window: u16, variable: bool, now: Time) -> Download {
        Download {
            block: u64::from(block),
            window: u64::from(window.max(1)),
            agreed: false,
            variable,
            gap: false,
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
                Ok(self.ack())
            }
            Packet::Data { block, payload } => {
                if !self.agreed {
                    // No acknowledgment of options: none holds (RFC 2347).
                    (self.agreed, self.block, self.window, self.variable) = (true, 512, 1, false);
                }
                self.alive(now);
                Ok(self.data(block, payload, &mut sink))
            }
            Packet::Oack(_) | Packet::Ack { .. } | Packet::Read(_) | Packet::Write(_) => Ok(Step::Wait),
        }
    }

    fn agree(&mut self, options: tftp::Options<'_>) -> Result<(), Failure> {
        let (mut block, mut window, mut variable) = (512, 1, false);
        for (name, value) in options {
            let value = tftp::decimal(value).ok_or(Failure::BadAcknowledgment)?;
            if name.eq_ignore_ascii_case(b"blksize") && value <= self.block {
                block = value.max(1);
            } else if name.eq_ignore_ascii_case(b"windowsize") && value <= self.window {
                window = value.max(1);
            } else if name.eq_ignore_ascii_case(b"msftwindow") && value == VARIABLE.1 && self.variable {
                variable = true;
            } else if name.eq_ignore_ascii_case(b"tsize") {
                self.size = Some(value);
            } else {
                return Err(Failure::BadAcknowledgment);
            }
        }
        (self.agreed, self.block, self.window, self.variable) = (true, block, window, variable);
        Ok(())
    }

    fn data(&mut self, number: u16, payload: &[u8], sink: &mut impl FnMut(&[u8])) -> Step {
        if self.done || seq::from_wire(number, self.received + 1, self.received + 1).is_none() {
            if !self.gap {
                self.vary(self.window / 2);
            }
            self.gap = true;
            return self.ack();
        }
        self.gap = false;
        self.received += 1;
        sink(payload);
        self.done = (payload.len() as u64) < self.block;
        if self.done {
            return Step::Last(number);
        }
        if self.received - self.acked >= self.window {
            self.vary(self.window * 2);
            return self.ack();
        }
        Step::Wait
    }

    fn vary(&mut self, window: u64) {
        if self.variable {
            self.window = window.clamp(1, LARGEST);
        }
    }

    fn ack(&mut self) -> Step {
        self.acked = self.received;
        Step::Ack(seq::to_wire(self.received), self.variable.then(|| u8::try_from(self.window).unwrap_or(u8::MAX)))
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
        if !self.agreed {
            return Ok(Step::Request);
        }
        self.vary(self.window / 2);
        Ok(self.ack())
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
        let mut download = Download::new(8, 2, false, 0);
        let mut file = Vec::new();
        let mut take = |datagram: &[u8]| download.handle(datagram, 1, |bytes| file.extend_from_slice(bytes)).unwrap();
        assert_eq!(take(b"\x00\x06blksize\x008\0windowsize\x002\0tsize\x0019\0"), Step::Ack(0, None));
        assert_eq!(take(&data(1, b"12345678")), Step::Wait);
        assert_eq!(take(&data(2, b"abcdefgh")), Step::Ack(2, None));
        assert_eq!(take(&data(4, b"?")), Step::Ack(2, None));
        assert_eq!(take(&data(3, b"end")), Step::Last(3));
        assert_eq!(download.size, Some(19));
        assert_eq!(file, b"12345678abcdefghend");
    }

    #[test]
    fn an_option_that_was_not_asked_for_or_is_too_large_ends_it() {
        for oack in [
            &b"\x00\x06blksize\x009\0"[..],
            b"\x00\x06windowsize\x003\0",
            b"\x00\x06other\x001\0",
            b"\x00\x06msftwindow\x0027182\0",
        ] {
            let answer = Download::new(8, 2, false, 0).handle(oack, 1, |_| {});
            assert_eq!(answer, Err(Failure::BadAcknowledgment));
        }
    }

    #[test]
    fn a_variable_window_doubles_when_it_is_whole_and_halves_once_a_gap() {
        let mut download = Download::new(8, 2, true, 0);
        let mut take = |datagram: &[u8]| download.handle(datagram, 1, |_| {}).unwrap();
        assert_eq!(take(b"\x00\x06blksize\x008\0windowsize\x002\0msftwindow\x0027182\0"), Step::Ack(0, Some(2)));
        assert_eq!((take(&data(1, &[1; 8])), take(&data(2, &[2; 8]))), (Step::Wait, Step::Ack(2, Some(4))));
        assert_eq!((take(&data(4, &[4; 8])), take(&data(5, &[5; 8]))), (Step::Ack(2, Some(2)), Step::Ack(2, Some(2))));
        assert_eq!((take(&data(3, &[3; 8])), take(&data(4, &[4; 8]))), (Step::Wait, Step::Ack(4, Some(4))));
        assert_eq!(download.timeout(download.deadline()), Ok(Step::Ack(4, Some(2))));
        let mut refused = Download::new(8, 2, true, 0);
        assert_eq!(refused.handle(b"\x00\x06windowsize\x002\0", 1, |_| {}), Ok(Step::Ack(0, None)));
    }

    #[test]
    fn a_silent_server_is_asked_five_times() {
        let mut download = Download::new(8, 2, false, 0);
        for _ in 0..5 {
            assert_eq!(download.timeout(download.deadline()), Ok(Step::Request));
        }
        assert_eq!(download.timeout(download.deadline()), Err(Failure::Silent));
    }

    #[test]
    fn a_server_without_options_is_read_in_lock_step() {
        let mut download = Download::new(1468, 16, false, 0);
        assert_eq!(download.handle(&data(1, &[7; 512]), 1, |_| {}), Ok(Step::Ack(1, None)));
        assert_eq!(download.handle(&data(2, &[]), 1, |_| {}), Ok(Step::Last(2)));
    }
}
