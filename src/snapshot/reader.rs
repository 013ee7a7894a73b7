//! Reads one chunk: marks around the opening of a view, then rows behind a key, as far as the limits go. Read-only
//! transactions, no locks of rows or tables, nothing written; the view lives as long as the chunk.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::error::CopyError;
use super::image::{ImageWriter, select_list};
use super::literal::{behind, key_literals};
use crate::binlog::RowWriter;
use crate::binlog::event::Dialect;
use crate::binlog::gtid::GtidSet;
use crate::binlog::rows_writer::EventOrigin;
use crate::capture::chunks::{ChunkRows, Opened};
use crate::capture::facts::compare_files;
use crate::capture::source::Session;
use crate::capture::stream::{ConnectOptions, Field, Row, Selected, StreamError, identifier, text_literal};
use crate::capture::window::append_key;
use crate::log::SourcePosition;

/// How long a transaction may be in the binlog before it shows (a commit that waits for a replica's word).
const VISIBLE_MAX: Duration = Duration::from_secs(60);
/// How often that is looked at, at first.
const VISIBLE_POLL: Duration = Duration::from_millis(2);
/// How long a statement on the table may hold up its reading. While it waits, others queue up behind it.
const LOCK_WAIT_S: u32 = 5;

/// What of a table is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range<'a> {
    /// Rows behind this key; empty: from the table's begin.
    pub(super) after: &'a [String],
    /// So many at most.
    pub(super) rows_max: u32,
    /// And no more once their images have so many bytes.
    pub(super) bytes_max: usize,
}

/// How much of a whole table is handed over at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    /// So many rows at most.
    pub(super) rows_max: u32,
    /// And no more once their images have so many bytes.
    pub(super) bytes_max: usize,
}

/// A view, and what was read around its opening.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// File and position of the binlog's end, read after the view was open.
    pub(super) high: (String, u64),
    pub(super) origin: EventOrigin,
}

/// What was read.
#[derive(Debug)]
pub(super) struct ReadChunk {
    pub(super) rows: ChunkRows,
    pub(super) high: (String, u64),
    pub(super) origin: EventOrigin,
    /// Key of the last row; empty without rows.
    pub(super) until: Vec<String>,
    /// Whether the table has no rows behind these.
    pub(super) last: bool,
}

impl ReadChunk {
    /// Without rows.
    pub(super) fn empty(view: &View, last: bool) -> Self {
        let View { high, origin } = view.clone();
        Self { rows: ChunkRows::default(), high, origin, until: Vec::new(), last }
    }
}

/// A connection that reads tables.
#[derive(Debug)]
pub(super) struct Reader {
    session: Session,
    server: String,
    server_id: u32,
    /// An answer was left before its end.
    spent: bool,
    writer: RowWriter,
    key: Vec<u8>,
}

impl Reader {
    /// Connects, and sets what decides how values look.
    ///
    /// # Errors
    /// The server does not answer as it must.
    pub(super) async fn connect(options: &ConnectOptions) -> Result<Self, CopyError> {
        let mut session = Session::connect(options).await?;
        let dialect = session.dialect();
        let connection = session.connection();
        connection.widen();
        // No conversion of text, moments in UTC, no padding of CHAR, no quoting by mode.
        connection
            .execute(&format!(
                "SET SESSION character_set_results = NULL, time_zone = '+00:00', sql_mode = '', \
                 lock_wait_timeout = {LOCK_WAIT_S}, net_write_timeout = 600"
            ))
            .await?;
        connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        let identity = match dialect {
            Dialect::MySql => "@@GLOBAL.server_uuid",
            Dialect::MariaDB => "@@GLOBAL.server_id",
        };
        let rows = connection.query(&format!("SELECT {identity}, @@GLOBAL.server_id")).await?;
        let cell = |at: usize| rows.first().and_then(|row| row.at(at)).map(str::to_owned).unwrap_or_default();
        let (server, server_id) = (cell(0), cell(1).parse().unwrap_or(0));
        Ok(Self { session, server, server_id, spent: false, writer: RowWriter::new(), key: Vec::new() })
    }

    /// What tells the server from others.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Whether the connection answers nothing else any more.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Reads a chunk in a view of its own. After an error the connection is spent.
    ///
    /// # Errors
    /// The server refuses, or a row cannot be written as the stream would have it.
    pub(super) async fn read(
        &mut self,
        opened: &Opened,
        settle: Option<Instant>,
        range: Range<'_>,
    ) -> Result<ReadChunk, CopyError> {
        let view = self.open_view(opened, settle).await?;
        let mut chunk = ReadChunk::empty(&view, false);
        if self.read_rows(opened, range, &mut chunk).await? {
            chunk.last = (chunk.rows.len() as u64) < u64::from(range.rows_max);
            self.close_view().await?;
        }
        Ok(chunk)
    }

