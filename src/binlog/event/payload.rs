//! TRANSACTION_PAYLOAD: the events of one transaction, compressed together. Only its fields are read here; what
//! unpacks it decides how much memory that may take.

use super::mariadb::expect;
use super::{Event, EventType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// zstd frames, one after the other.
    Zstd,
}

/// The fields of event 40: each a length-encoded type, length and value, up to the end mark; then the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    /// How [`payload`](Self::payload) is compressed.
    pub compression: Compression,
    /// What it must inflate to, in bytes, as the server states it.
    pub uncompressed_size: Option<u64>,
    /// The events, without checksums, their positions 0.
    pub payload: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    /// Reads event 40.
    ///
    /// # Errors
    /// When the event is of another type or cut, its payload is not of the stated size, or its compression is unknown.
    pub fn parse(event: &Event<'a>) -> Result<TransactionPayload<'a>> {
        expect(event, EventType::TRANSACTION_PAYLOAD)?;
        let mut r = Reader::new(event.body);
        let (mut size, mut compression, mut uncompressed_size) = (None, Compression::None, None);
        loop {
            let field = r.lenenc("payload field")?;
            if field == 0 {
                break;
            }
            let mut value = Reader::new(r.lenenc_bytes("payload field")?);
            match field {
                1 => size = Some(value.lenenc("payload size")?),
                2 => {
                    compression = match value.lenenc("payload compression")? {
                        0 => Compression::Zstd,
                        255 => Compression::None,
                        value => return Err(DecodeError::Unsupported { what: "payload compression", value }),
                    }
                }
                3 => uncompressed_size = Some(value.lenenc("payload uncompressed size")?),
                // Fields of later servers are skipped, as the server itself does.
                _ => {}
            }
        }
        let payload = match size {
            Some(size) => r.take_u64(size, "payload")?,
            None => r.take(r.len(), "payload")?,
        };
        r.finish("payload")?;
        Ok(TransactionPayload { compression, uncompressed_size, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::Checksum;
    use crate::binlog::event::tests::event;

    #[test]
    fn fields_are_read_and_the_size_must_fit() {
        let body = |size: u8| [&[2, 1, 0, 3, 3, 0xFC, 0, 1, 1, 1, size, 9, 1, 5, 0][..], &[1, 2, 3]].concat();
        let parse = |body: &[u8]| {
            let raw = event(EventType::TRANSACTION_PAYLOAD, body, Checksum::None);
            TransactionPayload::parse(&Event::parse(&raw, Checksum::None).unwrap())
                .map(|p| (p.compression, p.uncompressed_size, p.payload.to_vec()))
        };
        assert_eq!(parse(&body(3)), Ok((Compression::Zstd, Some(256), vec![1, 2, 3])));
        assert!(parse(&body(4)).is_err());
        assert!(parse(&body(2)).is_err());
        let mut unknown = body(3);
        unknown[2] = 9;
        assert!(parse(&unknown).is_err());
        assert!(parse(&[2, 1]).is_err());
    }
}
