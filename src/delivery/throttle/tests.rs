use super::*;
use crate::metrics::Metrics;
use crate::sink::batch::tests::batch;
use crate::status::Status;

/// A throttle on a paused clock, and what went through it.
struct Lab {
    limits: watch::Sender<config::Throttle>,
    throttle: Throttle,
    ending: CancellationToken,
    status: DeliveryHandle,
    metrics: DeliveryMetrics,
    start: Instant,
    /// Seconds since the start, rows and bytes of each part.
    went: Vec<(f64, u64, u64)>,
}

impl Lab {
    fn new(limit: config::Throttle) -> Self {
        let (limits, receiver) = watch::channel(limit);
        Self {
            limits,
            throttle: Throttle::new(receiver),
            ending: CancellationToken::new(),
            status: Status::new().delivery("a"),
            metrics: Metrics::new("t", "").delivery("a"),
            start: Instant::now(),
            went: Vec::new(),
        }
    }

    /// Hands over batches of `size` rows, each of `length` bytes, until `end` seconds after the start.
    async fn run(&mut self, size: usize, length: usize, end: f64) {
        let value = "x".repeat(length);
        while self.start.elapsed().as_secs_f64() < end {
            let mut parts = Parts::new(batch(1, &vec![value.as_str(); size]));
            while let Some(part) = self.throttle.next(&mut parts, &self.ending, &self.status, &self.metrics).await {
                let at = self.start.elapsed().as_secs_f64();
                if at >= end {
                    return;
                }
                let bytes = part.records.iter().map(|r| Weight::of(r).bytes).sum();
                self.went.push((at, part.records.len() as u64, bytes));
                // Nothing takes no time at all.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn rows(&self, from: f64, to: f64) -> u64 {
        self.went.iter().filter(|(at, ..)| (from..to).contains(at)).map(|(_, rows, _)| rows).sum()
    }

    fn bytes(&self, from: f64, to: f64) -> u64 {
        self.went.iter().filter(|(at, ..)| (from..to).contains(at)).map(|(.., bytes)| bytes).sum()
    }
}

fn rows(rps: u64) -> config::Throttle {
    config::Throttle { rps, ..Default::default() }
}

fn assert_near(what: &str, got: u64, wanted: f64) {
    let off = (got as f64 - wanted).abs() / wanted;
    assert!(off <= 0.1, "{what}: {got}, not {wanted} within 10 %");
}

#[tokio::test(start_paused = true)]
async fn rates_of_rows_hold_over_ten_seconds_from_any_second_on() {
    for rps in [1, 7, 100, 3_000, 40_000] {
        let mut lab = Lab::new(rows(rps));
        lab.run(4096, 10, 25.0).await;
        for from in [0.0, 3.0, 14.0] {
            // Whole rows only: with few of them, one is a tenth and more.
            let (got, wanted) = (lab.rows(from, from + 10.0), rps as f64 * 10.0);
            assert!((got as f64 - wanted).abs() <= (wanted * 0.1).max(1.0), "{rps}: {got} in 10 s from {from}");
        }
        assert!(lab.metrics.throttled.get() > 15.0, "{rps}: it mostly waited");
    }
}

#[tokio::test(start_paused = true)]
async fn rates_of_bytes_hold_for_small_and_for_large_records() {
    for (mbps, length) in [(0.5, 100), (2.0, 3_000), (1.0, 300_000), (50.0, 1_000)] {
        let mut lab = Lab::new(config::Throttle { mbps, ..Default::default() });
        lab.run(64, length, 21.0).await;
        assert_near(&format!("{mbps} MB/s of {length}"), lab.bytes(10.0, 20.0), mbps * 1e7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_the_burst_goes_and_is_paid_for() {
    let mut lab = Lab::new(config::Throttle { mbps: 0.01, ..Default::default() });
    lab.run(1, 100_000, 100.0).await;
    assert_near("ten seconds a record", lab.bytes(0.0, 100.0), 1e6);
}

#[tokio::test(start_paused = true)]
async fn after_a_rest_one_second_comes_at_once_and_no_more() {
    let mut lab = Lab::new(rows(1_000));
    tokio::time::sleep(Duration::from_secs(60)).await;
    lab.run(4096, 10, 70.5).await;
    let burst = lab.rows(60.0, 60.2);
    assert!((1_000..=1_250).contains(&burst), "{burst} at once");
    assert!(lab.rows(60.0, 70.0) <= 11_050, "{} in ten seconds", lab.rows(60.0, 70.0));
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_counts_from_the_moment_it_is_set() {
    let mut lab = Lab::new(rows(10));
    lab.run(4096, 10, 10.0).await;
    assert_near("before", lab.rows(0.0, 10.0), 100.0);
    lab.limits.send_replace(rows(500));
    lab.run(4096, 10, 20.0).await;
    assert_near("faster", lab.rows(10.0, 20.0), 5_000.0);
    lab.limits.send_replace(rows(20));
    lab.run(4096, 10, 30.0).await;
    assert_near("slower", lab.rows(20.0, 30.0), 200.0);
    lab.limits.send_replace(rows(0));
    lab.run(4096, 10, 30.1).await;
    assert!(lab.rows(30.0, 30.1) > 100_000, "no limit: {}", lab.rows(30.0, 30.1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_limit_is_lifted() {
    let mut lab = Lab::new(config::Throttle { mbps: 0.001, ..Default::default() });
    let mut parts = Parts::new(batch(1, &[&"x".repeat(1_000_000)]));
    let first = lab.throttle.next(&mut parts, &lab.ending, &lab.status, &lab.metrics).await;
    assert!(first.is_some(), "the first goes after a second, and owes a quarter of an hour");
    let mut parts = Parts::new(batch(2, &["y"]));
    let limits = lab.limits.clone();
    let lifted = async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        limits.send_replace(config::Throttle::default());
    };
    let (second, ()) = tokio::join!(lab.throttle.next(&mut parts, &lab.ending, &lab.status, &lab.metrics), lifted);
    assert!(second.is_some());
    assert!(lab.start.elapsed() < Duration::from_secs(6), "{:?}", lab.start.elapsed());
    assert!(lab.status.is_throttled());
}

#[tokio::test(start_paused = true)]
async fn rows_of_the_initial_copy_have_limits_of_their_own() {
    let mut lab = Lab::new(config::Throttle { snapshot_rps: 10, ..Default::default() });
    let mut copy = batch(1, &["x"; 50]);
    copy.records.iter_mut().for_each(|r| r.operation = Operation::Snapshot);
    let mut parts = Parts::new(copy);
    while lab.throttle.next(&mut parts, &lab.ending, &lab.status, &lab.metrics).await.is_some() {}
    assert!(lab.start.elapsed() >= Duration::from_secs(5), "{:?}", lab.start.elapsed());
    let then = lab.start.elapsed();
    let mut parts = Parts::new(batch(1, &["x"; 500]));
    while lab.throttle.next(&mut parts, &lab.ending, &lab.status, &lab.metrics).await.is_some() {}
    assert_eq!(lab.start.elapsed(), then, "the stream waits for nothing");
}
