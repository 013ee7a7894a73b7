//! Outgoing bytes in a vector, written through bytes that exist already: most pieces of a row are shorter than a few
//! machine words, and are stored whole instead of being appended one by one.

use super::json;

/// Bytes that are stored in one step.
const STEP: usize = 16;
/// How much further than needed the vector is made longer.
const AHEAD: usize = 512;

/// The end of a vector, with a place to write at. What lies behind the place is no output: [`Window::finish`] cuts it
/// off.
#[derive(Debug)]
pub(super) struct Window<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

/// Bytes that are put again and again, kept so that whole steps can be stored.
#[derive(Debug)]
pub(super) struct Piece {
    steps: Box<[[u8; STEP]]>,
    len: usize,
}

impl Piece {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let steps = bytes.chunks(STEP).map(|chunk| {
            let mut step = [0; STEP];
            step[..chunk.len()].copy_from_slice(chunk);
            step
        });
        Self { steps: steps.collect(), len: bytes.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<'a> Window<'a> {
    /// Writes behind what `out` has; about `expected` bytes.
    pub(super) fn new(out: &'a mut Vec<u8>, expected: usize) -> Self {
        let at = out.len();
        out.resize(at + expected, 0);
        Self { out, at }
    }

    /// Leaves in the vector what was written.
    pub(super) fn finish(self) {
        self.out.truncate(self.at);
    }

    /// Where the next byte goes.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes back what was written from `at` on.
    #[inline]
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = self.at.min(at);
    }

    /// Overwrites the byte at `at`, which must have been written.
    #[inline]
    pub(super) fn set(&mut self, at: usize, byte: u8) {
        self.out[at] = byte;
    }

    /// At least `len` bytes to write into.
    #[inline]
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.out.len() - self.at < len {
            self.grow(len);
        }
        &mut self.out[self.at..]
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        self.out.resize(self.at + len + AHEAD, 0);
    }

    /// Lets `write` append to the vector itself.
    pub(super) fn append<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.out.truncate(self.at);
        let written = write(self.out);
        self.at = self.out.len();
        written
    }

    #[inline]
    pub(super) fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some(to) = self.room(N).first_chunk_mut() {
            *to = *bytes;
        }
        self.at += N;
    }

    pub(super) fn put_slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    pub(super) fn put_piece(&mut self, piece: &Piece) {
        let to = self.room(piece.steps.len() * STEP).as_chunks_mut::<STEP>().0;
        for (to, step) in to.iter_mut().zip(&piece.steps) {
            *to = *step;
        }
        self.at += piece.len;
    }

    /// Puts the text of a number, which needs no escapes and is short.
    #[inline]
    pub(super) fn put_short(&mut self, text: &[u8]) {
        if copy_plain(text, self.room(text.len())) == text.len() {
            self.at += text.len();
        } else {
            self.put_slice(text);
        }
    }

    /// Puts what `write` writes: it returns the length.
    #[inline]
    pub(super) fn put_with<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N]) -> usize) {
        if let Some(to) = self.room(N).first_chunk_mut() {
            let len = write(to);
            self.at += len.min(N);
        }
    }

    #[inline]
    pub(super) fn put_number(&mut self, number: u64) {
        self.put_with(|to| digits(number, to));
    }

    #[inline]
    pub(super) fn put_signed(&mut self, number: i64) {
        if number < 0 {
            self.put(b"-");
        }
        self.put_number(number.unsigned_abs());
    }

    /// Puts bytes for as long as they are ASCII that stands in a JSON string as it is; returns how many it put.
    #[inline]
    pub(super) fn put_plain(&mut self, bytes: &[u8]) -> usize {
        let put = copy_plain(bytes, self.room(bytes.len()));
        self.at += put;
        put
    }

    /// Puts the inside of a JSON string that probably needs escapes.
    pub(super) fn put_escaped(&mut self, text: &str) {
        for step in text.as_bytes().chunks(STEP) {
            // The longest escape takes six bytes.
            let to = self.room(STEP * 6);
            if let (Ok(whole), Some(to)) = (<&[u8; STEP]>::try_from(step), to.first_chunk_mut())
                && !needs_escape(whole)
            {
                *to = *whole;
                self.at += STEP;
                continue;
            }
            let mut len = 0;
            for &byte in step {
                len += json::escape_into(byte, &mut to[len..]);
            }
            self.at += len;
        }
    }
}

/// Decimal digits, straight to where they stay: copied digits would be read before they are all written. Returns how
/// many they are.
#[inline]
pub(super) fn digits(mut number: u64, to: &mut [u8; 20]) -> usize {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[0; 2]; 100];
        let mut at = 0;
        while at < 100 {
            pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
            at += 1;
        }
        pairs
    };
    let len = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let (first, pairs) = to[..len].as_rchunks_mut::<2>();
    for pair in pairs.iter_mut().rev() {
        *pair = PAIRS[(number % 100) as usize];
        number /= 100;
    }
    if let [first] = first {
        *first = b'0' + number as u8;
    }
    len
}

