//! What a script does, step by step: the actions.

use super::expr::Expr;
use super::fault::Position;

/// An action and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) at: Position,
    pub(super) name: &'static str,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Each step whose condition holds.
    Each(Vec<(Expr, Step)>),
    /// The first step whose condition holds, else the default.
    First(Vec<(Expr, Step)>, Option<Box<Step>>),
    Sequence(Vec<Step>),
    /// The record, if the condition holds; without one always.
    Drop(Option<Expr>),
    /// The record stays only if the condition holds.
    Keep(Option<Expr>),
    Set(Vec<(Target, Expr)>),
    Remove(Vec<Name>),
    /// All other columns go.
    Retain(Vec<Name>),
    Rename(Vec<(Name, Name)>),
    /// In every text column: what is searched, what comes in its place, whether every occurrence is replaced; the
    /// slots of the columns once they are bound.
    Replace {
        search: Expr,
        new: Expr,
        all: Expr,
        slots: Vec<usize>,
    },
}

/// A column as the script names it.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) text: Box<str>,
    pub(super) at: Position,
    /// Once it is bound.
    pub(super) slot: usize,
}

/// What is set.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Column(Name),
    Operation,
    Table,
    Database,
}

/// Every action: its name and how it is written.
pub(super) const ACTIONS: [(&str, &str); 11] = [
    ("e_if", "e_if(condition, action[, condition2, action2, ...])"),
    ("e_if_else", "e_if_else(condition, action1, action2)"),
    ("e_switch", "e_switch(condition1, action1[, condition2, action2, ...][, default = action])"),
    ("e_compose", "e_compose(action1[, action2, ...])"),
    ("e_drop", "e_drop([condition])"),
    ("e_keep", "e_keep([condition])"),
    ("e_set", "e_set(`column`, value[, `column2`, value2, ...])"),
    ("e_drop_fields", "e_drop_fields(`column`[, ...])"),
    ("e_keep_fields", "e_keep_fields(`column`[, ...])"),
    ("e_rename", "e_rename(`old`, `new`[, ...])"),
    ("tail_replace_string_field", "tail_replace_string_field(search, replace, all)"),
];
