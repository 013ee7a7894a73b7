//! What every sink must do, asked of each in the same words: cumulative acks, resuming from an ack with its state, and
//! the four faults, after which nothing may be missing.

use std::time::Duration;

use relay_store::Seq;

use super::batch::tests::batch_to;
use super::faults::{Fault, Faults, FaultySink};
use super::{Ack, Batch, Opening, Progress, Sink, SinkError};

/// A destination under test.
pub(crate) trait Destination {
    /// Its sink.
    type Sink: Sink;

    /// A sink for the next life.
    fn sink(&self) -> Self::Sink;

    /// Name of the place that batches go to.
    fn place(&self) -> &str;

    /// All values there, in order.
    fn values(&self) -> Vec<String>;
}

fn numbered(place: &str, first: u64, count: u64) -> Batch {
    let values: Vec<String> = (first..first + count).map(|n| format!("{n:05}")).collect();
    batch_to(place, first, &values.iter().map(String::as_str).collect::<Vec<_>>())
}

fn values(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| format!("{n:05}")).collect()
}

/// One life: from the ack on, in batches of ten up to `last`; returns the last ack and how it ended. `given` is the
/// highest seq that any life of the destination was given.
async fn live<S: Sink>(mut sink: S, place: &str, from: &Ack, last: u64, given: &mut u64) -> (Ack, Option<SinkError>) {
    let opening = Opening::new("conformance", from.seq, from.state.clone().unwrap_or_default());
    let progress: Progress = opening.progress.clone();
    let mut best = from.clone();
    let keep = |best: &mut Ack, ack: Ack| {
        assert!(ack.seq >= best.seq, "an ack goes back: {ack:?} after {best:?}");
        *best = Ack { seq: ack.seq, state: ack.state.or(best.state.take()) };
    };
    let mut failure = sink.open(opening).await.err();
    let mut next = from.seq.0 + 1;
    while failure.is_none() && next <= last {
        let count = 10.min(last - next + 1);
        *given = (*given).max(next + count - 1);
        match sink.deliver(&numbered(place, next, count)).await {
            Ok(ack) => {
                assert!(ack.seq.0 <= *given, "acked what was never given: {ack:?}");
                keep(&mut best, ack);
            }
            Err(error) => failure = Some(error),
        }
        next += count;
    }
    match sink.close().await {
        Ok(ack) => keep(&mut best, ack),
        Err(error) => failure = failure.or(Some(error)),
    }
    keep(&mut best, progress.take_ack());
    (best, failure)
}

/// Everything is acked at the end, and there once.
pub(crate) async fn acks_all_of_it(destination: &impl Destination) {
    let nothing = Ack { seq: Seq::ZERO, state: None };
    let (ack, failure) = live(destination.sink(), destination.place(), &nothing, 95, &mut 0).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(ack.seq, Seq(95));
    assert_eq!(destination.values(), values(1..=95));
}

/// A second life goes on behind the first one's ack without a gap and without repeating anything.
pub(crate) async fn resumes_from_its_ack(destination: &impl Destination) {
    let nothing = Ack { seq: Seq::ZERO, state: None };
    let mut given = 0;
    let (first, _) = live(destination.sink(), destination.place(), &nothing, 50, &mut given).await;
    let (second, failure) = live(destination.sink(), destination.place(), &first, 80, &mut given).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!((first.seq, second.seq), (Seq(50), Seq(80)));
    assert_eq!(destination.values(), values(1..=80));
}

/// What was given last is acked although nothing more comes.
pub(crate) async fn acks_while_idle(destination: &impl Destination) {
    let mut sink = destination.sink();
    let opening = Opening::new("conformance", Seq::ZERO, Vec::new());
    let progress = opening.progress.clone();
    sink.open(opening).await.expect("open");
    for first in (1..=191).step_by(10) {
        sink.deliver(&numbered(destination.place(), first, 10)).await.expect("deliver");
    }
    let reached = tokio::time::timeout(Duration::from_secs(20), progress.reached(Seq(200))).await;
    assert!(reached.is_ok(), "acked {} of 200 while idle", progress.acked());
    sink.close().await.expect("close");
}

/// Entries without records move the ack.
pub(crate) async fn covers_entries_without_records(destination: &impl Destination) {
    let mut sink = destination.sink();
    sink.open(Opening::new("conformance", Seq(4), Vec::new())).await.expect("open");
    let nothing = Batch { first: Seq(5), last: Seq(9), ..Batch::default() };
    sink.deliver(&nothing).await.expect("deliver");
    assert_eq!(sink.close().await.expect("close").seq, Seq(9));
    assert!(destination.values().is_empty());
}

/// After each fault a new life from the last ack brings what is missing; what repeats is a run that begins right
/// behind the ack.
pub(crate) async fn survives_the_four_faults(destination: &impl Destination) {
    let slow = Fault::Slow(Duration::from_millis(20));
    let faults = Faults::new([
        Fault::Pass,
        Fault::Reject,
        Fault::Pass,
        Fault::FailAfterWrite,
        slow,
        Fault::Pass,
        Fault::Hold,
        Fault::Pass,
        slow,
    ]);
    let (mut ack, mut given) = (Ack { seq: Seq::ZERO, state: None }, 0);
    for life in 0.. {
        assert!(life < 10, "it does not come to an end");
        let sink = FaultySink::new(destination.sink(), &faults);
        let (next, _) = live(sink, destination.place(), &ack, 200, &mut given).await;
        let numbers: Vec<u64> = destination.values().iter().map(|v| v.parse().expect("a number")).collect();
        // A life may begin again behind the ack, and goes on one by one from there: it never jumps ahead.
        let gap = numbers.windows(2).find(|pair| pair[1] > pair[0] + 1);
        assert_eq!(gap, None, "life {life} leaves a gap");
        assert!(numbers.iter().max().copied().unwrap_or(0) >= next.seq.0, "acked what is not there: {next:?}");
        ack = next;
        if ack.seq == Seq(200) {
            break;
        }
    }
    assert_eq!(faults.left(), 0, "every fault was met");
    let mut distinct = destination.values();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct, values(1..=200), "nothing is missing");
}

/// Makes the tests of one destination: `$make` is an expression that gives a new one.
macro_rules! conformance {
    ($make:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn conforms_acks_all_of_it() {
            crate::sink::conformance::acks_all_of_it(&$make).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn conforms_resumes_from_its_ack() {
            crate::sink::conformance::resumes_from_its_ack(&$make).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn conforms_acks_while_idle() {
            crate::sink::conformance::acks_while_idle(&$make).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn conforms_covers_entries_without_records() {
            crate::sink::conformance::covers_entries_without_records(&$make).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn conforms_survives_the_four_faults() {
            crate::sink::conformance::survives_the_four_faults(&$make).await;
        }
    };
}
pub(crate) use conformance;
