//! What one thread is told by others, in the order that they said it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A mailbox. Who looks into it takes no lock unless something is there.
pub(super) struct Mailbox<T> {
    letters: Mutex<Vec<T>>,
    waiting: AtomicBool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Mailbox<T> {
        Mailbox { letters: Mutex::default(), waiting: AtomicBool::new(false) }
    }
}

impl<T> Mailbox<T> {
    /// Says something; it does not wake who reads.
    pub fn put(&self, letter: T) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        self.waiting.store(true, Ordering::Release);
    }

    /// What was said since the last call.
    pub fn take(&self) -> Vec<T> {
        if self.is_empty() || !self.waiting.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
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
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..10_000).for_each(|n| mailbox.put(n)));
            while seen.len() < 10_000 {
                seen.extend(mailbox.take());
            }
        });
        assert!(seen.iter().copied().eq(0..10_000));
        assert!(mailbox.is_empty());
    }
}
