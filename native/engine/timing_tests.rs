//! What is told by times: the slow start, the handshake as a round trip, departures that are held, how long silence is
//! borne, and what is measured of all that.

use super::deadline::Time;
use super::measure::Side;
use super::negotiate::Agreed;
use super::pace::Pace;
use super::sim::{first_window, Habit, Quality, Random, Scene, TIMING};
use super::transfer::{Event, Outcome, Send, Terms, Transfer};

const SECOND: Time = 1_000_000;
const LAN: Quality = Quality { loss: 0, duplicate: 0, reorder: 0, delay: 150 };

fn agreed(window: u16) -> Agreed {
    Agreed { block: 1000, window, size_asked: true, ..Agreed::default() }
}

/// A transfer of so many blocks that has just offered its options.
fn offer(agreed: Agreed, blocks: u64) -> Transfer {
    let size = blocks * u64::from(agreed.block) - 1;
    let terms = Terms { agreed, size, acknowledge: true, gated: false, timing: TIMING };
    let (transfer, send) = Transfer::start(terms, 0);
    assert_eq!(send, Send::Acknowledgment);
    transfer
}

/// The same whose options are acknowledged after 200 us, and whose first window is out.
fn start(window: u16, blocks: u64) -> Transfer {
    let mut transfer = offer(agreed(window), blocks);
    first_window(&mut transfer, 0, window);
    transfer
}

fn blocks(first: u64, count: u16) -> Send {
    Send::Blocks { first, count }
}

/// Hands every deadline out until it is over; all the blocks that were sent, and when it was over.
fn alone(transfer: &mut Transfer) -> (u64, Time) {
    let mut sent = 0;
    while transfer.outcome().is_none() {
        let now = transfer.deadline();
        if let Send::Blocks { count, .. } = transfer.handle(Event::Timeout, now) {
            sent += u64::from(count);
        }
        assert!(transfer.outcome().is_some() || transfer.deadline() > now);
    }
    (sent, transfer.deadline())
}

///
#[test]
fn the_first_window_leaves_in_pieces_that_double_and_a_round_trip_apart() {
    for (round_trip, step) in [(1, 200), (900, 900), (80_000, 5_000)] {
        let mut transfer = offer(agreed(64), 1_000);
        let mut now = round_trip;
        let mut send = transfer.handle(Event::Ack(0, 0), now);
        for (first, count) in [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 32), (64, 1)] {
            assert_eq!(send, blocks(first, count));
            if first < 64 {
                assert_eq!(transfer.deadline(), now + step);
            }
            now = transfer.deadline();
            send = transfer.handle(Event::Timeout, now);
        }
        assert_eq!(send, blocks(64, 1), "and then the timer resends one");
        assert_eq!(transfer.measures().timeouts, 1);
    }
}

///
#[test]
fn a_closed_port_ends_the_first_window_before_its_next_piece() {
    let mut transfer = offer(agreed(64), 1_000);
    assert_eq!(transfer.handle(Event::Ack(0, 0), 200), blocks(1, 1));
    assert_eq!(transfer.handle(Event::Refused, 300), Send::Nothing);
    assert_eq!(transfer.outcome(), Some(Outcome::Refused));
    assert_eq!(transfer.handle(Event::Timeout, 400), Send::Nothing);
}

/// one guessed ACK 0 does not draw the window again and again.
#[test]
fn a_stranger_who_never_acknowledged_a_block_gets_the_window_once_and_then_two_at_a_time() {
    let mut transfer = offer(agreed(64), 1_000);
    transfer.handle(Event::Ack(0, 0), 200);
    let (sent, over) = alone(&mut transfer);
    assert!(sent < 64 + 36, "{sent} blocks");
    assert!((PATIENCE..120 * SECOND).contains(&over), "{over}");
    assert_eq!(transfer.outcome(), Some(Outcome::TimedOut));
}

/// A peer that is silent longer than that is gone, though GRUB is silent for 35 s.
const PATIENCE: Time = 45 * SECOND;

