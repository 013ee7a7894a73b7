//! Upsert sessions of tables with a primary key: rows of one key replace each other, so that repeating them is harmless.
//!
//! A row goes to the bucket of its key ([`crate::format::maxcompute::hash`]), with five columns behind its own
//! ([`tail`]); a commit publishes what was written.

use serde::Deserialize;
use ureq::http::Method;

use super::error::{ClientError, Reason};
use super::http::{Answer, Content};
use super::table::JsonSchema;
use super::upload::{Target, encoding};
use super::{Client, TunnelCall};
use crate::format::maxcompute::data_type::DataType;
use crate::format::maxcompute::hash::Hasher;
use crate::format::maxcompute::layout::TableColumn;
use crate::sink::maxcompute::compression::Compression;

/// The columns behind a row's own: two versions that only the service sets, what is done with the row, which columns are
/// its key, which are given (none: all).
pub fn tail() -> [TableColumn; 5] {
    let column = |name: &str, kind| TableColumn { name: name.to_owned(), kind };
    let numbers = || DataType::Array(Box::new(DataType::BigInt));
    [
        column("__version", DataType::BigInt),
        column("__app_version", DataType::BigInt),
        column("__operation", DataType::TinyInt),
        column("__key_cols", numbers()),
        column("__value_cols", numbers()),
    ]
}

/// Values of `__operation`.
pub mod operation {
    /// The row is put in place of one with its key.
    pub const UPSERT: i64 = b'U' as i64;
    /// The row with this key goes.
    pub const DELETE: i64 = b'D' as i64;
}

/// A session, as the service told it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    /// Its id.
    pub id: String,
    /// `normal`, `committing`, `committed`, in lower case.
    pub status: String,
    /// The table's own columns.
    pub columns: Vec<TableColumn>,
    /// Names of the columns whose hash chooses the bucket.
    pub hash_key: Vec<String>,
    /// How they are hashed.
    pub hasher: Hasher,
    /// Slot and server of each bucket, by its number.
    pub buckets: Vec<(String, String)>,
}

impl Upsert {
    /// Whether its rows are in the table.
    pub fn is_committed(&self) -> bool {
        self.status == "committed"
    }
}

#[derive(Deserialize)]
struct JsonUpsert {
    id: String,
    status: String,
    schema: JsonSchema,
    hash_key: Vec<String>,
    hasher: String,
    slots: Vec<JsonSlot>,
}

#[derive(Deserialize)]
struct JsonSlot {
    slot_id: serde_json::Value,
    buckets: Vec<usize>,
    worker_addr: String,
}

/// Most buckets of a table.
const BUCKETS_MAX: usize = 4096;

fn read(answer: &Answer) -> Result<Upsert, ClientError> {
    let JsonUpsert { id, status, schema, hash_key, hasher, slots } = answer.json()?;
    let hasher = Hasher::parse(&hasher).ok_or_else(|| answer.meaningless(format!("the hasher {hasher:?}")))?;
    let count = slots.iter().map(|slot| slot.buckets.len()).sum::<usize>();
    let mut buckets = vec![None; count.min(BUCKETS_MAX)];
    for slot in slots {
        let slot_id = slot.slot_id.as_str().map_or_else(|| slot.slot_id.to_string(), str::to_owned);
        for bucket in slot.buckets {
            match buckets.get_mut(bucket) {
                Some(place @ None) => *place = Some((slot_id.clone(), slot.worker_addr.clone())),
                _ => return Err(answer.meaningless(format!("bucket {bucket} of {count}"))),
            }
        }
    }
    let buckets = buckets.into_iter().collect::<Option<Vec<_>>>().filter(|buckets| !buckets.is_empty());
    let buckets = buckets.ok_or_else(|| answer.meaningless("no buckets, or not all of them"))?;
    let status = status.to_ascii_lowercase();
    Ok(Upsert { id, status, columns: schema.columns(answer)?, hash_key, hasher, buckets })
}

impl Client {
    /// Opens a session with this many slots.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn open_upsert(&self, target: Target<'_>, slots: u32) -> Result<Upsert, ClientError> {
        let parameters = vec![("slotnum", slots.to_string())];
        let call = ("open an upsert session", Method::POST);
        read(&self.ask_upsert(call, target, parameters, Vec::new(), Content::Empty)?)
    }

    /// Asks where a session stands and which servers its buckets have.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn upsert(&self, target: Target<'_>, upsert: &str) -> Result<Upsert, ClientError> {
        let parameters = vec![("upsertid", upsert.to_owned())];
        let call = ("look at an upsert session", Method::GET);
        read(&self.ask_upsert(call, target, parameters, Vec::new(), Content::None)?)
    }

    /// Writes rows of one bucket, compressed: `records` of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn write_upsert(
        &self,
        target: Target<'_>,
        upsert: &Upsert,
        bucket: usize,
        (records, compression, body): (u64, Compression, &[u8]),
    ) -> Result<(), ClientError> {
        let Some((slot, server)) = upsert.buckets.get(bucket) else {
            let reason = format!("a bucket {bucket} of {}", upsert.buckets.len());
            return Err(ClientError::Answer { call: "write an upsert", reason, request_id: None });
        };
        let parameters = vec![
            ("upsertid", upsert.id.clone()),
            ("bucketid", bucket.to_string()),
            ("slotid", slot.clone()),
            ("record_count", records.to_string()),
        ];
        let mut headers = encoding(compression);
        headers.push(("odps-tunnel-routed-server", server.clone()));
        let content = Content::Whole(None, body);
        self.ask_upsert(("write an upsert", Method::PUT), target, parameters, headers, content).map(drop)
    }

    /// Commits a session, or goes on with a commit: to be repeated until it is committed. `asked` when a commit was sent
    /// before: a session that is gone then was committed, by what both of the vendor's clients hold.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn commit_upsert(&self, target: Target<'_>, upsert: &Upsert, asked: bool) -> Result<bool, ClientError> {
        let parameters = vec![("upsertid", upsert.id.clone())];
        let server = upsert.buckets.first().map(|(_, server)| ("odps-tunnel-routed-server", server.clone()));
        let call = ("commit an upsert session", Method::POST);
        let answer = self.ask_upsert(call, target, parameters, server.into_iter().collect(), Content::Empty);
        match answer {
            Ok(answer) => read(&answer).map(|upsert| upsert.is_committed()),
            Err(error) if asked && error.reason() == Some(Reason::NoSuchSession) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn ask_upsert(
        &self,
        (what, method): (&'static str, Method),
        target: Target<'_>,
        parameters: Vec<(&'static str, String)>,
        headers: Vec<(&'static str, String)>,
        content: Content<'_>,
    ) -> Result<Answer, ClientError> {
        let (Target { table, partition }, kind) = (target, "/upserts");
        self.ask_tunnel(TunnelCall { what, method, table, kind, partition, parameters, headers, content })
    }
}
