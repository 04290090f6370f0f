//! Whatever comes to a transfer, in whatever order and with whatever next window: nothing is sent that was not agreed, and
//! the final byte of a gated file never before its gate opened (B2).

#![no_main]

use _native::engine::negotiate::Agreed;
use _native::engine::timer::Timing;
use _native::engine::transfer::{Event, Send, Terms, Transfer};
use _native::wire::tftp::Packet;
use libfuzzer_sys::fuzz_target;

const BLOCK: u16 = 8;
const TIMING: Timing = Timing { first: 500_000, floor: 50_000 };

fuzz_target!(|bytes: &[u8]| {
    let Some((&[shape, window, blocks, over], events)) = bytes.split_first_chunk::<4>() else { return };
    let variable = shape & 1 != 0;
    let window = u16::from(window % 64) + 1;
    let agreed = Agreed { block: BLOCK, window, variable, ..Agreed::default() };
    let size = u64::from(blocks) * u64::from(BLOCK) * if shape & 8 != 0 { 300 } else { 1 } + u64::from(over % 8);
    let terms = Terms { agreed, size, acknowledge: shape & 2 != 0, gated: shape & 4 != 0, timing: TIMING };
    let (transfer, send) = Transfer::start(terms, 0);
    let mut watch = Watch { terms, opened: false, asked: false };
    watch.sent(send);
    play(transfer, events, watch);
});

struct Watch {
    terms: Terms,
    opened: bool,
    asked: bool,
}

impl Watch {
    fn sent(&mut self, send: Send) {
        match send {
            Send::Blocks { first, count } => {
                let Agreed { window, variable, .. } = self.terms.agreed;
                let (count, block) = (u64::from(count), u64::from(BLOCK));
                assert!(first >= 1 && count >= 1 && first + count - 1 <= self.terms.size / block + 1);
                assert!(count <= u64::from(if variable { window.max(255) } else { window }));
                let sent = (first - 1) * block..(first - 1 + count) * block;
                let all = sent.contains(&self.terms.size.saturating_sub(1));
                assert!(!self.terms.gated || self.opened || !all, "{first}+{count} of {:?}", self.terms);
            }
            Send::Ask => {
                assert!(self.terms.gated && !self.asked);
                self.asked = true;
            }
            Send::Acknowledgment => assert!(self.terms.acknowledge),
            Send::Nothing | Send::Error(..) => {}
        }
    }
}

/// An event a chunk: what it is, and two bytes of it.
fn play(mut transfer: Transfer, events: &[u8], mut watch: Watch) {
    let mut now = 0;
    for chunk in events.chunks_exact(3) {
        let &[kind, low, high] = chunk else { return };
        now += u64::from(high) * 10;
        let next = transfer.acknowledged_blocks().wrapping_add(u64::from(low)) as u16;
        let event = match kind % 12 {
            // As the wire brings it: five bytes, or four.
            0..=4 => ack(&[&[0, 4][..], &next.to_be_bytes(), &[high]].concat()),
            5 => ack(&[0, 4, low, high]),
            6 => Event::Timeout,
            7 => Event::Repeated,
            8 => Event::Writable,
            9 => Event::Opened,
            10 if high & 1 == 0 => {
                transfer.held_back(transfer.acknowledged_blocks() + u64::from(low), now);
                continue;
            }
            10 => {
                transfer.hold(transfer.acknowledged_blocks() + u64::from(low), now + u64::from(high) * 1_000, now);
                continue;
            }
            _ if high == 255 => Event::Denied,
            _ if high == 254 => Event::PeerError(low.into()),
            _ => Event::Writable,
        };
        if event == Event::Timeout {
            now = now.max(transfer.deadline());
        }
        watch.opened |= event == Event::Opened && transfer.is_asking();
        let held = transfer.is_held();
        let send = transfer.handle(event, now);
        assert!(!held || !transfer.is_held() || !matches!(send, Send::Blocks { .. }));
        watch.sent(send);
        assert!(transfer.acknowledged_blocks() <= watch.terms.size / u64::from(BLOCK) + 1);
        assert!(transfer.outcome().is_some() || transfer.deadline() <= now + 10_000_000);
        assert!(transfer.outcome().is_some() || event != Event::Timeout || transfer.deadline() > now);
    }
}

fn ack(datagram: &[u8]) -> Event {
    match Packet::parse(datagram) {
        Ok(Packet::Ack { block, next_window }) => Event::Ack(block, next_window.unwrap_or_default()),
        other => panic!("not an ACK: {other:?}"),
    }
}
