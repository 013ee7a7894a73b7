//! Records that are too large for their topic, and what records say of themselves.

use super::*;
use crate::sink::{Note, Origin};

/// As [`numbered`], of a table whose records are made to fit.
fn fitted(first: u64, values: &[&str]) -> Batch {
    let mut batch = batch_to(TOPIC, first, values);
    let origin = Arc::new(Origin { fitted: true, ..Origin::new("shop.orders", TOPIC) });
    batch.events.iter_mut().for_each(|event| event.origin = origin.clone());
    batch
}

fn sink_with(cluster: &Cluster, sizes: &Arc<RecordLimits>) -> KafkaSink {
    let text = format!("brokers = {:?}", cluster.bootstrap_servers());
    let config: KafkaConfig = toml::from_str(&text).expect("valid config");
    KafkaSink::new(config, "shop-prod", &Budget::default(), sizes.clone())
}

fn sizes() -> Arc<RecordLimits> {
    let config: KafkaConfig = toml::from_str("brokers = \"k\"").expect("valid config");
    Arc::new(RecordLimits::new(&config, "shop-prod"))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_say_what_they_lack_and_why_they_are_dead_letters() {
    for setting in ["headers = true", "headers = false"] {
        let cluster = cluster(1);
        let mut sink = sink(&cluster, setting);
        sink.open(Opening::new("c", Seq::ZERO, Vec::new())).await.expect("open");
        let mut batch = batch_to(TOPIC, 1, &["a", "b", "c", "d"]);
        let (columns, reason) = (batch.push_bytes(b"raw,body"), batch.push_bytes(b"because"));
        let notes = [
            Note::Truncated(columns),
            Note::KeyOnly,
            Note::DeadLetter { reason, chunk: None },
            Note::DeadLetter { reason, chunk: Some((2, 3)) },
        ];
        for (at, note) in notes.into_iter().enumerate() {
            batch.records[at].note = batch.push_note(note);
        }
        sink.deliver(&batch).await.expect("deliver");
        sink.close().await.expect("close");
        let said: Vec<Vec<(String, String)>> = consume(&cluster, 1).into_iter().map(|record| record.headers).collect();
        let has = |at: usize, name: &str| said[at].iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(
            (has(0, "relay.truncated"), has(1, "relay.key_only")),
            (Some("raw,body"), Some("true")),
            "{setting}"
        );
        assert_eq!(
            (has(2, "relay.reason"), has(2, "relay.chunk"), has(2, "relay.encoding")),
            (Some("because"), None, None)
        );
        let part = (has(3, "relay.reason"), has(3, "relay.chunk"), has(3, "relay.encoding"));
        assert_eq!(part, (Some("because"), Some("2/3"), Some("zstd")));
        // A dead letter says where it is from whatever the others say.
        assert_eq!((has(3, "relay.seq"), has(3, "relay.table")), (Some("4:0"), Some("shop.orders")), "{setting}");
        assert_eq!(has(0, "relay.seq").is_some(), setting.ends_with("true"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_made_before_the_topics_limit_was_known_is_made_anew_once() {
    let (cluster, sizes) = (cluster(1), sizes());
    sizes.learn(TOPIC, 2000);
    let large = "x".repeat(3000);
    for life in 1..=2 {
        let mut sink = sink_with(&cluster, &sizes);
        let opening = Opening::new("c", Seq::ZERO, Vec::new());
        let progress = opening.progress.clone();
        sink.open(opening).await.expect("open");
        let error = sink.deliver(&fitted(1, &["a", "b", &large, "c"])).await.expect_err("too large");
        assert_eq!((error.anew, error.class == Class::Definite), (life == 1, life == 2), "life {life}: {error:?}");
        assert!(error.reason.contains(TOPIC), "{error:?}");
        assert_eq!(error.place.as_ref().map(|place| place.seq), Some(Seq(3)));
        // What came before it is not sent again.
        wait_for(|| progress.acked() == Seq(2)).await;
        sink.close().await.expect_err("it ended");
    }
    assert_eq!(consume(&cluster, 1).len(), 4, "two in each life");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_encoder_gave_up_on_is_refused_with_its_words() {
    let cluster = cluster(1);
    let mut sink = sink(&cluster, "");
    sink.open(Opening::new("c", Seq::ZERO, Vec::new())).await.expect("open");
    let mut batch = fitted(1, &["a", "b"]);
    let why = batch.push_bytes(b"9000 bytes, its key is {\"id\":\"7\"}");
    batch.records[1].note = batch.push_note(Note::TooLarge(why));
    let error = sink.deliver(&batch).await.expect_err("it cannot go");
    assert_eq!((error.class, error.anew), (Class::Definite, false));
    assert!(error.reason.contains("{\"id\":\"7\"}") && error.reason.contains("shop.orders"), "{error:?}");
    assert!(error.next_step.as_ref().is_some_and(|step| step.contains("truncate_columns")), "{error:?}");
    sink.close().await.expect_err("it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_broker_teaches_once_and_parks_then() {
    let (cluster, sizes) = (cluster(1), sizes());
    // The mock tells no limit: Kafka's own default counts, once.
    for (life, batch) in [(1, fitted(1, &["a"])), (2, fitted(1, &["a"]))] {
        let mut sink = sink_with(&cluster, &sizes);
        let opening = Opening::new("c", Seq::ZERO, Vec::new());
        let progress = opening.progress.clone();
        sink.open(opening).await.expect("open");
        cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
        let _ = sink.deliver(&batch).await;
        wait_for(|| progress.failure().is_some()).await;
        let error = sink.close().await.expect_err("refused");
        assert_eq!((error.anew, error.class == Class::Definite), (life == 1, life == 2), "life {life}: {error:?}");
        assert_eq!(sizes.of_topic(TOPIC), Some(1_048_588));
    }
    // A table that wants nothing but a stop learns nothing.
    let mut sink = sink(&cluster, "");
    let opening = Opening::new("c", Seq::ZERO, Vec::new());
    let progress = opening.progress.clone();
    sink.open(opening).await.expect("open");
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let _ = sink.deliver(&numbered(1, 1)).await;
    wait_for(|| progress.failure().is_some()).await;
    let error = sink.close().await.expect_err("refused");
    assert!(!error.anew && error.class == Class::Definite, "{error:?}");
}