#[test]
fn only_the_first_window_starts_slowly() {
    let mut transfer = start(16, 1_000);
    let mut now = transfer.deadline() - 10_000;
    for window in 1..5 {
        assert_eq!(transfer.handle(Event::Ack(16 * window, 0), now), blocks(16 * u64::from(window) + 1, 16));
        now += 500;
    }
}

#[test]
fn an_acknowledgment_in_a_slow_start_goes_on_with_it_and_a_gap_ends_it() {
    let mut transfer = offer(agreed(16), 1_000);
    assert_eq!(transfer.handle(Event::Ack(0, 0), 200), blocks(1, 1));
    assert_eq!(transfer.handle(Event::Ack(1, 0), 400), blocks(2, 2));
    assert_eq!(transfer.handle(Event::Timeout, 600), blocks(4, 4));
    assert_eq!(transfer.handle(Event::Ack(2, 0), 800), blocks(3, 16));
}

#[test]
fn a_slow_start_whose_first_block_is_lost_begins_again_and_slowly() {
    let mut transfer = offer(agreed(16), 1_000);
    assert_eq!(transfer.handle(Event::Ack(0, 0), 200), blocks(1, 1));
    assert_eq!(transfer.handle(Event::Timeout, 400), blocks(2, 2));
    assert_eq!(transfer.handle(Event::Ack(0, 0), 600), blocks(1, 1));
    assert_eq!(transfer.handle(Event::Ack(0, 0), 601), Send::Nothing, "block 3 says the same as block 2");
    assert_eq!(transfer.handle(Event::Timeout, 800), blocks(2, 2));
}

#[test]
fn the_handshake_is_the_first_round_trip_unless_it_is_not_clear_which() {
    let rto = |transfer: &mut Transfer, now: Time| {
        transfer.handle(Event::Ack(0, 0), now);
        transfer.deadline() - now
    };
    assert_eq!(rto(&mut offer(agreed(1), 9), 200), 50_000);
    assert_eq!(rto(&mut offer(agreed(1), 9), 40_000), 120_000);
    let mut asked_twice = offer(agreed(1), 9);
    asked_twice.handle(Event::Repeated, 150);
    assert_eq!(rto(&mut asked_twice, 200), 500_000);
    let mut offered_twice = offer(agreed(1), 9);
    offered_twice.handle(Event::Timeout, 500_000);
    assert_eq!(rto(&mut offered_twice, 500_200), 500_000);
    assert_eq!((asked_twice.measures().handshake, offered_twice.measures().handshake), (None, None));
}

/// Karn, RFC 6298: in a crowd round trips become longer than any timeout was.
#[test]
fn a_path_that_became_slow_is_not_sent_everything_twice() {
    let mut transfer = start(4, 1_000);
    let mut sent = transfer.deadline();
    for window in 1..=50 {
        let answer = sent + 400_000;
        while transfer.deadline() < answer {
            transfer.handle(Event::Timeout, transfer.deadline());
        }
        assert_eq!(transfer.handle(Event::Ack(4 * window, 0), answer), blocks(4 * u64::from(window) + 1, 4));
        sent = answer;
    }
    assert!(transfer.resent() < 20, "{}", transfer.resent());
}

/// W-92.
#[test]
fn a_timeout_that_the_client_names_is_the_one_it_gets() {
    let mut transfer = offer(Agreed { timeout: Some(3), ..agreed(1) }, 9);
    assert_eq!(transfer.deadline(), 3 * SECOND);
    transfer.handle(Event::Ack(0, 0), 200);
    assert_eq!(transfer.deadline(), 3 * SECOND + 200);
    assert_eq!(transfer.measures().handshake, Some(200));
}

