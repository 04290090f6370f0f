//! `msftwindow` (W-106..W-108): the client says in each ACK how many blocks it wants next.

use super::negotiate::Agreed;
use super::sim::{first_window, run, run_gated, Habit, Quality, TIMING};
use super::transfer::{Event, Outcome, Send, Terms, Transfer};

const LAN: Quality = Quality { loss: 0, duplicate: 0, reorder: 0, delay: 100 };

fn agreed(window: u16) -> Agreed {
    Agreed { block: 1456, window, variable: true, size_asked: true, ..Agreed::default() }
}

/// A transfer of so many full blocks and a short one, whose options were just acknowledged.
fn start(agreed: Agreed, blocks: u64, gated: bool) -> Transfer {
    let size = blocks * u64::from(agreed.block) + 368;
    let terms = Terms { agreed, size, acknowledge: true, gated, timing: TIMING };
    let (transfer, send) = Transfer::start(terms, 0);
    assert_eq!(send, Send::Acknowledgment);
    transfer
}

fn blocks(first: u64, count: u16) -> Send {
    Send::Blocks { first, count }
}

#[test]
fn the_boot_managers_transfer_goes_as_in_example_e9a() {
    let mut transfer = start(agreed(4), 11, false);
    first_window(&mut transfer, 4, 4);
    assert_eq!(transfer.handle(Event::Ack(4, 8), 2), blocks(5, 8));
    assert_eq!(transfer.handle(Event::Ack(6, 4), 3), blocks(7, 4));
    assert_eq!(transfer.handle(Event::Ack(10, 4), 4), blocks(11, 2));
    assert_eq!(transfer.handle(Event::Ack(12, 0xEE), 5), Send::Nothing);
    assert_eq!((transfer.outcome(), transfer.largest_window()), (Some(Outcome::Complete), 8));
}

#[test]
fn the_first_window_is_the_one_that_the_first_ack_wants() {
    first_window(&mut start(agreed(4), 99, false), 16, 16);
    first_window(&mut start(agreed(16), 99, false), 1, 1);
}

#[test]
fn an_ack_that_wants_nothing_keeps_the_window_and_any_other_wish_is_granted_whole() {
    let mut transfer = start(agreed(4), 999, false);
    first_window(&mut transfer, 0, 4);
    assert_eq!(transfer.handle(Event::Ack(4, 6), 2), blocks(5, 6));
    assert_eq!(transfer.handle(Event::Ack(10, 0), 3), blocks(11, 6));
    assert_eq!(transfer.handle(Event::Ack(16, 255), 4), blocks(17, 255));
}

#[test]
fn a_client_without_the_option_cannot_vary_its_window() {
    let fixed = Agreed { variable: false, ..agreed(4) };
    let mut transfer = start(fixed, 99, false);
    first_window(&mut transfer, 64, 4);
    assert_eq!(transfer.handle(Event::Ack(4, 1), 2), blocks(5, 4));
    assert_eq!(transfer.largest_window(), 4);
}

#[test]
fn a_repeated_ack_is_not_answered_but_the_window_that_the_timer_sends_is_the_one_it_wants() {
    let mut transfer = start(agreed(8), 99, false);
    first_window(&mut transfer, 8, 8);
    for _ in 0..3 {
        assert_eq!(transfer.handle(Event::Ack(0, 4), 2), Send::Nothing);
    }
    for (first, count) in [(8, 1), (1, 2), (2, 1), (1, 2)] {
        assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), blocks(first, count));
    }
}

#[test]
fn stale_and_impossible_acks_do_not_touch_the_window() {
    let mut transfer = start(agreed(4), 999, false);
    first_window(&mut transfer, 4, 4);
    transfer.handle(Event::Ack(4, 4), 2);
    for number in [0, 3, 9, 40_000, 65_535] {
        assert_eq!(transfer.handle(Event::Ack(number, 64), 3), Send::Nothing, "ACK {number}");
    }
    assert_eq!(transfer.handle(Event::Ack(8, 0), 4), blocks(9, 4));
}

