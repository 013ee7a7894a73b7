//! From the log to a sink: read, decode, encode, deliver, move the cursor on the sink's ack.
//!
//! | look in | for |
//! |---|---|
//! | [`error`](DeliveryError) | why a delivery stopped, and what to do |
//! | [`park`] | tables that wait alone, and their release |
//! | `session` | one life of a sink; acks, resets, pauses |
//! | `select` | which tables and operations, under which names |
//! | `encode`, `route` | a block to records: which topic, which partition, which key |
//! | `pipeline`, `outlet` | reading ahead, parallel encoding in the order of the log |
//! | `throttle`, `parts` | how much it may write a second; cutting batches for it |
//! | `ledger` | what is in flight, and what an ack settles |
//! | `start` | where a new cursor begins |
//!
//! Keeps the second promise: a cursor moves only to a seq whose records, and all before them, its sink acked.

pub(crate) mod encode;
mod error;
mod heartbeat;
mod ledger;
mod outlet;
pub mod park;
mod parts;
mod pipeline;
pub(crate) mod route;
pub(crate) mod select;
mod session;
mod start;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::tz::TimeZone;
use relay_store::{CursorState, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use error::DeliveryError;
use park::Scope;
use pipeline::Encode;

use encode::{Conditions, Encoder, Job, TableJob};
use route::Routing;
use select::Selection;
use session::{End, Session, Work};

use crate::change::plan::Planner;
use crate::config::{Delivery, SinkConfig, Throttle, parse_zone};
use crate::format::maxcompute::row::RowOptions;
use crate::format::registry::{Patience, Registry};
use crate::format::text::OnBadText;
use crate::format::{FormatName, FormatOptions};
use crate::metrics::DeliveryMetrics;
use crate::sink::file::FileSink;
use crate::sink::kafka::{Budget, RecordLimits};
#[cfg(feature = "kafka")]
use crate::sink::kafka::{KafkaSink, TransactionalSink, config::Guarantee};
use crate::sink::maxcompute::BatchSink;
use crate::sink::maxcompute::client::Client;
use crate::sink::maxcompute::journal::Journal;
use crate::sink::maxcompute::tables::{Tables, sink_error};
use crate::sink::{Sink, SinkError};
use crate::status::{DeliveryHandle, State};

/// How often a paused cursor is looked at.
const PAUSED_LOOK: Duration = Duration::from_secs(1);

/// What a delivery is given for one life.
pub struct DeliveryContext {
    /// The relay's name, which records carry.
    pub relay: Arc<str>,
    /// Zone in which TIMESTAMP columns are shown.
    pub zone: TimeZone,
    /// Memory for records in flight, shared by all Kafka deliveries.
    pub budget: Budget,
    /// Its settings.
    pub config: Arc<Delivery>,
    /// How much it may write a second; changes while it runs.
    pub throttle: watch::Receiver<Throttle>,
    /// The log.
    pub store: Store,
    /// Where it says how it is.
    pub status: DeliveryHandle,
    /// What it counts.
    pub metrics: DeliveryMetrics,
    /// Told to stop: it lets the sink drain for a bounded time and commits the cursor.
    pub shutdown: CancellationToken,
}

/// One life of a delivery, as its config says; the supervisor begins the next.
///
/// # Errors
/// What ended it. The cursor stands where the last ack left it, durable.
pub async fn run(context: DeliveryContext) -> Result<(), DeliveryError> {
    let (format, routing, limits) = match &context.config.kind {
        SinkConfig::Kafka(kafka) => {
            let limits = Arc::new(RecordLimits::new(kafka, &context.relay));
            (kafka.format_options(&context.relay), Routing::kafka(kafka), Some(limits))
        }
        SinkConfig::File(file) => (FormatOptions::of(file.format, &context.relay), Routing::single(), None),
        // Its records are no messages; what is made of statements and boundaries is none either.
        SinkConfig::MaxCompute(_) => {
            (FormatOptions::of(FormatName::default(), &context.relay), Routing::single(), None)
        }
    };
    let selection = Selection::of(&context.config);
    let into_tables = into_tables(&context).await?;
    let job = Arc::new(Job {
        selection,
        conditions: Conditions::of_delivery(&context.config)?,
        script: context.config.transform.compile(context.zone.clone()).map_err(DeliveryError::Script)?,
        script_sees_statements: context.config.transform.etl_ddl,
        zone: context.zone.clone(),
        format,
        registry: registry(&context.config.kind)?,
        routing,
        limits: limits.clone(),
        tables: into_tables.as_ref().map(|(tables, _)| Arc::clone(tables)),
        planner: Arc::new(Planner::new()),
        metrics: context.metrics.clone(),
        status: context.status.clone(),
    });
    let store = context.store.clone();
    let encoder =
        move |scope| -> Arc<dyn Encode> { Arc::new(Encoder::new(Arc::clone(&job), scope, || store.reader())) };
    match &context.config.kind {
        SinkConfig::MaxCompute(_) => {
            let Some((job, zone)) = into_tables else {
                return Err(DeliveryError::Interrupted("its tables are not known".to_owned()));
            };
            deliver(&context, || BatchSink::new(&job.tables, &zone, context.status.clone()), encoder).await
        }
        SinkConfig::File(file) => deliver(&context, || FileSink::new(file), encoder).await,
        #[cfg(feature = "kafka")]
        SinkConfig::Kafka(kafka) => {
            let (relay, budget) = (&*context.relay, &context.budget);
            let sizes = || limits.clone().unwrap_or_else(|| Arc::new(RecordLimits::new(kafka, relay)));
            match kafka.delivery {
                Guarantee::AtLeastOnce => {
                    deliver(&context, || KafkaSink::new((**kafka).clone(), relay, budget, sizes()), encoder).await
                }
                Guarantee::ExactlyOnce => {
                    let sink = || TransactionalSink::new((**kafka).clone(), relay, budget, sizes());
                    deliver(&context, sink, encoder).await
                }
            }
        }
        #[cfg(not(feature = "kafka"))]
        SinkConfig::Kafka(_) => {
            Err(SinkError::definite("this build has no Kafka client").advise("build with the feature kafka").into())
        }
    }
}

/// What a delivery into tables has beside others, and the zone of its DATETIME values; nothing for others. Asks the
/// service for the project's zone at the first start.
async fn into_tables(context: &DeliveryContext) -> Result<Option<(Arc<TableJob>, String)>, DeliveryError> {
    let SinkConfig::MaxCompute(config) = &context.config.kind else { return Ok(None) };
    let client = Client::new(&config.client_options()).map_err(|error| sink_error(&error))?;
    let cursor = context.store.cursors().get(&context.config.name);
    let remembered = cursor.and_then(|cursor| Journal::zone_in(&cursor.sink_state));
    let zone = match config.datetime_zone.clone().or(remembered) {
        Some(zone) => zone,
        None => {
            let asked = client.clone();
            let project = tokio::task::spawn_blocking(move || asked.project()).await;
            let project = project.map_err(|error| DeliveryError::Interrupted(format!("ask for the zone: {error}")))?;
            let project = project.map_err(|error| sink_error(&error))?;
            project.property("odps.sql.timezone").unwrap_or("UTC").to_owned()
        }
    };
    let datetime_zone = parse_zone(&zone).ok_or_else(|| {
        let reason = format!("the project's zone {zone:?} is not known here");
        SinkError::definite(reason).advise("set maxcompute.datetime_zone")
    })?;
    let rows = RowOptions {
        datetime_zone,
        on_bad_date: config.on_bad_date,
        on_bad_text: OnBadText::default(),
        record_id_base: config.record_id_base,
    };
    let tables = Arc::new(Tables::new(client, Arc::new((**config).clone())));
    Ok(Some((Arc::new(TableJob { tables, rows }), zone)))
}

/// The registry that a sink's records name their schemas by.
fn registry(kind: &SinkConfig) -> Result<Option<Registry>, DeliveryError> {
    let options = match kind {
        SinkConfig::Kafka(kafka) => kafka.registry.as_ref(),
        SinkConfig::MaxCompute(_) | SinkConfig::File(_) => None,
    };
    Ok(options.map(|options| Registry::new(options, Patience::default())).transpose()?)
}

/// Delivers until told to stop, with sinks from `make` and encoders from `encoder`: a new pair for every stretch
/// between changes of the cursor (a reset, a parked or a released table).
///
/// # Errors
/// What ended it. The cursor stands where the last ack left it, durable.
async fn deliver<S: Sink>(
    context: &DeliveryContext,
    mut make: impl FnMut() -> S,
    encoder: impl Fn(Scope) -> Arc<dyn Encode>,
) -> Result<(), DeliveryError> {
    let given = AtomicU64::new(0);
    loop {
        if context.shutdown.is_cancelled() {
            return Ok(());
        }
        let cursor = start::cursor(context).await?;
        if let Some(gap) = cursor.lost {
            return Err(DeliveryError::Lost { cursor: cursor.name, gap });
        }
        if cursor.paused {
            context.status.set_state(State::Paused);
            tokio::select! {
                () = context.shutdown.cancelled() => {}
                () = tokio::time::sleep(PAUSED_LOOK) => {}
            }
            continue;
        }
        let work = work(&cursor);
        let session = Session::new(context, cursor, work, &given);
        let encoder = encoder(session.scope());
        match session.run(make(), encoder).await {
            Ok(End::Shutdown) => return Ok(()),
            Ok(End::Again) => {}
            Err(DeliveryError::Sink(SinkError { cursor: Some((epoch, acked)), .. })) => {
                start::take_up(context, epoch, acked).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn work(cursor: &CursorState) -> Work {
    match park::release_wanted(cursor) {
        Some(release) => Work::Replay(release),
        None => Work::Stream,
    }
}
