//! The launch barrier (B2): whatever happens on the way, the byte without which nothing runs waits for the gate.

use super::deadline::Time;
use super::negotiate::Agreed;
use super::sim::{first_window, pieces, run_gated, Habit, Quality, Random, TIMING};
use super::transfer::{Event, Outcome, Send, Terms, Transfer};
use crate::wire::tftp::ErrorCode;

const SECOND: Time = 1_000_000;

fn agreed(window: u16) -> Agreed {
    Agreed { block: 1000, window, size_asked: true, ..Agreed::default() }
}

/// A gated transfer that began with an option acknowledgment.
fn start(window: u16, size: u64) -> Transfer {
    let terms = Terms { agreed: agreed(window), size, acknowledge: true, gated: true, timing: TIMING };
    let (transfer, send) = Transfer::start(terms, 0);
    assert_eq!(send, Send::Acknowledgment);
    transfer
}

/// A gated transfer without options: nothing is sent of a file of one block.
fn start_plain(size: u64) -> (Transfer, Send) {
    let agreed = Agreed { block: 1000, ..Agreed::default() };
    Transfer::start(Terms { agreed, size, acknowledge: false, gated: true, timing: TIMING }, 0)
}

/// Whether these blocks hold the file's final byte; an empty file's is its one, empty block.
fn hold_the_final_byte(first: u64, count: u16, block: u16, size: u64) -> bool {
    let sent = (first - 1) * u64::from(block)..(first - 1 + u64::from(count)) * u64::from(block);
    sent.contains(&size.saturating_sub(1))
}

/// What came of one run of random events.
struct Luck {
    asked: bool,
    opened: bool,
    sent_all: bool,
}

/// Anything that can happen, in any order, to a transfer of any shape.
fn torment(seed: u64) -> Luck {
    let mut random = Random::new(seed);
    let block = [8, 512, 1000, 1428][random.below(4) as usize];
    let window = [1, 2, 3, 4, 7, 16, 63, 64][random.below(8) as usize];
    let whole = u64::from(block) * random.below(3 * u64::from(window) + 2);
    let size = (whole + [0, 1, u64::from(block) - 1][random.below(3) as usize]).saturating_sub(random.below(2));
    let variable = random.below(2) == 0;
    let agreed = Agreed { block, window, variable, size_asked: random.below(2) == 0, ..Agreed::default() };
    let acknowledge = random.below(4) > 0;
    let terms = Terms { agreed, size, acknowledge, gated: true, timing: TIMING };
    let (mut transfer, mut send) = Transfer::start(terms, 0);
    let (mut now, mut top) = (0, 0);
    let mut luck = Luck { asked: false, opened: false, sent_all: false };
    for step in 0..200 {
        match send {
            Send::Blocks { first, count } => {
                let all = hold_the_final_byte(first, count, block, size);
                assert!(luck.opened || !all, "seed {seed} step {step}: {first}+{count} of {terms:?}");
                luck.sent_all |= all;
                top = top.max(first + u64::from(count) - 1);
                if random.below(20) == 0 {
                    transfer.held_back(first + random.below(u64::from(count) + 1), now);
                }
            }
            Send::Ask => {
                assert!(!luck.asked && !luck.opened, "seed {seed} step {step}: asked twice");
                luck.asked = true;
            }
            Send::Nothing | Send::Acknowledgment | Send::Error(..) => {}
        }
        if transfer.outcome().is_some() {
            break;
        }
        now += random.below(2_000);
        let near = (top + 1).saturating_sub(random.below(u64::from(window) + 2)) as u16;
        let event = match random.below(60) {
            0..=39 => {
                let wanted = [0, 1, 64, random.below(256)][random.below(4) as usize] as u8;
                Event::Ack(if random.below(3) == 0 { near } else { top as u16 }, wanted)
            }
            40..=44 => Event::Repeated,
            45..=48 => Event::Writable,
            49..=54 if transfer.is_asking() && random.below(4) > 0 => Event::Repeated,
            49..=54 => {
                now = now.max(transfer.deadline());
                Event::Timeout
            }
            55 if random.below(8) == 0 => Event::PeerError(8),
            56 if random.below(8) == 0 => Event::Refused,
            57 if random.below(8) == 0 => Event::Denied,
            _ => Event::Opened,
        };
        luck.opened |= event == Event::Opened && transfer.is_asking();
        send = transfer.handle(event, now);
    }
    luck
}

