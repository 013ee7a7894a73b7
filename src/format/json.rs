//! JSON text, straight into the outgoing bytes: strings with the escapes of Canal JSON and nothing else.
//!
//! Escaped are `"`, `\` and what is below U+0020 (`\b \t \n \f \r`, else `\u00xx` in lower-case hex); `/`, U+007F
//! and all beyond ASCII go out as they are.

/// What follows the backslash: 0 no escape, `u` the long form, else the letter itself.
const ESCAPE: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Bytes looked at in one step; a multiple of what the compiler makes vectors of.
const STEP: usize = 16;

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends an integer.
pub fn write_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Makes an object of the members from `start` on, which were each written with a comma in front.
pub(super) fn close_object(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(first) => *first = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Appends the inside of a JSON string.
pub fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = next_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        write_escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends the inside of a JSON string that has one character for each byte: the bytes read as ISO-8859-1.
pub fn write_latin1_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + bytes.len() / 2);
    for &byte in bytes {
        if byte >= 0x80 {
            out.extend_from_slice(&[0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)]);
        } else if ESCAPE[usize::from(byte)] == 0 {
            out.push(byte);
        } else {
            write_escape(byte, out);
        }
    }
}

/// Place of the first byte that cannot stand in a string as it is.
fn next_escape(bytes: &[u8]) -> Option<usize> {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for (place, step) in steps.iter().enumerate() {
        // No early exit inside a step, so that it becomes a few vector instructions.
        let found = step.iter().fold(false, |found, &b| found | (b < 0x20) | (b == b'"') | (b == b'\\'));
        if found {
            return first_of(step).map(|at| place * STEP + at);
        }
    }
    first_of(rest).map(|at| bytes.len() - rest.len() + at)
}

fn first_of(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| ESCAPE[usize::from(b)] != 0)
}

/// Writes what stands for one byte of UTF-8 in a string to the start of `to`; returns its length, at most 6.
#[inline]
pub(super) fn escape_into(byte: u8, to: &mut [u8]) -> usize {
    match ESCAPE[usize::from(byte)] {
        0 => {
            to[0] = byte;
            1
        }
        b'u' => {
            to[..6].copy_from_slice(&unicode_escape(byte));
            6
        }
        letter => {
            to[..2].copy_from_slice(&[b'\\', letter]);
            2
        }
    }
}

fn unicode_escape(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match ESCAPE[usize::from(byte)] {
        b'u' => out.extend_from_slice(&unicode_escape(byte)),
        letter => out.extend_from_slice(&[b'\\', letter]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn only_what_must_be_escaped_is() {
        assert_eq!(string("a\"b\\c/d\u{7f}é"), "\"a\\\"b\\\\c/d\u{7f}é\"");
        assert_eq!(string("\u{8}\t\n\u{c}\r\u{0}\u{1f}"), r#""\b\t\n\f\r\u0000\u001f""#);
    }

    #[test]
    fn strings_of_every_length_agree_with_serde_json() {
        for length in 0..70 {
            for special in ["\"", "\\", "\u{1}", "é", "\n"] {
                for at in 0..=length {
                    let text = format!("{}{special}{}", "x".repeat(at), "y".repeat(length - at));
                    assert_eq!(string(&text), serde_json::to_string(&text).expect("a string"));
                }
            }
        }
    }

    #[test]
    fn bytes_become_one_character_each() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut out = vec![b'"'];
        write_latin1_escaped(&bytes, &mut out);
        out.push(b'"');
        let text: String = serde_json::from_slice(&out).expect("a JSON string");
        assert_eq!(text.chars().map(|c| c as u32).collect::<Vec<_>>(), (0..=255).collect::<Vec<_>>());
        assert_eq!(out, serde_json::to_vec(&text).expect("a string"));
    }
}
