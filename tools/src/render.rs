//! Rows of the log as text: one line a row for people, or the Canal JSON a delivery would send.

use std::io::Write;
use std::sync::Arc;

use jiff::tz::TimeZone;
use relay::change::decode::{BlockDecoder, BlockError, Change};
use relay::change::plan::Planner;
use relay::change::schema::TableName;
use relay::change::{DdlChange, Op, RowChange, RowsChange};
use relay::format::canal_json::{CanalJson, CanalOptions, DdlTarget};
use relay::selection::TablePatterns;
use relay_store::{Block, Reader};

use crate::end::Failed;
use crate::print::{neutral, neutral_json};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A line a row.
    Text,
    /// Canal JSON, a message a row.
    Json,
}

/// Writes the changes of blocks.
pub struct RowWriter<'a, W> {
    out: &'a mut W,
    shape: Shape,
    tables: &'a TablePatterns,
    planner: Arc<Planner>,
    canal: CanalJson,
    /// Whether the output is a terminal, which must not be told what to do by data.
    terminal: bool,
    /// Entries whose rows could not be decoded.
    pub failures: u64,
}

enum Stop {
    Block(BlockError),
    Output(std::io::Error),
}

impl From<BlockError> for Stop {
    fn from(e: BlockError) -> Self {
        Self::Block(e)
    }
}

impl From<std::io::Error> for Stop {
    fn from(e: std::io::Error) -> Self {
        Self::Output(e)
    }
}

impl<'a, W: Write> RowWriter<'a, W> {
    /// A writer of the selected tables' rows to `out`.
    pub fn new(out: &'a mut W, shape: Shape, tables: &'a TablePatterns, zone: TimeZone, terminal: bool) -> Self {
        let canal = CanalJson::new(&CanalOptions::default(), zone);
        Self { out, shape, tables, planner: Arc::new(Planner::new()), canal, terminal, failures: 0 }
    }

    /// Writes what is visible of a block, from the seq it was read for up to `to`. A block that cannot be decoded is
    /// named in the output.
    ///
    /// # Errors
    /// The output or the log fails.
    pub fn block(&mut self, block: &Block, to: u64, reader: &mut Reader) -> Result<(), Failed> {
        let decoder = BlockDecoder::new(Arc::clone(&self.planner));
        if let Ok(missing) = decoder.missing_schemas(block) {
            for version in missing {
                let found = reader.schema(version).map_err(|e| Failed::new(e.to_string()))?;
                if let Some(bytes) = found {
                    // What does not decode leaves its tables without a plan, and their rows say so.
                    let _ = self.planner.learn(&bytes);
                }
            }
        }
        let tables = self.tables;
        let wanted = |name: &TableName| tables.matches(&name.database, &name.table);
        let done = decoder.decode::<Stop>(block, &wanted, &mut |change| self.change(&change, to));
        match done {
            Ok(()) => Ok(()),
            Err(Stop::Output(e)) => Err(e.into()),
            Err(Stop::Block(e)) => {
                self.failures += 1;
                Ok(self.note(&format!("not decoded: {e}"))?)
            }
        }
    }

    /// A line that is no row: a gap, a failure.
    ///
    /// # Errors
    /// The output fails.
    pub fn note(&mut self, text: &str) -> std::io::Result<()> {
        match self.shape {
            Shape::Text => writeln!(self.out, "-- {}", neutral(text)),
            Shape::Json => writeln!(self.out, "{}", serde_json::json!({ "note": text })),
        }
    }

    fn change(&mut self, change: &Change<'_>, to: u64) -> Result<(), Stop> {
        match change {
            Change::Rows(rows) if rows.seq.0 <= to => self.rows(rows)?,
            Change::Ddl(ddl) if ddl.seq.0 <= to => self.ddl(ddl)?,
            Change::Gap(gap) if gap.seq.0 <= to => self.note(&format!("seq {}: gap: {}", gap.seq, gap.text))?,
            Change::Failed(f) if f.seq.0 <= to => {
                self.failures += 1;
                let (database, table) = (&f.table.database, &f.table.table);
                self.note(&format!("seq {}: rows of {database}.{table} not decoded: {}", f.seq, f.error))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn rows(&mut self, rows: &RowsChange<'_>) -> std::io::Result<()> {
        let mut line = Vec::new();
        for row in rows.rows() {
            let written = match &row {
                Ok(row) => {
                    line.clear();
                    self.row(rows, row, &mut line)
                }
                Err(e) => Err(e.to_string()),
            };
            match written {
                Ok(()) => self.line(&line)?,
                Err(e) => {
                    self.failures += 1;
                    let name = &rows.plan.name;
                    self.note(&format!("seq {}: row of {}.{} not decoded: {e}", rows.seq, name.database, name.table))?;
                    break;
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, rows: &RowsChange<'_>, row: &RowChange<'_>, line: &mut Vec<u8>) -> Result<(), String> {
        if self.shape == Shape::Json {
            let now = u64::from(rows.place.timestamp) * 1000;
            return self.canal.write(rows, std::slice::from_ref(row), now, line).map_err(|e| e.to_string());
        }
        let (name, op) = (&rows.plan.name, rows.op);
        let word = match op {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
        };
        line.extend_from_slice(
            format!("{}:{}  {word}  {}.{} ", rows.seq, row.index, name.database, name.table).as_bytes(),
        );
        for (image, mark) in [
            (row.before, if op == Op::Update { " from" } else { "" }),
            (row.after, if op == Op::Update { " to" } else { "" }),
        ] {
            let Some(image) = image else { continue };
            line.extend_from_slice(mark.as_bytes());
            for value in image.values() {
                let (index, value) = value.map_err(|e| e.to_string())?;
                let Some(column) = rows.plan.columns.get(index) else { continue };
                line.push(b' ');
                line.extend_from_slice(column.name.as_bytes());
                line.push(b'=');
                let start = line.len();
                if self.canal.renderer().write_json(column, &value, line).is_err() {
                    line.truncate(start);
                    line.extend_from_slice(b"?");
                }
            }
        }
        Ok(())
    }

    fn ddl(&mut self, ddl: &DdlChange<'_>) -> std::io::Result<()> {
        let mut line = Vec::new();
        match self.shape {
            Shape::Json => {
                let target = DdlTarget { database: &ddl.database, table: "", kind: "QUERY" };
                self.canal.write_ddl(ddl, target, u64::from(ddl.place.timestamp) * 1000, &mut line);
            }
            Shape::Text => {
                line.extend_from_slice(format!("{}  ddl  [{}] {}", ddl.seq, ddl.database, ddl.sql).as_bytes());
            }
        }
        self.line(&line)
    }

    fn line(&mut self, line: &[u8]) -> std::io::Result<()> {
        let text = String::from_utf8_lossy(line);
        match self.shape {
            Shape::Text => writeln!(self.out, "{}", neutral(&text)),
            Shape::Json if self.terminal => writeln!(self.out, "{}", neutral_json(&text)),
            Shape::Json => {
                self.out.write_all(line)?;
                self.out.write_all(b"\n")
            }
        }
    }
}
