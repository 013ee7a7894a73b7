//! Partial updates: the differences that turn the document before an UPDATE into the one after it.
//!
//! ```text
//! difference  operation (1): 0 replace, 1 insert, 2 remove
//!             path: length-encoded text, such as $.items[3]."odd key"
//!             value: length-encoded binary document        (not for remove)
//! ```

use std::borrow::Cow;

use super::super::error::{DecodeError, Result};
use super::super::reader::Reader;
use super::binary::Json;
use super::document::Document;
use super::path::closing_quote;
use super::text::{deeper, separate, write_key, write_value};

/// Appends the JSON text of `base`, a binary document, after the differences `diffs` were applied to it in order.
///
/// # Errors
/// When either is damaged, or a difference does not fit the document, which then is not the one it was made from.
pub fn apply_diff(base: &[u8], diffs: &[u8], out: &mut Vec<u8>) -> Result<()> {
    apply(base, diffs)?.write(0, out)
}

/// The document that `base`, a binary document, becomes by the differences `diffs`.
///
/// # Errors
/// As [`apply_diff`], or text that is not UTF-8.
pub fn patched(base: &[u8], diffs: &[u8]) -> Result<Document> {
    apply(base, diffs)?.into_document(0)
}

fn apply<'a>(base: &'a [u8], diffs: &'a [u8]) -> Result<Node<'a>> {
    let mut root = Node::Stored(Json::parse(base)?);
    let mut r = Reader::new(diffs);
    let mut index = 0;
    while !r.is_empty() {
        let operation = r.u8("json difference")?;
        let path = r.lenenc_bytes("json path")?;
        let value = match operation {
            2 => None,
            _ => Some(Node::Stored(Json::parse(r.lenenc_bytes("json difference value")?)?)),
        };
        let misfit = DecodeError::JsonDiff { index };
        let legs = parse_path(path).ok_or_else(|| misfit.clone())?;
        let fits = match (operation, value) {
            (0, Some(value)) => root.find(&legs)?.map(|place| *place = value).is_some(),
            (1, Some(value)) => root.insert(&legs, value)?,
            (2, None) => root.remove(&legs)?,
            (other, _) => return Err(DecodeError::Unsupported { what: "json operation", value: other.into() }),
        };
        if !fits {
            return Err(misfit);
        }
        index += 1;
    }
    Ok(root)
}

