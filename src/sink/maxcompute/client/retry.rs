//! When a call is made again: pure, by what its failure says. Commits of batch sessions are never made again by this;
//! what follows them is asked of the session.

use std::time::Duration;

use super::error::{ClientError, Reason};

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(64);
/// The longest wait that the service may ask for.
const ASKED_MAX: Duration = Duration::from_secs(300);
/// Tries after the first for a service with problems of its own, and for a connection that broke.
const RETRIES_MAX: u32 = 7;

/// How long to wait before try number `tried` + 1; none when the call is not made again. `tried` counts from 1. The
/// caller adds its jitter below.
pub fn wait(error: &ClientError, tried: u32) -> Option<Duration> {
    let doubled = Duration::from_secs(1 << tried.saturating_sub(1).min(6)).min(LONGEST);
    match error {
        ClientError::NoAnswer { .. } => (tried <= RETRIES_MAX).then_some(doubled),
        ClientError::Refused(refusal) => {
            let asked = refusal.retry_after.map(|asked| asked.min(ASKED_MAX));
            match refusal.reason() {
                // Without limit: a quota comes back, a slot is somewhere.
                Reason::Flow => Some(asked.unwrap_or(doubled)),
                Reason::Moved => Some(doubled),
                Reason::Busy => (tried <= RETRIES_MAX).then(|| asked.unwrap_or(doubled)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Refusal;
    use super::*;

    fn refused(status: u16, retry_after: Option<u64>) -> ClientError {
        ClientError::Refused(Box::new(Refusal {
            call: "write a block",
            status,
            code: String::new(),
            message: String::new(),
            request_id: None,
            retry_after: retry_after.map(Duration::from_secs),
            latest_schema_version: None,
            routed_server: None,
        }))
    }

    fn seconds(error: &ClientError, tried: u32) -> Option<u64> {
        wait(error, tried).map(|wait| wait.as_secs())
    }

    #[test]
    fn waits_double_to_64_seconds_and_end_where_nothing_is_promised() {
        let busy = refused(503, None);
        let waits: Vec<_> = (1..=9).map(|tried| seconds(&busy, tried)).collect();
        let expected = [1, 2, 4, 8, 16, 32, 64].map(Some).into_iter().chain([None, None]);
        assert_eq!(waits, expected.collect::<Vec<_>>());
        let broken = ClientError::NoAnswer { call: "x", host: String::new(), reason: String::new(), unsent: false };
        assert_eq!([1, 7, 8].map(|tried| seconds(&broken, tried)), [Some(1), Some(64), None]);
    }

    #[test]
    fn quotas_and_moved_slots_are_waited_for_without_limit() {
        assert_eq!(seconds(&refused(429, None), 1000), Some(64));
        assert_eq!(seconds(&refused(308, None), 1000), Some(64));
        assert_eq!(seconds(&refused(429, Some(5)), 1000), Some(5));
        assert_eq!(seconds(&refused(429, Some(100_000)), 1), Some(300));
    }

    #[test]
    fn what_another_try_does_not_change_is_not_tried() {
        for status in [400, 401, 403, 404, 409, 412] {
            assert_eq!(wait(&refused(status, Some(1)), 1), None, "{status}");
        }
    }
}
