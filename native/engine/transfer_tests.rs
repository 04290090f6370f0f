use super::*;
use crate::engine::sim::{first_window, run, Habit, Quality, TIMING};

const LAN: Quality = Quality { loss: 0, duplicate: 0, reorder: 0, delay: 100 };

fn agreed(window: u16) -> Agreed {
    Agreed { block: 1000, window, ..Agreed::default() }
}

fn terms(agreed: Agreed, size: u64, acknowledge: bool) -> Terms {
    Terms { agreed, size, acknowledge, gated: false, timing: TIMING }
}

fn start(window: u16, size: u64) -> Transfer {
    let (mut transfer, send) = Transfer::start(terms(agreed(window), size, true), 0);
    assert_eq!(send, Send::Acknowledgment);
    first_window(&mut transfer, 0, window.min((size / 1000 + 1) as u16));
    transfer
}

#[test]
fn on_a_clean_link_each_block_is_sent_once_whatever_the_window() {
    for habit in [Habit::Edk2, Habit::Rfc7440] {
        for window in [1, 2, 3, 4, 16, 63, 64] {
            for size in [0, 1, 999, 1000, 1001, 64_000, 500_500] {
                let run = run(agreed(window), size, habit, LAN, 1, &[]);
                assert_eq!(run.outcome, Some(Outcome::Complete), "{habit:?} window {window} size {size}");
                assert_eq!(run.sent, size / 1000 + 1, "{habit:?} window {window} size {size}");
                assert!(run.receiver.done);
            }
        }
    }
}

///
#[test]
fn block_numbers_roll_over_many_times() {
    for (window, habit) in [(1, Habit::Grub), (7, Habit::Edk2), (64, Habit::Rfc7440)] {
        let run = run(agreed(window), 200_000_500, habit, LAN, 1, &[65_535, 65_536, 65_537, 131_072]);
        assert_eq!(run.outcome, Some(Outcome::Complete));
        assert_eq!(run.receiver.received, 200_001);
    }
}

#[test]
fn a_block_lost_inside_edk2s_window_costs_no_wait_and_no_window_is_sent_twice() {
    // F-53: window 4, block 38 lost: two ACK 37; going on at 38 on the first is clean.
    let run = run(agreed(4), 400_000, Habit::Edk2, LAN, 1, &[38]);
    assert_eq!(run.outcome, Some(Outcome::Complete));
    assert!(run.transfer.resent() <= 3, "{} resent", run.transfer.resent());
    assert!(run.took < 100_000, "took {} us", run.took);
}

#[test]
fn the_last_block_of_edk2s_window_lost_costs_one_resent_block() {
    // F-53: block 40 lost: silence. One block resent, the very one, and the window is whole.
    let run = run(agreed(4), 400_000, Habit::Edk2, LAN, 1, &[40]);
    assert_eq!(run.outcome, Some(Outcome::Complete));
    assert_eq!(run.transfer.resent(), 1);
    assert!(run.took < 1_000_000, "well before EDK2's own 3.8 s: {} us", run.took);
}

#[test]
fn the_first_block_of_a_window_lost_is_found_without_a_storm() {
    let run = run(agreed(4), 400_000, Habit::Edk2, LAN, 1, &[37]);
    assert_eq!(run.outcome, Some(Outcome::Complete));
    assert!(run.transfer.resent() <= 6, "{} resent", run.transfer.resent());
}

#[test]
fn a_silent_grub_is_saved_by_our_own_timer() {
    let run = run(agreed(1), 100_000, Habit::Grub, LAN, 1, &[1, 5, 50, 101]);
    assert_eq!(run.outcome, Some(Outcome::Complete));
    assert!(run.took < 5_000_000 && !run.receiver.gave_up, "{} us", run.took);
}

///
#[test]
fn a_duplicate_ack_sends_nothing() {
    let mut transfer = start(1, 10_000);
    assert_eq!(transfer.handle(Event::Ack(1, 0), 2), Send::Blocks { first: 2, count: 1 });
    for _ in 0..100 {
        assert_eq!(transfer.handle(Event::Ack(1, 0), 3), Send::Nothing);
    }
    assert_eq!(transfer.handle(Event::Ack(2, 0), 4), Send::Blocks { first: 3, count: 1 });
    assert_eq!(transfer.ignored(), 100);
}

