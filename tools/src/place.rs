//! A log opened to read, and the stretch of it that a user asked for.

use std::path::Path;

use relay::log::address::Address;
use relay_store::{ReadOnlyLog, Seq};

use crate::ended::Ended;

/// Entries from `first` to `last`, both included; none when `last` comes before `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// First seq.
    pub first: Seq,
    /// Last seq.
    pub last: Seq,
}

/// Opens the log of a live or stopped store. Changes nothing and asks no one.
///
/// # Errors
/// No store there, or one that cannot be read.
pub fn open_log(dir: &Path) -> Result<ReadOnlyLog, Ended> {
    Ok(ReadOnlyLog::open(dir)?)
}

/// The stretch between two addresses. `to` is where reading stops: an entry named by its seq is still read, any other
/// address is the first transaction that is not.
///
/// # Errors
/// An address outside the log, or `from` behind `to`.
pub fn stretch(log: &ReadOnlyLog, from: Option<&Address>, to: Option<&Address>) -> Result<Stretch, Ended> {
    let first = from.unwrap_or(&Address::Earliest).resolve(log)?;
    let last = match to {
        None => log.positions().visible_seq,
        Some(address @ Address::Seq(seq)) => {
            // One behind the end resolves, because a reader may wait there; nothing can be read up to it.
            let resolved = address.resolve(log)?;
            let visible = log.positions().visible_seq;
            if resolved > visible {
                return Err(Ended::usage(format_args!(
                    "--to seq:{seq} lies after the log's end (seq {visible}): latest is the end as it is now"
                )));
            }
            resolved
        }
        Some(address) => address.resolve(log)?.prev(),
    };
    if let (Some(from), Some(to)) = (from, to)
        && last.next() < first
    {
        let seq = last.next();
        return Err(Ended::usage(format_args!(
            "--from {from} is seq {first}, which lies behind --to {to} (seq {seq})"
        )));
    }
    Ok(Stretch { first, last })
}
