//! `relay etl-try`: what a script would make of rows that are in the log, before it runs. Reads the log's files and
//! changes nothing, whether a relay runs on them or not.

mod table;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use relay_store::{Block, OpenError, Read, ReadError, ReadOnlyLog, Reader, Seq};
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::binlog::{RowImage, Value};
use crate::change::decode::{BlockDecoder, BlockError, Change};
use crate::change::plan::{Planner, TablePlan};
use crate::change::schema::TableName;
use crate::change::{Op, RowChange, RowsChange};
use crate::etl::{Bound, EtlError, OnError, Outcome, Scratch, Script, ScriptOptions, Secrets};
use crate::failure::Exit;
use crate::format::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use crate::log::address::Address;
use crate::log::resolve::ResolveError;
use crate::run::exit_of_open;
use crate::selection::TablePatterns;
use table::{Cells, Shown, plain, table};

/// What is tried, and on which rows.
#[derive(Debug)]
pub struct Trial {
    /// The log's folder.
    pub dir: PathBuf,
    /// The script's file, for errors.
    pub file: PathBuf,
    /// The script.
    pub script: String,
    /// Where to begin.
    pub from: Address,
    /// Most rows that are shown.
    pub limit: u64,
    /// Whose rows.
    pub tables: TablePatterns,
    /// The task's zone.
    pub zone: TimeZone,
    /// Keys of named secrets.
    pub secrets: Secrets,
    /// What happens to a row on which the script fails.
    pub on_error: OnError,
    /// One JSON object a row instead of aligned text.
    pub json: bool,
}

/// Why a trial ended badly.
#[derive(Debug, Error)]
pub enum TrialError {
    /// The script does not compile.
    #[error("{file}: {error}")]
    Script {
        /// Its file.
        file: String,
        /// What is wrong.
        error: EtlError,
    },
    /// There is no log, or it cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address leads nowhere.
    #[error(transparent)]
    Address(#[from] ResolveError),
    /// The log cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block cannot be decoded.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Standard output refuses.
    #[error("write the output: {0}")]
    Output(#[from] std::io::Error),
    /// The script failed on rows or does not fit tables; each is named in the output.
    #[error("{0} rows or tables failed; each is named in the output")]
    Failed(u64),
}

impl TrialError {
    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Script { .. } | Self::Address(_) => Exit::Config,
            Self::Open(error) => exit_of_open(error),
            Self::Read(_) | Self::Block(_) => Exit::Store,
            Self::Output(_) | Self::Failed(_) => Exit::Failed,
        }
    }
}

/// Decoding a block ends early.
enum Stop {
    Enough,
    Failed(TrialError),
}

