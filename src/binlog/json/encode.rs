//! A document to the server's binary form, byte for byte as the server lays it out (`sql-common/json_binary.cc`):
//! integers as narrow as they fit, containers small while their offsets fit in two bytes.

use thiserror::Error;

use super::DEPTH_MAX;
use super::document::Document;

/// A document that has no binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonEncodeError {
    /// Nested more deeply than the server reads.
    #[error("json is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A key of more than 65,535 bytes.
    #[error("a json key of {0} bytes is longer than 65,535")]
    Key(usize),
    /// More bytes than four can count.
    #[error("json of more than 4 GiB")]
    TooLarge,
}

/// Why the small form was left, or the whole attempt.
enum Stop {
    /// Offsets do not fit in two bytes.
    NeedsLarge,
    Failed(JsonEncodeError),
}

impl From<JsonEncodeError> for Stop {
    fn from(error: JsonEncodeError) -> Self {
        Stop::Failed(error)
    }
}

impl Document {
    /// Appends the binary form.
    ///
    /// # Errors
    /// When it has none; `out` is then as before.
    pub fn write_binary(&self, out: &mut Vec<u8>) -> Result<(), JsonEncodeError> {
        let start = out.len();
        out.push(0);
        match write_value(self, start, 0, false, out) {
            Ok(()) => Ok(()),
            Err(stop) => {
                out.truncate(start);
                Err(match stop {
                    Stop::Failed(error) => error,
                    Stop::NeedsLarge => JsonEncodeError::TooLarge,
                })
            }
        }
    }
}

/// Appends a value, and puts its type at `type_at`.
fn write_value(
    value: &Document,
    type_at: usize,
    depth: usize,
    small_parent: bool,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (kind, number): (u8, [u8; 8]) = match *value {
        Document::Null => (4, [0; 8]),
        Document::Bool(true) => (4, [1, 0, 0, 0, 0, 0, 0, 0]),
        Document::Bool(false) => (4, [2, 0, 0, 0, 0, 0, 0, 0]),
        Document::Int(v) if i16::try_from(v).is_ok() => (5, v.to_le_bytes()),
        Document::Int(v) if i32::try_from(v).is_ok() => (7, v.to_le_bytes()),
        Document::Int(v) => (9, v.to_le_bytes()),
        Document::UInt(v) if u16::try_from(v).is_ok() => (6, v.to_le_bytes()),
        Document::UInt(v) if u32::try_from(v).is_ok() => (8, v.to_le_bytes()),
        Document::UInt(v) => (10, v.to_le_bytes()),
        Document::Double(v) => (11, v.to_bits().to_le_bytes()),
        Document::String(ref text) => {
            out[type_at] = 12;
            return counted(text.as_bytes(), small_parent, out);
        }
        Document::Opaque { wire, ref bytes } => {
            out[type_at] = 15;
            out.push(wire);
            return counted(bytes, small_parent, out);
        }
        Document::Array(_) | Document::Object(_) => {
            let base = if matches!(value, Document::Array(_)) { 2 } else { 0 };
            let start = out.len();
            out[type_at] = base;
            match write_container(value, depth, false, out) {
                Err(Stop::NeedsLarge) if !small_parent => {
                    out.truncate(start);
                    out[type_at] = base + 1;
                    return write_container(value, depth, true, out);
                }
                done => return done,
            }
        }
    };
    let width = match kind {
        4 => 1,
        5 | 6 => 2,
        7 | 8 => 4,
        _ => 8,
    };
    out[type_at] = kind;
    out.extend_from_slice(&number[..width]);
    Ok(())
}

/// A length of seven bits a byte, low bits first, and the bytes.
fn counted(bytes: &[u8], small_parent: bool, out: &mut Vec<u8>) -> Result<(), Stop> {
    if small_parent && bytes.len() > u16::MAX.into() {
        return Err(Stop::NeedsLarge);
    }
    let mut n = u32::try_from(bytes.len()).map_err(|_| JsonEncodeError::TooLarge)?;
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out.extend_from_slice(bytes);
    Ok(())
}

/// A number that must fit the width of the form.
fn fits(n: usize, large: bool) -> Result<[u8; 4], Stop> {
    match u32::try_from(n) {
        Ok(v) if large || v <= u16::MAX.into() => Ok(v.to_le_bytes()),
        Ok(_) => Err(Stop::NeedsLarge),
        Err(_) => Err(JsonEncodeError::TooLarge.into()),
    }
}

