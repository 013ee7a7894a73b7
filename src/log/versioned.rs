//! Records behind a version byte: how checkpoints and table definitions are stored.

use bincode::error::DecodeError;
use bincode::{Decode, Encode};

use super::LogError;

/// The most that decoded bytes grow: an element of our lists is seven bytes or more (a column) and 104 in memory.
const GROWTH: usize = 32;

/// Encodes behind a version byte.
pub(super) fn encode<T: Encode>(version: u8, value: &T) -> Vec<u8> {
    let mut out = vec![version];
    bincode::encode_into_std_write(value, &mut out, bincode::config::standard())
        .expect("writing to a vector cannot fail");
    out
}

/// Decodes what [`encode`] wrote; all bytes must be used. What a length in them claims is not allocated for beyond what
/// the bytes at hand can hold.
pub(super) fn decode<T: Decode<()>>(what: &'static str, known: u8, bytes: &[u8]) -> Result<T, LogError> {
    let (&version, rest) = bytes.split_first().ok_or(LogError::Short { what })?;
    if version != known {
        return Err(LogError::Version { what, version, known });
    }
    // bincode takes its limit as a constant, so there is a ladder of them.
    let decoded = match rest.len().saturating_mul(GROWTH) {
        0..=0x1000 => limited::<T, 0x1000>(rest),
        0x1001..=0x1_0000 => limited::<T, 0x1_0000>(rest),
        0x1_0001..=0x10_0000 => limited::<T, 0x10_0000>(rest),
        _ => limited::<T, { 64 << 20 }>(rest),
    };
    let (value, used) = decoded.map_err(|e| LogError::Decode { what, reason: e.to_string() })?;
    if used != rest.len() {
        return Err(LogError::Decode { what, reason: format!("{} bytes left over", rest.len() - used) });
    }
    Ok(value)
}

fn limited<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    bincode::decode_from_slice(bytes, bincode::config::standard().with_limit::<LIMIT>())
}
