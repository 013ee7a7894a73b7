//! Places at which a test can end the process as a crash would. In builds with debug assertions only: a release has
//! none.
//!
//! `RELAY_FAILPOINT=PLACE:N` ends the process the Nth time that the place is reached; `PLACE:N+US` so many microseconds
//! later, in the midst of what comes next. The places are named where they are reached; nothing is cleaned up.

#[cfg(all(debug_assertions, feature = "kafka"))]
pub(crate) use armed::reach;

/// The place is reached.
#[cfg(all(not(debug_assertions), feature = "kafka"))]
#[inline(always)]
pub(crate) fn reach(_place: &str) {}

#[cfg(all(debug_assertions, feature = "kafka"))]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    /// Where and when the process is to end.
    struct Armed {
        place: String,
        left: AtomicI64,
        delay: Duration,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    /// The place is reached.
    pub(crate) fn reach(place: &str) {
        let armed = ARMED.get_or_init(|| parse(&std::env::var("RELAY_FAILPOINT").ok()?));
        let Some(armed) = armed.as_ref().filter(|armed| armed.place == place) else { return };
        if armed.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        if armed.delay.is_zero() {
            std::process::abort();
        }
        let delay = armed.delay;
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            std::process::abort();
        });
    }

    fn parse(text: &str) -> Option<Armed> {
        let (place, when) = text.rsplit_once(':')?;
        let (count, delay) = when.split_once('+').unwrap_or((when, "0"));
        let left = AtomicI64::new(count.parse().ok()?);
        Some(Armed { place: place.to_owned(), left, delay: Duration::from_micros(delay.parse().ok()?) })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_place_a_count_and_a_delay_are_told_apart() {
            let armed = parse("transaction.drained:3+250").expect("well formed");
            assert_eq!((&*armed.place, armed.delay), ("transaction.drained", Duration::from_micros(250)));
            assert_eq!(armed.left.into_inner(), 3);
            assert_eq!(parse("transaction.drained:1").expect("well formed").delay, Duration::ZERO);
            assert!(parse("transaction.drained").is_none() && parse("a:b").is_none());
        }
    }
}