///
#[test]
fn old_future_and_never_sent_acks_send_nothing() {
    let mut transfer = start(4, 100_000);
    transfer.handle(Event::Ack(4, 0), 5_000);
    for stale in [0, 1, 2, 3, 4, 9, 100, 65_535] {
        assert_eq!(transfer.handle(Event::Ack(stale, 0), 5_010), Send::Nothing, "ACK {stale}");
    }
    assert_eq!(transfer.handle(Event::Ack(8, 0), 5_200), Send::Blocks { first: 9, count: 4 });
}

#[test]
fn a_burst_of_acks_for_one_loss_draws_one_window() {
    // E-9 f: window 16, block 33 lost; fifteen ACK 32.
    let mut transfer = start(16, 100_000);
    transfer.handle(Event::Ack(16, 0), 2);
    assert_eq!(transfer.handle(Event::Ack(20, 0), 3), Send::Blocks { first: 21, count: 16 });
    for _ in 0..14 {
        assert_eq!(transfer.handle(Event::Ack(20, 0), 4), Send::Nothing);
    }
}

///
#[test]
fn an_unproven_peer_gets_two_blocks_or_three_acknowledgments_and_no_more() {
    let (mut transfer, send) = Transfer::start(terms(Agreed::default(), 1_000_000, false), 0);
    assert_eq!(send, Send::Blocks { first: 1, count: 1 });
    assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Blocks { first: 1, count: 1 });
    assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Nothing);
    assert_eq!(transfer.outcome(), Some(Outcome::TimedOut));
    assert!(transfer.deadline() <= 10_000_000);

    let (mut transfer, _) = Transfer::start(terms(agreed(64), 1_000_000, true), 0);
    assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Acknowledgment);
    assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Acknowledgment);
    assert_eq!(transfer.handle(Event::Timeout, transfer.deadline()), Send::Nothing);
    assert_eq!(transfer.outcome(), Some(Outcome::TimedOut));
    assert!(transfer.deadline() <= 10_000_000);
}

///
#[test]
fn a_long_timeout_that_the_client_asked_for_holds_no_place_for_long() {
    let asked = Agreed { timeout: Some(255), ..agreed(4) };
    let (mut transfer, _) = Transfer::start(terms(asked, 1_000_000, true), 0);
    while transfer.outcome().is_none() {
        transfer.handle(Event::Timeout, transfer.deadline());
    }
    assert!(transfer.deadline() <= 10_000_000, "unproven: {}", transfer.deadline());

    let (mut transfer, _) = Transfer::start(terms(asked, 1_000_000, true), 0);
    transfer.handle(Event::Ack(0, 0), 1);
    while transfer.outcome().is_none() {
        transfer.handle(Event::Timeout, transfer.deadline());
    }
    assert!(transfer.deadline() <= 120_000_000, "proven: {}", transfer.deadline());
}

#[test]
fn a_size_probe_is_a_normal_end_and_any_other_error_an_abort() {
    let asked = Agreed { size_asked: true, ..agreed(4) };
    for code in [0, 8] {
        let (mut transfer, _) = Transfer::start(terms(asked, 1000, true), 0);
        assert_eq!(transfer.handle(Event::PeerError(code), 1), Send::Nothing);
        assert_eq!(transfer.outcome(), Some(Outcome::SizeProbe));
        assert_eq!(transfer.handle(Event::Ack(0, 0), 2), Send::Nothing);
    }
    let (mut transfer, _) = Transfer::start(terms(asked, 1000, true), 0);
    transfer.handle(Event::PeerError(4), 1);
    assert_eq!(transfer.outcome(), Some(Outcome::Aborted(4)));
    let (mut transfer, _) = Transfer::start(terms(agreed(4), 1000, true), 0);
    transfer.handle(Event::PeerError(8), 1);
    assert_eq!(transfer.outcome(), Some(Outcome::Aborted(8)), "it did not ask for the size");
}

