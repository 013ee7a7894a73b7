//! Reads what an event means to the transaction it is part of; the rest of its content stays as bytes.

use super::executed::TransactionId;
use super::group::{AlterPhase, Signal};
use super::statement::{Statement, Xid};
use crate::binlog::DecodeError;
use crate::binlog::event::{Event, EventType, Gtid, Incident, MariadbGtid, Query, TaggedGtid, XaPrepare};
use crate::binlog::gtid::DomainGtid;

/// What a GTID event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) signal: Signal,
    pub(super) id: TransactionId,
    /// When it committed on the server that we read, microseconds, where the server says so.
    pub(super) commit_us: Option<u64>,
}

/// Reads a GTID event of either dialect.
pub(super) fn announcement(event: &Event<'_>) -> Result<Announcement, DecodeError> {
    if event.header.event_type == EventType::MARIADB_GTID {
        return mariadb_announcement(event);
    }
    let (gtid, tag) = if event.header.event_type == EventType::GTID_TAGGED {
        let tagged = TaggedGtid::parse(event)?;
        (tagged.gtid, tagged.tag)
    } else {
        (Gtid::parse(event)?, Default::default())
    };
    let id = match gtid.anonymous {
        true => TransactionId::None,
        false => TransactionId::MySql { uuid: gtid.uuid, tag, gno: gtid.gno },
    };
    Ok(Announcement { signal: Signal::Gtid, id, commit_us: gtid.immediate_commit_us })
}

fn mariadb_announcement(event: &Event<'_>) -> Result<Announcement, DecodeError> {
    let gtid = MariadbGtid::parse(event)?;
    let xid = gtid.xid.map(|xid| self::xid(xid.format_id, xid.gtrid, xid.bqual));
    let alter = [
        (MariadbGtid::EXTRA_START_ALTER, AlterPhase::Start),
        (MariadbGtid::EXTRA_COMMIT_ALTER, AlterPhase::Commit),
        (MariadbGtid::EXTRA_ROLLBACK_ALTER, AlterPhase::Rollback),
    ];
    let signal = Signal::MariaDbGtid {
        standalone: gtid.has(MariadbGtid::FLAG_STANDALONE),
        prepared: xid.filter(|_| gtid.has(MariadbGtid::FLAG_PREPARED_XA)),
        alter: alter.into_iter().find(|(flag, _)| gtid.has_extra(*flag)).map(|(_, phase)| phase),
    };
    let id = TransactionId::MariaDb(DomainGtid { domain: gtid.domain, server_id: gtid.server_id, seq: gtid.seq });
    Ok(Announcement { signal, id, commit_us: None })
}

/// The format id is a signed number everywhere but in the events' bytes.
fn xid(format_id: u32, gtrid: &[u8], bqual: &[u8]) -> Xid {
    Xid { format_id: i64::from(format_id.cast_signed()), gtrid: gtrid.to_vec(), bqual: bqual.to_vec() }
}

/// Reads any other event, rows and what stands outside of transactions excepted, which the caller knows by type.
pub(super) fn signal(event: &Event<'_>) -> Result<Signal, DecodeError> {
    Ok(match event.header.event_type {
        EventType::QUERY => Signal::Query(Statement::read(Query::parse(event)?.sql)),
        EventType::XID => Signal::Xid,
        EventType::XA_PREPARE => {
            let xa = XaPrepare::parse(event)?;
            Signal::XaPrepare { one_phase: xa.one_phase, xid: xid(xa.format_id, xa.gtrid, xa.bqual) }
        }
        EventType::INCIDENT => Signal::Incident(String::from_utf8_lossy(Incident::parse(event)?.message).into_owned()),
        EventType::TABLE_MAP | EventType::ROWS_QUERY | EventType::ANNOTATE_ROWS => Signal::Rows,
        kind if kind.is_rows() => Signal::Rows,
        kind if kind.is_statement_data() => Signal::StatementFormat(kind.name().unwrap_or("statement data")),
        _ => Signal::Apart,
    })
}
