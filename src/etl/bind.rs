//! A script meets a table: names become places, what is the same for all its rows is computed, and the columns that its
//! rows have afterwards are found.
//!
//! Every row of a table has the same columns afterwards: those that exist on any path through the script. A column that
//! is missing on the path of a row is NULL in it. What is removed on every path stays in the bytes and is marked as
//! dropped, so that such a script copies nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;

use super::action::{Action, Name, Step, Target};
use super::convert;
use super::expr::{Expr, Scope, Variable};
use super::fault::{EtlError, Position, Reason};
use super::functions;
use super::value::{Datum, Kind};
use super::{OnError, ScriptOptions};
use crate::binlog::ColumnDef;
use crate::change::column_type::ColumnType;
use crate::change::plan::TablePlan;
use crate::change::schema::{Column, TableName};

/// Most columns of a table: the server's own limit.
const COLUMNS_MAX: usize = 4096;

/// Most names under which one table's rows leave; all are forgotten beyond, and made again.
const NAMES_MAX: usize = 1024;

/// A script for the rows of one plan.
#[derive(Debug)]
pub struct Bound {
    /// What the rows are read with.
    pub(super) source: Arc<TablePlan>,
    /// What they are written with; the same where the script changes no column.
    pub(super) plan: Arc<TablePlan>,
    /// Whether rows that the script leaves alone lie otherwise afterwards.
    pub(super) rewrites: bool,
    pub(super) step: Step,
    pub(super) slots: Vec<Slot>,
    /// The slot of each column of `plan`.
    pub(super) outputs: Vec<usize>,
    pub(super) zone: TimeZone,
    pub(super) on_error: OnError,
    pub(super) named: Mutex<HashMap<TableName, Arc<TablePlan>>>,
}

/// A column that the table or the script has.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) column: Column,
    pub(super) def: ColumnDef,
    /// Where it is in the source's rows.
    pub(super) source: Option<usize>,
    /// The slot whose new name this is.
    pub(super) alias: Option<usize>,
    /// Its text is written in another character set than the source's.
    pub(super) transcoded: bool,
}

impl Bound {
    /// The plan of the rows as they leave; the one given where the script changes no column of it.
    pub fn plan(&self) -> &Arc<TablePlan> {
        &self.plan
    }

    /// The plan of rows that leave under another name.
    pub(super) fn renamed(&self, name: TableName) -> Arc<TablePlan> {
        // Whole plans only are put in.
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMES_MAX {
            named.clear();
        }
        let plan = named.entry(name).or_insert_with_key(|name| self.plan.derive(|plan| plan.name = name.clone()));
        Arc::clone(plan)
    }
}

/// What is known of a slot while the script is walked.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: Box<str>,
    pub(super) source: Option<usize>,
    pub(super) alias: Option<usize>,
    /// What the script puts in; a column whose type it takes over.
    pub(super) kind: Kind,
    pub(super) like: Option<usize>,
    pub(super) assigned: bool,
    /// It is gone on some path.
    pub(super) removed: bool,
}

pub(super) struct Binder<'b> {
    plan: &'b TablePlan,
    pub(super) options: &'b ScriptOptions,
    pub(super) slots: Vec<Known>,
    /// What a name means now.
    names: HashMap<Box<str>, usize>,
    /// Which slots may exist here.
    pub(super) possible: Vec<bool>,
}

impl Scope for Binder<'_> {
    fn column(&self, name: &str, at: Position) -> Result<usize, EtlError> {
        match self.names.get(name) {
            Some(&slot) if self.possible[slot] => Ok(slot),
            _ => Err(self.unknown(name, at)),
        }
    }

    fn source_column(&self, name: &str, at: Position) -> Result<usize, EtlError> {
        let place = self.plan.columns.iter().position(|column| &*column.name == name);
        place.ok_or_else(|| self.unknown(name, at))
    }

    fn kind(&self, slot: usize) -> Kind {
        let known = &self.slots[slot];
        match (known.source, known.alias) {
            (Some(source), _) => convert::kind(&self.plan.columns[source]),
            (None, Some(alias)) => self.kind(alias),
            (None, None) => known.kind,
        }
    }

    fn variable(&self, variable: Variable) -> Option<Expr> {
        let text = |text: &str| Some(Expr::Constant(Datum::text(text.to_owned())));
        match variable {
            Variable::Database => text(&self.plan.source.database),
            Variable::Table => text(&self.plan.source.table),
            // Rows are no statements.
            Variable::Ddl => Some(Expr::Constant(Datum::Null)),
            _ => None,
        }
    }

    fn zone(&self) -> &TimeZone {
        &self.options.zone
    }

    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        self.options.secrets.get(name).map(|secret| secret.to_vec())
    }
}

