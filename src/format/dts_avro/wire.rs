//! Avro's binary encoding, as far as these records need it, and the record's union branches.
//!
//! Integers of any width are zigzag varints; strings and bytes stand behind their length; arrays and maps are blocks
//! behind their count, ended by an empty one; unions stand behind the number of their branch.

use crate::format::window::{Window, digits};

/// Union branches, as they are on the wire.
pub(super) mod branch {
    /// The first branch of every union: null.
    pub const NULL: u8 = 0;
    /// The second of `objectName`, of the image unions (DDL) and of the parts of a DateTime.
    pub const SECOND: u8 = 1 << 1;
    /// `fields` and the images as arrays.
    pub const ARRAY: u8 = 2 << 1;
    /// Values of an image.
    pub const INTEGER: u8 = 1 << 1;
    pub const CHARACTER: u8 = 2 << 1;
    pub const DECIMAL: u8 = 3 << 1;
    pub const FLOAT: u8 = 4 << 1;
    pub const TIMESTAMP: u8 = 5 << 1;
    pub const DATE_TIME: u8 = 6 << 1;
    pub const BINARY_GEOMETRY: u8 = 8 << 1;
    pub const BINARY_OBJECT: u8 = 10 << 1;
    pub const TEXT_OBJECT: u8 = 11 << 1;
    pub const EMPTY_OBJECT: u8 = 12 << 1;
}

/// Symbol NONE of EmptyObject.
pub(super) const NONE: u8 = 1 << 1;
/// The end of an array or map.
pub(super) const END: u8 = 0;

/// Most bytes of a varint of 64 bits.
const VARINT_MAX: usize = 10;

/// Puts a zigzag varint at the start of `to`; returns its length.
#[inline]
pub(super) fn varint(number: i64, to: &mut [u8; VARINT_MAX]) -> usize {
    let mut rest = (number << 1 ^ number >> 63) as u64;
    let mut len = 0;
    while rest >= 0x80 {
        to[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    to[len] = rest as u8;
    len + 1
}

/// Appends an int or a long.
pub(super) fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut bytes = [0; VARINT_MAX];
    let len = varint(number, &mut bytes);
    out.extend_from_slice(&bytes[..len]);
}

/// Appends a string or bytes.
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Appends a string of these pieces.
pub(super) fn write_joined(pieces: &[&[u8]], out: &mut Vec<u8>) {
    write_long(pieces.iter().map(|piece| piece.len() as i64).sum(), out);
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

/// Appends a string of decimal digits.
pub(super) fn write_number(number: u64, out: &mut Vec<u8>) {
    write_bytes(itoa::Buffer::new().format(number).as_bytes(), out);
}

/// Puts an int or a long.
#[inline]
pub(super) fn put_long(number: i64, out: &mut Window<'_>) {
    out.put_with(|to| varint(number, to));
}

/// Puts a string or bytes.
#[inline]
pub(super) fn put_bytes(bytes: &[u8], out: &mut Window<'_>) {
    match u8::try_from(bytes.len()) {
        Ok(len @ 0..64) => out.put(&[len << 1]),
        _ => put_long(bytes.len() as i64, out),
    }
    out.put_slice(bytes);
}

/// Puts a string of decimal digits.
#[inline]
pub(super) fn put_unsigned(number: u64, out: &mut Window<'_>) {
    out.put_with(|to: &mut [u8; 21]| {
        let [length, text @ ..] = to;
        let len = digits(number, text);
        *length = (len as u8) << 1;
        len + 1
    });
}

/// Puts a string of decimal digits, maybe behind a minus.
#[inline]
pub(super) fn put_signed(number: i64, out: &mut Window<'_>) {
    if number >= 0 {
        return put_unsigned(number as u64, out);
    }
    out.put_with(|to: &mut [u8; 22]| {
        let [length, minus, text @ ..] = to;
        let len = digits(number.unsigned_abs(), text) + 1;
        (*length, *minus) = ((len as u8) << 1, b'-');
        len + 1
    });
}

/// A map of strings in the making: one block, its count in one byte, which is enough for 63 entries.
pub(super) struct MapWriter<'a> {
    out: &'a mut Vec<u8>,
    count_at: usize,
    count: u8,
}

impl<'a> MapWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let count_at = out.len();
        out.push(0);
        Self { out, count_at, count: 0 }
    }

    pub(super) fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        write_bytes(value, self.out);
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        write_number(value, self.out);
    }

    /// Where the next entry goes.
    pub(super) fn end(&self) -> usize {
        self.out.len()
    }

    /// An entry that is encoded already, if there is one.
    pub(super) fn ready(&mut self, entry: &[u8]) {
        if !entry.is_empty() {
            self.count += 1;
            self.out.extend_from_slice(entry);
        }
    }

    fn key(&mut self, key: &str) {
        self.count += 1;
        write_bytes(key.as_bytes(), self.out);
    }

    pub(super) fn finish(self) {
        assert!(self.count < 64, "a record has fewer kinds of tags");
        match self.count {
            0 => {}
            count => {
                self.out[self.count_at] = count << 1;
                self.out.push(END);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_those_of_the_specification() {
        for (number, bytes) in [
            (0i64, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            write_long(number, &mut out);
            assert_eq!(out, bytes, "{number}");
            let mut out = Vec::new();
            let mut window = Window::new(&mut out, 0);
            put_long(number, &mut window);
            window.finish();
            assert_eq!(out, bytes, "{number}");
        }
    }

    #[test]
    fn put_and_written_strings_are_the_same() {
        let long = [b'x'; 300];
        for length in [0, 1, 15, 16, 63, 64, 65, 300] {
            let (mut put, mut written) = (Vec::new(), Vec::new());
            let mut window = Window::new(&mut put, 0);
            put_bytes(&long[..length], &mut window);
            window.finish();
            write_bytes(&long[..length], &mut written);
            assert_eq!(put, written, "{length}");
        }
        for number in [0, 9, 10, -1, -10, i64::MIN, i64::MAX] {
            let (mut put, mut written) = (Vec::new(), Vec::new());
            let mut window = Window::new(&mut put, 0);
            put_signed(number, &mut window);
            window.finish();
            write_bytes(number.to_string().as_bytes(), &mut written);
            assert_eq!(put, written, "{number}");
        }
    }

    #[test]
    fn an_empty_map_is_its_end_alone() {
        let mut out = Vec::new();
        MapWriter::new(&mut out).finish();
        assert_eq!(out, [0]);
    }
}
