//! JSON text exactly as the server prints a JSON column (`Json_wrapper::to_string`).

use super::super::decimal::Decimal;
use super::super::error::{DecodeError, Result};
use super::super::float::write_double;
use super::super::time::{DateTime, Time};
use super::DEPTH_MAX;
use super::binary::Json;

/// Appends the text of a binary document: `", "` and `": "` between the parts, keys in the stored order.
///
/// # Errors
/// When the document is damaged or nested too deeply; `out` then holds the part before.
pub fn write_text(document: &[u8], out: &mut Vec<u8>) -> Result<()> {
    write_value(Json::parse(document)?, 0, out)
}

pub(super) fn write_value(value: Json<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Int(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Json::UInt(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Json::Double(v) => {
            let start = out.len();
            write_double(v, out);
            // A double stays one: the server marks those that look like integers.
            if out[start..].iter().all(|c| c.is_ascii_digit() || *c == b'-') {
                out.extend_from_slice(b".0");
            }
        }
        Json::String(text) => write_string(text, out),
        Json::Opaque { wire, bytes } => write_opaque(wire, bytes, out)?,
        Json::Object(members) => {
            let depth = deeper(depth)?;
            out.push(b'{');
            for (i, member) in members.members().enumerate() {
                let (key, value) = member?;
                separate(i, out);
                write_key(key, out);
                write_value(value, depth, out)?;
            }
            out.push(b'}');
        }
        Json::Array(elements) => {
            let depth = deeper(depth)?;
            out.push(b'[');
            for (i, element) in elements.members().enumerate() {
                separate(i, out);
                write_value(element?.1, depth, out)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

pub(super) fn deeper(depth: usize) -> Result<usize> {
    if depth >= DEPTH_MAX { Err(DecodeError::TooDeep { limit: DEPTH_MAX }) } else { Ok(depth + 1) }
}

pub(super) fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.extend_from_slice(b", ");
    }
}

pub(super) fn write_key(key: &[u8], out: &mut Vec<u8>) {
    write_string(key, out);
    out.extend_from_slice(b": ");
}

/// Appends a string in quotes. Escaped are `"`, `\` and control characters only, as the server does; everything else
/// stays as it is.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (i, &c) in text.iter().enumerate() {
        if c >= 0x20 && c != b'"' && c != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[plain..i]);
        plain = i + 1;
        match c {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', c]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            c => {
                let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(c >> 4), hex(c)]);
            }
        }
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}

/// Values of column types that JSON does not have: decimals as numbers, times as strings with six digits of fraction,
/// all others as `base64:typeN:...`.
fn write_opaque(wire: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    // enum_field_types: 7 TIMESTAMP, 10 DATE, 11 TIME, 12 DATETIME, 246 NEWDECIMAL.
    match wire {
        246 => {
            let decimal = match *bytes {
                [precision, scale, ref digits @ ..] => Decimal::new(digits, precision, scale),
                _ => None,
            };
            decimal
                .ok_or(DecodeError::Invalid { what: "json decimal of length", value: bytes.len() as u64 })?
                .write(out);
        }
        7 | 10 | 11 | 12 => {
            let Ok(packed) = <[u8; 8]>::try_from(bytes) else {
                return Err(DecodeError::Invalid { what: "json time of length", value: bytes.len() as u64 });
            };
            let packed = i64::from_le_bytes(packed);
            out.push(b'"');
            match wire {
                10 => DateTime::from_packed(packed as u64, 0).date.write(out),
                11 => Time::from_packed(packed, 6).write(out),
                _ => DateTime::from_packed(packed as u64, 6).write(out),
            }
            out.push(b'"');
        }
        other => {
            out.extend_from_slice(b"\"base64:type");
            out.extend_from_slice(itoa::Buffer::new().format(other).as_bytes());
            out.push(b':');
            write_base64(bytes, out);
            out.push(b'"');
        }
    }
    Ok(())
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (i, group) in bytes.chunks(3).enumerate() {
        // The server's encoder breaks lines every 76 characters, and the breaks are escaped as in any string.
        if i > 0 && i % 19 == 0 {
            out.extend_from_slice(b"\\n");
        }
        let v = group.iter().fold(0u32, |v, &b| v << 8 | u32::from(b)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sextet = (v >> (18 - 6 * place) & 63) as usize;
            out.push(if place <= group.len() { ALPHABET[sextet] } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &[u8]) -> Result<String> {
        let mut out = Vec::new();
        write_text(document, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_small_object_prints_as_the_server_prints_it() {
        // {"a": 1, "bc": [null, "x\n"]}
        let array = [2u8, 0, 12, 0, 4, 0, 0, 12, 10, 0, 2, b'x'];
        let mut doc = vec![0u8, 2, 0, 33, 0, 18, 0, 1, 0, 19, 0, 2, 0, 5, 1, 0, 2, 21, 0, b'a', b'b', b'c'];
        doc.extend(array);
        // The array's string is one longer than its size allows: damage.
        assert!(text(&doc).is_err());
        doc[22 + 10] = 1;
        assert_eq!(text(&doc).unwrap(), r#"{"a": 1, "bc": [null, "x"]}"#);
        for cut in 1..doc.len() {
            assert!(text(&doc[..cut]).is_err(), "{cut}");
        }
        assert_eq!(text(&[]).unwrap(), "null");
    }

    #[test]
    fn entries_that_share_bytes_are_refused() {
        // An array of two elements that both point at the same inner array: 2^depth values if it were followed.
        let mut inner = vec![2u8, 0, 10, 0, 4, 0, 0, 4, 0, 0];
        for _ in 0..3 {
            let size = (10 + inner.len()) as u16;
            let mut outer = vec![2, 0];
            outer.extend(size.to_le_bytes());
            outer.extend([2, 10, 0, 2, 10, 0]);
            outer.extend(&inner);
            inner = outer;
        }
        inner.insert(0, 2);
        assert!(matches!(text(&inner), Err(DecodeError::Invalid { .. })));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| {
            let mut doc = vec![0u8, 0, 4, 0];
            for _ in 1..levels {
                let size = (7 + doc.len()) as u16;
                doc = [&[1, 0][..], &size.to_le_bytes(), &[2, 7, 0], &doc].concat();
            }
            doc.insert(0, 2);
            doc
        };
        assert!(text(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(text(&nested(DEPTH_MAX + 1)), Err(DecodeError::TooDeep { limit: DEPTH_MAX }));
    }
}
