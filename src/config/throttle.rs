//! `throttle`: how much a delivery may write a second.

use serde::{Deserialize, Serialize};

use super::FieldError;

/// Rows a second, at most; more is no limit on any machine.
const ROWS_MAX: u64 = 1_000_000_000;
/// Least and most megabytes a second, besides 0.
const MEGABYTES_MIN: f64 = 0.001;
const MEGABYTES_MAX: f64 = 1_000_000.0;

/// Limits of what a delivery hands to its sink; 0 for none. Rows of the initial copy have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Row changes a second.
    pub rps: u64,
    /// Encoded output a second, in units of 10^6 bytes: keys and values, before compression.
    pub mbps: f64,
    /// Rows of the initial copy a second.
    pub snapshot_rps: u64,
    /// Encoded output of the initial copy a second, in units of 10^6 bytes.
    pub snapshot_mbps: f64,
}

impl Throttle {
    pub(super) fn validate(&self) -> Result<(), FieldError> {
        for (field, rows) in [("rps", self.rps), ("snapshot_rps", self.snapshot_rps)] {
            super::within(field, rows, 0, ROWS_MAX)?;
        }
        for (field, megabytes) in [("mbps", self.mbps), ("snapshot_mbps", self.snapshot_mbps)] {
            // Not a number lies in no range either.
            if megabytes != 0.0 && !(MEGABYTES_MIN..=MEGABYTES_MAX).contains(&megabytes) {
                let reason =
                    format!("{megabytes} is neither 0, for no limit, nor within {MEGABYTES_MIN} to {MEGABYTES_MAX}");
                return Err(FieldError::new(field, reason));
            }
        }
        Ok(())
    }
}