#[test]
fn a_request_that_is_repeated_before_any_acknowledgment_gets_the_pending_answer_again() {
    let (mut transfer, _) = Transfer::start(terms(agreed(4), 100_000, true), 0);
    assert!(transfer.is_half_open());
    assert_eq!(transfer.handle(Event::Repeated, 1), Send::Acknowledgment);
    transfer.handle(Event::Ack(0, 0), 2);
    assert!(!transfer.is_half_open());

    let (mut transfer, _) = Transfer::start(terms(agreed(1), 100_000, false), 0);
    assert!(transfer.is_half_open());
    assert_eq!(transfer.handle(Event::Repeated, 1), Send::Blocks { first: 1, count: 1 });
    transfer.handle(Event::Ack(1, 0), 2);
    assert!(!transfer.is_half_open());
}

#[test]
fn a_late_copy_of_the_request_is_told_from_a_peer_that_begins_anew() {
    let mut transfer = start(4, 100_000);
    transfer.handle(Event::Ack(4, 0), 5_000_000);
    assert!(!transfer.is_half_open() && transfer.is_lively(5_900_000));
    assert!(!transfer.is_lively(6_000_000), "it has been silent for a second");
    transfer.handle(Event::PeerError(0), 5_000_001);
    assert!(!transfer.is_lively(5_000_002), "it has said that it ends");
}

#[test]
fn a_lost_final_ack_ends_quietly_after_three_resends() {
    let mut transfer = start(4, 1_500);
    for _ in 0..2 {
        transfer.handle(Event::Ack(1, 0), 2);
    }
    let mut resent = 0;
    while transfer.outcome().is_none() {
        match transfer.handle(Event::Timeout, transfer.deadline()) {
            Send::Blocks { first, count } => {
                assert_eq!((first, count), (2, 1));
                resent += 1;
            }
            Send::Nothing => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((transfer.outcome(), resent), (Some(Outcome::Unconfirmed), 3));
}

///
#[test]
fn a_peer_that_vanishes_is_told_and_freed_within_two_minutes() {
    let mut transfer = start(16, 10_000_000);
    transfer.handle(Event::Ack(16, 0), 1_000);
    let mut said = Send::Nothing;
    while transfer.outcome().is_none() {
        said = transfer.handle(Event::Timeout, transfer.deadline());
    }
    assert_eq!(transfer.outcome(), Some(Outcome::TimedOut));
    assert_eq!(said, Send::Error(ErrorCode::NotDefined, "timeout"));
    assert!((20_000_000..120_000_000).contains(&transfer.deadline()), "{}", transfer.deadline());
}

#[test]
fn the_timer_backs_off() {
    let mut transfer = start(4, 1_000_000);
    transfer.handle(Event::Ack(4, 0), 100_001);
    let mut waits = Vec::new();
    let mut now = transfer.deadline();
    for _ in 0..6 {
        transfer.handle(Event::Timeout, now);
        waits.push(transfer.deadline() - now);
        now = transfer.deadline();
    }
    assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]) && waits[4] >= 4 * waits[0], "{waits:?}");
}

#[test]
fn a_closed_port_ends_it_and_a_full_socket_only_holds_it_back() {
    let mut transfer = start(4, 100_000);
    assert_eq!(transfer.handle(Event::Ack(4, 0), 5_000), Send::Blocks { first: 5, count: 4 });
    transfer.held_back(7, 5_000);
    assert_eq!(transfer.handle(Event::Writable, 6_000), Send::Blocks { first: 7, count: 2 });
    assert_eq!(transfer.handle(Event::Writable, 6_001), Send::Nothing);
    assert_eq!(transfer.handle(Event::Ack(8, 0), 7_000), Send::Blocks { first: 9, count: 4 });
    assert_eq!((transfer.resent(), transfer.measures().held), (0, 1_000));
    transfer.handle(Event::Refused, 8_000);
    assert_eq!(transfer.outcome(), Some(Outcome::Refused));
}

