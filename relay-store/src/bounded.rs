//! Decoding with bincode, bounded by the bytes at hand: what a length in them claims is never allocated for.

use bincode::Decode;
use bincode::error::DecodeError;

/// The most that decoded bytes grow: the smallest element of any list we store is two bytes (`Closed::Forgotten` without
/// a name) and 48 in memory.
const GROWTH: usize = 32;

/// Decodes all of `bytes`; bytes left over are an error.
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    // bincode takes its limit as a constant, so there is a ladder of them.
    let (value, used) = match bytes.len().saturating_mul(GROWTH) {
        0..=0x400 => limited::<T, 0x400>(bytes),
        0x401..=0x2000 => limited::<T, 0x2000>(bytes),
        0x2001..=0x1_0000 => limited::<T, 0x1_0000>(bytes),
        0x1_0001..=0x8_0000 => limited::<T, 0x8_0000>(bytes),
        0x8_0001..=0x40_0000 => limited::<T, 0x40_0000>(bytes),
        0x40_0001..=0x200_0000 => limited::<T, 0x200_0000>(bytes),
        0x200_0001..=0x1000_0000 => limited::<T, 0x1000_0000>(bytes),
        // The largest header or footer, grown.
        _ => limited::<T, { GROWTH * (256 << 20) }>(bytes),
    }?;
    if used == bytes.len() { Ok(value) } else { Err(DecodeError::Other("bytes are left over")) }
}

fn limited<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    bincode::decode_from_slice(bytes, bincode::config::standard().with_limit::<LIMIT>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Closed;

    #[test]
    fn densest_list_decodes_at_every_length_and_a_claim_beyond_the_bytes_does_not() {
        for len in [0usize, 1, 7, 100, 2_000, 40_000, 700_000] {
            let list = vec![Closed::Forgotten { xid: Vec::new() }; len];
            let bytes = bincode::encode_to_vec(&list, bincode::config::standard()).expect("encodes");
            assert_eq!(decode::<Vec<Closed>>(&bytes).expect("decodes").len(), len);
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(decode::<Vec<Closed>>(&longer).is_err());
        }
        // A text of 60 MiB, in six bytes.
        let claim = bincode::encode_to_vec(60u64 << 20, bincode::config::standard()).expect("encodes");
        let error = decode::<Vec<u8>>(&claim).expect_err("refused");
        assert!(matches!(error, DecodeError::LimitExceeded), "{error}");
    }
}
