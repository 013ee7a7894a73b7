//! How bodies of records are compressed, by the names that `Content-Encoding` and `Accept-Encoding` give them.
//!
//! A body is one compressed stream, its records' trailer included.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A compression that the service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    Raw,
    /// A zlib stream (RFC 1950).
    #[default]
    Deflate,
    /// A zstd frame.
    Zstd,
    /// An LZ4 frame.
    Lz4,
    /// Snappy's framing format.
    Snappy,
}

/// Every compression there is.
pub const COMPRESSIONS: [Compression; 5] =
    [Compression::Raw, Compression::Deflate, Compression::Zstd, Compression::Lz4, Compression::Snappy];

/// zlib's and zstd's fastest ordinary level: what is sent is read once.
const LEVEL: u8 = 1;

/// A body that does not decompress.
#[derive(Debug, Error)]
pub enum DecompressError {
    /// Not a stream of this compression, or one that ends early.
    #[error("decompress {}: {reason}", compression.content_encoding().unwrap_or("raw"))]
    Damaged {
        /// The compression.
        compression: Compression,
        /// What its decoder says.
        reason: io::Error,
    },
    /// More bytes than are allowed.
    #[error("decompress {}: more than {limit} bytes", compression.content_encoding().unwrap_or("raw"))]
    TooLong {
        /// The compression.
        compression: Compression,
        /// How many are.
        limit: usize,
    },
}

impl Compression {
    /// The value of `Content-Encoding`; none for a body that is not compressed.
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("x-lz4-frame"),
            Self::Snappy => Some("x-snappy-framed"),
        }
    }

    /// By the value of `Content-Encoding`; none for one that is not known.
    pub fn parse(content_encoding: Option<&str>) -> Option<Self> {
        match content_encoding {
            Some("identity") => Some(Self::Raw),
            named => COMPRESSIONS.into_iter().find(|compression| compression.content_encoding() == named),
        }
    }

    /// The bytes of a compressed body, at most `limit` of them.
    ///
    /// # Errors
    /// See [`DecompressError`]; bytes that follow the stream's end are damage.
    pub fn decompress(self, body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
        let mut bytes = Vec::new();
        let most = limit as u64 + 1;
        let left = match self {
            Self::Raw => body.take(most).read_to_end(&mut bytes).map(|_| 0),
            Self::Deflate => {
                let mut reader = flate2::bufread::ZlibDecoder::new(body);
                read(&mut reader, most, &mut bytes).map(|()| reader.into_inner().len())
            }
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(body).and_then(|reader| {
                let mut reader = reader.single_frame();
                read(&mut reader, most, &mut bytes).map(|()| reader.finish().len())
            }),
            Self::Lz4 => {
                let mut reader = lz4_flex::frame::FrameDecoder::new(body);
                read(&mut reader, most, &mut bytes).map(|()| reader.into_inner().len())
            }
            // Its streams have no end mark: they end where the body does.
            Self::Snappy => read(&mut snap::read::FrameDecoder::new(body), most, &mut bytes).map(|()| 0),
        };
        let damaged = |reason| DecompressError::Damaged { compression: self, reason };
        let left = left.map_err(damaged)?;
        if bytes.len() > limit {
            return Err(DecompressError::TooLong { compression: self, limit });
        }
        if left > 0 {
            return Err(damaged(io::Error::other("more bytes follow its end")));
        }
        if self == Self::Lz4 && !ends_as_lz4(body) {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }
}

/// Whether an LZ4 frame has its end mark, which its decoder does not miss: a block of no bytes, before the checksum of
/// the content if the frame's flags say that there is one.
fn ends_as_lz4(body: &[u8]) -> bool {
    const FLAGS: usize = 4;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    let after = if body.get(FLAGS).is_some_and(|flags| flags & CONTENT_CHECKSUM != 0) { 4 } else { 0 };
    body.len().checked_sub(after).is_some_and(|end| body[..end].ends_with(&[0; 4]))
}

fn read(reader: &mut impl Read, most: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    reader.take(most).read_to_end(bytes).map(drop)
}

/// Compresses a body as it grows; what is compressed lies in memory.
pub struct Compressor(Stream);

enum Stream {
    Raw(Vec<u8>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("compressed", &self.compressed()).finish()
    }
}

