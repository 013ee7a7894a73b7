//! The connection to the source: login, statements, and the binlog dump as a stream of raw events.
//!
//! It is our own on tokio, because a client library either copies or unpacks what it hands out, and because a
//! dump needs flags that libraries do not offer. Events are borrowed from the receive buffer. Nothing here
//! reconnects, and nothing here knows what an event means beyond its header.

mod auth;
mod connection;
mod dump;
mod error;
mod packet;
mod reply;
mod tls;

use std::fmt;
use std::time::Duration;

pub use connection::{ConnectOptions, Connection};
pub use dump::{DumpFrom, DumpOptions};
pub use error::{Refusal, ServerError, StreamError, TlsError};
pub use reply::{Row, RowSet};

use dump::FILE_START;
use packet::{Message, Packets};
use reply::server_error;

/// Bytes of an event's header; none is shorter.
const EVENT_HEADER: usize = 19;
/// `LOG_EVENT_ARTIFICIAL_F`: made up by the dump, not in the file.
const ARTIFICIAL: u16 = 0x20;

/// Text as a literal of SQL that holds in every `sql_mode`: no quote or backslash of `text` reaches the parser.
pub fn text_literal(text: &str) -> String {
    use fmt::Write as _;
    let mut literal = String::with_capacity(text.len() * 2 + 12);
    literal.push_str("_utf8mb4 X'");
    for byte in text.bytes() {
        write!(literal, "{byte:02X}").expect("writing to a string");
    }
    literal.push('\'');
    literal
}

/// A name as a quoted identifier of SQL.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// One event as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The raw event: header, body and, when the file has them, four bytes of CRC32.
    pub event: &'a [u8],
    /// Another whole event is at hand already; without it, this is a good moment to hand over what was gathered.
    pub more_buffered: bool,
}

/// Numbers of event types that the stream itself looks at.
mod event_type {
    pub const ROTATE: u8 = 4;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const HEARTBEAT: u8 = 27;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const MARIADB_GTID_LIST: u8 = 163;
}

/// The part of a file that a dump could not be asked to leave out.
#[derive(Debug)]
struct Skip {
    /// End of the events seen so far.
    at: u64,
    /// First position wanted.
    until: u64,
}

/// A binlog dump that runs. Ends by an error only: a stream that the server closed is to be reconnected, never
/// finished.
pub struct BinlogStream {
    packets: Packets,
    /// Kept while the server may still be searching.
    first_event_patience: Duration,
    steady_patience: Duration,
    steady: bool,
    skip: Option<Skip>,
    checksum_at_connect: bool,
    connection_id: u32,
}

impl fmt::Debug for BinlogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinlogStream").field("connection_id", &self.connection_id).finish_non_exhaustive()
    }
}

impl Connection {
    /// Asks for the binlog from `from` on and turns the connection into its stream.
    ///
    /// # Errors
    /// Rights missing, or a broken connection. What the server has against the position comes with the first
    /// [`BinlogStream::next`].
    pub async fn dump(mut self, from: &DumpFrom, options: &DumpOptions) -> Result<BinlogStream, StreamError> {
        let checksum_at_connect = dump::prepare(&mut self, from, options).await?;
        let skip = match from {
            DumpFrom::File { position, .. } if u32::try_from(*position).is_err() => {
                Some(Skip { at: FILE_START, until: *position })
            }
            _ => None,
        };
        let request = dump::request(self.version(), from, options);
        let connection_id = self.connection_id();
        Ok(BinlogStream {
            packets: self.into_dump(&request).await?,
            first_event_patience: options.first_event_patience,
            steady_patience: options.steady_patience,
            steady: false,
            skip,
            checksum_at_connect,
            connection_id,
        })
    }
}

impl BinlogStream {
    /// The next event. Dropping the wait loses nothing.
    ///
    /// # Errors
    /// The server refused or ended the dump, closed the connection, or fell silent; see [`StreamError`].
    pub async fn next(&mut self) -> Result<Packet<'_>, StreamError> {
        let message = loop {
            let patience = if self.steady { self.steady_patience } else { self.first_event_patience };
            let message = self.packets.receive(patience).await?;
            if self.admit(&message)? {
                break message;
            }
        };
        Ok(Packet { event: &self.packets.bytes(&message)[1..], more_buffered: self.packets.has_more() })
    }

    /// Whether events carried a CRC32 when the dump began: holds for the artificial rotate event that comes
    /// ahead of the first format description.
    pub fn checksum_at_connect(&self) -> bool {
        self.checksum_at_connect
    }

    /// The server's number for the dump's connection.
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// Checks a message; whether it is an event to hand out.
    fn admit(&mut self, message: &Message) -> Result<bool, StreamError> {
        match self.packets.bytes(message) {
            [0x00, event @ ..] => {
                let Some(header) = event.first_chunk::<EVENT_HEADER>() else {
                    return Err(StreamError::Protocol("an event shorter than its header"));
                };
                let [_, _, _, _, kind, ..] = *header;
                let flags = u16::from_le_bytes([header[17], header[18]]);
                let preamble = flags & ARTIFICIAL != 0
                    || matches!(
                        kind,
                        event_type::ROTATE
                            | event_type::FORMAT_DESCRIPTION
                            | event_type::PREVIOUS_GTIDS
                            | event_type::MARIADB_GTID_LIST
                    );
                self.steady |= !preamble;
                let length = event.len() as u64;
                Ok(!self.skips(kind, flags, length)?)
            }
            [0xFF, ..] => Err(StreamError::refused(server_error(self.packets.bytes(message)))),
            bytes if connection::is_eof(bytes) => Err(StreamError::Closed),
            _ => Err(StreamError::Protocol("neither an event nor an error")),
        }
    }

    /// Whether the event lies before the position that was asked for.
    fn skips(&mut self, kind: u8, flags: u16, length: u64) -> Result<bool, StreamError> {
        let Some(skip) = &mut self.skip else { return Ok(false) };
        if flags & ARTIFICIAL != 0 {
            return Ok(false);
        }
        if skip.at == skip.until {
            self.skip = None;
            return Ok(false);
        }
        // A heartbeat says that the server is at the end of what there is.
        let heartbeat = matches!(kind, event_type::HEARTBEAT | event_type::HEARTBEAT_V2);
        if kind == event_type::ROTATE || heartbeat {
            return Err(StreamError::misplaced(Refusal::PositionBeyondFile, skip.until));
        }
        skip.at += length;
        if skip.at > skip.until {
            return Err(StreamError::misplaced(Refusal::PositionInsideEvent, skip.until));
        }
        // The format description is needed wherever the reading begins.
        Ok(kind != event_type::FORMAT_DESCRIPTION)
    }
}
