//! The window of a transfer: which blocks are out, which leave next, what an ACK says of them (W-100, W-101). No time.

use super::seq;

/// Blocks that leave together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub first: u64,
    pub count: u16,
    /// The window begins with it.
    pub begins: bool,
    /// None of its blocks was ever sent before.
    pub fresh: bool,
}

/// What an acknowledgment of something new tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All that was sent has arrived.
    Whole,
    /// So many blocks of the window arrived and then none: it is rewound behind them.
    Gap(u16),
    /// It speaks of blocks that left before the last rewind: the window only slides.
    Slid,
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Blocks in a window now, and in the largest that was sent.
    size: u16,
    largest: u16,
    /// The last block; shorter than the others, perhaps empty (W-86).
    last: u64,
    /// The lowest block not acknowledged.
    base: u64,
    /// The next block to send.
    next: u64,
    /// One behind the highest block ever sent.
    fresh: u64,
    /// The end of a rewound window, while ACKs below it may speak of what was sent before: up to `sent`.
    recover: u64,
    sent: u64,
    resent: u32,
    leaving: Leaving,
    owed: Option<Owed>,
}

/// What of the last piece never left, and nothing that came since made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// This one block, that was to leave once more.
    Again(u64),
    /// So many blocks from the next on.
    More(u64),
}

/// What was last handed out, until it is known to have left: `first..end`, and `fresh` as it was before.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    first: u64,
    end: u64,
    fresh: u64,
    alone: bool,
}

impl Window {
    /// A window of `size` blocks over the blocks `1..=last`.
    pub fn new(size: u16, last: u64) -> Window {
        Window {
            size: size.max(1),
            largest: 0,
            last,
            base: 1,
            next: 1,
            fresh: 1,
            recover: 0,
            sent: 0,
            resent: 0,
            leaving: Leaving { first: 1, end: 1, fresh: 1, alone: false },
            owed: None,
        }
    }

    /// The window is `size` blocks from now on.
    pub fn resize(&mut self, size: u16) {
        self.size = size.max(1);
    }

    /// Its last block, or the file's.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.size) - 1).min(self.last)
    }

    /// Nothing more may leave before an acknowledgment.
    pub fn is_out(&self) -> bool {
        self.next > self.end()
    }

    /// Blocks that were sent and not acknowledged.
    pub fn outstanding(&self) -> u64 {
        self.next - self.base
    }

    /// All blocks are acknowledged.
    pub fn is_over(&self) -> bool {
        self.base > self.last
    }

    /// Only the last block is out.
    pub fn is_at_last(&self) -> bool {
        self.base == self.last && self.next > self.last
    }

    /// All blocks were sent at least once.
    pub fn is_all_sent(&self) -> bool {
        self.fresh > self.last
    }

    /// The next block to send.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The lowest block not acknowledged.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Blocks in the largest window that was sent; as agreed, before any was.
    pub fn largest(&self) -> u16 {
        if self.largest == 0 {
            self.size
        } else {
            self.largest
        }
    }

    /// Blocks that left more than once.
    pub fn resent(&self) -> u32 {
        self.resent
    }

    /// The block that an acknowledgment's number names, where that says something new.
    pub fn find(&self, number: u16) -> Option<u64> {
        seq::from_wire(number, self.base, self.fresh - 1)
    }

    /// The number is that of the newest block that is acknowledged already.
    pub fn repeats(&self, number: u16) -> bool {
        number == seq::to_wire(self.base - 1)
    }

    /// Everything up to `block`, one that [`Window::find`] named, has arrived. `late` is an ACK that can speak of this
    /// window: one that comes earlier after a rewind than a packet goes there and back speaks of what was sent before.
    pub fn acknowledge(&mut self, block: u64, late: bool) -> Told {
        let arrived = u16::try_from(block + 1 - self.base).unwrap_or(u16::MAX);
        self.base = block + 1;
        self.owed = None;
        if self.base >= self.next {
            self.next = self.base;
            self.forget_rewind();
            return Told::Whole;
        }
        // Who has just what was sent before the rewind missed nothing: a packet that came twice made it speak.
        if block < self.recover && (!late || block == self.sent) {
            return Told::Slid;
        }
        self.rewind();
        Told::Gap(arrived)
    }

    /// The window begins again; ACKs inside it may speak of what was sent before.
    pub fn rewind(&mut self) {
        self.next = self.base;
        self.recover = self.end();
        self.sent = self.fresh - 1;
    }

    /// Nothing that is said now can speak of what was sent before.
    pub fn forget_rewind(&mut self) {
        self.recover = 0;
    }

    /// It is a rewound one, of which not all has arrived.
    pub fn is_rewound(&self) -> bool {
        self.recover > 0
    }

    /// Hands out what the window still allows, at most so many blocks; `None` where that is nothing.
    pub fn take(&mut self, most: u64) -> Option<Piece> {
        let first = self.next;
        let left = (self.end() + 1).checked_sub(first)?.min(most);
        let count = u16::try_from(left).ok().filter(|&count| count > 0)?;
        self.next = first + left;
        self.largest = self.largest.max(self.size);
        let piece = Piece { first, count, begins: first == self.base, fresh: first >= self.fresh };
        self.hand_out(first, self.next, false);
        Some(piece)
    }

    /// Hands out one block again, whatever the window allows.
    pub fn take_again(&mut self, block: u64) -> Piece {
        self.hand_out(block, block + 1, true);
        Piece { first: block, count: 1, begins: false, fresh: false }
    }

    fn hand_out(&mut self, first: u64, end: u64, alone: bool) {
        self.leaving = Leaving { first, end, fresh: self.fresh, alone };
        let again = self.fresh.min(end).saturating_sub(first);
        self.resent = self.resent.saturating_add(u32::try_from(again).unwrap_or(u32::MAX));
        self.fresh = self.fresh.max(end);
        self.owed = None;
    }

    /// Of what was last handed out the blocks from `block` on never left: they were not sent, nor sent twice.
    pub fn held_back(&mut self, block: u64) {
        let Leaving { first, end, fresh, alone } = self.leaving;
        let block = block.clamp(first, end);
        self.leaving.end = block;
        let again = fresh.min(end).saturating_sub(block);
        self.resent = self.resent.saturating_sub(u32::try_from(again).unwrap_or(u32::MAX));
        if alone {
            self.owed = (block < end).then_some(Owed::Again(block));
        } else {
            self.next = self.next.min(block).max(self.base);
            self.fresh = self.next.max(fresh);
            self.owed = (block < end).then_some(Owed::More(end - block));
        }
    }

    /// What never left of the last piece and is to leave now.
    pub fn owed(&mut self) -> Option<Owed> {
        self.owed.take()
    }
}
