//! Batch upload sessions: blocks go up one by one, a commit publishes all of them at once.
//!
//! IMPORTANT: a commit names no blocks. The service publishes every block that the session holds, so that whoever commits
//! compares the list first; and a commit whose answer is lost is asked after ([`Client::upload`]), never repeated in a
//! new session.

use serde::Deserialize;
use ureq::http::Method;

use super::error::ClientError;
use super::http::{Answer, Content};
use super::table::JsonSchema;
use super::{Client, TunnelCall};
use crate::format::maxcompute::layout::TableColumn;
use crate::sink::maxcompute::compression::Compression;

/// Block ids lie below this.
pub const BLOCKS_MAX: u32 = 20_000;

/// What a session is for: one table and one partition.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The table.
    pub table: &'a str,
    /// `k1=v1,k2=v2`; none for a table without partitions.
    pub partition: Option<&'a str>,
}

/// How a session is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadOptions {
    /// Its commit replaces the rows of the partition, or of the table without partitions.
    pub overwrite: bool,
    /// The partition is made when it is not there.
    pub create_partition: bool,
}

/// A session, as the service told it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: UploadStatus,
    /// The columns that its blocks must have.
    pub columns: Vec<TableColumn>,
    /// Most bytes of a value.
    pub cell_max: Option<u64>,
    /// Its blocks, by rising id.
    pub blocks: Vec<Block>,
}

/// A block that a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Block {
    /// Its id.
    #[serde(rename = "BlockID")]
    pub id: u32,
    /// Its rows; 0 where the service does not say.
    #[serde(default, rename = "RecordCount")]
    pub records: u64,
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStatus {
    /// Just made.
    Unknown,
    /// Open.
    Normal,
    /// Its commit is under way.
    Committing,
    /// Committed: its rows are in the table.
    Closed,
    /// Given up; it was never committed.
    Canceled,
    /// Over its life.
    Expired,
    /// The service lost its way.
    Critical,
    /// A word that is not known.
    Other(String),
}

impl UploadStatus {
    fn parse(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "UNKNOWN" => Self::Unknown,
            "NORMAL" => Self::Normal,
            "CLOSING" | "COMMITTING" => Self::Committing,
            "CLOSED" => Self::Closed,
            "CANCELED" => Self::Canceled,
            "EXPIRED" => Self::Expired,
            "CRITICAL" => Self::Critical,
            other => Self::Other(other.to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct JsonUpload {
    #[serde(rename = "UploadID")]
    id: String,
    #[serde(rename = "Status")]
    status: String,
    #[serde(rename = "Schema")]
    schema: JsonSchema,
    #[serde(default, rename = "MaxFieldSize")]
    cell_max: Option<u64>,
    #[serde(default, rename = "UploadedBlockList")]
    blocks: Vec<Block>,
}

fn read(answer: &Answer) -> Result<Upload, ClientError> {
    let JsonUpload { id, status, schema, cell_max, mut blocks } = answer.json()?;
    if id.is_empty() {
        return Err(answer.meaningless("a session without an id"));
    }
    blocks.sort();
    Ok(Upload { id, status: UploadStatus::parse(&status), columns: schema.columns(answer)?, cell_max, blocks })
}

impl Client {
    /// Opens a session. When the answer is lost a session may be left over: it expires by itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn open_upload(&self, target: Target<'_>, options: UploadOptions) -> Result<Upload, ClientError> {
        let mut parameters = vec![("uploads", String::new())];
        let mut set = |name, on: bool| {
            if on {
                parameters.push((name, "true".to_owned()));
            }
        };
        set("overwrite", options.overwrite);
        set("create_partition", options.create_partition);
        read(&self.ask_upload("open an upload session", Method::POST, target, parameters, Content::Empty)?)
    }

    /// Sends a block, compressed, in place of one that the session may have under this id. Sending the same again is
    /// harmless.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn write_block(
        &self,
        target: Target<'_>,
        upload: &str,
        block: u32,
        compression: Compression,
        body: &[u8],
    ) -> Result<(), ClientError> {
        let parameters = vec![("uploadid", upload.to_owned()), ("blockid", block.to_string())];
        let Target { table, partition } = target;
        let headers = encoding(compression);
        let (method, content) = (Method::PUT, Content::Chunked(body));
        let call =
            TunnelCall { what: "write a block", method, table, kind: "", partition, parameters, headers, content };
        self.ask_tunnel(call).map(drop)
    }

    /// Asks where a session stands.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn upload(&self, target: Target<'_>, upload: &str) -> Result<Upload, ClientError> {
        let parameters = vec![("uploadid", upload.to_owned())];
        read(&self.ask_upload("look at an upload session", Method::GET, target, parameters, Content::None)?)
    }

    /// Commits a session: every block that it holds. Any answer but one that says it is closed leaves it in doubt.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn commit_upload(&self, target: Target<'_>, upload: &str) -> Result<Upload, ClientError> {
        let parameters = vec![("uploadid", upload.to_owned())];
        read(&self.ask_upload("commit an upload session", Method::POST, target, parameters, Content::Empty)?)
    }

    fn ask_upload(
        &self,
        what: &'static str,
        method: Method,
        target: Target<'_>,
        parameters: Vec<(&'static str, String)>,
        content: Content<'_>,
    ) -> Result<Answer, ClientError> {
        let Target { table, partition } = target;
        let headers = Vec::new();
        self.ask_tunnel(TunnelCall { what, method, table, kind: "", partition, parameters, headers, content })
    }
}

/// The header that names a body's compression.
pub(super) fn encoding(compression: Compression) -> Vec<(&'static str, String)> {
    compression.content_encoding().map(|name| ("Content-Encoding", name.to_owned())).into_iter().collect()
}
