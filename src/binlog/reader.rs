//! A cursor over bytes that never reads past their end. Little-endian unless the name ends in `_be`.

use super::error::{DecodeError, Result};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

macro_rules! fixed {
    ($($name:ident: $t:ty, $from:ident, $n:literal;)*) => {$(
        #[inline]
        pub(crate) fn $name(&mut self, what: &'static str) -> Result<$t> {
            Ok(<$t>::$from(self.array::<$n>(what)?))
        }
    )*};
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// What has not been read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[cold]
    fn short(&self, what: &'static str, needed: u64) -> DecodeError {
        DecodeError::Short { what, needed, left: self.bytes.len() }
    }

    #[inline]
    pub(crate) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8]> {
        match self.bytes.split_at_checked(n) {
            Some((head, tail)) => {
                self.bytes = tail;
                Ok(head)
            }
            None => Err(self.short(what, n as u64)),
        }
    }

    /// As [`take`](Self::take), for a length that came off the wire as 64 bits.
    #[inline]
    pub(crate) fn take_u64(&mut self, n: u64, what: &'static str) -> Result<&'a [u8]> {
        match usize::try_from(n) {
            Ok(n) => self.take(n, what),
            Err(_) => Err(self.short(what, n)),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        match self.bytes.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.bytes = tail;
                Ok(*head)
            }
            None => Err(self.short(what, N as u64)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8> {
        match self.bytes.split_first() {
            Some((head, tail)) => {
                self.bytes = tail;
                Ok(*head)
            }
            None => Err(self.short(what, 1)),
        }
    }

    fixed! {
        u16: u16, from_le_bytes, 2;
        u32: u32, from_le_bytes, 4;
        u64: u64, from_le_bytes, 8;
    }

    #[inline]
    pub(crate) fn u24(&mut self, what: &'static str) -> Result<u32> {
        let [a, b, c] = self.array::<3>(what)?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    #[inline]
    pub(crate) fn u48(&mut self, what: &'static str) -> Result<u64> {
        let b = self.array::<6>(what)?;
        Ok(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], 0, 0]))
    }

    #[inline]
    pub(crate) fn u56(&mut self, what: &'static str) -> Result<u64> {
        let b = self.array::<7>(what)?;
        Ok(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], 0]))
    }

    /// `n` bytes, at most 8, as one little-endian number.
    #[inline]
    pub(crate) fn uint(&mut self, n: usize, what: &'static str) -> Result<u64> {
        debug_assert!(n <= 8);
        Ok(self.take(n, what)?.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    /// `n` bytes, at most 8, as one big-endian number.
    #[inline]
    pub(crate) fn uint_be(&mut self, n: usize, what: &'static str) -> Result<u64> {
        debug_assert!(n <= 8);
        Ok(self.take(n, what)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    /// The protocol's length-encoded integer: below 251 in one byte, else 0xFC, 0xFD or 0xFE and 2, 3 or 8 bytes.
    #[inline]
    pub(crate) fn lenenc(&mut self, what: &'static str) -> Result<u64> {
        match self.u8(what)? {
            v @ 0..=250 => Ok(v.into()),
            0xFC => self.u16(what).map(u64::from),
            0xFD => self.u24(what).map(u64::from),
            0xFE => self.u64(what),
            v => Err(DecodeError::Invalid { what, value: v.into() }),
        }
    }

    /// A length-encoded integer and that many bytes.
    #[inline]
    pub(crate) fn lenenc_bytes(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let n = self.lenenc(what)?;
        self.take_u64(n, what)
    }

    /// One byte of length, that many bytes, and the NUL that follows them in the event headers that use this form.
    pub(crate) fn short_name(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let n = self.u8(what)?;
        let name = self.take(n.into(), what)?;
        self.nul(what)?;
        Ok(name)
    }

    pub(crate) fn nul(&mut self, what: &'static str) -> Result<()> {
        match self.u8(what)? {
            0 => Ok(()),
            v => Err(DecodeError::Invalid { what, value: v.into() }),
        }
    }

    /// Errors unless everything was read.
    pub(crate) fn finish(&self, what: &'static str) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what, left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenenc_reads_each_width_and_refuses_null_and_error_marks() {
        let mut r = Reader::new(&[250, 0xFC, 1, 2, 0xFD, 1, 2, 3, 0xFE, 1, 2, 3, 4, 5, 6, 7, 8, 0xFB, 0xFF]);
        assert_eq!(r.lenenc("n"), Ok(250));
        assert_eq!(r.lenenc("n"), Ok(0x0201));
        assert_eq!(r.lenenc("n"), Ok(0x03_0201));
        assert_eq!(r.lenenc("n"), Ok(0x0807_0605_0403_0201));
        assert_eq!(r.lenenc("n"), Err(DecodeError::Invalid { what: "n", value: 0xFB }));
        assert_eq!(r.lenenc("n"), Err(DecodeError::Invalid { what: "n", value: 0xFF }));
        assert_eq!(r.lenenc("n"), Err(DecodeError::Short { what: "n", needed: 1, left: 0 }));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_an_error_before_anything_is_taken() {
        let mut r = Reader::new(&[0xFE, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(r.lenenc_bytes("s"), Err(DecodeError::Short { what: "s", needed: u64::MAX, left: 1 }));
        assert_eq!(r.rest(), &[1]);
    }
}