#[test]
fn whatever_comes_the_final_byte_never_leaves_before_the_gate_opened() {
    let (mut asked, mut opened, mut sent_all) = (0, 0, 0);
    for seed in 1..=20_000 {
        let luck = torment(seed);
        asked += u32::from(luck.asked);
        opened += u32::from(luck.opened);
        sent_all += u32::from(luck.sent_all);
        assert!(luck.opened || !luck.sent_all);
    }
    // Who wants a shorter window while it waits gets the final byte a window later, and the run may end before.
    let most = sent_all <= opened && opened - sent_all < opened / 100;
    assert!(asked > 5_000 && opened > 4_000 && most, "{asked} asked, {opened} opened, {sent_all} sent");
}

#[test]
fn every_receiver_gets_every_byte_of_a_gated_file_over_a_bad_link() {
    for seed in 1..=84 {
        let habit = Habit::ALL[seed as usize % Habit::ALL.len()];
        for (size, answer) in [(0, 0), (1, 2_000), (64_000, 300_000), (90_500, 9 * SECOND), (128_000, 2_000)] {
            let quality = Quality { loss: 50, duplicate: 100, reorder: 100, delay: 200 };
            let run = run_gated(habit.agreed(seed), size, habit, quality, seed, answer);
            let told = format!("seed {seed} {habit:?} size {size} answer {answer}: {:?}", run.outcome);
            assert!(run.receiver.done, "{told}");
            assert!(matches!(run.outcome, Some(Outcome::Complete | Outcome::Unconfirmed)), "{told}");
            assert_eq!(run.asked, 1, "{told}");
            assert!(run.before * 1000 < size.max(1), "{told}: block {} left before", run.before);
        }
    }
}

#[test]
fn on_a_clean_link_a_gate_that_opens_at_once_costs_no_block() {
    let lan = Quality { delay: 100, ..Quality::default() };
    for window in [1, 2, 3, 16, 63, 64] {
        for size in [0, 1, 999, 1000, 1001, 63_000, 64_000, 65_000, 128_000] {
            let run = run_gated(agreed(window), size, Habit::Rfc7440, lan, 1, 0);
            assert_eq!((run.outcome, run.sent), (Some(Outcome::Complete), size / 1000 + 1), "{window} {size}");
        }
    }
}

#[test]
fn the_window_with_the_final_byte_waits_whole_and_the_empty_closing_block_does_not_count() {
    // 8 blocks of data and an empty ninth.
    let mut transfer = start(4, 8_000);
    first_window(&mut transfer, 0, 4);
    assert_eq!(transfer.handle(Event::Ack(4, 0), 2), Send::Ask);
    assert_eq!(transfer.handle(Event::Opened, 3), Send::Blocks { first: 5, count: 4 });
    assert_eq!(transfer.handle(Event::Ack(8, 0), 4), Send::Blocks { first: 9, count: 1 });
    transfer.handle(Event::Ack(9, 0), 5);
    assert_eq!(transfer.outcome(), Some(Outcome::Complete));
}

#[test]
fn a_file_of_one_block_asks_before_anything_is_sent() {
    for size in [0, 1, 999] {
        let (mut transfer, send) = start_plain(size);
        assert_eq!(send, Send::Ask, "{size} bytes without options");
        assert_eq!(transfer.handle(Event::Repeated, 1), Send::Nothing);
        assert_eq!(transfer.handle(Event::Opened, 2), Send::Blocks { first: 1, count: 1 });
        assert_eq!(transfer.handle(Event::Repeated, 3), Send::Blocks { first: 1, count: 1 });
    }
}

#[test]
fn who_only_wants_the_size_asks_for_nothing() {
    let mut transfer = start(64, 100);
    assert_eq!(transfer.handle(Event::PeerError(8), 1), Send::Nothing);
    assert_eq!(transfer.outcome(), Some(Outcome::SizeProbe));
    assert_eq!(transfer.handle(Event::Opened, 2), Send::Nothing);
}

