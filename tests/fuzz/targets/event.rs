//! A whole event, read as every control event in turn.

use relay::binlog::compressed::expand_event;
use relay::binlog::event::*;
use relay::binlog::gtid::GtidSet;

use super::{description, with_event};

const LIMIT: u64 = 1 << 16;

pub fn run(data: &[u8]) {
    let _ = EventHeader::parse(data).map(|h| (h.is_artificial(), h.is_ignorable(), h.event_type.to_string()));
    for checksum in [Checksum::None, Checksum::Crc32] {
        let _ = Event::verify(data, checksum);
        if let Ok(event) = Event::parse(data, checksum) {
            assert_eq!(event.body.len() + EventHeader::LEN + checksum.len(), data.len());
            read(&event);
        }
    }
    let body = data.get(EventHeader::LEN..).unwrap_or(data);
    // Damage to the type must not hide the body from the parser that it was meant for.
    for number in 0..=255 {
        with_event(EventType(number), body, read);
    }
}

fn read(event: &Event<'_>) {
    let _ = FormatDescription::parse(event.raw);
    let _ = Rotate::parse(event);
    let _ = Xid::parse(event);
    let _ = Gtid::parse(event);
    let _ = TaggedGtid::parse(event);
    let _ = GtidSet::from_previous_gtids(event);
    let _ = MariadbGtid::parse(event);
    let _ = MariadbGtidList::parse(event).map(|list| assert!(list.iter().count() <= event.body.len() / 16));
    let _ = StartEncryption::parse(event);
    let _ = XaPrepare::parse(event);
    let _ = TransactionPayload::parse(event);
    let _ = RowsQuery::parse(event);
    let _ = AnnotateRows::parse(event);
    let _ = Heartbeat::parse(event);
    let _ = Incident::parse(event);
    let _ = Query::parse(event).map(|q| assert!(q.sql.len() < event.body.len()));
    if event.header.event_type.is_mariadb_compressed() {
        let mut out = Vec::new();
        match expand_event(event, &description(Dialect::MariaDB), LIMIT, &mut out) {
            Ok(()) => {
                assert!(out.len() as u64 <= LIMIT);
                Event::parse(&out, Checksum::None).unwrap();
            }
            Err(_) => assert!(out.is_empty()),
        }
    }
}
