//! The Kafka sink that delivers at least once: a record's ack is its entry's.

use std::sync::Arc;
use std::time::Duration;

use super::config::KafkaConfig;
use super::window::{PLACES, Window};
use super::writer::Writer;
use super::{Budget, RecordLimits, Share};
use crate::sink::{Ack, Batch, Opening, Sink, SinkError};

/// How long the last records may take when the sink closes. What is not acked by then is delivered again.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Delivers to Kafka. Every record is acked by the broker as `acks` says before its seq is.
pub struct KafkaSink {
    config: KafkaConfig,
    source: String,
    share: Share,
    sizes: Arc<RecordLimits>,
    open: Option<Writer>,
}

impl KafkaSink {
    /// A sink with these settings; `source` is the relay's name, which records carry. What it learns of its topics it tells
    /// `sizes`. Nothing is connected yet.
    pub fn new(config: KafkaConfig, source: impl Into<String>, budget: &Budget, sizes: Arc<RecordLimits>) -> Self {
        Self { config, source: source.into(), share: budget.join(), sizes, open: None }
    }
}

impl Sink for KafkaSink {
    async fn open(&mut self, opening: Opening) -> Result<(), SinkError> {
        let window = Arc::new(Window::new(opening.progress.clone()));
        let writer =
            self.open.insert(Writer::start(&self.config, &self.source, &opening, None, window, self.sizes.clone())?);
        writer.open_topics(&self.config).await
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Ack, SinkError> {
        let open = self.open.as_mut().ok_or_else(|| SinkError::definite("the sink is not open"))?;
        for record in &batch.records {
            open.write(&self.config, &self.share, batch, record).await?;
        }
        if open.window.in_flight() == PLACES as u64 {
            open.wait_for_room(self.share.bytes()).await?;
        }
        open.look_for_growth();
        open.window.cover(batch.last);
        open.check()?;
        Ok(open.progress.take_ack())
    }

    async fn close(&mut self) -> Result<Ack, SinkError> {
        let Some(open) = self.open.take() else { return Err(SinkError::definite("the sink is not open")) };
        let progress = open.progress.clone();
        let drained = open.window.wait_below(0, 0, || progress.failure().is_some());
        let in_time = tokio::time::timeout(CLOSE_TIMEOUT, drained).await.is_ok();
        let failure = progress.failure();
        let learnt = if failure.is_some() { open.learn_from_refusal().await } else { None };
        open.producer.closing();
        // Dropping the client throws away what is queued and ends its threads; that may block.
        let ended = tokio::task::spawn_blocking(move || drop(open));
        if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::info!("the kafka client still ends its connections");
        }
        if !in_time {
            tracing::info!(
                acked_seq = progress.acked().0,
                "closed before every record was acked; the rest is delivered again"
            );
        }
        match learnt.or(failure) {
            // What was learnt of the topics stays for the delivery to take.
            Some(error) => Err(error),
            None => Ok(progress.take_ack()),
        }
    }
}