#[test]
fn a_late_repeated_ack_draws_a_window_once_and_not_again_before_four_went_by() {
    let mut transfer = start(4, 1_000);
    let mut now = 10_000;
    let mut drawn = Vec::new();
    for window in 1..=12 {
        let first = 4 * u64::from(window) + 1;
        assert_eq!(transfer.handle(Event::Ack(4 * window, 0), now), blocks(first, 4));
        assert_eq!(transfer.handle(Event::Ack(4 * window, 0), now + 10), Send::Nothing, "too early to mean this one");
        if [1, 2, 7, 8, 12].contains(&window) {
            if transfer.handle(Event::Ack(4 * window, 0), now + 150) == blocks(first, 4) {
                drawn.push(window);
            }
            assert_eq!(transfer.handle(Event::Ack(4 * window, 0), now + 300), Send::Nothing, "nor twice");
        }
        now += 500;
    }
    assert_eq!(drawn, [1, 7, 12]);
}

/// R-33, the Sorcerer's Apprentice: one block for each distinct ACK, whatever else is said.
#[test]
fn in_lock_step_an_acknowledgment_draws_one_block_at_most_however_often_it_comes() {
    for seed in 1..=50 {
        let mut random = Random::new(seed);
        let mut transfer = start(1, 300);
        let (mut now, mut drawn) = (1_000, std::collections::BTreeMap::new());
        while transfer.outcome().is_none() {
            now += random.below(20_000);
            now = now.min(transfer.deadline() - 1);
            let block = transfer.acknowledged_blocks() + random.below(4);
            let number = block.saturating_sub(2) as u16;
            if transfer.handle(Event::Ack(number, 0), now) != Send::Nothing {
                *drawn.entry(number).or_insert(0) += 1;
            }
            if random.below(3) == 0 {
                let number = transfer.acknowledged_blocks() as u16 + 1;
                let send = transfer.handle(Event::Ack(number, 0), now);
                *drawn.entry(number).or_insert(0) += u32::from(send != Send::Nothing);
            }
        }
        assert!(drawn.values().all(|&times| times <= 1), "seed {seed}");
        assert_eq!(transfer.outcome(), Some(Outcome::Complete));
    }
}

///
#[test]
fn silence_at_any_point_ends_a_transfer_within_two_minutes() {
    for window in [1, 4, 64] {
        for timeout in [None, Some(1), Some(255)] {
            let mut transfer = offer(Agreed { timeout, ..agreed(window) }, 1_000);
            assert!(alone(&mut transfer).1 <= 10 * SECOND);
            let mut transfer = offer(Agreed { timeout, ..agreed(window) }, 1_000);
            first_window(&mut transfer, 0, window);
            transfer.handle(Event::Ack(window, 0), 300_000);
            let (sent, over) = alone(&mut transfer);
            assert!((PATIENCE..=120 * SECOND).contains(&over), "window {window}: {over}");
            assert!(sent <= 14 * u64::from(window), "window {window}: {sent} blocks into silence");
        }
    }
}

///
#[test]
fn a_socket_that_never_takes_anything_again_holds_no_place_for_ever() {
    let mut transfer = start(4, 1_000);
    let mut send = transfer.handle(Event::Ack(4, 0), 5_000);
    let mut now = 5_000;
    while transfer.outcome().is_none() {
        if let Send::Blocks { first, .. } = send {
            transfer.held_back(first, now);
        }
        now = transfer.deadline();
        send = transfer.handle(Event::Timeout, now);
    }
    assert!(now <= 120 * SECOND, "{now}");
    assert_eq!((transfer.resent(), transfer.measures().timeouts), (0, 0), "the peer was not silent");
}

/// who only repeats itself makes no progress.
#[test]
fn a_peer_that_only_repeats_itself_is_given_up_as_well() {
    for event in [Event::Ack(4, 0), Event::Ack(0, 0), Event::Repeated] {
        let mut transfer = start(4, 1_000);
        if event != Event::Repeated {
            transfer.handle(Event::Ack(4, 0), 5_000);
        }
        let mut now: Time = 10_000;
        let mut sent = 0;
        while transfer.outcome().is_none() {
            now += 20_000;
            for event in [event, Event::Timeout] {
                let due = event != Event::Timeout || transfer.deadline() <= now;
                let send = if due { transfer.handle(event, now) } else { Send::Nothing };
                if let Send::Blocks { count, .. } = send {
                    sent += u64::from(count);
                }
            }
            assert!(now < 120 * SECOND, "{event:?}");
        }
        assert!(event == Event::Repeated || sent < 200, "{event:?}: {sent} blocks");
    }
}

