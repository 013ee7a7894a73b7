//! One line a row, decoded as a delivery decodes it.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use relay::binlog::{RowImage, Value};
use relay::change::column_type::ColumnType;
use relay::change::decode::{BlockDecoder, BlockError, Change};
use relay::change::plan::Planner;
use relay::change::schema::{Column, TableName};
use relay::change::{DdlChange, Op, RowChange, RowsChange, RowsError, ddl};
use relay::format::canal_json::{CanalJson, CanalOptions, DdlTarget};
use relay::format::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use relay::selection::TablePatterns;
use relay_store::{Block, Read, ReadError, Reader, Seq};
use serde_json::{Map, Value as Json, json};

use super::{Output, Printer};
use crate::ended::Ended;
use crate::escape::{Plain, Quoted};
use crate::units;

/// What a row is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Names and values, before and after.
    Rows,
    /// Canal JSON.
    Canal,
}

/// Prints rows.
pub(super) struct Rows {
    tables: Option<TablePatterns>,
    planner: Arc<Planner>,
    decoder: BlockDecoder,
    lines: Lines,
}

/// The writers of both shapes.
struct Lines {
    shape: Shape,
    canal: CanalJson,
    renderer: Renderer,
    scratch: Vec<u8>,
}

/// Decoding a block ends early.
enum Stop {
    Block(BlockError),
    /// The last entry asked for is behind us.
    Enough,
    Ended(Ended),
}

impl From<BlockError> for Stop {
    fn from(e: BlockError) -> Self {
        Self::Block(e)
    }
}

impl From<Ended> for Stop {
    fn from(e: Ended) -> Self {
        Self::Ended(e)
    }
}

impl Rows {
    pub(super) fn new(tables: Option<TablePatterns>, zone: TimeZone, shape: Shape) -> Self {
        let planner = Arc::new(Planner::new());
        let text = TextOptions {
            zone: zone.clone(),
            enums: EnumForm::Label,
            binary: BinaryForm::Hex,
            on_bad_text: OnBadText::Replace,
        };
        let lines = Lines {
            shape,
            canal: CanalJson::new(&CanalOptions::default(), zone),
            renderer: Renderer::new(text),
            scratch: Vec::new(),
        };
        Self { tables, decoder: BlockDecoder::new(Arc::clone(&planner)), planner, lines }
    }

    fn block(&mut self, reader: &mut Reader, block: &Block, to: Seq, out: &mut Output) -> Result<(), Ended> {
        let tables = self.tables.as_ref();
        let wanted = |name: &TableName| tables.is_none_or(|tables| tables.matches(&name.database, &name.table));
        let decoded = match self.decoder.missing_schemas(block) {
            Ok(_) if block.entries().next().is_none() => return Ok(()),
            Ok(missing) => {
                for id in missing {
                    if let Some(bytes) = reader.schema(id)? {
                        // One that does not decode is named by each row that needs it.
                        let _ = self.planner.learn(&bytes);
                    }
                }
                let lines = &mut self.lines;
                self.decoder.decode(block, &wanted, &mut |change| lines.change(&change, &wanted, to, out))
            }
            Err(e) => Err(Stop::Block(e)),
        };
        match decoded {
            Ok(()) | Err(Stop::Enough) => Ok(()),
            Err(Stop::Ended(ended)) => Err(ended),
            Err(Stop::Block(e)) => self.lines.undecodable(block.first_seq(), None, &e.to_string(), out),
        }
    }
}

impl Printer for Rows {
    fn print(&mut self, reader: &mut Reader, from: Seq, to: Seq, out: &mut Output) -> Result<Seq, Ended> {
        // Canal JSON has no word for a gap; whoever reads lines of JSON gets it as one.
        out.json |= self.lines.shape == Shape::Canal;
        let mut next = from;
        while next <= to {
            match reader.read(next)? {
                Read::CaughtUp => break,
                Read::Gap(gap) => {
                    out.gap(&gap)?;
                    next = gap.last.next();
                }
                Read::Block(raw) => {
                    let last = raw.last_seq();
                    match raw.decode() {
                        Ok(block) => self.block(reader, &block, to, out)?,
                        Err(ReadError::Gap(gap)) => out.gap(&gap)?,
                        Err(e) => return Err(e.into()),
                    }
                    next = last.next();
                }
            }
        }
        Ok(next)
    }
}

