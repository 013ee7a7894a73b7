//! The control events of captured files against the server's own list of them (`SHOW BINLOG EVENTS`).

use relay::binlog::event::{
    AnnotateRows, Dialect, Event, EventType, FormatDescription, Gtid, MariadbGtid, MariadbGtidList, Query, Rotate,
    RowsQuery, TaggedGtid, XaPrepare, Xid,
};
use relay::binlog::gtid::{DomainGtid, GtidSet, MariadbPosition};
use relay::binlog::{RowsEvent, TableMapHead};

use crate::file::{self, BinlogFile};

/// One line of the server's list.
struct Listed {
    start: u64,
    name: String,
    server_id: u32,
    end: u64,
    info: String,
}

fn listed(case: &str) -> Vec<Listed> {
    let text = String::from_utf8(file::read(&format!("{case}.events"))).unwrap();
    let line = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let mut next = || cells.next().unwrap();
        Listed {
            start: next().parse().unwrap(),
            name: next(),
            server_id: next().parse().unwrap(),
            end: next().parse().unwrap(),
            info: next(),
        }
    };
    text.lines().map(line).collect()
}

/// What the server calls the type in its list.
fn listed_name(event_type: EventType) -> &'static str {
    match event_type {
        EventType::FORMAT_DESCRIPTION => "Format_desc",
        EventType::PREVIOUS_GTIDS => "Previous_gtids",
        EventType::GTID | EventType::MARIADB_GTID => "Gtid",
        EventType::GTID_TAGGED => "Gtid_tagged_log_event",
        EventType::QUERY => "Query",
        EventType::QUERY_COMPRESSED => "Query_compressed",
        EventType::TABLE_MAP => "Table_map",
        EventType::WRITE_ROWS => "Write_rows",
        EventType::UPDATE_ROWS => "Update_rows",
        EventType::DELETE_ROWS => "Delete_rows",
        EventType::PARTIAL_UPDATE_ROWS => "Update_rows_partial",
        EventType::WRITE_ROWS_V1 => "Write_rows_v1",
        EventType::UPDATE_ROWS_V1 => "Update_rows_v1",
        EventType::DELETE_ROWS_V1 => "Delete_rows_v1",
        EventType::WRITE_ROWS_COMPRESSED_V1 => "Write_rows_compressed_v1",
        EventType::UPDATE_ROWS_COMPRESSED_V1 => "Update_rows_compressed_v1",
        EventType::DELETE_ROWS_COMPRESSED_V1 => "Delete_rows_compressed_v1",
        EventType::XID => "Xid",
        EventType::XA_PREPARE => "XA_prepare",
        EventType::ROWS_QUERY => "Rows_query",
        EventType::ANNOTATE_ROWS => "Annotate_rows",
        EventType::ROTATE => "Rotate",
        EventType::MARIADB_GTID_LIST => "Gtid_list",
        EventType::BINLOG_CHECKPOINT => "Binlog_checkpoint",
        other => panic!("{other} is not expected in these files"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}

/// A part of what the list says of the event, put together from our reading of it.
fn said(event: &Event<'_>, description: &FormatDescription) -> String {
    match event.header.event_type {
        EventType::FORMAT_DESCRIPTION => format!("Server ver: {}, Binlog ver: 4", description.server_version),
        EventType::GTID => {
            let gtid = Gtid::parse(event).unwrap();
            check_clocks(&gtid, description);
            format!("'{}:{}'", gtid.uuid, gtid.gno)
        }
        EventType::GTID_TAGGED => {
            let TaggedGtid { gtid, tag } = TaggedGtid::parse(event).unwrap();
            check_clocks(&gtid, description);
            format!("'{}:{tag}:{}'", gtid.uuid, gtid.gno)
        }
        EventType::MARIADB_GTID => mariadb_gtid(&MariadbGtid::parse(event).unwrap()),
        EventType::QUERY => {
            let query = Query::parse(event).unwrap();
            assert_eq!(query.error_code, 0);
            assert_eq!(query.status.unknown, None);
            assert!(query.status.sql_mode.is_some() && query.status.charset.is_some());
            text(query.sql)
        }
        EventType::TABLE_MAP => {
            let map = TableMapHead::parse(event, description).unwrap();
            format!("table_id: {} ({}.{})", map.table_id, map.database, map.table)
        }
        EventType::XID => format!("xid={} ", Xid::parse(event).unwrap().xid),
        EventType::XA_PREPARE => {
            let xa = XaPrepare::parse(event).unwrap();
            let verb = if xa.one_phase { "XA COMMIT" } else { "XA PREPARE" };
            format!("{verb} X'{}',X'{}',{}", hex(xa.gtrid), hex(xa.bqual), xa.format_id)
        }
        EventType::ROWS_QUERY => format!("# {}", text(RowsQuery::parse(event).unwrap().sql)),
        EventType::ANNOTATE_ROWS => text(AnnotateRows::parse(event).unwrap().sql),
        EventType::ROTATE => {
            let rotate = Rotate::parse(event).unwrap();
            format!("{};pos={}", text(rotate.file), rotate.position)
        }
        t if t.is_rows() && !t.is_mariadb_compressed() => {
            let head = RowsEvent::parse(event, description).unwrap().head;
            format!("table_id: {}{}", head.table_id, if head.ends_statement() { " flags: STMT_END_F" } else { "" })
        }
        _ => String::new(),
    }
}

/// What no list shows: times are those of a server that runs now, lengths those of a transaction.
fn check_clocks(gtid: &Gtid, description: &FormatDescription) {
    if description.server_version.starts_with("5.6") {
        return assert_eq!(gtid.immediate_commit_us, None);
    }
    let committed = gtid.immediate_commit_us.unwrap();
    assert!((1_700_000_000_000_000..4_000_000_000_000_000).contains(&committed), "{committed}");
    assert_eq!(gtid.original_commit_us, Some(committed));
    assert_eq!(gtid.immediate_server_version, Some(90_704));
    assert_eq!(gtid.original_server_version, Some(90_704));
    assert!(gtid.last_committed < gtid.sequence_number);
    assert!(gtid.transaction_length.is_some());
}

fn mariadb_gtid(gtid: &MariadbGtid<'_>) -> String {
    let name = DomainGtid { domain: gtid.domain, server_id: gtid.server_id, seq: gtid.seq };
    let begin = match gtid.xid {
        Some(xid) if gtid.has(MariadbGtid::FLAG_PREPARED_XA) => {
            format!("XA START X'{}',X'{}',{} ", hex(xid.gtrid), hex(xid.bqual), xid.format_id)
        }
        _ if gtid.has(MariadbGtid::FLAG_STANDALONE) || gtid.has(MariadbGtid::FLAG_COMPLETED_XA) => String::new(),
        _ => "BEGIN ".to_owned(),
    };
    let alter = if gtid.has_extra(MariadbGtid::EXTRA_START_ALTER) {
        " START ALTER".to_owned()
    } else if gtid.has_extra(MariadbGtid::EXTRA_COMMIT_ALTER) {
        format!(" COMMIT ALTER id={}", gtid.alter_seq.unwrap())
    } else {
        String::new()
    };
    format!("{begin}GTID {name}{alter}")
}

/// Every event of the file is in the list, at its place and saying what we read, and the other way round.
fn compare(case: &str) {
    let BinlogFile { description, events } = file::open(case);
    let mut listed = listed(case).into_iter();
    let mut transaction_ends = None;
    for raw in events.iter().filter(|e| !e.unpacked) {
        let event = raw.parse(&description);
        let line = listed.next().unwrap_or_else(|| panic!("{case}: no line for the event at {}", raw.start));
        let end = u64::from(event.header.log_pos);
        assert_eq!((raw.start, end, event.header.server_id), (line.start, line.end, line.server_id), "{case}");
        assert_eq!(listed_name(event.header.event_type), line.name, "{case} at {end}");
        let said = said(&event, &description);
        let expected = line.info.trim_end_matches(" ONE PHASE");
        // Lines are cut at 200 characters, a statement in them may be ours without its end.
        let cut: String = said.chars().take(60).collect();
        assert!(expected.contains(&cut), "{case} at {end}: {said} is not in {}", line.info);
        if event.header.event_type.is_mysql_gtid() {
            assert!(
                transaction_ends.is_none_or(|at| at == raw.start),
                "{case}: transaction length before {}",
                raw.start
            );
            let length = match event.header.event_type {
                EventType::GTID_TAGGED => TaggedGtid::parse(&event).unwrap().gtid.transaction_length,
                _ => Gtid::parse(&event).unwrap().transaction_length,
            };
            transaction_ends = length.map(|n| raw.start + n);
        }
    }
    // The list was made before the file was closed, so the last event may be our only one more.
    assert_eq!(listed.count(), 0, "{case}: lines left");
}

#[test]
fn every_event_is_where_and_what_the_server_lists() {
    for case in [
        "mysql97/types",
        "mysql97/json_partial",
        "mysql97/control",
        "mysql56/types",
        "mariadb/types",
        "mariadb/control",
    ] {
        compare(case);
    }
}

#[test]
fn previous_gtids_are_the_servers_own_set() {
    let BinlogFile { description, events } = file::open("mysql97/control_next");
    let found = events.iter().map(|e| e.parse(&description)).find(|e| e.header.event_type == EventType::PREVIOUS_GTIDS);
    let set = GtidSet::from_previous_gtids(&found.unwrap()).unwrap();
    let printed = String::from_utf8(file::read("mysql97/control_next.gtids")).unwrap();
    assert!(set.has_tags());
    assert_eq!(set.to_string(), printed.trim_end());
    // And back into the very bytes that the server wrote.
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    assert_eq!(bytes, found.unwrap().body);
}

#[test]
fn previous_gtids_without_tags_use_the_first_form() {
    let BinlogFile { description, events } = file::open("mysql56/types");
    assert_eq!(description.dialect, Dialect::MySql);
    let found = events.iter().map(|e| e.parse(&description)).find(|e| e.header.event_type == EventType::PREVIOUS_GTIDS);
    assert_eq!(GtidSet::from_previous_gtids(&found.unwrap()), Ok(GtidSet::new()));
}

#[test]
fn the_gtid_list_is_the_servers_position() {
    let BinlogFile { description, events } = file::open("mariadb/control_next");
    assert_eq!(description.dialect, Dialect::MariaDB);
    let found =
        events.iter().map(|e| e.parse(&description)).find(|e| e.header.event_type == EventType::MARIADB_GTID_LIST);
    let mut position = MariadbPosition::new();
    for (domain, server_id, seq) in MariadbGtidList::parse(&found.unwrap()).unwrap().iter() {
        position.add(DomainGtid { domain, server_id, seq });
    }
    let printed = String::from_utf8(file::read("mariadb/control_next.gtids")).unwrap();
    assert_eq!(position, printed.trim_end().parse().unwrap());
}