/// Whether a byte is none of ASCII that stands in a JSON string as it is.
#[inline]
fn special<const N: usize>(bytes: &[u8; N]) -> bool {
    // As signed numbers, the bytes beyond ASCII are below the space too. No early exit, so that it becomes a few
    // vector instructions.
    bytes.iter().fold(false, |found, &b| found | ((b as i8) < 0x20) | (b == b'"') | (b == b'\\'))
}

/// Whether a byte of UTF-8 does not stand in a JSON string as it is.
#[inline]
fn needs_escape<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(false, |found, &b| found | (b < 0x20) | (b == b'"') | (b == b'\\'))
}

/// Copies `from` to the start of `to`, which is no shorter, up to a step with a special byte; returns how many bytes.
#[inline]
fn copy_plain(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len();
    if len < STEP {
        return if copy_tail(from, &mut to[..len]) { len } else { 0 };
    }
    let mut done = 0;
    for (step, to) in from.as_chunks::<STEP>().0.iter().zip(to.as_chunks_mut::<STEP>().0) {
        if special(step) {
            return done;
        }
        *to = *step;
        done += STEP;
    }
    if copy_last::<STEP>(from, &mut to[..len]) { len } else { done }
}

/// Copies fewer than a step; false when one is special.
#[inline]
fn copy_tail(from: &[u8], to: &mut [u8]) -> bool {
    if from.len() >= 8 {
        copy_first::<8>(from, to) && copy_last::<8>(from, to)
    } else if from.len() >= 4 {
        copy_first::<4>(from, to) && copy_last::<4>(from, to)
    } else {
        for (&byte, to) in from.iter().zip(to) {
            if special(&[byte]) {
                return false;
            }
            *to = byte;
        }
        true
    }
}

#[inline]
fn copy_first<const N: usize>(from: &[u8], to: &mut [u8]) -> bool {
    match (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        (Some(step), Some(to)) if !special(step) => {
            *to = *step;
            true
        }
        _ => false,
    }
}

/// The end, which may overlap what was copied before it.
#[inline]
fn copy_last<const N: usize>(from: &[u8], to: &mut [u8]) -> bool {
    match (from.last_chunk::<N>(), to.last_chunk_mut::<N>()) {
        (Some(step), Some(to)) if !special(step) => {
            *to = *step;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Window<'_>)) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let mut window = Window::new(&mut out, 3);
        write(&mut window);
        window.finish();
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }

    #[test]
    fn plain_text_of_every_length_is_put_up_to_a_step_with_a_special_byte() {
        for length in 0..80 {
            let text: Vec<u8> = (0..length as u8).map(|at| b'a' + at % 26).collect();
            assert_eq!(written(|window| assert_eq!(window.put_plain(&text), length)), text);
            for special in [0, 0x1f, b'"', b'\\', 0x80, 0xff] {
                for at in 0..length {
                    let mut text = text.clone();
                    text[at] = special;
                    let mut put = 0;
                    let out = written(|window| put = window.put_plain(&text));
                    assert!(put <= at, "{special} at {at} of {length}");
                    assert_eq!(out, text[..put]);
                }
            }
        }
    }

    #[test]
    fn escaped_text_agrees_with_the_string_writer() {
        let all: String = (0..0x250u32).filter_map(char::from_u32).collect();
        for text in ["", "a", "\"", "naïve “note” \\12\n", &all] {
            let mut expected = Vec::new();
            json::write_escaped(text, &mut expected);
            assert_eq!(written(|window| window.put_escaped(text)), expected);
        }
    }

    #[test]
    fn numbers_of_every_length_are_put() {
        let mut number = 1u64;
        for _ in 0..20 {
            for number in [number - 1, number, number.wrapping_mul(7)] {
                assert_eq!(written(|window| window.put_number(number)), number.to_string().into_bytes());
                let signed = -(number as i64 >> 1);
                assert_eq!(written(|window| window.put_signed(signed)), signed.to_string().into_bytes());
            }
            number = number.wrapping_mul(10);
        }
    }

    #[test]
    fn pieces_and_numbers_follow_each_other_without_gaps() {
        let long = "x".repeat(100);
        let out = written(|window| {
            window.put_piece(&Piece::new(b",\"name\":\""));
            window.put_signed(i64::MIN);
            window.put(b"\"");
            window.append(|out| out.extend_from_slice(b"between"));
            window.put_piece(&Piece::new(long.as_bytes()));
            window.put_number(u64::MAX);
            window.put_slice(b"end");
            let at = window.at();
            window.put(b"gone");
            window.back_to(at);
            window.put_with(|to: &mut [u8; 3]| {
                *to = *b"!??";
                1
            });
        });
        let expected = format!(",\"name\":\"{}\"between{long}{}end!", i64::MIN, u64::MAX);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
