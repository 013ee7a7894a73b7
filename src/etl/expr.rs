//! Expressions: a tree of calls whose functions are found, whose constants are computed, whose patterns are compiled.

use jiff::tz::TimeZone;
use regex::Regex;

use super::evaluate::Machine;
use super::fault::{EtlError, Position, Reason};
use super::functions::dates::Pattern;
use super::functions::{Entry, Prepare, Shape, Stop};
use super::temporal;
use super::value::{Datum, Kind};
use crate::binlog::json::Path;

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Constant(Datum<'static>),
    /// A column of the current image; `slot` once it is bound.
    Column {
        name: Box<str>,
        slot: usize,
        at: Position,
    },
    /// A column of the source's before or after image.
    Image {
        before: bool,
        name: Box<str>,
        index: usize,
        at: Position,
    },
    Variable(Variable),
    Call(Box<Call>),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) entry: &'static Entry,
    pub(super) at: Position,
    pub(super) arguments: Vec<Expr>,
    /// By the place of their names in the entry.
    pub(super) named: Vec<Option<Expr>>,
    pub(super) prepared: Prepared,
}

/// What a constant argument was made into.
#[derive(Debug, Clone)]
pub(super) enum Prepared {
    None,
    Regex(Regex),
    Path(Path),
    Zone(TimeZone),
    Pattern(Pattern),
    Secret(Box<[u8]>),
}

/// What a record tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Database,
    Table,
    Operation,
    CommitTimestamp,
    Gtid,
    SchemaVersion,
    IsSnapshot,
    ServerId,
    Ddl,
}

/// Names of operations.
pub(super) const INSERT: &str = "INSERT";
pub(super) const UPDATE: &str = "UPDATE";
pub(super) const DELETE: &str = "DELETE";
pub(super) const DDL: &str = "DDL";

impl Expr {
    /// What stands for the name of a variable.
    pub(super) fn variable(name: &str) -> Option<Expr> {
        let constant = |text: &'static str| Expr::Constant(Datum::text(text));
        Some(match name {
            "__DB__" => Expr::Variable(Variable::Database),
            "__TB__" => Expr::Variable(Variable::Table),
            "__OPERATION__" => Expr::Variable(Variable::Operation),
            "__COMMIT_TIMESTAMP__" => Expr::Variable(Variable::CommitTimestamp),
            "__GTID__" => Expr::Variable(Variable::Gtid),
            "__SCHEMA_VERSION__" => Expr::Variable(Variable::SchemaVersion),
            "__IS_SNAPSHOT__" => Expr::Variable(Variable::IsSnapshot),
            "__SERVER_ID__" => Expr::Variable(Variable::ServerId),
            "__DDL__" => Expr::Variable(Variable::Ddl),
            "__OP_INSERT__" => constant(INSERT),
            "__OP_UPDATE__" => constant(UPDATE),
            "__OP_DELETE__" => constant(DELETE),
            _ => return None,
        })
    }

    /// Names of variables, for whoever misspelt one.
    pub(super) const VARIABLES: [&str; 14] = [
        "__DB__",
        "__TB__",
        "__OPERATION__",
        "__COMMIT_TIMESTAMP__",
        "__GTID__",
        "__SCHEMA_VERSION__",
        "__IS_SNAPSHOT__",
        "__SERVER_ID__",
        "__DDL__",
        "__OP_INSERT__",
        "__OP_UPDATE__",
        "__OP_DELETE__",
        "__BEFORE__",
        "__AFTER__",
    ];

