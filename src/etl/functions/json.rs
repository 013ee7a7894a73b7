//! JSON documents: a column of type JSON, or text that holds one. Paths are the server's.

use super::super::expr::Prepared;
use super::super::fault::Fault;
use super::super::value::{Datum, Kind, of_document, to_document};
use super::{ANY, Args, Entry, Prepare, Stop, of_bool, of_float, of_int, of_json, of_text};
use crate::binlog::json::{Document, Path};

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new("json_get", "json_get(v, path)", 2, 2, of_json, |a| {
        let document = document(a, 0)?;
        Ok(document.get(path(a)?).map_or(Datum::Null, |found| Datum::Json(Box::new(found.clone()))))
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_get_string", "json_get_string(v, path)", 2, 2, of_text, |a| match get(a)? {
        Datum::Null => Ok(Datum::Null),
        value => Ok(Datum::Text(value.into_text()?)),
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_get_long", "json_get_long(v, path)", 2, 2, of_int, |a| match get(a)? {
        Datum::Null => Ok(Datum::Null),
        value => super::integer(value.into_number()?).map(Datum::Int),
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_get_double", "json_get_double(v, path)", 2, 2, of_float, |a| match get(a)? {
        Datum::Null => Ok(Datum::Null),
        value => Ok(Datum::Float(value.into_number()?.float())),
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_exists", "json_exists(v, path)", 2, 2, of_bool, |a| {
        let document = document(a, 0)?;
        Ok(Datum::Bool(document.get(path(a)?).is_some()))
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_set", "json_set(v, path, value)", 3, 3, of_json, |a| {
        let mut document = document(a, 0)?;
        let value = to_document(a.value(2)?)?;
        document.set(path(a)?, value);
        made(document)
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_remove", "json_remove(v, path)", 2, 2, of_json, |a| {
        let mut document = document(a, 0)?;
        document.remove(path(a)?);
        made(document)
    })
    .preparing(Prepare::Path(1)),
    Entry::new("json_array", "json_array(text)", 1, 1, of_json, |a| match document(a, 0)? {
        array @ Document::Array(_) => made(array),
        _ => Err(Fault::Parse("a json array").into()),
    }),
    Entry::new(
        "json_object",
        "json_object([k, v, ...])",
        0,
        ANY,
        |_| Kind::Json,
        |a| {
            if a.len() % 2 == 1 {
                return Err(Fault::Kind { expected: "a value for each key", found: "a key without one" }.into());
            }
            let mut members = Vec::new();
            for i in (0..a.len()).step_by(2) {
                let key = a.text(i)?.into_owned();
                a.machine.charge(key.len())?;
                members.push((key, to_document(a.value(i + 1)?)?));
            }
            made(Document::object(members))
        },
    ),
];

fn path<'r>(a: &Args<'_, 'r>) -> Result<&'r Path, Stop> {
    match a.prepared {
        Prepared::Path(path) => Ok(path),
        _ => Err(Stop::Fault(Fault::Parse("a path"))),
    }
}

/// A document, or one that text holds.
fn document(a: &mut Args<'_, '_>, index: usize) -> Result<Document, Stop> {
    match a.some(index)? {
        Datum::Json(document) => Ok(*document),
        Datum::Text(text) => {
            a.machine.charge(text.len())?;
            Document::parse(&text).map_err(|_| Stop::Fault(Fault::Parse("a json document")))
        }
        other => Err(Fault::Kind { expected: "a json document", found: other.kind_name() }.into()),
    }
}

/// The scalar at the path; null where there is none, or JSON's null.
fn get<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let document = document(a, 0)?;
    Ok(document.get(path(a)?).map_or(Datum::Null, of_document))
}

fn made<'r>(document: Document) -> Result<Datum<'r>, Stop> {
    if document.depth() > crate::binlog::json::DEPTH_MAX {
        return Err(Fault::Range { what: "the depth of a json document" }.into());
    }
    Ok(Datum::Json(Box::new(document)))
}