#[test]
fn while_it_waits_the_client_may_repeat_itself_for_ten_seconds_and_is_sent_nothing() {
    let mut transfer = start(4, 6_000);
    first_window(&mut transfer, 0, 4);
    assert_eq!(transfer.handle(Event::Ack(4, 0), SECOND), Send::Ask);
    for (place, event) in [Event::Ack(4, 0), Event::Ack(3, 0), Event::Repeated, Event::Writable].into_iter().enumerate()
    {
        assert_eq!(transfer.handle(event, (place as u64 + 2) * SECOND), Send::Nothing, "{event:?}");
    }
    assert_eq!(transfer.deadline(), 11 * SECOND);
    let said = transfer.handle(Event::Timeout, 11 * SECOND);
    assert_eq!(said, Send::Error(ErrorCode::NotDefined, "not launched: no answer in time"));
    assert_eq!(transfer.outcome(), Some(Outcome::Unanswered));
    assert_eq!(transfer.handle(Event::Opened, 12 * SECOND), Send::Nothing, "a late answer meets nobody");
}

#[test]
fn a_gate_that_stays_closed_ends_the_transfer_with_an_error() {
    let mut transfer = start(4, 3_000);
    assert_eq!(transfer.handle(Event::Ack(0, 0), 1), Send::Ask);
    assert_eq!(transfer.handle(Event::Denied, 2), Send::Error(ErrorCode::AccessViolation, "not launched"));
    assert_eq!(transfer.outcome(), Some(Outcome::Denied));
    assert_eq!(transfer.handle(Event::Opened, 3), Send::Nothing);
}

#[test]
fn a_client_that_leaves_while_it_waits_ends_it_at_once() {
    for (event, outcome) in [
        (Event::PeerError(4), Outcome::Aborted(4)),
        (Event::PeerError(8), Outcome::Aborted(8)),
        (Event::Refused, Outcome::Refused),
    ] {
        let mut transfer = start(4, 3_000);
        assert_eq!(transfer.handle(Event::Ack(0, 0), 1), Send::Ask);
        assert_eq!(transfer.handle(event, 2), Send::Nothing);
        assert_eq!(transfer.outcome(), Some(outcome));
    }
}

#[test]
fn an_answer_that_nobody_asked_for_opens_nothing() {
    let mut transfer = start(4, 6_000);
    assert_eq!(transfer.handle(Event::Opened, 1), Send::Nothing);
    first_window(&mut transfer, 0, 4);
    assert_eq!(transfer.handle(Event::Opened, 3), Send::Nothing);
    assert_eq!(transfer.handle(Event::Denied, 4), Send::Nothing);
    assert_eq!(transfer.handle(Event::Ack(4, 0), 5), Send::Ask);
}

#[test]
fn what_the_client_has_while_it_waits_is_not_sent_again() {
    // A gap, told twice while the window that would fill it waits: the later word counts.
    let mut transfer = start(4, 6_000);
    first_window(&mut transfer, 0, 4);
    assert_eq!(transfer.handle(Event::Ack(2, 0), 2), Send::Ask);
    assert_eq!(transfer.handle(Event::Ack(3, 0), 3), Send::Nothing);
    assert_eq!(transfer.handle(Event::Opened, 4), Send::Blocks { first: 4, count: 4 });
}

#[test]
fn an_opened_transfer_sends_its_final_window_again_as_ever() {
    let mut transfer = start(4, 4_000);
    assert_eq!(transfer.handle(Event::Ack(0, 0), 1), Send::Ask);
    let opened = transfer.handle(Event::Opened, 2);
    pieces(&mut transfer, opened, 4);
    assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Blocks { first: 4, count: 1 });
    let now = transfer.deadline();
    assert_eq!(transfer.handle(Event::Ack(2, 0), now), Send::Blocks { first: 3, count: 3 });
    for (first, count) in [(5, 1), (3, 3), (5, 1)] {
        assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Blocks { first, count });
    }
}