impl Lines {
    fn change(
        &mut self,
        change: &Change<'_>,
        wanted: &dyn Fn(&TableName) -> bool,
        to: Seq,
        out: &mut Output,
    ) -> Result<(), Stop> {
        let seq = match change {
            Change::Rows(rows) => rows.seq,
            Change::Ddl(ddl) => ddl.seq,
            Change::Begin(boundary) | Change::Commit(boundary) => boundary.seq,
            Change::Gap(gap) => gap.seq,
            Change::Failed(failure) => failure.seq,
        };
        if seq > to {
            return Err(Stop::Enough);
        }
        match change {
            Change::Rows(rows) => self.rows(rows, out)?,
            Change::Ddl(ddl) => self.statement(ddl, wanted, out)?,
            Change::Begin(_) | Change::Commit(_) => {}
            Change::Gap(gap) if out.json => {
                out.json_line(
                    &json!({ "gap": { "first_seq": seq.0, "last_seq": seq.0, "reason": gap.text } }).to_string(),
                )?;
            }
            Change::Gap(gap) => out.line(format_args!("GAP  seq {seq}: {}", Plain(gap.text)))?,
            Change::Failed(failure) => {
                self.undecodable(seq, Some(failure.table), &failure.error.to_string(), out)?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, rows: &RowsChange<'_>, out: &mut Output) -> Result<(), Ended> {
        for row in rows.rows() {
            let written = row.map_err(FormatError::from).and_then(|row| self.row(rows, &row, out.json));
            match written {
                Ok(line) if out.json => out.json_line(&line)?,
                Ok(line) => out.line(format_args!("{line}"))?,
                Err(e) => {
                    self.undecodable(rows.seq, Some(&rows.plan.name), &e.to_string(), out)?;
                    if matches!(e, FormatError::Rows(RowsError::Decode { .. } | RowsError::TooMany)) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, rows: &RowsChange<'_>, row: &RowChange<'_>, json: bool) -> Result<String, FormatError> {
        if self.shape == Shape::Canal {
            self.scratch.clear();
            self.canal.write(rows, std::slice::from_ref(row), now_ms(), &mut self.scratch)?;
            return Ok(String::from_utf8_lossy(&self.scratch).into_owned());
        }
        let op = match rows.op {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
        };
        let columns = &rows.plan.columns;
        let time = time_of(rows);
        if json {
            let before = row.before.map(|image| self.object(columns, &image, row)).transpose()?;
            let after = row.after.map(|image| self.object(columns, &image, row)).transpose()?;
            let line = json!({
                "seq": rows.seq.0,
                "row": row.index,
                "op": op,
                "database": &*rows.plan.name.database,
                "table": &*rows.plan.name.table,
                "snapshot": rows.snapshot,
                "time": time,
                "gtid": rows.tx.gtid,
                "file": &*rows.tx.file,
                "position": rows.place.position,
                "before": before,
                "after": after,
            });
            return Ok(line.to_string());
        }
        let before = row.before.map(|image| self.tuple(columns, &image, row)).transpose()?;
        let after = row.after.map(|image| self.tuple(columns, &image, row)).transpose()?;
        let images = before.into_iter().chain(after).collect::<Vec<_>>().join(" -> ");
        let name = rows.plan.name.to_string();
        Ok(format!("{}.{}  {time}  {op}  {}  {images}", rows.seq, row.index, Plain(&name)))
    }

    /// `{id=1, note="x"}`; columns that a partial image lacks are left out.
    fn tuple(&mut self, columns: &[Column], image: &RowImage<'_>, row: &RowChange<'_>) -> Result<String, FormatError> {
        let mut out = String::from("{");
        self.cells(columns, image, row, &mut |column, value| {
            if out.len() > 1 {
                out.push_str(", ");
            }
            let name = Plain(&column.name);
            out.push_str(&match value {
                None => format!("{name}=NULL"),
                Some(value) if is_binary(&column.kind) => format!("{name}=0x{value}"),
                Some(value) if is_bare(&column.kind) => format!("{name}={}", Plain(value)),
                Some(value) => format!("{name}={}", Quoted(value)),
            });
        })?;
        out.push('}');
        Ok(out)
    }

    fn object(&mut self, columns: &[Column], image: &RowImage<'_>, row: &RowChange<'_>) -> Result<Json, FormatError> {
        let mut out = Map::new();
        self.cells(columns, image, row, &mut |column, value| {
            out.insert(column.name.to_string(), value.map_or(Json::Null, Json::from));
        })?;
        Ok(Json::Object(out))
    }

    /// Names and texts of the columns that an image holds.
    fn cells(
        &mut self,
        columns: &[Column],
        image: &RowImage<'_>,
        row: &RowChange<'_>,
        visit: &mut dyn FnMut(&Column, Option<&str>),
    ) -> Result<(), FormatError> {
        for cell in image.cells() {
            let decode = |source| FormatError::Rows(RowsError::Decode { index: row.index, source });
            let cell = cell.map_err(decode)?;
            let Some(column) = columns.get(cell.index) else {
                return Err(FormatError::Kind { column: format!("number {}", cell.index) });
            };
            let wrong = |source| FormatError::Value { column: column.name.to_string(), source };
            self.scratch.clear();
            let is_value = match cell.value().map_err(wrong)? {
                Value::JsonDiff(diff) => {
                    let base = row.before.map_or(Ok(None), |before| before.get(cell.index)).map_err(wrong)?;
                    self.renderer.write_json_diff(column, base.as_ref(), diff, &mut self.scratch)?;
                    // It comes as a JSON string: the document is inside.
                    if let Ok(document) = serde_json::from_slice::<String>(&self.scratch) {
                        self.scratch = document.into_bytes();
                    }
                    true
                }
                value => self.renderer.write_text(column, &value, &mut self.scratch)?,
            };
            let text = String::from_utf8_lossy(&self.scratch);
            visit(column, is_value.then_some(&*text));
        }
        Ok(())
    }

    /// A statement, for each table that it names; one that names none, or cannot be read, may concern any.
    fn statement(
        &mut self,
        ddl: &DdlChange<'_>,
        wanted: &dyn Fn(&TableName) -> bool,
        out: &mut Output,
    ) -> Result<(), Ended> {
        let items = match ddl::parse(&ddl.sql, &ddl.database) {
            Ok(parsed) => parsed.items,
            Err(unparsed) => vec![unparsed.item],
        };
        let is_wanted = |item: &&ddl::Item| {
            item.table.is_empty() || wanted(&TableName::new(item.database.as_str(), item.table.as_str()))
        };
        for item in items.iter().filter(is_wanted) {
            self.item(ddl, item, out)?;
        }
        Ok(())
    }

    fn item(&mut self, ddl: &DdlChange<'_>, item: &ddl::Item, out: &mut Output) -> Result<(), Ended> {
        let (seq, kind) = (ddl.seq, item.kind.name());
        if self.shape == Shape::Canal {
            self.scratch.clear();
            let target = DdlTarget { database: &item.database, table: &item.table, kind };
            self.canal.write_ddl(ddl, target, now_ms(), &mut self.scratch);
            return out.json_line(&String::from_utf8_lossy(&self.scratch));
        }
        let time = units::time_us(u64::from(ddl.place.timestamp) * 1_000_000);
        if out.json {
            let line = json!({
                "seq": seq.0,
                "op": "statement",
                "kind": kind,
                "database": item.database,
                "table": item.table,
                "sql": &*ddl.sql,
                "time": time,
                "gtid": ddl.tx.gtid,
                "file": &*ddl.tx.file,
                "position": ddl.place.position,
            });
            return out.json_line(&line.to_string());
        }
        let words = ddl.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = [item.database.as_str(), item.table.as_str()].join(".");
        let name = name.trim_matches('.');
        out.line(format_args!("{seq}  {time}  {}  {}  {}", kind.to_lowercase(), Plain(name), Plain(&words)))
    }

    fn undecodable(&self, seq: Seq, table: Option<&TableName>, why: &str, out: &mut Output) -> Result<(), Ended> {
        out.undecodable += 1;
        let table = table.map(ToString::to_string);
        if out.json {
            let line = json!({ "undecodable": { "seq": seq.0, "table": table, "reason": why } });
            return out.json_line(&line.to_string());
        }
        let table = table.unwrap_or_else(|| "the block".to_owned());
        out.line(format_args!("UNDECODABLE  seq {seq}  {}: {}", Plain(&table), Plain(why)))
    }
}

/// When a message is made, which Canal JSON tells.
fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// When it committed, else when the statement began.
fn time_of(rows: &RowsChange<'_>) -> String {
    units::time_us(rows.tx.commit_time_us.unwrap_or(u64::from(rows.place.timestamp) * 1_000_000))
}

fn is_binary(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Binary { .. }
            | ColumnType::VarBinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Geometry { .. }
            | ColumnType::Vector { .. }
    )
}

/// Numbers and times: nothing in them needs quotes.
fn is_bare(kind: &ColumnType) -> bool {
    kind.is_numeric() || matches!(kind, ColumnType::Bit { .. } | ColumnType::Year)
}
