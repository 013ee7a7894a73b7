//! A daemon's log as another process reads it: which transactions are visible in it.

use std::path::Path;

use relay::binlog::event::{Checksum, Event, EventType, FormatDescription};
use relay::binlog::table_map::TableMap;
use relay::log::{Context, flag, kind, split_event};
use relay_store::{Block, Entry, Gap, Read, ReadOnlyLog, Seq};

/// One visible transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// What tells it from all others: the identity in its GTID event.
    pub id: Vec<u8>,
    /// Its first entry.
    pub first: Seq,
    /// Its last entry.
    pub last: Seq,
    /// Events with rows.
    pub rows_events: usize,
}

/// What a log holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Visible transactions, in order.
    pub transactions: Vec<Logged>,
    /// Entries that nobody sees.
    pub hidden: usize,
    /// Visible events that came compressed.
    pub unpacked: usize,
    /// Visible table maps that name their columns, and those that do not.
    pub maps: (usize, usize),
    /// Entries that are gone.
    pub gaps: Vec<Gap>,
}

/// Reads all of a log, of a running daemon or a stopped one. Checks that the events of each transaction stand in it in
/// order and once.
pub fn contents(dir: &Path) -> Contents {
    let log = ReadOnlyLog::open(dir).expect("a log");
    let mut reader = log.reader().with_hidden();
    let mut contents = Contents::default();
    let (mut from, mut last_index) = (log.positions().first_seq, None);
    loop {
        match reader.read(from).expect("readable") {
            Read::Block(raw) => {
                let block = raw.decode().expect("whole");
                from = block.last_seq().next();
                let format = format(&block);
                for marked in block.all_entries() {
                    let entry = marked.entry;
                    if !marked.visible {
                        contents.hidden += 1;
                    } else if entry.header.kind == kind::EVENT {
                        contents.unpacked += usize::from(entry.header.flags & flag::UNPACKED != 0);
                        if let Some(full) = format.as_ref().and_then(|format| names_columns(&entry, format)) {
                            *(if full { &mut contents.maps.0 } else { &mut contents.maps.1 }) += 1;
                        }
                        contents.event(entry.seq, entry.header.tx_index, entry.body, &mut last_index);
                    }
                }
            }
            Read::Gap(gap) => {
                from = gap.last.next();
                contents.gaps.push(gap);
            }
            Read::CaughtUp => return contents,
        }
    }
}

/// The format description that a block repeats; none in one that has nothing of the source.
fn format(block: &Block) -> Option<FormatDescription> {
    block.entries().next()?;
    let (_, raw) = Context::parse(block.context()).expect("ours").format_description?;
    Some(FormatDescription::parse(raw).expect("the source's"))
}

/// Of a table map: whether it names its columns.
fn names_columns(entry: &Entry<'_>, format: &FormatDescription) -> Option<bool> {
    if entry.body[4] != EventType::TABLE_MAP.0 {
        return None;
    }
    let flags = entry.header.flags;
    let checksum = if flags & flag::NO_CHECKSUM == 0 { Checksum::Crc32 } else { Checksum::None };
    let (raw, _) = split_event(flags, entry.body).expect("ours");
    let event = Event::parse(raw, checksum).expect("the source's");
    Some(TableMap::parse(&event, format).expect("a table map").full)
}

impl Contents {
    fn event(&mut self, seq: Seq, index: u32, body: &[u8], last_index: &mut Option<u32>) {
        let event_type = EventType(body[4]);
        let id = match event_type {
            // uuid and number, behind the flags
            EventType::GTID => Some(body[20..44].to_vec()),
            // number and domain; the server's id stands in the header
            EventType::MARIADB_GTID => Some([&body[19..31], &body[5..9]].concat()),
            EventType::GTID_TAGGED | EventType::ANONYMOUS_GTID => panic!("not told apart here: {event_type}"),
            _ => None,
        };
        match id {
            Some(id) => {
                assert_eq!(index, 0, "seq {seq}: a transaction begins with its GTID");
                self.transactions.push(Logged { id, first: seq, last: seq, rows_events: 0 });
            }
            None => {
                assert!(Some(index) > *last_index, "seq {seq}: event {index} comes after {last_index:?}");
                let transaction = self.transactions.last_mut().expect("an event belongs to a transaction");
                transaction.last = seq;
                transaction.rows_events += usize::from(event_type.is_rows() && event_type != EventType::TABLE_MAP);
            }
        }
        *last_index = Some(index);
    }

    /// Checks that no transaction is there twice.
    #[track_caller]
    pub fn assert_each_once(&self) {
        let ids: std::collections::BTreeSet<_> = self.transactions.iter().map(|t| &t.id).collect();
        assert_eq!(ids.len(), self.transactions.len(), "a transaction is in the log twice");
    }
}
