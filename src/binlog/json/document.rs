//! A document that is owned and can be changed: read from the binary form or from text, written as either.

use super::super::error::{DecodeError, Result};
use super::binary::Json;
use super::path::{Leg, Path};
use super::text::{deeper, separate, write_key, write_value};

/// A JSON value. What JSON text has no type for (a decimal, a date) is kept as the server keeps it.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A double, finite.
    Double(f64),
    /// Text.
    String(String),
    /// A value of a column type that JSON does not have: the type's number and its bytes.
    Opaque {
        /// The column type's number.
        wire: u8,
        /// The value, in a form of its own for each type.
        bytes: Vec<u8>,
    },
    /// An array.
    Array(Vec<Document>),
    /// An object: members sorted by the length of their keys, then by their bytes; no key twice.
    Object(Vec<(String, Document)>),
}

/// Where a key stands in an object, or would stand.
fn place(members: &[(String, Document)], key: &str) -> Result<usize, usize> {
    members.binary_search_by(|(k, _)| (k.len(), k.as_str()).cmp(&(key.len(), key)))
}

/// Adds a member; a key that is there already gets the new value, as the server does.
fn put(members: &mut Vec<(String, Document)>, key: String, value: Document) {
    match place(members, &key) {
        Ok(at) => members[at].1 = value,
        Err(at) => members.insert(at, (key, value)),
    }
}

impl Document {
    /// An object of these members; of two with one key the last counts.
    pub fn object(members: impl IntoIterator<Item = (String, Document)>) -> Document {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        let mut unique: Vec<(String, Document)> = Vec::with_capacity(members.len());
        for (key, value) in members {
            match unique.last_mut() {
                Some((last, old)) if *last == key => *old = value,
                _ => unique.push((key, value)),
            }
        }
        Document::Object(unique)
    }

    /// Reads the server's binary form.
    ///
    /// # Errors
    /// When it is damaged, nested too deeply, or holds text that is not UTF-8.
    pub fn from_binary(document: &[u8]) -> Result<Document> {
        Self::from_json(Json::parse(document)?, 0)
    }

    pub(super) fn from_json(value: Json<'_>, depth: usize) -> Result<Document> {
        Ok(match value {
            Json::Null => Document::Null,
            Json::Bool(v) => Document::Bool(v),
            Json::Int(v) => Document::Int(v),
            Json::UInt(v) => Document::UInt(v),
            Json::Double(v) => Document::Double(v),
            Json::String(text) => Document::String(utf8(text)?),
            Json::Opaque { wire, bytes } => Document::Opaque { wire, bytes: bytes.to_vec() },
            Json::Array(elements) => {
                let depth = deeper(depth)?;
                let elements = elements.members().map(|e| Self::from_json(e?.1, depth));
                Document::Array(elements.collect::<Result<_>>()?)
            }
            Json::Object(container) => {
                let depth = deeper(depth)?;
                let mut members = Vec::new();
                for member in container.members() {
                    let (key, value) = member?;
                    put(&mut members, utf8(key)?, Self::from_json(value, depth)?);
                }
                Document::Object(members)
            }
        })
    }

    /// Appends its text as the server prints a JSON column.
    ///
    /// # Errors
    /// When it is nested too deeply, or an opaque value is none; `out` then holds the part before.
    pub fn write_text(&self, out: &mut Vec<u8>) -> Result<()> {
        self.write_at(0, out)
    }

    fn write_at(&self, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        let leaf = match self {
            Document::Null => Json::Null,
            Document::Bool(v) => Json::Bool(*v),
            Document::Int(v) => Json::Int(*v),
            Document::UInt(v) => Json::UInt(*v),
            Document::Double(v) => Json::Double(*v),
            Document::String(text) => Json::String(text.as_bytes()),
            Document::Opaque { wire, bytes } => Json::Opaque { wire: *wire, bytes },
            Document::Array(elements) => {
                let depth = deeper(depth)?;
                out.push(b'[');
                for (i, element) in elements.iter().enumerate() {
                    separate(i, out);
                    element.write_at(depth, out)?;
                }
                out.push(b']');
                return Ok(());
            }
            Document::Object(members) => {
                let depth = deeper(depth)?;
                out.push(b'{');
                for (i, (key, value)) in members.iter().enumerate() {
                    separate(i, out);
                    write_key(key.as_bytes(), out);
                    value.write_at(depth, out)?;
                }
                out.push(b'}');
                return Ok(());
            }
        };
        write_value(leaf, depth, out)
    }