impl From<BlockError> for Stop {
    fn from(error: BlockError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the script over rows of the log and shows them before and after.
///
/// # Errors
/// See [`TrialError`]; what was shown before stands.
pub fn run(trial: &Trial, out: &mut dyn Write) -> Result<(), TrialError> {
    let options = ScriptOptions { zone: trial.zone.clone(), secrets: trial.secrets.clone(), on_error: trial.on_error };
    let compiled = Script::compile(&trial.script, &options);
    let script = compiled.map_err(|error| TrialError::Script { file: trial.file.display().to_string(), error })?;
    let log = ReadOnlyLog::open(&trial.dir)?;
    let from = trial.from.resolve(&log)?;
    let planner = Arc::new(Planner::new());
    let mut session = Session {
        trial,
        script,
        bound: HashMap::new(),
        scratch: Scratch::new(),
        renderer: Renderer::new(TextOptions {
            zone: trial.zone.clone(),
            enums: EnumForm::Label,
            binary: BinaryForm::Hex,
            on_bad_text: OnBadText::Replace,
        }),
        from,
        shown: 0,
        failed: 0,
        out,
    };
    let decoder = BlockDecoder::new(Arc::clone(&planner));
    let mut reader = log.reader();
    let mut next = from;
    while session.shown < trial.limit {
        let block = match reader.read(next)? {
            Read::CaughtUp => break,
            Read::Gap(gap) => {
                session.note(&format!("gap: {gap}"))?;
                next = gap.last.next();
                continue;
            }
            Read::Block(raw) => {
                next = raw.last_seq().next();
                match raw.decode() {
                    Ok(block) => block,
                    Err(ReadError::Gap(gap)) => {
                        session.note(&format!("gap: {gap}"))?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        learn(&decoder, &planner, &block, &mut reader)?;
        match session.block(&decoder, &block) {
            Ok(()) => {}
            Err(Stop::Enough) => break,
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    let (shown, failed) = (session.shown, session.failed);
    if shown == 0 && failed == 0 {
        session.note(&format!("no rows from {} on", trial.from))?;
    }
    out.flush()?;
    if failed > 0 { Err(TrialError::Failed(failed)) } else { Ok(()) }
}

/// Schema versions that the block's table maps name.
fn learn(decoder: &BlockDecoder, planner: &Planner, block: &Block, reader: &mut Reader) -> Result<(), TrialError> {
    for version in decoder.missing_schemas(block)? {
        if let Some(bytes) = reader.schema(version)? {
            // One that does not decode is named by each row that needs it.
            let _ = planner.learn(&bytes);
        }
    }
    Ok(())
}

struct Session<'t> {
    trial: &'t Trial,
    script: Script,
    /// By plan id; none for a table that the script does not fit.
    bound: HashMap<u64, Option<Arc<Bound>>>,
    scratch: Scratch,
    renderer: Renderer,
    from: Seq,
    shown: u64,
    failed: u64,
    out: &'t mut dyn Write,
}

/// Most plans whose bindings are kept; all are made again beyond.
const BOUND_MAX: usize = 4096;

impl Session<'_> {
    fn note(&mut self, text: &str) -> std::io::Result<()> {
        if self.trial.json {
            writeln!(self.out, "{}", json!({ "note": text }))
        } else {
            writeln!(self.out, "-- {}", plain(text))
        }
    }

    fn block(&mut self, decoder: &BlockDecoder, block: &Block) -> Result<(), Stop> {
        let tables = &self.trial.tables;
        let wanted = |name: &TableName| tables.matches(&name.database, &name.table);
        decoder.decode(block, &wanted, &mut |change| match change {
            Change::Rows(rows) if rows.seq >= self.from => self.rows(&rows),
            Change::Failed(failure) if failure.seq >= self.from => {
                self.failed += 1;
                Ok(self.note(&format!("seq {} {}: {}", failure.seq, failure.table, failure.error))?)
            }
            _ => Ok(()),
        })
    }

    fn rows(&mut self, rows: &RowsChange<'_>) -> Result<(), Stop> {
        let Some(bound) = self.bind(rows)? else { return Ok(()) };
        for row in rows.rows() {
            if self.shown >= self.trial.limit {
                return Err(Stop::Enough);
            }
            match row {
                Ok(row) => self.row(&bound, rows, &row)?,
                Err(error) => {
                    self.failed += 1;
                    self.note(&format!("seq {} {}: {error}", rows.seq, rows.plan.name))?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// The script for a table; a table that it does not fit is named once.
    fn bind(&mut self, rows: &RowsChange<'_>) -> Result<Option<Arc<Bound>>, Stop> {
        if self.bound.len() >= BOUND_MAX {
            self.bound.clear();
        }
        if let Some(bound) = self.bound.get(&rows.plan.id) {
            return Ok(bound.clone());
        }
        let bound = match self.script.bind(rows.plan) {
            Ok(bound) => Some(Arc::new(bound)),
            Err(error) => {
                self.failed += 1;
                self.note(&format!("{}: {error}", rows.plan.name))?;
                None
            }
        };
        self.bound.insert(rows.plan.id, bound.clone());
        Ok(bound)
    }

    fn row(&mut self, bound: &Bound, rows: &RowsChange<'_>, row: &RowChange<'_>) -> Result<(), Stop> {
        let renderer = &mut self.renderer;
        let shown = shown(renderer, rows.plan, rows.op, row);
        let outcome = bound.run(rows, row, &mut self.scratch);
        let (result, after) = match outcome {
            Ok(Outcome::Keep) => ("kept".to_owned(), None),
            Ok(Outcome::Drop) => ("dropped".to_owned(), None),
            Ok(Outcome::Changed { plan, op, row }) => {
                ("changed".to_owned(), Some(self::shown(renderer, plan, op, &row)))
            }
            Ok(Outcome::DeadLetter(error)) => (format!("dead letter: {error}"), None),
            Err(error) => {
                self.failed += 1;
                (format!("failed: {error}"), None)
            }
        };
        let wrong = |error: &FormatError| format!("seq {}.{} {}: {error}", rows.seq, row.index, rows.plan.name);
        let parts = match (shown, after.transpose()) {
            (Ok(shown), Ok(after)) => Ok((shown, after)),
            (Err(error), _) | (_, Err(error)) => Err(wrong(&error)),
        };
        self.shown += 1;
        match parts {
            Ok((shown, after)) => Ok(self.write(rows.seq, row.index, &result, &shown, after.as_ref())?),
            Err(text) => {
                self.failed += 1;
                Ok(self.note(&text)?)
            }
        }
    }

    fn write(
        &mut self,
        seq: Seq,
        index: u32,
        result: &str,
        source: &Shown,
        made: Option<&Shown>,
    ) -> std::io::Result<()> {
        if self.trial.json {
            let record = |shown: &Shown| {
                json!({
                    "op": name_of(shown.op),
                    "table": shown.table,
                    "before": shown.before.as_ref().map(object),
                    "after": shown.after.as_ref().map(object),
                })
            };
            let line = json!({
                "seq": seq.0,
                "row": index,
                "result": result,
                "source": record(source),
                "made": made.map(record),
            });
            return writeln!(self.out, "{line}");
        }
        let mut head = format!("{seq}.{index}  {} {}", name_of(source.op), source.table);
        if let Some(made) = made
            && (made.op, &made.table) != (source.op, &source.table)
        {
            head.push_str(&format!(" -> {} {}", name_of(made.op), made.table));
        }
        writeln!(self.out, "{}  {}", plain(&head), plain(result))?;
        for line in table(source, made) {
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }
}

fn name_of(op: Op) -> &'static str {
    match op {
        Op::Insert => "INSERT",
        Op::Update => "UPDATE",
        Op::Delete => "DELETE",
    }
}

fn object(cells: &Cells) -> Json {
    let members = cells.iter().map(|(name, text)| (name.clone(), text.clone().map_or(Json::Null, Json::from)));
    Json::Object(members.collect::<Map<_, _>>())
}

fn shown(renderer: &mut Renderer, plan: &TablePlan, op: Op, row: &RowChange<'_>) -> Result<Shown, FormatError> {
    let mut cells =
        |image: Option<RowImage<'_>>| image.map(|image| cells(renderer, plan, &image, row.before.as_ref())).transpose();
    Ok(Shown { op, table: plan.name.to_string(), before: cells(row.before)?, after: cells(row.after)? })
}

fn cells(
    renderer: &mut Renderer,
    plan: &TablePlan,
    image: &RowImage<'_>,
    before: Option<&RowImage<'_>>,
) -> Result<Cells, FormatError> {
    let mut all = Vec::new();
    for cell in image.cells() {
        let wrong = |source| FormatError::Value { column: "of the row".to_owned(), source };
        let cell = cell.map_err(wrong)?;
        let Some(column) = plan.columns.get(cell.index).filter(|column| !column.dropped) else { continue };
        let wrong = |source| FormatError::Value { column: column.name.to_string(), source };
        let mut text = Vec::new();
        let there = match cell.value().map_err(wrong)? {
            Value::JsonDiff(diff) => {
                let base = before.map_or(Ok(None), |before| before.get(cell.index)).map_err(wrong)?;
                let Some(Value::Json(base)) = base else {
                    return Err(FormatError::NoJsonBase { column: column.name.to_string() });
                };
                crate::binlog::json::apply_diff(base, diff, &mut text).map_err(wrong)?;
                true
            }
            value => renderer.write_text(column, &value, &mut text)?,
        };
        all.push((column.name.to_string(), there.then(|| String::from_utf8_lossy(&text).into_owned())));
    }
    Ok(all)
}