impl Compressor {
    /// An empty body.
    ///
    /// # Errors
    /// Memory that the compression's library could not get.
    pub fn new(compression: Compression) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::Raw => Stream::Raw(Vec::new()),
            Compression::Deflate => {
                Stream::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(LEVEL.into())))
            }
            Compression::Zstd => Stream::Zstd(zstd::stream::write::Encoder::new(Vec::new(), LEVEL.into())?),
            Compression::Lz4 => Stream::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Compression::Snappy => Stream::Snappy(Box::new(snap::write::FrameEncoder::new(Vec::new()))),
        }))
    }

    /// Adds to the body.
    ///
    /// # Errors
    /// As [`Compressor::new`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Stream::Raw(body) => body.write_all(bytes),
            Stream::Deflate(stream) => stream.write_all(bytes),
            Stream::Zstd(stream) => stream.write_all(bytes),
            Stream::Lz4(stream) => stream.write_all(bytes),
            Stream::Snappy(stream) => stream.write_all(bytes),
        }
    }

    /// Bytes of the body that are compressed by now; a little more is held back until the end.
    pub fn compressed(&self) -> usize {
        match &self.0 {
            Stream::Raw(body) => body.len(),
            Stream::Deflate(stream) => stream.get_ref().len(),
            Stream::Zstd(stream) => stream.get_ref().len(),
            Stream::Lz4(stream) => stream.get_ref().len(),
            Stream::Snappy(stream) => stream.get_ref().len(),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Compressor::new`].
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Stream::Raw(body) => Ok(body),
            Stream::Deflate(stream) => stream.finish(),
            Stream::Zstd(stream) => stream.finish(),
            Stream::Lz4(stream) => stream.finish().map_err(io::Error::from),
            Stream::Snappy(stream) => stream.into_inner().map_err(|error| error.into_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies that a real client sent, and what they hold.
    const BODIES: [(Compression, &[u8], &[u8]); 6] = {
        macro_rules! body {
            ($name:literal) => {
                include_bytes!(concat!("../../../tests/fixtures/maxcompute/bodies/", $name)) as &[u8]
            };
        }
        [
            (Compression::Deflate, body!("043-upload-zlib.bin"), body!("043-upload-zlib.raw.bin")),
            (Compression::Zstd, body!("049-upload-zstd.bin"), body!("049-upload-zstd.raw.bin")),
            (Compression::Lz4, body!("055-upload-lz4.bin"), body!("055-upload-lz4.raw.bin")),
            (Compression::Snappy, body!("061-upload-snappy.bin"), body!("061-upload-snappy.raw.bin")),
            (Compression::Deflate, body!("097-stream-zlib.bin"), body!("097-stream-zlib.raw.bin")),
            (Compression::Deflate, body!("151-upsert-partitioned.bin"), body!("151-upsert-partitioned.raw.bin")),
        ]
    };

    #[test]
    fn bodies_of_the_real_client_decompress() {
        for (compression, body, raw) in BODIES {
            assert_eq!(compression.decompress(body, raw.len()).expect("a whole body"), raw, "{compression:?}");
        }
    }

    #[test]
    fn what_is_compressed_decompresses_in_pieces_of_any_size() {
        let long: Vec<u8> = (0..300_000u32).flat_map(|n| (n.wrapping_mul(n) / 7).to_le_bytes()).collect();
        for compression in COMPRESSIONS {
            for (raw, piece) in [(&long[..], 70_000), (&long[..5000], 1), (&[][..], 1)] {
                let mut compressor = Compressor::new(compression).expect("memory");
                raw.chunks(piece).for_each(|piece| compressor.write(piece).expect("memory"));
                let held = compressor.compressed();
                let body = compressor.finish().expect("memory");
                assert!(held <= body.len());
                assert_eq!(compression.decompress(&body, raw.len()).expect("a whole body"), raw, "{compression:?}");
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_or_followed_or_foreign_is_refused() {
        for (compression, body, raw) in BODIES {
            let more = [body, b"x"].concat();
            assert!(compression.decompress(&more, 1 << 20).is_err(), "{compression:?}: followed");
            assert!(compression.decompress(b"\x00\x01\x02\x03\x04\x05\x06\x07", 1 << 20).is_err(), "{compression:?}");
            for end in 1..body.len() {
                // A frame of Snappy may end at any of its chunks: what is missing then is the records' trailer.
                let cut = compression.decompress(&body[..end], 1 << 20);
                assert!(
                    cut.is_err() || cut.is_ok_and(|bytes| bytes.len() < raw.len()),
                    "{compression:?}: cut at {end}"
                );
            }
        }
    }

    #[test]
    fn a_body_that_grows_beyond_the_limit_is_refused() {
        let zeros = vec![0; 10 << 20];
        for compression in COMPRESSIONS {
            let mut compressor = Compressor::new(compression).expect("memory");
            compressor.write(&zeros).expect("memory");
            let body = compressor.finish().expect("memory");
            let refused = compression.decompress(&body, zeros.len() - 1);
            assert!(matches!(refused, Err(DecompressError::TooLong { .. })), "{compression:?}");
        }
    }

    #[test]
    fn names_lead_back_to_their_compression() {
        for compression in COMPRESSIONS {
            assert_eq!(Compression::parse(compression.content_encoding()), Some(compression));
        }
        assert_eq!(Compression::parse(Some("identity")), Some(Compression::Raw));
        assert_eq!(Compression::parse(Some("gzip")), None);
    }
}