    /// How many containers are inside each other, 0 for a value that is none.
    pub fn depth(&self) -> usize {
        match self {
            Document::Array(elements) => 1 + elements.iter().map(Document::depth).max().unwrap_or(0),
            Document::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The value at a path; none when there is none.
    pub fn get(&self, path: &Path) -> Option<&Document> {
        path.legs().iter().try_fold(self, |value, leg| match (value, leg) {
            (Document::Object(members), Leg::Key(key)) => place(members, key).ok().map(|at| &members[at].1),
            (Document::Array(elements), Leg::Cell(cell)) => elements.get(cell.resolve(elements.len())?),
            // Any other value counts as an array of itself.
            (Document::Object(_), Leg::Cell(cell)) if cell.resolve(1) != Some(0) => None,
            (other, Leg::Cell(cell)) if cell.resolve(1) == Some(0) => Some(other),
            _ => None,
        })
    }

    /// Puts a value at a path, as `JSON_SET` does: what is there is replaced, a member or an element is added when the
    /// container before it is there; else nothing happens.
    pub fn set(&mut self, path: &Path, value: Document) {
        let Some((last, before)) = path.legs().split_last() else {
            *self = value;
            return;
        };
        let Some(parent) = self.get_mut(before) else { return };
        match (parent, last) {
            (Document::Object(members), Leg::Key(key)) => put(members, key.clone(), value),
            (Document::Array(elements), Leg::Cell(cell)) => match cell.resolve(elements.len()) {
                Some(at) if at < elements.len() => elements[at] = value,
                Some(_) => elements.push(value),
                None => elements.insert(0, value),
            },
            // A value that is no array becomes one when an element beside it is set.
            (other, Leg::Cell(cell)) => match cell.resolve(1) {
                Some(0) => *other = value,
                Some(_) => *other = Document::Array(vec![std::mem::replace(other, Document::Null), value]),
                None => *other = Document::Array(vec![value, std::mem::replace(other, Document::Null)]),
            },
            _ => {}
        }
    }

    /// Takes the value at a path away, where there is one; the whole document stays.
    pub fn remove(&mut self, path: &Path) {
        let Some((last, before)) = path.legs().split_last() else { return };
        match (self.get_mut(before), last) {
            (Some(Document::Object(members)), Leg::Key(key)) => {
                if let Ok(at) = place(members, key) {
                    members.remove(at);
                }
            }
            (Some(Document::Array(elements)), Leg::Cell(cell)) => {
                if let Some(at) = cell.resolve(elements.len()).filter(|&at| at < elements.len()) {
                    elements.remove(at);
                }
            }
            _ => {}
        }
    }

    fn get_mut(&mut self, legs: &[Leg]) -> Option<&mut Document> {
        legs.iter().try_fold(self, |value, leg| match (value, leg) {
            (Document::Object(members), Leg::Key(key)) => {
                let at = place(members, key).ok()?;
                Some(&mut members[at].1)
            }
            (Document::Array(elements), Leg::Cell(cell)) => {
                let at = cell.resolve(elements.len())?;
                elements.get_mut(at)
            }
            (other, Leg::Cell(cell)) if cell.resolve(1) == Some(0) => Some(other),
            _ => None,
        })
    }
}

fn utf8(text: &[u8]) -> Result<String> {
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| DecodeError::NotUtf8 { what: "json string" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text).expect("JSON")
    }

    fn path(text: &str) -> Path {
        Path::parse(text).expect("a path")
    }

    fn text(document: &Document) -> String {
        let mut out = Vec::new();
        document.write_text(&mut out).expect("shallow");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn paths_lead_where_the_servers_do() {
        let d = document(r#"{"a": {"b": [1, {"c": "x"}, 3]}, "odd key": true}"#);
        let got = |p: &str| d.get(&path(p)).map(text);
        assert_eq!(got("$").as_deref(), Some(r#"{"a": {"b": [1, {"c": "x"}, 3]}, "odd key": true}"#));
        assert_eq!(got("$.a.b[1].c").as_deref(), Some("\"x\""));
        assert_eq!(got("$.a.b[last]").as_deref(), Some("3"));
        assert_eq!(got("$.a.b[last-2]").as_deref(), Some("1"));
        assert_eq!(got("$.\"odd key\"[0]").as_deref(), Some("true"));
        for missing in ["$.b", "$.a.b[3]", "$.a.b[last-3]", "$.a.b.c", "$.\"odd key\"[1]", "$[1]"] {
            assert_eq!(got(missing), None, "{missing}");
        }
    }

    #[test]
    fn set_and_remove_change_one_place() {
        let set = |from: &str, p: &str, value: &str| {
            let mut d = document(from);
            d.set(&path(p), document(value));
            text(&d)
        };
        assert_eq!(set(r#"{"a": 1}"#, "$.a", "[2]"), r#"{"a": [2]}"#);
        assert_eq!(set(r#"{"a": 1}"#, "$.bb", "2"), r#"{"a": 1, "bb": 2}"#);
        assert_eq!(set(r#"{"a": 1}"#, "$.x.y", "2"), r#"{"a": 1}"#);
        assert_eq!(set("[1, 2]", "$[9]", "3"), "[1, 2, 3]");
        assert_eq!(set("[1, 2]", "$[last-9]", "0"), "[0, 1, 2]");
        assert_eq!(set("1", "$[1]", "2"), "[1, 2]");
        assert_eq!(set("1", "$[0]", "2"), "2");
        assert_eq!(set("1", "$", "{}"), "{}");
        let remove = |from: &str, p: &str| {
            let mut d = document(from);
            d.remove(&path(p));
            text(&d)
        };
        assert_eq!(remove(r#"{"a": 1, "b": [1, 2]}"#, "$.b[0]"), r#"{"a": 1, "b": [2]}"#);
        assert_eq!(remove(r#"{"a": 1}"#, "$.a"), "{}");
        assert_eq!(remove(r#"{"a": 1}"#, "$.b"), r#"{"a": 1}"#);
        assert_eq!(remove("[1]", "$"), "[1]");
    }
}