    pub(super) fn constant(&self) -> Option<&Datum<'static>> {
        match self {
            Expr::Constant(datum) => Some(datum),
            _ => None,
        }
    }

    fn constant_text(&self) -> Option<&str> {
        match self {
            Expr::Constant(Datum::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The kind of its value, as far as it is known before any row.
    pub(super) fn kind(&self, scope: &dyn Scope) -> Kind {
        match self {
            Expr::Constant(datum) => datum.kind(),
            Expr::Column { slot, .. } => scope.kind(*slot),
            Expr::Image { index, .. } => scope.kind(*index),
            Expr::Variable(variable) => match variable {
                Variable::CommitTimestamp => Kind::DateTime(6),
                Variable::SchemaVersion | Variable::ServerId => Kind::Int,
                Variable::IsSnapshot => Kind::Bool,
                _ => Kind::Text,
            },
            Expr::Call(call) => {
                let shapes = call.arguments.iter().map(|e| Shape { kind: e.kind(scope), constant: e.constant() });
                (call.entry.kind)(&shapes.collect::<Vec<_>>())
            }
        }
    }

    /// The same expression with its columns found, and everything computed that does not depend on the row.
    pub(super) fn resolve(self, scope: &dyn Scope) -> Result<Expr, EtlError> {
        match self {
            Expr::Column { name, at, .. } => Ok(Expr::Column { slot: scope.column(&name, at)?, name, at }),
            Expr::Image { before, name, at, .. } => {
                Ok(Expr::Image { before, index: scope.source_column(&name, at)?, name, at })
            }
            Expr::Variable(variable) => Ok(scope.variable(variable).unwrap_or(Expr::Variable(variable))),
            Expr::Call(call) => call.resolve(scope),
            constant => Ok(constant),
        }
    }
}

impl Call {
    fn resolve(mut self: Box<Self>, scope: &dyn Scope) -> Result<Expr, EtlError> {
        let arguments = std::mem::take(&mut self.arguments);
        self.arguments = arguments.into_iter().map(|e| e.resolve(scope)).collect::<Result<_, _>>()?;
        for named in self.named.iter_mut().flatten() {
            *named = std::mem::replace(named, Expr::Constant(Datum::Null)).resolve(scope)?;
        }
        if self.entry.compares {
            self.convert_literals(scope)?;
        }
        self.prepare(scope)?;
        let mut all = self.arguments.iter().chain(self.named.iter().flatten());
        if !self.entry.constant || !all.all(|e| e.constant().is_some()) {
            return Ok(Expr::Call(self));
        }
        let (at, function) = (self.at, self.entry.name);
        let whole = Expr::Call(self);
        match Machine::of_constants(scope.zone()).value(&whole) {
            Ok(datum) => Ok(Expr::Constant(datum.into_owned())),
            Err(Stop::Failed(error)) => {
                let reason = Reason::Constant { function: error.function, fault: error.fault };
                Err(EtlError { at: error.at, reason })
            }
            Err(Stop::Fault(fault)) => Err(EtlError { at, reason: Reason::Constant { function, fault } }),
            // Constants read no row.
            Err(Stop::Null | Stop::Absent(_)) => Ok(Expr::Constant(Datum::Null)),
        }
    }

    /// Text beside a number or a date is read as one, once and for all.
    fn convert_literals(&mut self, scope: &dyn Scope) -> Result<(), EtlError> {
        let kinds: Vec<Kind> = self.arguments.iter().map(|e| e.kind(scope)).collect();
        let known = |kind: &&Kind| !matches!(kind, Kind::Unknown | Kind::Null | Kind::Text);
        let only_text = kinds
            .iter()
            .enumerate()
            .all(|(i, kind)| *kind != Kind::Text || self.arguments[i].constant_text().is_some());
        let (true, Some(&other)) = (only_text, kinds.iter().find(known)) else { return Ok(()) };
        for argument in &mut self.arguments {
            let Some(text) = argument.constant_text() else { continue };
            let datum = Datum::text(text.to_owned());
            let converted = match other {
                kind if kind.is_number() => datum.into_number().map(Datum::number),
                Kind::Date | Kind::DateTime(_) => datum.into_datetime().map(Datum::DateTime),
                Kind::Time(_) => {
                    temporal::parse_time(text).map(Datum::Time).ok_or(super::fault::Fault::Parse("a time"))
                }
                _ => continue,
            };
            let (at, function) = (self.at, self.entry.name);
            let converted = converted.map_err(|fault| EtlError { at, reason: Reason::Constant { function, fault } })?;
            *argument = Expr::Constant(converted.into_owned());
        }
        Ok(())
    }

    fn prepare(&mut self, scope: &dyn Scope) -> Result<(), EtlError> {
        let at = self.at;
        let fail = |reason| EtlError { at, reason };
        let signature = self.entry.signature;
        let text = |i: usize| self.arguments.get(i).and_then(Expr::constant_text);
        let needed = |i: usize, expected| text(i).ok_or(fail(Reason::Argument { signature, expected }));
        self.prepared = match self.entry.prepare {
            // What was made when the script was compiled stays.
            _ if !matches!(self.prepared, Prepared::None) => return Ok(()),
            Prepare::Nothing => return Ok(()),
            Prepare::Regex { argument, whole } => {
                let pattern = needed(argument, "a regular expression as text")?;
                // The whole text must match, also where the pattern has alternatives or a mode of its own.
                let anchored = if whole { format!(r"\A(?:{pattern})\z") } else { pattern.to_owned() };
                let compiled = Regex::new(pattern).and_then(|_| Regex::new(&anchored));
                Prepared::Regex(compiled.map_err(|error| {
                    let line = error.to_string();
                    fail(Reason::Regex(line.lines().last().unwrap_or_default().trim().to_owned()))
                })?)
            }
            Prepare::Path(argument) => {
                let path = Path::parse(needed(argument, "a path such as '$.a.b[0]' as text")?);
                Prepared::Path(path.map_err(|error| fail(Reason::Path(error.to_string())))?)
            }
            Prepare::Secret(argument) => {
                let name = needed(argument, "the name of a secret as text")?;
                let secret = scope.secret(name).ok_or_else(|| fail(Reason::Secret(name.to_owned())))?;
                Prepared::Secret(secret.into())
            }
            Prepare::Zone(argument) => match text(argument) {
                Some(name) => Prepared::Zone(temporal::zone(name).ok_or(fail(Reason::Argument {
                    signature,
                    expected: "a zone such as 'GMT+08', '+08:00' or 'Asia/Shanghai'",
                }))?),
                None => return Ok(()),
            },
            Prepare::Pattern(argument) => match text(argument) {
                Some(pattern) => {
                    let expected = "a format such as 'yyyy-MM-dd HH:mm:ss.SSS'";
                    Prepared::Pattern(Pattern::parse(pattern).ok_or(fail(Reason::Argument { signature, expected }))?)
                }
                None => return Ok(()),
            },
        };
        Ok(())
    }
}

/// What an expression is resolved against.
pub(super) trait Scope {
    /// Where a column of the current image is.
    fn column(&self, name: &str, at: Position) -> Result<usize, EtlError>;
    /// Where a column of the source is.
    fn source_column(&self, name: &str, at: Position) -> Result<usize, EtlError>;
    /// What a column holds.
    fn kind(&self, slot: usize) -> Kind;
    /// A variable that is the same for every row.
    fn variable(&self, variable: Variable) -> Option<Expr>;
    /// The task's zone.
    fn zone(&self) -> &TimeZone;
    /// The bytes of a named secret.
    fn secret(&self, name: &str) -> Option<Vec<u8>>;
}
