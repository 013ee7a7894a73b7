//! The calls that Kafka's transactions are made of. They block, some for as long as the cluster is away: they belong on
//! a thread that may, and end within about a second once the sink is closing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::outcome;
use super::producer::Producer;
use crate::sink::SinkError;

/// How long one try of a call that can be taken up again may block.
const SLICE: Duration = Duration::from_secs(1);
/// Between tries that end at once.
const PAUSE: Duration = Duration::from_millis(100);
/// The reports of all records are read before they are counted out: some microseconds, unless a thread is held up.
const COUNTED_OUT: Duration = Duration::from_millis(50);

/// What an error of a call means.
#[derive(Debug)]
enum Verdict {
    /// The same call goes on with what it began.
    Again(String),
    /// This producer has nothing more to say.
    Over(SinkError),
}

impl Producer {
    /// Fences every older producer of the same id, and waits for the end of what it left: its open transaction is
    /// aborted, one that was being committed is committed.
    pub(super) fn init_transactions(&self) -> Result<(), SinkError> {
        self.carry_through("begin transactions", || self.client.init_transactions(SLICE))
    }

    /// Begins a transaction. Nothing is sent for it before its first record.
    pub(super) fn begin(&self) -> Result<(), SinkError> {
        self.carry_through("begin a transaction", || self.client.begin_transaction())
    }

    /// Whether the open transaction can still be committed.
    pub(super) fn probe(&self) -> Result<(), SinkError> {
        // Asked to begin another one, the library answers that one is open, or what is the matter with it.
        match self.client.begin_transaction() {
            Err(error) if error.rdkafka_error_code() != Some(Code::State) => {
                match self.judge("the transaction", &error) {
                    Verdict::Over(error) => Err(error),
                    Verdict::Again(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Commits the transaction and begins the next. Every record of it has been acked. What an error leaves in doubt is
    /// settled by [`Producer::init_transactions`] of the next producer.
    pub(super) fn commit(&self) -> Result<(), SinkError> {
        // The client library's binding waits for its own reports in steps of 100 ms when it finds one not counted out.
        let patience = Instant::now() + COUNTED_OUT;
        while self.client.in_flight_count() > 0 && Instant::now() < patience {
            std::thread::sleep(Duration::from_micros(20));
        }
        crate::failpoint::reach("transaction.commit");
        self.carry_through("commit a transaction", || self.client.commit_transaction(SLICE))?;
        crate::failpoint::reach("transaction.committed");
        self.begin()
    }

    /// Aborts the transaction, so that readers do not wait for the broker to do it. One try: the next producer does it
    /// too.
    pub(super) fn abort(&self) {
        if let Err(error) = self.client.abort_transaction(SLICE) {
            tracing::debug!(%error, "the transaction was not aborted; the next producer does it");
        }
    }

    /// Repeats a call until it ends, or until the sink is closing.
    fn carry_through(&self, what: &str, call: impl Fn() -> KafkaResult<()>) -> Result<(), SinkError> {
        let reports = self.client.client().context();
        let mut waited = false;
        loop {
            let tried = Instant::now();
            let Err(error) = call() else {
                if waited {
                    reports.progress.set_trouble(None);
                }
                return Ok(());
            };
            match self.judge(what, &error) {
                Verdict::Again(reason) if reports.closing.load(Ordering::Acquire) => {
                    return Err(SinkError::transient(reason));
                }
                Verdict::Again(reason) => {
                    waited = true;
                    reports.progress.set_trouble(Some(reason));
                    std::thread::sleep(PAUSE.saturating_sub(tried.elapsed()));
                }
                Verdict::Over(error) => return Err(error),
            }
        }
    }

    fn judge(&self, what: &str, error: &KafkaError) -> Verdict {
        let text = format!("{what}: {error}");
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        match error {
            KafkaError::Flush(Code::OperationTimedOut) => Verdict::Again(text),
            KafkaError::Transaction(error) if error.is_retriable() && !error.is_fatal() => Verdict::Again(text),
            _ => {
                let (code, text) = match self.client.client().fatal_error() {
                    Some((code, reason)) => (code, format!("{what}: {reason}")),
                    None => (code, text),
                };
                Verdict::Over(outcome::transaction_error(code, text))
            }
        }
    }
}