#[test]
fn a_held_window_leaves_at_its_departure_and_the_timer_begins_there() {
    let mut transfer = start(4, 1_000);
    assert_eq!(transfer.handle(Event::Ack(4, 0), 2_000), blocks(5, 4));
    transfer.hold(5, 90_000, 2_000);
    assert_eq!((transfer.deadline(), transfer.state()), (90_000, "held"));
    for event in [Event::Ack(4, 0), Event::Ack(2, 0), Event::Ack(8, 0), Event::Repeated] {
        assert_eq!(transfer.handle(event, 50_000), Send::Nothing, "{event:?}");
    }
    assert_eq!(transfer.deadline(), 90_000);
    assert_eq!(transfer.handle(Event::Timeout, 90_000), blocks(5, 4));
    assert!(transfer.deadline() >= 140_000);
    assert_eq!(transfer.handle(Event::Ack(8, 0), 90_300), blocks(9, 4));
    let measures = transfer.measures();
    assert_eq!((measures.held, measures.timeouts, transfer.resent()), (88_000, 0, 0));
    assert!(measures.round_trip.smooth.unwrap() < 2_000, "the wait is no round trip: {measures:?}");
}

#[test]
fn a_block_that_the_timer_resends_and_that_is_held_leaves_alone() {
    let mut transfer = start(4, 1_000);
    transfer.handle(Event::Ack(4, 0), 2_000);
    let now = transfer.deadline();
    assert_eq!(transfer.handle(Event::Timeout, now), blocks(8, 1));
    transfer.hold(8, now + 7_000, now);
    assert_eq!(transfer.resent(), 0);
    assert_eq!(transfer.handle(Event::Timeout, now + 7_000), blocks(8, 1));
    assert_eq!(transfer.resent(), 1);
    assert_eq!(transfer.handle(Event::Ack(6, 0), now + 8_000), blocks(7, 4));
}

#[test]
fn what_the_client_gets_meanwhile_does_not_leave_after_a_hold() {
    // A gap; the rewound window is held; an ACK of what was under way says that most of it is there.
    let mut transfer = start(8, 1_000);
    transfer.handle(Event::Ack(8, 0), 2_000);
    assert_eq!(transfer.handle(Event::Ack(10, 0), 3_000), blocks(11, 8));
    transfer.hold(11, 9_000, 3_000);
    assert_eq!(transfer.handle(Event::Ack(14, 0), 3_010), Send::Nothing);
    assert_eq!(transfer.handle(Event::Timeout, 9_000), blocks(15, 8));
    assert_eq!(transfer.resent(), 2, "15 and 16");
}

/// T11: who was held by a cap gives way to nobody for that.
#[test]
fn a_peer_is_silent_after_a_timeout_and_not_after_a_hold() {
    let terms = Terms { agreed: agreed(1), size: 9_999, acknowledge: false, gated: false, timing: TIMING };
    let (mut transfer, send) = Transfer::start(terms, 0);
    assert_eq!(send, blocks(1, 1));
    transfer.hold(1, 90_000, 0);
    assert_eq!(transfer.handle(Event::Timeout, 90_000), blocks(1, 1));
    assert!(transfer.is_half_open() && !transfer.is_silent());
    transfer.handle(Event::Timeout, transfer.deadline());
    assert!(transfer.is_silent());
}