/// A document of which only the changed paths are taken apart.
enum Node<'a> {
    Stored(Json<'a>),
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

#[derive(Debug, PartialEq)]
enum Leg<'p> {
    Key(Cow<'p, [u8]>),
    Cell(usize),
}

impl<'a> Node<'a> {
    /// Takes a container apart, one level. Costs a node per member, each of which takes bytes of the document.
    fn open(&mut self) -> Result<()> {
        match self {
            Node::Stored(Json::Object(container)) => {
                let members = container.members();
                let opened = members.map(|m| m.map(|(key, value)| (Cow::Borrowed(key), Node::Stored(value))));
                *self = Node::Object(opened.collect::<Result<_>>()?);
            }
            Node::Stored(Json::Array(container)) => {
                *self = Node::Array(
                    container.members().map(|m| m.map(|(_, value)| Node::Stored(value))).collect::<Result<_>>()?,
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn find(&mut self, legs: &[Leg<'_>]) -> Result<Option<&mut Node<'a>>> {
        let mut node = self;
        for leg in legs {
            node.open()?;
            let next = match (leg, node) {
                (Leg::Key(key), Node::Object(members)) => members.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v),
                (Leg::Cell(cell), Node::Array(elements)) => elements.get_mut(*cell),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The container that the last leg is in, taken apart.
    fn parent<'p, 'l>(&mut self, legs: &'l [Leg<'p>]) -> Result<Option<(&mut Node<'a>, &'l Leg<'p>)>> {
        let Some((last, before)) = legs.split_last() else { return Ok(None) };
        let Some(parent) = self.find(before)? else { return Ok(None) };
        parent.open()?;
        Ok(Some((parent, last)))
    }

    fn insert(&mut self, legs: &[Leg<'_>], value: Node<'a>) -> Result<bool> {
        Ok(match self.parent(legs)? {
            Some((Node::Object(members), Leg::Key(key))) => {
                // Objects are sorted by the length of the key, then its bytes.
                let order = |k: &[u8]| (k.len(), k).cmp(&(key.len(), key));
                match members.binary_search_by(|(k, _)| order(k)) {
                    Ok(_) => false,
                    Err(at) => {
                        members.insert(at, (Cow::Owned(key.to_vec()), value));
                        true
                    }
                }
            }
            Some((Node::Array(elements), Leg::Cell(cell))) => {
                // A cell beyond the end is the one after the last.
                elements.insert((*cell).min(elements.len()), value);
                true
            }
            _ => false,
        })
    }

    fn remove(&mut self, legs: &[Leg<'_>]) -> Result<bool> {
        Ok(match self.parent(legs)? {
            Some((Node::Object(members), Leg::Key(key))) => match members.iter().position(|(k, _)| k == key) {
                Some(at) => {
                    members.remove(at);
                    true
                }
                None => false,
            },
            Some((Node::Array(elements), Leg::Cell(cell))) if *cell < elements.len() => {
                elements.remove(*cell);
                true
            }
            _ => false,
        })
    }

    fn into_document(self, depth: usize) -> Result<Document> {
        let key = |key: Cow<'_, [u8]>| {
            String::from_utf8(key.into_owned()).map_err(|_| DecodeError::NotUtf8 { what: "json key" })
        };
        Ok(match self {
            Node::Stored(value) => Document::from_json(value, depth)?,
            Node::Object(members) => {
                let depth = deeper(depth)?;
                let members = members.into_iter().map(|(k, value)| Ok((key(k)?, value.into_document(depth)?)));
                Document::Object(members.collect::<Result<_>>()?)
            }
            Node::Array(elements) => {
                let depth = deeper(depth)?;
                Document::Array(elements.into_iter().map(|e| e.into_document(depth)).collect::<Result<_>>()?)
            }
        })
    }

    fn write(&self, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Node::Stored(value) => return write_value(*value, depth, out),
            Node::Object(members) => {
                let depth = deeper(depth)?;
                out.push(b'{');
                for (i, (key, value)) in members.iter().enumerate() {
                    separate(i, out);
                    write_key(key, out);
                    value.write(depth, out)?;
                }
                out.push(b'}');
            }
            Node::Array(elements) => {
                let depth = deeper(depth)?;
                out.push(b'[');
                for (i, element) in elements.iter().enumerate() {
                    separate(i, out);
                    element.write(depth, out)?;
                }
                out.push(b']');
            }
        }
        Ok(())
    }
}

/// `$`, then `.key`, `."key"` (with the escapes of a JSON string) and `[n]`. `None` for what the server never writes.
fn parse_path(path: &[u8]) -> Option<Vec<Leg<'_>>> {
    let mut rest = path.strip_prefix(b"$")?;
    let mut legs = Vec::new();
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'[' => {
                let end = after.iter().position(|&c| c == b']')?;
                let digits = std::str::from_utf8(&after[..end]).ok()?;
                legs.push(Leg::Cell(digits.parse().ok()?));
                rest = &after[end + 1..];
            }
            b'.' if after.first() == Some(&b'"') => {
                let end = closing_quote(after)?;
                let key: String = serde_json::from_slice(&after[..=end]).ok()?;
                legs.push(Leg::Key(Cow::Owned(key.into_bytes())));
                rest = &after[end + 1..];
            }
            b'.' => {
                let end = after.iter().position(|&c| c == b'.' || c == b'[').unwrap_or(after.len());
                if end == 0 {
                    return None;
                }
                legs.push(Leg::Key(Cow::Borrowed(&after[..end])));
                rest = &after[end..];
            }
            _ => return None,
        }
    }
    Some(legs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// {"a": 1, "bc": [null, "x"]}
    const BASE: &[u8] = &[
        0, 2, 0, 33, 0, 18, 0, 1, 0, 19, 0, 2, 0, 5, 1, 0, 2, 21, 0, b'a', b'b', b'c', 2, 0, 12, 0, 4, 0, 0, 12, 10, 0,
        1, b'x',
    ];

    fn diff(operation: u8, path: &str, value: &[u8]) -> Vec<u8> {
        let mut diff = vec![operation, path.len() as u8];
        diff.extend(path.as_bytes());
        if operation != 2 {
            diff.push(value.len() as u8);
            diff.extend(value);
        }
        diff
    }

    fn apply(diffs: &[Vec<u8>]) -> Result<String> {
        let mut out = Vec::new();
        apply_diff(BASE, &diffs.concat(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    const TRUE: &[u8] = &[4, 1];

    #[test]
    fn each_operation_changes_its_place_only() {
        assert_eq!(apply(&[]).unwrap(), r#"{"a": 1, "bc": [null, "x"]}"#);
        assert_eq!(apply(&[diff(0, "$.a", TRUE)]).unwrap(), r#"{"a": true, "bc": [null, "x"]}"#);
        assert_eq!(apply(&[diff(0, "$.bc[1]", TRUE)]).unwrap(), r#"{"a": 1, "bc": [null, true]}"#);
        assert_eq!(apply(&[diff(1, "$.b", TRUE)]).unwrap(), r#"{"a": 1, "b": true, "bc": [null, "x"]}"#);
        assert_eq!(apply(&[diff(1, "$.\"q \\\"\"", TRUE)]).unwrap(), r#"{"a": 1, "bc": [null, "x"], "q \"": true}"#);
        assert_eq!(apply(&[diff(1, "$.bc[1]", TRUE)]).unwrap(), r#"{"a": 1, "bc": [null, true, "x"]}"#);
        assert_eq!(apply(&[diff(1, "$.bc[9]", TRUE)]).unwrap(), r#"{"a": 1, "bc": [null, "x", true]}"#);
        assert_eq!(apply(&[diff(2, "$.bc[0]", &[]), diff(2, "$.a", &[])]).unwrap(), r#"{"bc": ["x"]}"#);
        assert_eq!(apply(&[diff(0, "$", TRUE)]).unwrap(), "true");
    }

    #[test]
    fn a_difference_for_another_document_is_an_error() {
        for (operation, path) in [
            (0, "$.z"),
            (1, "$.a"),
            (1, "$.a.b"),
            (1, "$"),
            (2, "$.bc[2]"),
            (2, "$"),
            (0, "$.a[0]"),
            (0, "a"),
            (0, "$."),
            (0, "$.\"a"),
        ] {
            let wrong = apply(&[diff(0, "$.a", TRUE), diff(operation, path, TRUE)]);
            assert_eq!(wrong, Err(DecodeError::JsonDiff { index: 1 }), "{operation} {path}");
        }
        let cut = diff(0, "$.a", TRUE);
        for len in 1..cut.len() {
            assert!(apply(&[cut[..len].to_vec()]).is_err());
        }
    }
}
