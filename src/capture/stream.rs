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
mod select;
mod tls;

use std::fmt;
use std::time::Duration;

pub use connection::{ConnectOptions, Connection};
pub use dump::{DumpFrom, DumpOptions};
pub use error::{Refusal, ServerError, StreamError, TlsError};
pub use reply::{Row, RowSet};
pub use select::{BinaryRow, Field, Selected};

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
    /// The first event, taken to see that there is one.
    held: Option<Message>,
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
    /// Rights missing, or a broken connection. What the server has against the position comes with
    /// [`BinlogStream::accepted`] or the first [`BinlogStream::next`].
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
            held: None,
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
        let message = match self.held.take() {
            Some(message) => message,
            None => self.receive().await?,
        };
        Ok(Packet { event: &self.packets.bytes(&message)[1..], more_buffered: self.packets.has_more() })
    }

    /// Waits until the server has judged the position: either its first event is at hand, which the next call of
    /// [`BinlogStream::next`] gives, or it refuses. Dropping the wait loses nothing.
    ///
    /// # Errors
    /// As [`BinlogStream::next`].
    pub async fn accepted(&mut self) -> Result<(), StreamError> {
        if self.held.is_none() {
            self.held = Some(self.receive().await?);
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Message, StreamError> {
        loop {
            let patience = if self.steady { self.steady_patience } else { self.first_event_patience };
            let message = self.packets.receive(patience).await?;
            if self.admit(&message)? {
                return Ok(message);
            }
        }
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
            bytes if connection::is_eof(bytes) => Err(StreamError::Ended),
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    fn event(kind: u8, flags: u16, body: usize) -> Vec<u8> {
        let length = (EVENT_HEADER + body) as u32;
        let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        event.extend_from_slice(&length.to_le_bytes());
        event.extend_from_slice(&[0; 4]);
        event.extend_from_slice(&flags.to_le_bytes());
        event.resize(EVENT_HEADER + body, kind);
        event
    }

    /// A stream of these messages, after which the server closes or, with `hang`, falls silent.
    fn scripted(messages: Vec<Vec<u8>>, skip: Option<Skip>, hang: bool) -> BinlogStream {
        let (ours, mut theirs) = duplex(1 << 16);
        tokio::spawn(async move {
            for (sequence, message) in messages.iter().enumerate() {
                let length = (message.len() as u32).to_le_bytes();
                theirs.write_all(&[length[0], length[1], length[2], sequence as u8]).await?;
                theirs.write_all(message).await?;
            }
            if hang {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(())
        });
        BinlogStream {
            packets: Packets::new(Box::new(ours)),
            first_event_patience: Duration::from_secs(600),
            steady_patience: Duration::from_secs(30),
            steady: false,
            skip,
            held: None,
            checksum_at_connect: true,
            connection_id: 7,
        }
    }

    fn ok(event: &[u8]) -> Vec<u8> {
        [&[0][..], event].concat()
    }

    async fn kinds(stream: &mut BinlogStream) -> (Vec<u8>, StreamError) {
        let mut kinds = Vec::new();
        loop {
            match stream.next().await {
                Ok(packet) => kinds.push(packet.event[4]),
                Err(error) => return (kinds, error),
            }
        }
    }

    const ROWS: u8 = 30;

    #[tokio::test]
    async fn every_end_of_a_stream_is_an_error_of_its_kind() {
        let end = |last: &'static [u8]| async move {
            let mut messages = vec![ok(&event(ROWS, 0, 10))];
            messages.extend((!last.is_empty()).then(|| last.to_vec()));
            let (kinds, error) = kinds(&mut scripted(messages, None, false)).await;
            assert_eq!(kinds, [ROWS]);
            error
        };
        assert!(matches!(end(b"").await, StreamError::Closed));
        assert!(matches!(end(b"\xfe\0\0\x02\0").await, StreamError::Ended));
        let purged = end(b"\xff\xd4\x04#HY000Could not find first log file name in binary log index file").await;
        assert_eq!(purged.refusal(), Some(Refusal::FileMissing));
        assert!(matches!(end(b"\0short").await, StreamError::Protocol(_)));
        assert!(matches!(end(b"\x05what").await, StreamError::Protocol(_)));
    }

    #[tokio::test]
    async fn a_refusal_is_known_before_the_first_event_and_an_accepted_event_is_not_lost() {
        let mut stream = scripted(vec![ok(&event(ROWS, 0, 10)), ok(&event(ROWS + 1, 0, 10))], None, false);
        stream.accepted().await.expect("an event");
        stream.accepted().await.expect("the same one");
        assert_eq!(kinds(&mut stream).await.0, [ROWS, ROWS + 1]);
        let refusal = b"\xff\xd4\x04#HY000Could not find first log file name in binary log index file".to_vec();
        let error = scripted(vec![refusal], None, false).accepted().await.expect_err("refused");
        assert_eq!(error.refusal(), Some(Refusal::FileMissing));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_long_until_the_first_event_and_short_from_then_on() {
        let begun = tokio::time::Instant::now();
        let preamble = vec![
            ok(&event(event_type::ROTATE, ARTIFICIAL, 20)),
            ok(&event(event_type::FORMAT_DESCRIPTION, 0, 90)),
            ok(&event(event_type::PREVIOUS_GTIDS, 0, 8)),
        ];
        let (_, error) = kinds(&mut scripted(preamble.clone(), None, true)).await;
        assert!(matches!(error, StreamError::Silent(_)), "{error}");
        assert_eq!(begun.elapsed().as_secs(), 600, "the server may still search its files");
        for first in [event_type::HEARTBEAT, event_type::HEARTBEAT_V2, ROWS] {
            let begun = tokio::time::Instant::now();
            let messages = [preamble.clone(), vec![ok(&event(first, 0, 20))]].concat();
            kinds(&mut scripted(messages, None, true)).await;
            assert_eq!(begun.elapsed().as_secs(), 30, "type {first}");
        }
    }

    #[tokio::test]
    async fn what_lies_before_a_position_is_left_out_but_the_format_description() {
        let file = |skip_until| {
            let messages = vec![
                ok(&event(event_type::ROTATE, ARTIFICIAL, 30)),
                ok(&event(event_type::FORMAT_DESCRIPTION, 0, 100 - EVENT_HEADER)),
                ok(&event(ROWS, 0, 200 - EVENT_HEADER)),
                ok(&event(ROWS + 1, 0, 300 - EVENT_HEADER)),
                ok(&event(event_type::HEARTBEAT, 0, 10)),
            ];
            scripted(messages, Some(Skip { at: FILE_START, until: skip_until }), false)
        };
        let (read, _) = kinds(&mut file(4 + 100 + 200)).await;
        assert_eq!(read, [event_type::ROTATE, event_type::FORMAT_DESCRIPTION, ROWS + 1, event_type::HEARTBEAT]);
        let (read, error) = kinds(&mut file(4 + 100 + 199)).await;
        assert_eq!(read, [event_type::ROTATE, event_type::FORMAT_DESCRIPTION]);
        assert_eq!(error.refusal(), Some(Refusal::PositionInsideEvent));
        let (_, error) = kinds(&mut file(10_000)).await;
        assert_eq!(error.refusal(), Some(Refusal::PositionBeyondFile), "a heartbeat says that there is no more");
        // Exactly at the end: nothing is left out of what follows.
        let (read, _) = kinds(&mut file(4 + 100 + 200 + 300)).await;
        assert_eq!(read.last(), Some(&event_type::HEARTBEAT));
    }
}