#[test]
fn a_window_that_shrinks_below_what_is_under_way_waits_for_it() {
    let mut transfer = start(agreed(8), 99, false);
    first_window(&mut transfer, 8, 8);
    transfer.handle(Event::Ack(0, 2), 2);
    assert_eq!(transfer.handle(Event::Writable, 3), Send::Nothing);
    assert_eq!(transfer.handle(Event::Ack(8, 2), 4), blocks(9, 2));
}

#[test]
fn the_gate_holds_the_final_byte_however_the_window_moves() {
    // 12 blocks, the last with the final byte.
    let mut transfer = start(agreed(4), 11, true);
    first_window(&mut transfer, 4, 4);
    assert_eq!(transfer.handle(Event::Ack(4, 8), 2), Send::Ask);
    for (number, wanted) in [(4, 2), (4, 1), (4, 64)] {
        assert_eq!(transfer.handle(Event::Ack(number, wanted), 3), Send::Nothing, "nothing leaves while it waits");
    }
    assert_eq!(transfer.handle(Event::Ack(4, 3), 4), Send::Nothing);
    assert_eq!(transfer.deadline(), 10_000_002, "nor does it wait longer");
    assert_eq!(transfer.handle(Event::Opened, 5), blocks(5, 3));
    assert_eq!(transfer.handle(Event::Ack(7, 64), 6), blocks(8, 5));
}

#[test]
fn a_client_that_wants_less_gets_what_lies_before_the_gate() {
    let mut transfer = start(agreed(64), 11, true);
    first_window(&mut transfer, 11, 11);
    assert_eq!(transfer.handle(Event::Ack(11, 1), 2), Send::Ask);
}

#[test]
fn on_a_clean_link_each_block_is_sent_once_while_the_window_grows() {
    for window in [1, 2, 4, 63, 64] {
        for size in [0, 1, 1455, 1456, 1457, 2_000_000] {
            let run = run(agreed(window), size, Habit::Bootmgr, LAN, 1, &[]);
            assert_eq!((run.outcome, run.sent), (Some(Outcome::Complete), size / 1456 + 1), "{window} {size}");
        }
    }
    assert_eq!(run(agreed(4), 2_000_000, Habit::Bootmgr, LAN, 1, &[]).transfer.largest_window(), 64);
}

#[test]
fn a_block_lost_anywhere_is_mended_soon_and_without_a_storm() {
    for lost in 1..=130 {
        let run = run(agreed(4), 129 * 1456 + 368, Habit::Bootmgr, LAN, 1, &[lost]);
        assert!(run.receiver.done, "block {lost}: {:?}", run.outcome);
        assert_eq!(run.receiver.received, 130, "block {lost}");
        // Of the first window no round trip is known yet.
        let most = if lost <= 4 { 3_000_000 } else { 500_000 };
        assert!(run.took < most, "block {lost}: {} us", run.took);
        assert!(run.sent < 130 + 130, "block {lost}: {} sent", run.sent);
    }
}

#[test]
fn block_numbers_roll_over_while_the_window_varies() {
    let lose = [65_535, 65_536, 65_537, 131_072];
    for (habit, whole) in [(Habit::Bootmgr, 200_000), (Habit::Moody, 70_000)] {
        let agreed = Agreed { block: 8, ..agreed(4) };
        let run = run(agreed, whole * 8 + 3, habit, LAN, 1, &lose);
        assert_eq!(run.receiver.received, whole + 1, "{habit:?}");
        assert!(matches!(run.outcome, Some(Outcome::Complete | Outcome::Unconfirmed)), "{habit:?} {:?}", run.outcome);
    }
}

#[test]
fn a_gated_file_arrives_whole_over_a_bad_link_while_the_window_varies() {
    for seed in 1..=40 {
        let quality = Quality { loss: 50, duplicate: 50, reorder: 100, delay: 200 };
        for habit in [Habit::Bootmgr, Habit::Moody] {
            let run = run_gated(agreed(4), 100 * 1456 + 368, habit, quality, seed, 3_000);
            assert!(run.receiver.done && run.asked == 1, "seed {seed} {habit:?}: {:?}", run.outcome);
            assert!(run.before < 101, "seed {seed} {habit:?}: block {} left before", run.before);
        }
    }
}