#[test]
fn each_piece_of_a_slow_start_may_be_held() {
    let mut transfer = offer(agreed(8), 1_000);
    let mut now = 200;
    let mut send = transfer.handle(Event::Ack(0, 0), now);
    for (first, count) in [(1, 1), (2, 2), (4, 4), (8, 1)] {
        assert_eq!(send, blocks(first, count));
        transfer.hold(first, now + 50_000, now);
        now = transfer.deadline();
        assert_eq!(transfer.handle(Event::Timeout, now), blocks(first, count));
        now = transfer.deadline();
        send = if first < 8 { transfer.handle(Event::Timeout, now) } else { Send::Nothing };
    }
    assert_eq!((transfer.resent(), transfer.measures().timeouts), (0, 0));
}

#[test]
fn what_a_full_socket_does_not_take_is_not_counted_as_sent_twice() {
    let mut transfer = start(8, 1_000);
    transfer.handle(Event::Ack(8, 0), 2_000);
    assert_eq!(transfer.handle(Event::Ack(10, 0), 3_000), blocks(11, 8));
    transfer.held_back(13, 3_000);
    assert_eq!(transfer.resent(), 2, "11 and 12");
    assert_eq!(transfer.handle(Event::Writable, 3_100), blocks(13, 6));
    assert_eq!(transfer.resent(), 6, "11 to 16");
}

fn capped(rate: u64, habit: Habit, window: u16, quality: Quality) -> (super::sim::Run, u64) {
    let pace = Pace::new(std::num::NonZeroU64::new(rate).unwrap());
    let scene = Scene {
        agreed: habit.with_window(window),
        size: 2_000_500,
        habit,
        quality,
        seed: 1,
        lose: &[],
        answer: None,
        pace: Some(&pace),
    };
    let run = scene.play();
    let bits = run.sent * 1_046 * 8;
    (run, bits)
}

#[test]
fn a_capped_transfer_gets_its_rate_and_loses_nothing_by_it() {
    for habit in [Habit::Edk2, Habit::Rfc7440, Habit::Bootmgr, Habit::Grub] {
        for window in [1, 4, 64] {
            let (run, bits) = capped(8_000_000, habit, window, LAN);
            assert_eq!(run.outcome, Some(Outcome::Complete));
            assert_eq!((run.sent, run.transfer.measures().timeouts), (2_001, 0), "{habit:?} window {window}");
            let rate = bits * SECOND / run.took;
            assert!((7_600_000..8_400_000).contains(&rate), "{habit:?} window {window}: {rate} bit/s");
            assert_eq!(run.transfer.measures().slow_side(run.took), Side::Server);
        }
    }
}

#[test]
fn a_cap_that_makes_a_window_wait_longer_than_a_client_is_borne_ends_no_transfer() {
    let (run, _) = capped(8_000, Habit::Rfc7440, 64, Quality { loss: 0, ..LAN });
    assert!(run.receiver.done, "{:?} after {} us", run.outcome, run.took);
}

#[test]
fn what_was_slow_is_named() {
    let side = |habit, window, quality, lose: &[u64]| {
        let scene =
            Scene { agreed: agreed(window), size: 300_500, habit, quality, seed: 1, lose, answer: None, pace: None };
        let run = scene.play();
        (run.transfer.measures().slow_side(run.took), run)
    };
    let (network, run) = side(Habit::Edk2, 4, LAN, &[40, 80, 120, 160]);
    assert_eq!(network, Side::Network);
    assert_eq!((run.transfer.measures().timeouts, run.transfer.measures().gap_windows), (4, 0));
    let (network, _) = side(Habit::Pxelinux, 1, Quality { delay: 20_000, ..LAN }, &[]);
    assert_eq!(network, Side::Network);
    let (client, run) = side(Habit::Edk2, 64, LAN, &[]);
    assert_eq!(client, Side::Client, "the link's own pace is not told from the client's");
    let measures = run.transfer.measures();
    assert_eq!((measures.windows, measures.rewinds, measures.held), (5, 0, 0));
    assert_eq!((measures.handshake, measures.first_block), (Some(320), Some(320)));
    let (_, run) = side(Habit::Edk2, 16, LAN, &[36, 72, 120]);
    let measures = run.transfer.measures();
    assert_eq!((measures.gap_windows, measures.gap_at), (3, 3), "{measures:?}");
}
