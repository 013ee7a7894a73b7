//! The ETL language: one script of a delivery, run over every row between reading and writing.
//!
//! A script is compiled once ([`Script::compile`]), bound once to each table's plan ([`Script::bind`]), and run over each
//! row ([`Bound::run`]). What it makes of a row is row image bytes again, with a derived plan, so that formats know
//! nothing of it; a row that it leaves alone costs nothing but its conditions.
//!
//! | look in | for |
//! |---|---|
//! | `token`, `parse` | text to a tree of calls |
//! | `compile`, `action`, `expr` | the tree to steps and expressions |
//! | `functions` | what can be called, one file a family |
//! | `columns` | the columns that a script names |
//! | `bind`, `layout`, `shape` | a table's columns as places; the columns that its rows have afterwards |
//! | `evaluate`, `step`, `run` | values, and what becomes of a row |
//! | `value`, `number` (`wide`), `temporal`, `convert` | the language's values, and columns to them and back |
//! | `fault` | what is wrong with a script, and with a row |
//!
//! Names are those of the plan that the script is bound to. `` `col` `` is the column as the steps before left it;
//! `__BEFORE__` and `__AFTER__` are the source's own images. Both images of an update are transformed; drops, names and
//! the operation are decided by the after image.

mod action;
mod bind;
mod columns;
mod compile;
mod convert;
mod evaluate;
mod expr;
mod fault;
mod functions;
mod layout;
mod number;
mod parse;
mod run;
mod shape;
mod step;
mod temporal;
#[cfg(test)]
mod tests;
mod token;
mod value;
mod wide;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use bind::Bound;
pub use fault::{EtlError, EvalError, Fault, Position, Reason};
pub use parse::{NESTING_MAX, SCRIPT_BYTES_MAX};

use crate::binlog::RowWriter;
use crate::change::plan::TablePlan;
use crate::change::{DdlChange, Op, RowChange};

/// What happens to a record on which the script fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The table parks.
    #[default]
    Fail,
    /// What failed is NULL, a condition does not hold. A key column cannot be NULL: then the table parks.
    Null,
    /// The record leaves as it came.
    Keep,
    /// The record is left out.
    Drop,
    /// The record goes where dead letters go.
    DeadLetter,
}

/// Keys of named secrets; never shown.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Box<[u8]>>);

impl Secrets {
    /// Adds a secret.
    pub fn insert(&mut self, name: impl Into<String>, bytes: impl Into<Box<[u8]>>) {
        self.0.insert(name.into(), bytes.into());
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|secret| &**secret)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a script is compiled with.
#[derive(Debug, Clone)]
pub struct ScriptOptions {
    /// The task's zone: in it TIMESTAMP columns and moments are datetimes.
    pub zone: TimeZone,
    /// Keys for `str_hmac_sha256`.
    pub secrets: Secrets,
    /// What happens to records on which the script fails.
    pub on_error: OnError,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, secrets: Secrets::default(), on_error: OnError::default() }
    }
}

/// A compiled script.
#[derive(Debug)]
pub struct Script {
    step: action::Step,
    options: ScriptOptions,
}

/// What becomes of a record.
#[derive(Debug)]
pub enum Outcome<'s> {
    /// It stays as it is, plan and all.
    Keep,
    /// It is left out.
    Drop,
    /// It is another one.
    Changed {
        /// Plan of the images.
        plan: &'s Arc<TablePlan>,
        /// What happened to the row.
        op: Op,
        /// The row.
        row: RowChange<'s>,
    },
    /// The script failed, and the record goes where dead letters go: as it came.
    DeadLetter(EvalError),
}

/// Buffers that rows are written into, and what was counted; one for each worker.
#[derive(Debug, Default)]
pub struct Scratch {
    current: RowWriter,
    other: RowWriter,
    /// The plan of the row last written, when the script named its table.
    plan: Option<Arc<TablePlan>>,
    /// A plan under another name, by the id of the plan it was made of.
    named: Option<(u64, Arc<TablePlan>)>,
    errors: u64,
    now_us: Option<i64>,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values and conditions failed so far, whatever the policy made of them.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Fixes what `dt_now()` gives: microseconds since 1970. Else it is the system's time, once for each record.
    pub fn set_now_us(&mut self, now_us: i64) {
        self.now_us = Some(now_us);
    }

    fn now_us(&self) -> i64 {
        self.now_us.unwrap_or_else(|| Timestamp::now().as_microsecond())
    }
}

impl Script {
    /// Compiles a script.
    ///
    /// # Errors
    /// What is wrong, where, and what was expected.
    pub fn compile(text: &str, options: &ScriptOptions) -> Result<Script, EtlError> {
        let step = compile::compile(parse::parse(text)?, options)?;
        Ok(Script { step, options: options.clone() })
    }

    /// The script for the rows of a plan.
    ///
    /// # Errors
    /// Columns that the table does not have, literals that their kinds refuse, a key that is taken away.
    pub fn bind(&self, plan: &Arc<TablePlan>) -> Result<Bound, EtlError> {
        bind::bind(&self.step, plan, &self.options)
    }

    /// Runs the script over a statement of this table, with `__DDL__` its text and `__OPERATION__` `DDL`; columns are
    /// null. Only `e_drop`, `e_keep` and what chooses between them mean anything: any other action that is reached is
    /// an error of evaluation. Gives [`Outcome::Keep`], [`Outcome::Drop`] or [`Outcome::DeadLetter`].
    ///
    /// # Errors
    /// A statement that the script fails on, where that is to stop.
    pub fn run_ddl(
        &self,
        ddl: &DdlChange<'_>,
        database: &str,
        table: &str,
        scratch: &mut Scratch,
    ) -> Result<Outcome<'static>, EvalError> {
        let facts = evaluate::Facts {
            database,
            table,
            tx: ddl.tx,
            place: ddl.place,
            snapshot: false,
            schema_version: None,
            ddl: Some(&ddl.sql),
            now_us: scratch.now_us(),
        };
        let (outcome, errors) = run::run_ddl(&self.step, facts, &self.options.zone, self.options.on_error);
        scratch.errors += errors;
        outcome
    }
}