///
#[test]
fn every_receiver_gets_every_byte_over_a_bad_link() {
    for seed in 1..=84 {
        let habit = Habit::ALL[seed as usize % Habit::ALL.len()];
        let agreed = habit.agreed(seed);
        for loss in [10, 50, 100] {
            let quality = Quality { loss, duplicate: 100, reorder: 100, delay: 200 };
            let run = run(agreed, 300_000, habit, quality, seed, &[]);
            assert!(
                run.receiver.done && run.receiver.received == 301,
                "seed {seed} {habit:?} {agreed:?} loss {loss}: {:?} after {} us, block {}",
                run.outcome,
                run.took,
                run.receiver.received
            );
            assert!(
                matches!(run.outcome, Some(Outcome::Complete | Outcome::Unconfirmed)),
                "seed {seed} {habit:?}: {:?}",
                run.outcome
            );
        }
    }
}

///
#[test]
fn duplicates_and_reordering_never_double_the_traffic_to_the_end() {
    // The trap of F-53: once every window goes out twice, EDK2's ACKs of the duplicates keep it so.
    for seed in 1..=20 {
        let quality = Quality { loss: 0, duplicate: 10, reorder: 10, delay: 100 };
        let run = run(agreed(4), 2_000_000, Habit::Edk2, quality, seed, &[]);
        assert_eq!(run.outcome, Some(Outcome::Complete), "seed {seed}");
        assert!(run.sent < 2_001 * 5 / 4, "seed {seed}: {} blocks for 2001", run.sent);
    }
}

#[test]
fn what_a_transfer_is_doing_is_said_in_each_phase() {
    let said =
        |transfer: &Transfer| (transfer.state(), transfer.is_held(), transfer.is_asking(), transfer.is_half_open());
    let gated = Terms { gated: true, ..terms(agreed(2), 3_500, true) };
    let (mut transfer, _) = Transfer::start(gated, 0);
    assert_eq!(said(&transfer), ("offered", false, false, true));
    first_window(&mut transfer, 0, 2);
    assert_eq!(said(&transfer), ("flowing", false, false, false));
    assert_eq!((transfer.outcome(), transfer.agreed()), (None, agreed(2)));
    assert_eq!(transfer.handle(Event::Ack(2, 0), 5_000), Send::Ask);
    assert_eq!(said(&transfer), ("asking", false, true, false));
    assert_eq!(transfer.handle(Event::Opened, 6_000), Send::Blocks { first: 3, count: 2 });
    transfer.hold(3, 9_000, 6_000);
    assert_eq!(said(&transfer), ("held", true, false, false));
    transfer.stop(Outcome::Displaced);
    assert_eq!(said(&transfer), ("ended", false, false, false));
    assert_eq!(transfer.outcome(), Some(Outcome::Displaced));
    assert_eq!(transfer.handle(Event::Timeout, 9_000), Send::Nothing);
}

#[test]
fn what_ended_half_open_is_neither_half_open_nor_silent_any_more() {
    let (mut transfer, _) = Transfer::start(terms(agreed(4), 100_000, true), 0);
    assert!(!transfer.is_silent(), "it had no time to speak yet");
    transfer.handle(Event::Timeout, transfer.deadline());
    assert!(transfer.is_half_open() && transfer.is_silent());
    transfer.handle(Event::PeerError(0), 600_000);
    assert!(!transfer.is_half_open() && !transfer.is_silent());
}

#[test]
fn a_proven_peer_is_not_silent_in_that_sense_however_often_it_misses() {
    let mut transfer = start(4, 100_000);
    transfer.handle(Event::Timeout, transfer.deadline());
    assert!(!transfer.is_silent());
}

#[test]
fn the_round_trip_and_the_first_block_are_measured_where_they_can_be() {
    let (mut transfer, _) = Transfer::start(terms(agreed(2), 100_000, true), 0);
    assert_eq!(transfer.round_trip(), None);
    first_window(&mut transfer, 0, 2);
    assert_eq!((transfer.round_trip(), transfer.measures().first_block), (Some(200), Some(200)));
    transfer.handle(Event::Ack(2, 0), 5_000);
    assert_eq!(transfer.measures().first_block, Some(200), "later blocks are none of the first");
    let (mut transfer, _) = Transfer::start(terms(agreed(2), 100_000, true), 0);
    first_window(&mut transfer, 0, 2);
    for _ in 0..2 {
        transfer.handle(Event::Timeout, transfer.deadline());
    }
    assert_eq!(transfer.measures().first_block, Some(200), "nor is block 1 when it leaves again");
}

