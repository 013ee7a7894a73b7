//! Seeded changes to real inputs.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub struct Mutator {
    rng: StdRng,
}

/// Bytes at which lengths, signs and prefixes turn.
const EDGES: [u8; 14] = [0, 1, 2, 4, 0x7F, 0x80, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0x10, 0x40];

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator { rng: StdRng::seed_from_u64(seed) }
    }

    /// One of the inputs with one to six changes.
    pub fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.rng.random_range(0..corpus.len())].clone();
        for _ in 0..self.rng.random_range(1..=6) {
            self.change(&mut bytes, corpus);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        if bytes.is_empty() {
            bytes.push(self.rng.random());
            return;
        }
        // Structure lies at the front more than anywhere else.
        let reach = if self.rng.random_bool(0.5) { bytes.len().min(120) } else { bytes.len() };
        let at = self.rng.random_range(0..reach);
        match self.rng.random_range(0..9) {
            0 => bytes[at] ^= 1 << self.rng.random_range(0..8),
            1 => bytes[at] = self.rng.random(),
            2 | 3 => bytes[at] = EDGES[self.rng.random_range(0..EDGES.len())],
            4 => bytes.truncate(at),
            5 => {
                let count = self.rng.random_range(1..20.min(bytes.len() - at + 1).max(2));
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            6 => {
                let filler = EDGES[self.rng.random_range(0..EDGES.len())];
                let count = self.rng.random_range(1..20);
                bytes.splice(at..at, std::iter::repeat_n(filler, count));
            }
            7 => {
                // Four or eight bytes of a length.
                let value = [0, 1, u64::from(u32::MAX), u64::MAX, i64::MAX as u64, 1 << 31, bytes.len() as u64]
                    [self.rng.random_range(0..7)];
                let width = [2, 4, 8][self.rng.random_range(0..3)];
                let width = width.min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
            _ => {
                // The rest of another input.
                let other = &corpus[self.rng.random_range(0..corpus.len())];
                let from = self.rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