    /// Opens a view that shows all that the stream had brought when the window was opened. `settle`: when that is sure
    /// by its age alone. The connection is spent until the view is closed.
    ///
    /// # Errors
    /// The server refuses, or never shows it.
    pub(super) async fn open_view(&mut self, opened: &Opened, settle: Option<Instant>) -> Result<View, CopyError> {
        self.spent = true;
        if let (Some(settled), Dialect::MySql) = (settle, self.session.dialect()) {
            tokio::time::sleep_until(settled).await;
        }
        let started = Instant::now();
        let mut pause = VISIBLE_POLL;
        loop {
            if let Some((high, timestamp)) = self.try_view(opened).await? {
                return Ok(View { high, origin: EventOrigin { timestamp, server_id: self.server_id } });
            }
            if started.elapsed() > VISIBLE_MAX {
                return Err(CopyError::NotVisible(VISIBLE_MAX.as_secs()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Ends the view; the connection is free again.
    ///
    /// # Errors
    /// A broken connection.
    pub(super) async fn close_view(&mut self) -> Result<(), CopyError> {
        self.session.connection().execute("COMMIT").await?;
        self.spent = false;
        Ok(())
    }

    /// Begins to read all rows in the view that is open.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) async fn read_whole<'r>(&'r mut self, opened: &'r Opened, view: View) -> Result<Whole<'r>, CopyError> {
        let (plan, definition) = (&*opened.plan, &*opened.definition);
        let (database, table) = (identifier(&definition.database), identifier(&definition.table));
        let sql = format!("SELECT {} FROM {database}.{table}", select_list(plan));
        let Self { session, writer, .. } = self;
        let answer = session.connection().select(&sql).await?;
        let fields = answer.fields().to_vec();
        let images = ImageWriter::new(plan);
        Ok(Whole { answer, fields, opened, view, images, writer, key: Vec::new() })
    }

    /// IMPORTANT: what the source has executed is read before the view opens, the end of the binlog after it. A
    /// transaction can be in the binlog, and with capture, before any view shows it: only what is executed is visible.
    async fn try_view(&mut self, opened: &Opened) -> Result<Option<((String, u64), u32)>, CopyError> {
        const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        let dialect = self.session.dialect();
        let connection = self.session.connection();
        let shown = match (&opened.executed, dialect) {
            (SourcePosition::MySqlGtid(set), _) => {
                format!("GTID_SUBSET({}, @@GLOBAL.gtid_executed)", text_literal(set))
            }
            // MariaDB's view says itself how far it goes; elsewhere the window's age has to do.
            _ => "1".to_owned(),
        };
        let owned = if dialect == Dialect::MySql { "@@GLOBAL.gtid_owned" } else { "''" };
        let owned = if matches!(opened.executed, SourcePosition::MySqlGtid(_)) { owned } else { "''" };
        let rows = connection.query(&format!("SELECT {shown}, UNIX_TIMESTAMP(), {owned}")).await?;
        let cell = |at: usize| rows.first().and_then(|row| row.at(at));
        if cell(0) != Some("1") {
            return Ok(None);
        }
        // MySQL 5.6 calls a transaction executed once it is in the binlog; until it shows as well, it has an owner.
        if let (SourcePosition::MySqlGtid(set), Some(owned)) = (&opened.executed, cell(2))
            && is_owned(set, owned)
        {
            return Ok(None);
        }
        if !opened.committing.is_empty() {
            let rows = connection.query("XA RECOVER FORMAT='SQL'").await?;
            let xids = |row: Row<'_>| row.get("data").map(str::to_ascii_lowercase);
            let prepared: HashSet<String> = rows.iter().filter_map(xids).collect();
            // A name may have been taken again, by a transaction that is no hindrance; then this waits in vain for once.
            if opened.committing.iter().any(|xid| prepared.contains(&xid.to_ascii_lowercase())) {
                return Ok(None);
            }
        }
        // Servers that have fractions of a second print none here.
        let timestamp = cell(1).and_then(|text| text.split('.').next()?.parse().ok()).unwrap_or(0);
        connection.execute(BEGIN).await?;
        let high = match dialect {
            Dialect::MySql => {
                let end = self.session.end().await?.ok_or(CopyError::NoPosition)?;
                (end.file, end.position)
            }
            Dialect::MariaDB => {
                // Of the view itself: what lies before is in it, what lies behind is not.
                let rows = connection.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
                let value = |name: &str| {
                    let row = rows.iter().find(|row| row.at(0).is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
                    row.at(1).map(str::to_owned)
                };
                let (file, position) = (value("binlog_snapshot_file"), value("binlog_snapshot_position"));
                let position = position.and_then(|position| position.parse().ok());
                let view = file.zip(position).ok_or(CopyError::NoPosition)?;
                if is_before(&view, &opened.place) {
                    connection.execute("COMMIT").await?;
                    return Ok(None);
                }
                view
            }
        };
        Ok(Some((high, timestamp)))
    }

    /// Reads rows into the chunk; false when there are more, and the connection is spent.
    async fn read_rows(&mut self, opened: &Opened, range: Range<'_>, chunk: &mut ReadChunk) -> Result<bool, CopyError> {
        let Self { session, writer, key, .. } = self;
        let (plan, definition) = (&*opened.plan, &*opened.definition);
        let sql = statement(opened, range).ok_or(CopyError::NoKey)?;
        let mut images = ImageWriter::new(plan);
        let mut answer = session.connection().select(&sql).await?;
        let fields = answer.fields().to_vec();
        if fields.len() != plan.columns.len() {
            return Err(StreamError::Protocol("another number of columns than was asked for").into());
        }
        let mut cut = false;
        while let Some(row) = answer.next().await? {
            images.write(plan, &fields, &row, writer)?;
            let image = writer.image(&plan.defs)?;
            key.clear();
            if !append_key(plan, image, None, &mut RowWriter::new(), key)? {
                return Err(CopyError::NoKey);
            }
            cut = chunk.rows.bytes() + image.size() >= range.bytes_max;
            if cut || chunk.rows.len() as u64 + 1 == u64::from(range.rows_max) {
                chunk.until = key_literals(plan, definition, image)?;
            }
            chunk.rows.push(|out| writer.append_to(out), key);
            if cut {
                break;
            }
        }
        if cut {
            return Ok(false);
        }
        answer.close().await?;
        Ok(true)
    }
}

/// All rows of a table in one view, on their way.
pub(super) struct Whole<'r> {
    answer: Selected<'r>,
    fields: Vec<Field>,
    opened: &'r Opened,
    view: View,
    images: ImageWriter,
    writer: &'r mut RowWriter,
    key: Vec<u8>,
}

impl Whole<'_> {
    /// The next rows; the last ones say so.
    ///
    /// # Errors
    /// The server ends the answer, or a row cannot be written as the stream would have it.
    pub(super) async fn batch(&mut self, limit: Batch) -> Result<ReadChunk, CopyError> {
        let Self { answer, fields, opened, view, images, writer, key } = self;
        let mut chunk = ReadChunk::empty(view, false);
        while chunk.rows.len() < limit.rows_max as usize && chunk.rows.bytes() < limit.bytes_max {
            let Some(row) = answer.next().await? else {
                chunk.last = true;
                break;
            };
            images.write(&opened.plan, fields, &row, writer)?;
            let image = writer.image(&opened.plan.defs)?;
            key.clear();
            if !append_key(&opened.plan, image, None, &mut RowWriter::new(), key)? {
                return Err(CopyError::NoKey);
            }
            chunk.rows.push(|out| writer.append_to(out), key);
        }
        Ok(chunk)
    }

    /// Gives the statement back; all rows were read.
    ///
    /// # Errors
    /// A broken connection.
    pub(super) async fn close(self) -> Result<(), CopyError> {
        Ok(self.answer.close().await?)
    }
}

/// What is asked of a table; none when it has no key.
fn statement(opened: &Opened, range: Range<'_>) -> Option<String> {
    let (plan, definition) = (&*opened.plan, &*opened.definition);
    let index = definition.effective_key()?;
    let order: Vec<String> = plan.key.iter().map(|&at| identifier(&plan.columns[at].name)).collect();
    let condition = match range.after {
        [] => String::new(),
        after => format!(" WHERE {}", behind(plan, after)),
    };
    Some(format!(
        "SELECT {} FROM {}.{} FORCE INDEX ({}){condition} ORDER BY {} LIMIT {}",
        select_list(plan),
        identifier(&definition.database),
        identifier(&definition.table),
        identifier(&index.name),
        order.join(", "),
        range.rows_max,
    ))
}

/// Whether a transaction of the set is among those that `gtid_owned` names, as `uuid:17#4:18#5` with threads behind `#`.
/// Only MySQL 5.6 has to be asked so, and writes nothing else there.
fn is_owned(set: &str, owned: &str) -> bool {
    let mut numbers = String::with_capacity(owned.len());
    let mut in_thread = false;
    for c in owned.chars() {
        in_thread = c == '#' || (in_thread && c.is_ascii_digit());
        if !in_thread {
            numbers.push(c);
        }
    }
    let (Ok(set), Ok(owned)) = (set.parse::<GtidSet>(), numbers.parse::<GtidSet>()) else { return false };
    owned.difference(&set) != owned
}

fn is_before(place: &(String, u64), other: &(String, u64)) -> bool {
    match compare_files(&place.0, &other.0) {
        Some(Ordering::Less) | None => true,
        Some(Ordering::Equal) => place.1 < other.1,
        Some(Ordering::Greater) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_with_an_owner_does_not_show_yet() {
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23";
        for (owned, expected) in [
            ("3E11FA47-71CA-11E1-9E33-C80AA9429562:23#4", true),
            ("3e11fa47-71ca-11e1-9e33-c80aa9429562:24#23:20#11", true),
            ("3e11fa47-71ca-11e1-9e33-c80aa9429562:24#23:25#11", false),
            ("11111111-71ca-11e1-9e33-c80aa9429562:5#1,\n3e11fa47-71ca-11e1-9e33-c80aa9429562:1#7", true),
            ("11111111-71ca-11e1-9e33-c80aa9429562:5#1", false),
        ] {
            assert_eq!(is_owned(set, owned), expected, "{owned}");
        }
    }
}
