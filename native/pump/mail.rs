//! What one thread is told by others, in the order that they said it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A mailbox. Who looks into it takes no lock unless something is there.
pub(super) struct Mailbox<T> {
    /// `None` once nobody reads any more.
    letters: Mutex<Option<Vec<T>>>,
    waiting: AtomicBool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Mailbox<T> {
        Mailbox { letters: Mutex::new(Some(Vec::new())), waiting: AtomicBool::new(false) }
    }
}

impl<T> Mailbox<T> {
    /// Says something. True: who reads has to be woken; false: it was woken for an earlier letter that it has not taken,
    /// or nobody reads any more, and the letter is gone.
    #[must_use]
    pub fn put(&self, letter: T) -> bool {
        match &mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(letters) => letters.push(letter),
            None => return false,
        }
        !self.waiting.swap(true, Ordering::AcqRel)
    }

    /// What was said since the last call.
    pub fn take(&self) -> Vec<T> {
        if self.is_empty() || !self.waiting.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody reads from now on. What was said and not read is gone, and who waits for an answer to it hears that.
    pub fn close(&self) {
        drop(self.letters.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Nothing was said since the last [`Mailbox::take`].
    pub fn is_empty(&self) -> bool {
        !self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_in_order_and_once_and_none_is_lost_between_threads() {
        let mailbox = Mailbox::default();
        assert!(mailbox.is_empty() && mailbox.take().is_empty());
        let (wake, woken) = std::sync::mpsc::channel();
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for letter in 0..10_000 {
                    if mailbox.put(letter) {
                        wake.send(()).unwrap();
                    }
                }
            });
            // Only who is woken looks: a letter that wakes nobody is found by who was woken for another.
            while woken.recv().is_ok() {
                seen.extend(mailbox.take());
            }
        });
        assert!(seen.iter().copied().eq(0..10_000));
        assert!(mailbox.is_empty());
    }

    #[test]
    fn what_nobody_reads_any_more_is_gone_and_wakes_nobody() {
        let mailbox = Mailbox::default();
        let (early, unread) = std::sync::mpsc::channel::<()>();
        let (late, lost) = std::sync::mpsc::channel::<()>();
        assert!(mailbox.put(early));
        mailbox.close();
        assert!(!mailbox.put(late));
        assert!(unread.recv().is_err() && lost.recv().is_err());
        assert!(mailbox.take().is_empty());
    }
}
