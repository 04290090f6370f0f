//! Transfers over links that lose, double and reorder packets both ways: they end, with the right bytes, and what that
//! costs is bounded. `cargo test --no-default-features loss_tests -- --nocapture` shows the table.

use super::sim::{Habit, Quality, Run, Scene};
use super::transfer::Outcome;

const WINDOWS: [u16; 8] = [1, 2, 3, 4, 8, 16, 32, 64];
/// In thousandths.
const LOSSES: [u64; 6] = [0, 1, 10, 50, 200, 500];
const BLOCKS: u64 = 301;

fn link(loss: u64) -> Quality {
    Quality { loss, duplicate: 10, reorder: 10, delay: 150 }
}

fn play(habit: Habit, window: u16, quality: Quality, seed: u64, lose: &[u64]) -> Run {
    let size = BLOCKS * 1000 - 1;
    Scene { agreed: habit.with_window(window), size, habit, quality, seed, lose, answer: None, pace: None }.play()
}

fn windows(habit: Habit) -> impl Iterator<Item = u16> {
    WINDOWS.into_iter().filter(move |&window| window == 1 || !habit.is_lock_step())
}

///
#[test]
fn every_transfer_ends_with_the_right_bytes_up_to_a_fifth_of_loss_and_cleanly_beyond() {
    println!("habit      window  loss   sent twice  timeouts  rewinds       ms (of 301 blocks, five runs)");
    for habit in Habit::ALL {
        for window in windows(habit) {
            for loss in LOSSES {
                let (mut twice, mut timeouts, mut rewinds, mut took) = (0, 0, 0, 0);
                for seed in 1..=5 {
                    let run = play(habit, window, link(loss), seed, &[]);
                    let told = format!("{habit:?} window {window} loss {loss} seed {seed}: {:?}", run.outcome);
                    // Who acknowledged nothing yet gets three answers and no more (T2), however bad the link is.
                    if loss <= 200 && (loss < 200 || run.receiver.received > 0) {
                        assert!(run.receiver.done && run.receiver.received == BLOCKS, "{told}");
                        assert!(matches!(run.outcome, Some(Outcome::Complete | Outcome::Unconfirmed)), "{told}");
                    }
                    assert!(run.outcome.is_some(), "{told} after {} us", run.took);

                    twice += run.transfer.resent();
                    timeouts += run.transfer.measures().timeouts;
                    rewinds += run.transfer.measures().rewinds;
                    took += run.took;
                }
                println!(
                    "{:10} {window:>6} {:>4.1}% {:>11} {timeouts:>9} {rewinds:>8} {:>8}",
                    format!("{habit:?}"),
                    loss as f64 / 10.0,
                    twice,
                    took / 1000
                );
            }
        }
    }
}

/// What a lost packet may cost: its window, and the one that follows on an ACK that came twice.
#[test]
fn what_is_sent_twice_is_bounded_by_the_losses() {
    for habit in Habit::ALL {
        for window in windows(habit) {
            for loss in [0, 1, 10, 50] {
                let (mut twice, mut most) = (0, 0);
                for seed in 1..=10 {
                    let run = play(habit, window, link(loss), seed, &[]);
                    twice += u64::from(run.transfer.resent());
                    // Each lost, doubled or late block or ACK costs a window, and what the timer asks of a silent client.
                    let events = 2 * run.sent * (loss + 20) / 1000 + 2;
                    most += events * (u64::from(run.transfer.largest_window()) + 6);
                }
                assert!(twice <= most, "{habit:?} window {window} loss {loss}: {twice} sent twice");
            }
        }
    }
}

const LAN: Quality = Quality { loss: 0, duplicate: 0, reorder: 0, delay: 150 };

#[test]
fn a_lost_block_costs_a_round_trip_and_no_timeout_wherever_the_client_tells_of_it() {
    for habit in [Habit::Edk2, Habit::Rfc7440] {
        for window in [2, 3, 4, 16, 64] {
            let clean = play(habit, window, LAN, 1, &[]).took;
            for lost in 1..BLOCKS {
                // With the last block of a window lost nothing comes behind it that would make a client speak.
                if lost % u64::from(window) == 0 {
                    continue;
                }
                let run = play(habit, window, LAN, 1, &[lost]);
                let told = format!("{habit:?} window {window} block {lost}: {} us, clean {clean} us", run.took);
                assert_eq!(run.outcome, Some(Outcome::Complete), "{told}");
                assert_eq!(run.transfer.measures().timeouts, 0, "{told}");
                assert!(run.took < clean + 4_000, "{told}");
                assert!(run.transfer.resent() <= 2 * u32::from(window), "{told}: {} twice", run.transfer.resent());
            }
        }
    }
}

