//! Stream upload: each body is in the table as soon as it is taken, and nobody can be asked whether one was whose answer
//! got lost. At least once.

use serde::{Deserialize, Deserializer};
use ureq::http::Method;

use super::error::ClientError;
use super::http::{Answer, Content};
use super::table::JsonSchema;
use super::upload::{Target, encoding};
use super::{Client, TunnelCall};
use crate::format::maxcompute::layout::TableColumn;
use crate::sink::maxcompute::compression::Compression;

/// A session, as the service told it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its id.
    pub id: String,
    /// Rows can be written; else it is still being made.
    pub ready: bool,
    /// The columns that rows must have.
    pub columns: Vec<TableColumn>,
    /// Version of those columns.
    pub schema_version: Option<u64>,
    /// Where rows go: any of these, by turns.
    pub slots: Vec<Slot>,
}

/// A place that takes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub id: u64,
    /// Its server, which the request names.
    pub server: String,
}

/// What the answer to a body told of the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// How many slots the session has now; with another number it is asked for anew.
    pub slots: usize,
    /// The slot's server now.
    pub server: String,
}

#[derive(Deserialize)]
struct JsonStream {
    session_name: String,
    status: String,
    schema: JsonSchema,
    #[serde(default, deserialize_with = "number_or_text")]
    schema_version: Option<u64>,
    #[serde(default)]
    slots: Vec<(serde_json::Value, String)>,
}

/// Numbers that some servers write as text.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(number(&value))
}

fn number(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn read(answer: &Answer) -> Result<Stream, ClientError> {
    let JsonStream { session_name: id, status, schema, schema_version, slots } = answer.json()?;
    let slot = |(id, server): (serde_json::Value, String)| Some(Slot { id: number(&id)?, server });
    let slots: Option<Vec<Slot>> = slots.into_iter().map(slot).collect();
    let slots = slots.ok_or_else(|| answer.meaningless("a slot without a number"))?;
    let ready = status.eq_ignore_ascii_case("normal") && !slots.is_empty();
    Ok(Stream { id, ready, columns: schema.columns(answer)?, schema_version, slots })
}

impl Client {
    /// Opens a session; asks for this many slots, or as many as the service likes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn open_stream(
        &self,
        target: Target<'_>,
        slots: Option<u32>,
        create_partition: bool,
    ) -> Result<Stream, ClientError> {
        let mut parameters = vec![("check_latest_schema", "false".to_owned())];
        if create_partition {
            parameters.push(("create_partition", String::new()));
        }
        let headers = slots.map(|slots| ("odps-tunnel-slot-num", slots.to_string())).into_iter().collect();
        read(&self.ask_stream("open a stream", Method::POST, target, parameters, headers, Content::Empty)?)
    }

    /// Asks for a session's slots anew.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stream(&self, target: Target<'_>, stream: &str) -> Result<Stream, ClientError> {
        let parameters = vec![("uploadid", stream.to_owned())];
        read(&self.ask_stream("look at a stream", Method::GET, target, parameters, Vec::new(), Content::None)?)
    }

    /// Writes rows, compressed: `records` of them. They are in the table when this returns.
    ///
    /// # Errors
    /// See [`ClientError`]. One in doubt may have been taken.
    pub fn write_stream(
        &self,
        target: Target<'_>,
        stream: &Stream,
        slot: &Slot,
        (records, compression, body): (u64, Compression, &[u8]),
    ) -> Result<Written, ClientError> {
        let mut parameters = vec![
            ("uploadid", stream.id.clone()),
            ("slotid", slot.id.to_string()),
            ("check_latest_schema", "false".to_owned()),
            ("record_count", records.to_string()),
        ];
        parameters.extend(stream.schema_version.map(|version| ("schema_version", version.to_string())));
        let mut headers = encoding(compression);
        headers.push(("odps-tunnel-slot-num", stream.slots.len().to_string()));
        headers.push(("odps-tunnel-routed-server", slot.server.clone()));
        let content = Content::Chunked(body);
        let answer = self.ask_stream("write to a stream", Method::PUT, target, parameters, headers, content)?;
        let slots = answer.header("odps-tunnel-slot-num").and_then(|slots| slots.parse().ok());
        let server = answer.header("odps-tunnel-routed-server");
        match (slots, server) {
            (Some(slots), Some(server)) => Ok(Written { slots, server: server.to_owned() }),
            _ => Err(answer.meaningless("it names no slot")),
        }
    }

    fn ask_stream(
        &self,
        what: &'static str,
        method: Method,
        target: Target<'_>,
        parameters: Vec<(&'static str, String)>,
        headers: Vec<(&'static str, String)>,
        content: Content<'_>,
    ) -> Result<Answer, ClientError> {
        let (Target { table, partition }, kind) = (target, "/streams");
        self.ask_tunnel(TunnelCall { what, method, table, kind, partition, parameters, headers, content })
    }
}
