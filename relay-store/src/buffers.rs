//! Memory of blocks, used again: a buffer of a block's size that is freed and allocated anew for each costs its page
//! faults every time, and makes the allocator tidy up all that is small beside it.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use crate::durable::lock;

/// Empty buffers that wait to be used.
#[derive(Debug)]
pub(crate) struct Buffers {
    spare: Mutex<Vec<Vec<u8>>>,
    count_max: usize,
    bytes_max: usize,
}

impl Buffers {
    /// Keeps at most `count_max` buffers, none of more than `bytes_max`.
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        Buffers { spare: Mutex::default(), count_max, bytes_max }
    }

    /// An empty buffer, used before if one is at hand.
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Gives a buffer back; one that held something very large is let go.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > self.bytes_max {
            return;
        }
        buffer.clear();
        let mut spare = lock(&self.spare);
        if spare.len() < self.count_max {
            spare.push(buffer);
        }
    }
}

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Lent {
    /// An empty one.
    pub(crate) fn from(home: &Arc<Buffers>) -> Self {
        Lent { bytes: home.take(), home: home.clone() }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_within_bounds() {
        let home = Arc::new(Buffers::new(2, 1000));
        let mut lent: Vec<Lent> = (0..4).map(|_| Lent::from(&home)).collect();
        for (buffer, len) in lent.iter_mut().zip([100, 2000, 300, 400]) {
            buffer.bytes_mut().resize(len, 7);
        }
        drop(lent);
        let kept: Vec<(usize, bool)> =
            lock(&home.spare).iter().map(|buffer| (buffer.capacity(), buffer.is_empty())).collect();
        assert_eq!(kept, [(100, true), (300, true)]);
        assert_eq!(home.take().capacity(), 300);
    }
}