#[test]
fn the_last_block_of_a_window_lost_costs_one_timeout_and_one_block_whoever_the_client_is() {
    for habit in Habit::ALL {
        for window in windows(habit) {
            if habit == Habit::Bootmgr || habit == Habit::Moody {
                continue;
            }
            let lost = 4 * u64::from(window);
            let run = play(habit, window, LAN, 1, &[lost]);
            let measures = run.transfer.measures();
            // PXELINUX speaks after 0.2 s, when the block is there again.
            assert_eq!((measures.timeouts, run.transfer.resent()), (1, 1), "{habit:?} window {window}");
            assert!(run.took < 1_000_000, "{habit:?} window {window}: {} us", run.took);
        }
    }
}

#[test]
fn a_whole_window_lost_is_sent_once_more() {
    for habit in [Habit::Edk2, Habit::Rfc7440] {
        for window in [2, 4, 16, 64] {
            let first = 2 * u64::from(window) + 1;
            let lost: Vec<u64> = (first..first + u64::from(window)).collect();
            let run = play(habit, window, LAN, 1, &lost);
            let measures = run.transfer.measures();
            assert_eq!((measures.timeouts, run.transfer.resent()), (1, u32::from(window) + 1), "{habit:?} {window}");
        }
    }
}

/// F-53's trap: a client that ACKs each duplicate, and a network that doubles what it likes.
#[test]
fn doubled_and_late_packets_never_make_every_window_go_out_twice() {
    for window in [2, 4, 16, 64] {
        for duplicate in [10, 50, 200] {
            for seed in 1..=10 {
                let quality = Quality { loss: 0, duplicate, reorder: duplicate, delay: 150 };
                let run = play(Habit::Edk2, window, quality, seed, &[]);
                assert_eq!(run.outcome, Some(Outcome::Complete));
                let events = 2 * run.sent * 2 * duplicate / 1000 + 1;
                let told = format!("window {window} duplicate {duplicate} seed {seed}: {} sent", run.sent);
                assert!(run.sent - BLOCKS <= events * u64::from(window), "{told}");
            }
        }
    }
}

/// A file of 6,000 blocks over a path of 2 ms there and back: simulated microseconds, three runs together.
fn long(habit: Habit, window: u16, quality: Quality) -> f64 {
    let size = 6_000 * 1_000 - 1;
    let took = |seed| {
        let scene = Scene {
            agreed: habit.with_window(window),
            size,
            habit,
            quality,
            seed,
            lose: &[],
            answer: None,
            pace: None,
        };
        let run = scene.play();
        assert_eq!(run.outcome, Some(Outcome::Complete), "{habit:?} window {window} seed {seed}");
        run.took as f64
    };
    (1..=3).map(took).sum()
}

const PATH: Quality = Quality { loss: 0, duplicate: 0, reorder: 0, delay: 1_000 };

/// Where each window loses something, each is rewound: none goes on by timeouts only.
#[test]
fn a_path_that_loses_much_leaves_a_quarter_of_what_the_best_sender_could_do() {
    for window in [16, 64] {
        for loss in [10, 50] {
            // The blocks of a window before the first that is lost, where the ACK arrives.
            let kept = 1.0 - loss as f64 / 1_000.0;
            let ideal = kept * kept * (1.0 - kept.powi(window.into())) / (1.0 - kept) / f64::from(window);
            let part = long(Habit::Edk2, window, PATH) / long(Habit::Edk2, window, Quality { loss, ..PATH }) / ideal;
            assert!(part > 0.25, "window {window} loss {loss}: {part}");
        }
    }
}

/// What is doubled or late looks like a gap. It costs a window, and not the step in which both sides go.
#[test]
fn doubled_and_late_packets_leave_two_thirds_of_the_speed() {
    for habit in [Habit::Edk2, Habit::Rfc7440, Habit::Polite] {
        for window in [4, 16, 64] {
            let part = long(habit, window, PATH) / long(habit, window, Quality { duplicate: 10, reorder: 10, ..PATH });
            assert!(part > 0.66, "{habit:?} window {window}: {part}");
        }
    }
}
