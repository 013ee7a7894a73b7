//! Why a delivery's life ended, with its class and the operator's next step.

use relay_store::{CursorError, Gap, GapReason, ReadError, Seq};
use thiserror::Error;

use crate::failure::{Class, Failure};
use crate::filter::FilterError;
use crate::format::registry::RegistryError;
use crate::sink::SinkError;

/// What ended a life of a delivery.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// The sink could not go on.
    #[error("{}", at_place(.0))]
    Sink(#[from] SinkError),
    /// The sink took nothing for as long as its retry window, and nobody wants it waited for any longer.
    #[error("{reason}, for {} s", waited.as_secs())]
    Waited {
        /// Why it waited.
        reason: String,
        /// For how long.
        waited: std::time::Duration,
    },
    /// The log refused a read.
    #[error("read the log: {0}")]
    Read(ReadError),
    /// The cursor could not be read or moved.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Retention took entries that the cursor had not delivered.
    #[error("cursor {cursor:?} is lost: {gap}")]
    Lost {
        /// The cursor.
        cursor: String,
        /// What is gone.
        gap: Gap,
    },
    /// Entries that the cursor needs cannot be read.
    #[error("the log has a gap before cursor {cursor:?}: {gap}")]
    Gap {
        /// The cursor.
        cursor: String,
        /// What cannot be read.
        gap: Gap,
    },
    /// A block holds something that belongs to no table and cannot be decoded.
    #[error("decode entry {seq}: {reason}")]
    Decode {
        /// The entry.
        seq: Seq,
        /// What is wrong.
        reason: String,
    },
    /// Decoding panicked: a fault of ours, contained to this delivery.
    #[error("decoding panicked after entry {after}: {message}")]
    Panic {
        /// Last entry decoded well.
        after: Seq,
        /// The panic's text.
        message: String,
    },
    /// Its place cannot be found.
    #[error("start of delivery {cursor:?}: {reason}")]
    Start {
        /// The cursor.
        cursor: String,
        /// What is wrong with the address.
        reason: String,
    },
    /// The schema registry gave no id.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// One of its conditions does not parse.
    #[error("filter: {0}")]
    Filter(#[from] FilterError),
    /// Its script does not compile.
    #[error("etl: {0}")]
    Script(String),
    /// The store was closed, or a task of the delivery was ended by the runtime.
    #[error("the delivery was interrupted: {0}")]
    Interrupted(String),
}

fn at_place(error: &SinkError) -> String {
    match &error.place {
        Some(place) => format!("{} (table {}, seq {}:{})", error.reason, place.table, place.seq, place.row),
        None => error.reason.clone(),
    }
}

impl DeliveryError {
    /// The error of a gap, by its reason.
    pub(super) fn of_gap(cursor: &str, gap: Gap) -> Self {
        let cursor = cursor.to_owned();
        match gap.reason {
            GapReason::Trimmed => Self::Lost { cursor, gap },
            GapReason::LostEnd | GapReason::Damaged { .. } => Self::Gap { cursor, gap },
        }
    }
}

impl Failure for DeliveryError {
    fn class(&self) -> Class {
        match self {
            Self::Sink(error) => error.class,
            Self::Registry(error) => error.class(),
            Self::Cursor(CursorError::Poisoned(_)) => Class::Fatal,
            Self::Cursor(CursorError::Storage(_) | CursorError::Closed | CursorError::StaleEpoch { .. })
            | Self::Read(ReadError::Storage(_))
            | Self::Waited { .. }
            | Self::Interrupted(_) => Class::Transient,
            Self::Cursor(_)
            | Self::Read(ReadError::Gap(_))
            | Self::Lost { .. }
            | Self::Gap { .. }
            | Self::Decode { .. }
            | Self::Panic { .. }
            | Self::Filter(_)
            | Self::Script(_)
            | Self::Start { .. } => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Sink(error) => error.next_step.clone(),
            Self::Registry(error) => error.next_step(),
            Self::Waited { .. } => Some("resume the delivery once the destination is back".to_owned()),
            Self::Lost { cursor, gap } | Self::Gap { cursor, gap } => Some(format!(
                "go on behind the gap with relay-cursor reset {cursor} --to seq:{}, or elsewhere",
                gap.last.next()
            )),
            Self::Decode { .. } | Self::Panic { .. } => {
                Some("report it with relay-dump's output of that entry; the log keeps it".to_owned())
            }
            Self::Filter(_) => Some("correct the condition, then reload the config".to_owned()),
            Self::Script(_) => Some("correct the script, then reload the config".to_owned()),
            Self::Start { .. } => Some("correct start in the delivery's config".to_owned()),
            _ => None,
        }
    }

    fn is_connection(&self) -> bool {
        match self {
            Self::Sink(error) => error.class == Class::Transient,
            Self::Registry(error) => error.class() == Class::Transient,
            error => matches!(error, Self::Waited { .. }),
        }
    }

    fn is_exhausted(&self) -> bool {
        matches!(self, Self::Waited { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_cursor_is_definite_and_says_how_to_go_on() {
        let gap = Gap { first: Seq(5), last: Seq(9), reason: GapReason::Trimmed };
        let error = DeliveryError::of_gap("orders", gap);
        assert_eq!(error.class(), Class::Definite);
        assert!(error.next_step().expect("a next step").contains("relay-cursor reset orders --to seq:10"));
        assert!(error.to_string().contains("lost"));
    }

    #[test]
    fn a_record_at_fault_is_named() {
        let place = crate::sink::Place { seq: Seq(7), row: 3, table: "shop.orders".to_owned() };
        let error = DeliveryError::from(SinkError::definite("too large").at(place));
        assert_eq!(error.to_string(), "too large (table shop.orders, seq 7:3)");
    }
}