fn write_container(value: &Document, depth: usize, large: bool, out: &mut Vec<u8>) -> Result<(), Stop> {
    if depth >= DEPTH_MAX {
        return Err(JsonEncodeError::TooDeep.into());
    }
    let width = if large { 4 } else { 2 };
    let start = out.len();
    let count = match value {
        Document::Array(elements) => elements.len(),
        Document::Object(members) => members.len(),
        _ => 0,
    };
    out.extend_from_slice(&fits(count, large)?[..width]);
    let size_at = out.len();
    out.extend_from_slice(&[0; 4][..width]);
    if let Document::Object(members) = value {
        // Entries of a key: offset and length; of a value: type and offset.
        let mut offset = out.len() - start + count * (width + 2 + 1 + width);
        for (key, _) in members {
            let len = u16::try_from(key.len()).map_err(|_| JsonEncodeError::Key(key.len()))?;
            out.extend_from_slice(&fits(offset, large)?[..width]);
            out.extend_from_slice(&len.to_le_bytes());
            offset += key.len();
        }
    }
    let mut entry = out.len();
    out.resize(entry + count * (1 + width), 0);
    let mut one = |value: &Document, out: &mut Vec<u8>| {
        if let Some((kind, inlined)) = inlined(value, large) {
            out[entry] = kind;
            out[entry + 1..entry + 1 + width].copy_from_slice(&inlined[..width]);
        } else {
            let offset = fits(out.len() - start, large)?;
            out[entry + 1..entry + 1 + width].copy_from_slice(&offset[..width]);
            write_value(value, entry, depth + 1, !large, out)?;
        }
        entry += 1 + width;
        Ok::<(), Stop>(())
    };
    match value {
        Document::Array(elements) => elements.iter().try_for_each(|element| one(element, out))?,
        Document::Object(members) => {
            members.iter().for_each(|(key, _)| out.extend_from_slice(key.as_bytes()));
            members.iter().try_for_each(|(_, value)| one(value, out))?;
        }
        _ => {}
    }
    let size = fits(out.len() - start, large)?;
    out[size_at..size_at + width].copy_from_slice(&size[..width]);
    Ok(())
}

/// Type and bytes of a value that lies in its entry.
fn inlined(value: &Document, large: bool) -> Option<(u8, [u8; 4])> {
    Some(match *value {
        Document::Null => (4, [0; 4]),
        Document::Bool(v) => (4, [if v { 1 } else { 2 }, 0, 0, 0]),
        Document::Int(v) => match (i16::try_from(v), i32::try_from(v)) {
            // Two bytes; in the wide entry of a large container, the sign goes on.
            (Ok(v), _) => (5, i32::from(v).to_le_bytes()),
            (_, Ok(v)) if large => (7, v.to_le_bytes()),
            _ => return None,
        },
        Document::UInt(v) => match (u16::try_from(v), u32::try_from(v)) {
            (Ok(v), _) => (6, u32::from(v).to_le_bytes()),
            (_, Ok(v)) if large => (8, v.to_le_bytes()),
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(document: &Document) -> Vec<u8> {
        let mut bytes = Vec::new();
        document.write_binary(&mut bytes).expect("a document");
        assert_eq!(Document::from_binary(&bytes).as_ref(), Ok(document));
        bytes
    }

    #[test]
    fn a_small_object_is_laid_out_as_the_server_does_it() {
        let bytes = round_trip(&Document::parse(r#"{"a": 1, "bc": [null, "x"]}"#).expect("JSON"));
        let head = [0u8, 2, 0, 33, 0, 18, 0, 1, 0, 19, 0, 2, 0, 5, 1, 0, 2, 21, 0, b'a', b'b', b'c'];
        assert_eq!(bytes, [&head[..], &[2, 0, 12, 0, 4, 0, 0, 12, 10, 0, 1, b'x']].concat());
    }

    #[test]
    fn large_containers_use_wide_offsets_and_inline_wider_integers() {
        let long = "x".repeat(70_000);
        let document = Document::parse(&format!("[70000, 5000000000, \"{long}\", {{\"a\": [-40000]}}]")).expect("JSON");
        let bytes = round_trip(&document);
        assert_eq!(bytes[0], 3);
        assert_eq!(bytes[9], 7, "a four-byte integer lies in its entry");
        let edge = |n: usize| Document::Array(vec![Document::String("x".repeat(n))]);
        // Head 4, entry 3, length 3: the string ends at 65,535 or one behind.
        assert_eq!(round_trip(&edge(65_525))[0], 2);
        assert_eq!(round_trip(&edge(65_526))[0], 3);
        let many = Document::Array(vec![Document::Null; 65_536]);
        assert_eq!(round_trip(&many)[0], 3);
    }

    #[test]
    fn depth_and_keys_have_limits() {
        let nested = |levels: usize| (1..levels).fold(Document::Array(vec![]), |inner, _| Document::Array(vec![inner]));
        round_trip(&nested(DEPTH_MAX));
        let mut out = vec![9];
        assert_eq!(nested(DEPTH_MAX + 1).write_binary(&mut out), Err(JsonEncodeError::TooDeep));
        let key = Document::Object(vec![("k".repeat(65_536), Document::Null)]);
        assert_eq!(key.write_binary(&mut out), Err(JsonEncodeError::Key(65_536)));
        assert_eq!(out, [9]);
        assert_eq!(nested(DEPTH_MAX).depth(), DEPTH_MAX);
    }
}