/// Binds the steps of a script to a plan.
pub(super) fn bind(step: &Step, plan: &Arc<TablePlan>, options: &ScriptOptions) -> Result<Bound, EtlError> {
    let mut binder =
        Binder { plan, options, slots: Vec::new(), names: HashMap::new(), possible: vec![true; plan.columns.len()] };
    for (place, column) in plan.columns.iter().enumerate() {
        binder.names.insert(column.name.clone(), place);
        binder.slots.push(Known {
            name: column.name.clone(),
            source: Some(place),
            alias: None,
            kind: convert::kind(column),
            like: Some(place),
            assigned: false,
            removed: false,
        });
    }
    let at = step.at;
    let step = binder.step(step.clone(), true)?;
    if binder.slots.len() > COLUMNS_MAX.max(plan.columns.len()) {
        return Err(EtlError { at, reason: Reason::Columns(plan.source.to_string()) });
    }
    binder.finish(step, plan, at)
}

impl Binder<'_> {
    fn unknown(&self, name: &str, at: Position) -> EtlError {
        let names = self.names.iter().filter(|(_, slot)| self.possible[**slot]).map(|(name, _)| &**name);
        let near = functions::near(name, names);
        EtlError { at, reason: Reason::UnknownColumn { table: self.plan.source.to_string(), name: name.into(), near } }
    }

    /// Binds one step; `certain` when it is reached by every row.
    fn step(&mut self, step: Step, certain: bool) -> Result<Step, EtlError> {
        let Step { at, name, action } = step;
        let action = match action {
            Action::Sequence(steps) => {
                Action::Sequence(steps.into_iter().map(|step| self.step(step, certain)).collect::<Result<_, _>>()?)
            }
            Action::Each(pairs) => {
                let mut steps = Vec::new();
                for (condition, step) in pairs {
                    let condition = condition.resolve(self)?;
                    match always(&condition) {
                        Some(false) => {}
                        Some(true) => steps.push(self.step(step, certain)?),
                        None => {
                            let step = self.branch(step)?;
                            steps.push(Step { at, name, action: Action::Each(vec![(condition, step)]) });
                        }
                    }
                }
                Action::Sequence(steps)
            }
            Action::First(pairs, default) => self.first(pairs, default, certain)?,
            Action::Drop(condition) => Action::Drop(condition.map(|c| c.resolve(self)).transpose()?),
            Action::Keep(condition) => Action::Keep(condition.map(|c| c.resolve(self)).transpose()?),
            Action::Set(set) => {
                let mut bound = Vec::new();
                for (target, value) in set {
                    let value = value.resolve(self)?;
                    bound.push((self.target(target, &value), value));
                }
                Action::Set(bound)
            }
            Action::Remove(names) => {
                let names = names.into_iter().map(|n| self.found(n)).collect::<Result<Vec<_>, _>>()?;
                self.remove(names, certain)
            }
            Action::Retain(names) => {
                let kept = names.into_iter().map(|n| self.found(n)).collect::<Result<Vec<_>, _>>()?;
                let others = (0..self.slots.len())
                    .filter(|&slot| self.possible[slot] && kept.iter().all(|name| name.slot != slot))
                    .map(|slot| Name { text: self.slots[slot].name.clone(), at, slot });
                let others = others.collect();
                self.remove(others, certain)
            }
            Action::Rename(pairs) => self.rename(pairs, certain)?,
            Action::Replace { search, new, all, .. } => {
                let (search, new, all) = (search.resolve(self)?, new.resolve(self)?, all.resolve(self)?);
                let slots: Vec<usize> =
                    (0..self.slots.len()).filter(|&slot| self.possible[slot] && self.is_string(slot)).collect();
                for &slot in &slots {
                    self.slots[slot].assigned = true;
                }
                Action::Replace { search, new, all, slots }
            }
        };
        Ok(Step { at, name, action })
    }

    /// Columns of CHAR, VARCHAR and TEXT, and texts of the script's own.
    fn is_string(&self, slot: usize) -> bool {
        let known = &self.slots[slot];
        match known.source.or(self.like(slot)).map(|place| self.plan.columns[place].kind) {
            Some(kind) => {
                matches!(kind, ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. })
            }
            None => known.kind == Kind::Text,
        }
    }

    /// A step that some rows reach and others do not.
    fn branch(&mut self, step: Step) -> Result<Step, EtlError> {
        let before = self.possible.clone();
        let step = self.step(step, false)?;
        self.unite(&before);
        Ok(step)
    }

    fn unite(&mut self, other: &[bool]) {
        for (mine, &theirs) in self.possible.iter_mut().zip(other) {
            *mine |= theirs;
        }
    }

    fn first(
        &mut self,
        pairs: Vec<(Expr, Step)>,
        default: Option<Box<Step>>,
        certain: bool,
    ) -> Result<Action, EtlError> {
        let mut bound: Vec<(Expr, Step)> = Vec::new();
        let mut last = default.map(|step| *step);
        let before = self.possible.clone();
        let mut after: Vec<bool> = Vec::new();
        let unite = |after: &mut Vec<bool>, with: &[bool]| {
            after.resize(with.len().max(after.len()), false);
            after.iter_mut().zip(with).for_each(|(a, &b)| *a |= b);
        };
        for (condition, step) in pairs {
            let condition = condition.resolve(self)?;
            match always(&condition) {
                Some(false) => continue,
                Some(true) => {
                    last = Some(step);
                    break;
                }
                None => {}
            }
            let step = self.step(step, false)?;
            unite(&mut after, &self.possible);
            let slots = self.possible.len();
            self.possible = before.clone();
            self.possible.resize(slots, false);
            bound.push((condition, step));
        }
        let last = last.map(|step| self.step(step, certain && bound.is_empty())).transpose()?;
        unite(&mut after, &self.possible);
        self.possible = after;
        Ok(Action::First(bound, last.map(Box::new)))
    }

    fn found(&self, mut name: Name) -> Result<Name, EtlError> {
        name.slot = self.column(&name.text, name.at)?;
        Ok(name)
    }

    fn target(&mut self, target: Target, value: &Expr) -> Target {
        let Target::Column(mut name) = target else { return target };
        // A column that takes another one's values alone takes its type too.
        let like = match value {
            Expr::Column { slot, .. } => self.like(*slot),
            Expr::Image { index, .. } => Some(*index),
            _ => None,
        };
        let kind = value.kind(self);
        name.slot = match self.names.get(&name.text).copied() {
            Some(slot) => {
                let known = &mut self.slots[slot];
                if known.source.is_none() && known.alias.is_none() {
                    if known.like != like && kind != Kind::Null {
                        known.like = if known.kind == Kind::Null { like } else { None };
                    }
                    known.kind = if known.assigned { known.kind.or(kind) } else { kind };
                }
                slot
            }
            None => self.add(name.text.clone(), kind, like, None),
        };
        self.slots[name.slot].assigned = true;
        self.possible[name.slot] = true;
        Target::Column(name)
    }

    /// The column of the source whose type a slot has.
    fn like(&self, slot: usize) -> Option<usize> {
        self.slots[slot].alias.map_or(self.slots[slot].like, |alias| self.like(alias))
    }

    fn add(&mut self, name: Box<str>, kind: Kind, like: Option<usize>, alias: Option<usize>) -> usize {
        let slot = self.slots.len();
        self.names.insert(name.clone(), slot);
        self.slots.push(Known { name, source: None, alias, kind, like, assigned: false, removed: false });
        self.possible.push(false);
        slot
    }

    /// Takes columns away. Those that every row loses are gone for good: their names are free, and no row has any work.
    fn remove(&mut self, names: Vec<Name>, certain: bool) -> Action {
        for name in &names {
            self.possible[name.slot] = false;
            self.slots[name.slot].removed = true;
            if certain {
                self.names.remove(&name.text);
            }
        }
        Action::Remove(if certain { Vec::new() } else { names })
    }

    fn rename(&mut self, pairs: Vec<(Name, Name)>, certain: bool) -> Result<Action, EtlError> {
        let mut moved = Vec::new();
        for (old, mut new) in pairs {
            let old = self.found(old)?;
            if self.names.get(&new.text).is_some_and(|&slot| self.possible[slot]) {
                let (table, name) = (self.plan.source.to_string(), new.text.to_string());
                return Err(EtlError { at: new.at, reason: Reason::ColumnTaken { table, name } });
            }
            let (kind, like) = (self.kind(old.slot), self.like(old.slot));
            self.possible[old.slot] = false;
            if certain {
                self.names.remove(&old.text);
                new.slot = self.add(new.text.clone(), kind, like, Some(old.slot));
                self.possible[new.slot] = true;
                continue;
            }
            self.slots[old.slot].removed = true;
            new.slot = match self.names.get(&new.text).copied() {
                Some(slot) => slot,
                None => self.add(new.text.clone(), kind, like, None),
            };
            self.slots[new.slot].assigned = true;
            self.possible[new.slot] = true;
            moved.push((old, new));
        }
        Ok(Action::Rename(moved))
    }
}

/// What a condition is for every row, where it is.
fn always(condition: &Expr) -> Option<bool> {
    condition.constant().and_then(|datum| datum.holds().ok())
}