#[test]
fn the_blocks_that_were_acknowledged_are_counted() {
    let mut transfer = start(4, 100_000);
    let mut counts = vec![transfer.acknowledged_blocks()];
    for number in [4, 6, 10] {
        transfer.handle(Event::Ack(number, 0), 5_000 * Time::from(number));
        counts.push(transfer.acknowledged_blocks());
    }
    assert_eq!(counts, [0, 4, 6, 10]);
}

#[test]
fn a_rewound_window_is_out_of_step_until_all_of_it_has_arrived() {
    let mut transfer = start(4, 100_000);
    assert!(transfer.is_in_step());
    assert_eq!(transfer.handle(Event::Ack(2, 0), 5_000), Send::Blocks { first: 3, count: 4 });
    assert!(!transfer.is_in_step());
    transfer.handle(Event::Ack(6, 0), 6_000);
    assert!(transfer.is_in_step());
}

/// two copies of block 1, whatever asks for the second.
#[test]
fn a_request_that_is_repeated_again_and_again_draws_one_more_block_at_most() {
    let (mut transfer, _) = Transfer::start(terms(agreed(1), 100_000, false), 0);
    assert_eq!(transfer.handle(Event::Repeated, 1), Send::Blocks { first: 1, count: 1 });
    for now in 2..9 {
        assert_eq!(transfer.handle(Event::Repeated, now), Send::Nothing);
    }
    assert_eq!(transfer.resent(), 1);
    let mut transfer = start(1, 100_000);
    for now in 300..309 {
        assert_eq!(transfer.handle(Event::Repeated, now), Send::Blocks { first: 1, count: 1 }, "it is proven");
    }
}

/// W-103: 45 s without progress, and at least seven timeouts.
#[test]
fn a_silent_peer_is_given_up_after_the_time_and_the_timeouts_that_it_has() {
    let last = |seconds: Time, timeouts: u8, more: Time| {
        let mut transfer = start(4, 100_000);
        transfer.handle(Event::Ack(4, 0), 1_000_000);
        for place in 1..timeouts {
            transfer.handle(Event::Timeout, 1_000_000 + Time::from(place));
        }
        assert_eq!(transfer.outcome(), None);
        transfer.handle(Event::Timeout, 1_000_000 + seconds * 1_000_000 - more);
        transfer.outcome()
    };
    assert_eq!(last(45, 7, 0), Some(Outcome::TimedOut));
    assert_eq!(last(45, 7, 1), None);
    assert_eq!(last(100, 6, 0), None);
    assert_eq!(last(100, 8, 0), Some(Outcome::TimedOut));
}

#[test]
fn a_closed_port_is_an_unconfirmed_end_only_where_a_proven_peer_was_sent_all() {
    let ended = |mut transfer: Transfer| {
        transfer.handle(Event::Refused, 9_000);
        transfer.outcome()
    };
    assert_eq!(ended(start(4, 3_500)), Some(Outcome::Unconfirmed));
    assert_eq!(ended(start(4, 9_500)), Some(Outcome::Refused), "not all was sent");
    let (transfer, send) = Transfer::start(terms(agreed(1), 500, false), 0);
    assert_eq!(send, Send::Blocks { first: 1, count: 1 });
    assert_eq!(ended(transfer), Some(Outcome::Refused), "nobody proved to be there");
    let (mut transfer, _) = Transfer::start(Terms { gated: true, ..terms(agreed(4), 3_500, true) }, 0);
    assert_eq!(transfer.handle(Event::Ack(0, 0), 200), Send::Ask);
    assert_eq!(ended(transfer), Some(Outcome::Refused), "what waits for its gate was not sent");
}
