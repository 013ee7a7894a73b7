//! Closings, at a payload's end: how each transaction that ended in the block ended.

/// How a transaction or range ended, in the closings at a payload's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Commit { time_us: u64 },
    Abandoned,
    Prepared,
}

/// Appends one closing: the count of entries of this block up to its end, as a step from the one before, then the
/// commit time as a zigzag step.
pub(crate) fn push_closing(out: &mut Vec<u8>, step: u64, closing: Closing, last_time: &mut u64) {
    let tag = match closing {
        Closing::Commit { .. } => 0,
        Closing::Abandoned => 1,
        Closing::Prepared => 2,
    };
    push_varint(out, step << 2 | tag);
    if let Closing::Commit { time_us } = closing {
        let delta = time_us.wrapping_sub(*last_time) as i64;
        push_varint(out, ((delta << 1) ^ (delta >> 63)) as u64);
        *last_time = time_us;
    }
}

/// Reads the closings of a block: for each the number of entries of the block up to its end, and how it ended.
pub(crate) fn closings(bytes: &[u8]) -> impl Iterator<Item = (u64, Closing)> + '_ {
    let mut rest = bytes;
    let mut entries = 0u64;
    let mut time = 0u64;
    std::iter::from_fn(move || {
        let head = take_varint(&mut rest)?;
        entries = entries.checked_add(head >> 2)?;
        let closing = match head & 3 {
            0 => {
                let zigzag = take_varint(&mut rest)?;
                time = time.wrapping_add(((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)) as u64);
                Closing::Commit { time_us: time }
            }
            1 => Closing::Abandoned,
            2 => Closing::Prepared,
            _ => return None,
        };
        Some((entries, closing))
    })
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closings_round_trip() {
        let mut bytes = Vec::new();
        let mut time = 0;
        push_closing(&mut bytes, 4, Closing::Commit { time_us: 1_700_000_000_000_000 }, &mut time);
        push_closing(&mut bytes, 1, Closing::Abandoned, &mut time);
        push_closing(&mut bytes, 0, Closing::Commit { time_us: 1_600_000_000_000_000 }, &mut time);
        push_closing(&mut bytes, 300, Closing::Prepared, &mut time);
        let read: Vec<_> = closings(&bytes).collect();
        assert_eq!(
            read,
            [
                (4, Closing::Commit { time_us: 1_700_000_000_000_000 }),
                (5, Closing::Abandoned),
                (5, Closing::Commit { time_us: 1_600_000_000_000_000 }),
                (305, Closing::Prepared),
            ]
        );
    }
}
