//! Relays that are wrong on purpose, on the same broker and under the same checker: it must refuse what they make.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::history::{Committed, Wrong, seen};
use crate::support::servers::{Servers, shared};
use crate::support::{fresh, kafka};

const TIMEOUT: Duration = Duration::from_secs(30);
const TRANSACTIONS: u64 = 12;

/// A crash strikes at this transaction.
const CRASH_AT: u64 = 5;

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The position is kept beside the transaction, behind its commit.
    PositionBehind,
    /// The position is kept beside the transaction, before its commit.
    PositionAhead,
    /// A commit that was not answered in time is taken for none, and its records are sent again.
    ResendAfterTimeout,
    /// What was not committed is left open, and a second producer goes on beside it without fencing the first.
    NoFence,
    /// Nothing.
    None,
}

/// Three rows a transaction: two of its own, one that each transaction changes.
fn rows(transaction: u64) -> [(u64, u64); 3] {
    [(transaction * 2 + 100, 1), (transaction * 2 + 101, 1), (1, transaction)]
}

fn committed() -> Committed {
    let rows = (1..=TRANSACTIONS).flat_map(|tx| rows(tx).map(|change| (change, tx)));
    Committed(rows.collect::<BTreeMap<_, _>>())
}

struct Naive {
    servers: Servers,
    topic: String,
    id: u32,
}

impl Naive {
    fn producer(&mut self, fenced: bool) -> BaseProducer {
        self.id += u32::from(!fenced);
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.servers.brokers())
            .set("transactional.id", format!("{}-{}", self.topic, self.id))
            .set("transaction.timeout.ms", "5000")
            .create()
            .expect("a producer");
        producer.init_transactions(TIMEOUT).expect("transactions");
        producer
    }

    fn send(&self, producer: &BaseProducer, transaction: u64) {
        for (key, version) in rows(transaction) {
            let value = format!(r#"{{"data":[{{"id":"{key}","v":"{version}","tx":"{transaction}"}}]}}"#);
            let record = BaseRecord::to(&self.topic).partition((key % 3) as i32).payload(&value).key("");
            producer.send(record).map_err(|(error, _)| error).expect("sent");
        }
        producer.flush(TIMEOUT).expect("acked");
    }

    /// Delivers all transactions, with a crash in the middle that the fault makes wrong.
    fn run(mut self, fault: Fault) -> Result<(), Wrong> {
        let mut producer = self.producer(true);
        let (mut transaction, mut crashed) = (1, false);
        while transaction <= TRANSACTIONS {
            producer.begin_transaction().expect("begun");
            self.send(&producer, transaction);
            let crash = transaction == CRASH_AT && !std::mem::replace(&mut crashed, true);
            match fault {
                Fault::PositionAhead if crash => {
                    // The position says that it is there; the next life's fence aborts it.
                    drop(producer);
                    producer = self.producer(true);
                    transaction += 1;
                    continue;
                }
                Fault::NoFence if crash => {
                    // The first producer only seemed dead: it commits later what the second one sends meanwhile.
                    let second = self.producer(false);
                    second.begin_transaction().expect("begun");
                    self.send(&second, transaction);
                    second.commit_transaction(TIMEOUT).expect("committed");
                }
                _ => {}
            }
            producer.commit_transaction(TIMEOUT).expect("committed");
            match fault {
                // The crash came before the position was written, or the answer after the patience was over.
                Fault::PositionBehind if crash => {
                    drop(producer);
                    producer = self.producer(true);
                }
                Fault::ResendAfterTimeout if crash => {}
                _ => transaction += 1,
            }
        }
        committed().judge(&seen(&kafka::consume_committed(self.servers.brokers(), &self.topic)))
    }
}

#[test]
fn what_wrong_relays_make_on_the_same_broker_is_refused() {
    let servers = shared(&["kafka"]);
    let mut verdicts = Vec::new();
    for fault in [Fault::None, Fault::PositionBehind, Fault::PositionAhead, Fault::ResendAfterTimeout, Fault::NoFence] {
        let topic = fresh("naive");
        kafka::create_topic(&servers, &topic, 3, &[]);
        verdicts.push((fault, Naive { servers: servers.clone(), topic, id: 0 }.run(fault)));
    }
    let twice = |verdict: &Result<(), Wrong>| matches!(verdict, Err(Wrong::Twice(_)));
    assert_eq!(verdicts[0].1, Ok(()), "the right one");
    assert!(twice(&verdicts[1].1), "{verdicts:?}");
    assert_eq!(verdicts[2].1, Err(Wrong::Missing((1, CRASH_AT))), "{verdicts:?}");
    assert!(twice(&verdicts[3].1) && twice(&verdicts[4].1), "{verdicts:?}");
}
