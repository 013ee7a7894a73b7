//! What heartbeats of a delivery begin with, and their records.

use std::collections::BTreeSet;
use std::sync::Arc;

use relay_store::{Read, Reader, Seq};

use super::records::frame;
use super::{EncodeError, Job, RowsFault};
use crate::change::decode::{BlockDecoder, Change};
use crate::change::{EventPlace, TxInfo};
use crate::delivery::heartbeat::{Place, Pulse};
use crate::format::Writer;
use crate::format::dts_avro::HeartbeatPlace;
use crate::sink::{Batch, Event, Operation, Origin, Record};
use crate::status::now_ms;

/// A place, and the version of the server that it is on.
type Stand = (Place, Arc<str>);

/// What a delivery with heartbeats begins with when everything up to `acked` was delivered, and the version of the server.
/// None: it has none.
pub(super) fn pulse(
    job: &Job,
    decoder: &BlockDecoder,
    reader: &mut Reader,
    acked: Seq,
) -> Result<Option<(Pulse, Arc<str>)>, EncodeError> {
    let Some(every) = job.format.heartbeat() else { return Ok(None) };
    let topic = &job.routing.topic;
    let topics = if topic.contains('{') { Vec::new() } else { vec![topic.clone()] };
    let stand = stand(decoder, reader, acked)?;
    let version = stand.as_ref().map_or_else(|| Arc::from(""), |(_, version)| Arc::clone(version));
    Ok(Some((Pulse { every, topics, place: stand.map(|(place, _)| place) }, version)))
}

/// The last thing in the block of `acked` that is not after it.
fn stand(decoder: &BlockDecoder, reader: &mut Reader, acked: Seq) -> Result<Option<Stand>, EncodeError> {
    let Read::Block(block) = reader.read(acked).map_err(EncodeError::Read)? else { return Ok(None) };
    let block = block.decode().map_err(EncodeError::of_read)?;
    let first = block.first_seq();
    let mut found: Option<Stand> = None;
    let decoder = decoder.clone().with_boundaries();
    // A place is told by rows of any table; whether they decode does not matter.
    decoder.decode(&block, &|_| true, &mut |change: Change<'_>| {
        let (seq, tx, place): (Seq, &TxInfo, EventPlace) = match &change {
            Change::Rows(rows) => (rows.seq, rows.tx, rows.place),
            Change::Ddl(ddl) => (ddl.seq, ddl.tx, ddl.place),
            Change::Begin(at) | Change::Commit(at) => (at.seq, at.tx, at.place),
            Change::Gap(_) | Change::Failed(_) => return Ok(()),
        };
        if seq <= acked.max(first) {
            let (file, position, timestamp) = (tx.file.to_string(), place.position, place.timestamp);
            found = Some((Place { seq: acked, file, position, timestamp }, Arc::clone(&tx.server_version)));
        }
        Ok::<_, EncodeError>(())
    })?;
    Ok(found)
}

/// A batch of heartbeats, one for each topic, to its partition 0. It covers nothing that was not covered before.
pub(super) fn batch(
    job: &Job,
    writer: &Writer,
    place: &Place,
    version: &Arc<str>,
    topics: &BTreeSet<String>,
) -> Result<Batch, EncodeError> {
    let Place { seq, file, position, timestamp } = place;
    let tx = TxInfo { file: file.as_str().into(), server_version: Arc::clone(version), ..TxInfo::default() };
    let at = HeartbeatPlace { seq: *seq, tx: &tx, position: *position, timestamp: *timestamp };
    let now_ms = u64::try_from(now_ms()).unwrap_or(0);
    let mut batch = Batch { first: *seq, last: *seq, ..Batch::default() };
    let gtid = batch.push_bytes(b"");
    let shown = batch.push_bytes(format!("{file}:{position}").as_bytes());
    for (event, topic) in (0..).zip(topics) {
        let origin = Origin { partitions: Some(1), ..Origin::new("", topic.as_str()) };
        let timestamp_ms = i64::from(*timestamp) * 1000;
        batch.events.push(Event { seq: *seq, origin: Arc::new(origin), gtid, position: shown, timestamp_ms });
        let start = batch.bytes.len();
        frame(job, topic, &mut batch.bytes).map_err(|error| RowsFault::from(error).of_delivery(*seq))?;
        writer.write_heartbeat(&at, now_ms, &mut batch.bytes);
        let value = Some(batch.span_from(start));
        let (operation, row) = (Operation::Heartbeat, 0);
        batch.records.push(Record { event, row, operation, hash: 0, key: None, value, ends_entry: false, note: None });
    }
    Ok(batch)
}
