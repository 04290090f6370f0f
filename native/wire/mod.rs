//! The bytes on the wire and what they mean.
//!
//! Everything here is pure: bytes in, a borrowed view out; a caller's buffer in, a length out. There is no
//! socket, clock, log or allocation. Each packet has one constructor and it is fallible; what it accepts,
//! no accessor can panic on.
//!
//! - [`cursor`], [`writer`]: the one reader of input, the one writer of output
//! - [`dhcp`]: BOOTP and DHCP (RFC 951, 2131, 2132, 3396), with [`value`] (an option's bytes) and [`reply`]
//! - [`relay`]: the relay agent's option 82 (RFC 3046)
//! - [`pxe`]: what a PXE client says of itself (PXE 2.1, RFC 4578), with [`ask`] (is it a question to us?)
//! - [`tftp`]: TFTP and its options (RFC 1350, 2347, 2348, 2349, 7440), with [`name`] (a file name, folded)

#![forbid(unsafe_code)]
// A hostile packet must not find a line that can panic or wrap; tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

use std::fmt;

/// An enum whose variants each have one name, used in counters, logs and errors alike.
macro_rules! names {
    ($(#[$about:meta])* pub enum $Type:ident { $($(#[$doc:meta])* $Variant:ident => $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Type { $($(#[$doc])* $Variant,)+ }

        impl $Type {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// The name in snake_case, as counters and logs spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }
        }

        impl std::fmt::Display for $Type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use names;

pub mod ask;
pub mod cursor;
pub mod dhcp;
pub mod loader;
pub mod name;
pub mod pxe;
pub mod relay;
pub mod reply;
pub mod tftp;
pub mod value;
pub mod writer;

#[cfg(test)]
pub(crate) mod examples;

names! {
    /// What is wrong with a packet.
    pub enum What {
        /// The packet ends before its fixed part does.
        Truncated => "truncated",
        /// The BOOTP op is neither request (1) nor reply (2).
        BadOp => "bad_op",
        /// The four bytes before the options are not 99, 130, 83, 99.
        BadCookie => "bad_cookie",
        /// The hardware address is longer than its field of 16 bytes.
        BadHardwareLength => "bad_hardware_length",
        /// An option that matters, or what may hide one, runs past its field.
        OptionOverrun => "option_overrun",
        /// There is no DHCP message type of one byte (plain BOOTP).
        NoMessageType => "no_message_type",
        /// A part has a length that it cannot have.
        BadLength => "bad_length",
        /// A text lacks the NUL that ends it.
        NoTerminator => "no_terminator",
        /// A text that must say something is empty.
        Empty => "empty",
        /// A packet or a part of it is longer than it may be.
        TooLong => "too_long",
        /// The TFTP opcode is none of 1 to 6.
        UnknownOpcode => "unknown_opcode",
        /// Something stands where it may not: bytes after the end, a NUL in a text, an option set elsewhere.
        Unexpected => "unexpected",
        /// The caller's buffer is too small for the packet.
        NoRoom => "no_room",
    }
}

/// Why bytes are not a packet, or a packet cannot become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub what: What,
    /// The offset where it was noticed, in bytes from the packet's start.
    pub at: u16,
}

impl Error {
    /// `what`, noticed at byte `at`.
    pub fn new(what: What, at: usize) -> Self {
        Self { what, at: u16::try_from(at).unwrap_or(u16::MAX) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for Error {}
