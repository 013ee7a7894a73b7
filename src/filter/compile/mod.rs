//! A condition and a table's plan to a program: columns found, types settled, everything that differs between servers
//! decided or refused.

mod arithmetic;
mod column;
mod compare;
mod function;
mod literal;
mod text;
mod types;

pub(super) use arithmetic::quotient_digits;

pub use types::Session;
use types::{ColumnForm, Form, Type, Typed};

use super::error::FilterError;
use super::program::{Datum, How, Node, Reading};
use super::syntax::{Expr, ExprKind, Literal};
use crate::change::plan::TablePlan;

/// A program and the columns that it reads, by their places in the table, in that order.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) root: Node,
    pub(super) slots: Vec<usize>,
}

struct Compiler<'c> {
    plan: &'c TablePlan,
    session: &'c Session,
    slots: Vec<usize>,
}

/// Compiles a condition for a table.
pub(super) fn compile(expr: &Expr, plan: &TablePlan, session: &Session) -> Result<Program, FilterError> {
    let mut compiler = Compiler { plan, session, slots: Vec::new() };
    compiler.collect(expr)?;
    compiler.slots.sort_unstable();
    compiler.slots.dedup();
    let root = compiler.truth(expr)?;
    Ok(Program { root, slots: compiler.slots })
}

impl Compiler<'_> {
    /// Finds the columns, so that a row is read once and in its own order.
    fn collect(&mut self, expr: &Expr) -> Result<(), FilterError> {
        if let ExprKind::Column(name) = &expr.kind {
            let at = self.find(name, expr.place)?;
            self.slots.push(at);
        }
        expr.parts().into_iter().try_for_each(|part| self.collect(part))
    }

    /// An expression where the server asks whether it is true.
    fn truth(&mut self, expr: &Expr) -> Result<Node, FilterError> {
        let value = self.expr(expr)?;
        match &value.ty {
            Type::Null | Type::Int { .. } | Type::Decimal { quotient: false, .. } | Type::Double => Ok(value.node),
            Type::Text(_) if !self.has_other_blanks(&value) => Ok(self.as_double(value).node),
            _ => value.refuse("a condition", "compare it with something"),
        }
    }

    fn truths(&mut self, parts: &[Expr]) -> Result<Vec<Node>, FilterError> {
        parts.iter().map(|part| self.truth(part)).collect()
    }

    fn expr(&mut self, expr: &Expr) -> Result<Typed, FilterError> {
        let typed = self.typed(expr)?;
        let computed = typed.form == Form::Other && !expr.has_column();
        Ok(if computed { Typed { form: Form::Computed, ..typed } } else { typed })
    }

    fn typed(&mut self, expr: &Expr) -> Result<Typed, FilterError> {
        let place = expr.place;
        let node = match &expr.kind {
            ExprKind::Column(name) => return self.column(name, place),
            ExprKind::Literal(literal) => return Self::literal(literal, place),
            ExprKind::Arithmetic { op, left, right } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                return self.arithmetic(*op, left, right, place);
            }
            ExprKind::Negate(inner) => return self.negate(inner, place),
            ExprKind::Call { function, arguments } => return self.call(*function, arguments, place),
            ExprKind::And(parts) => Node::And(self.truths(parts)?),
            ExprKind::Or(parts) => Node::Or(self.truths(parts)?),
            ExprKind::Not(inner) => Node::Not(Box::new(self.truth(inner)?)),
            ExprKind::IsNull { value, negated } => {
                let mut value = self.expr(value)?;
                if let (Type::Opaque, Node::Column { reading, .. }) = (&value.ty, &mut value.node) {
                    *reading = Reading::Presence;
                }
                negated_if(*negated, Node::IsNull(Box::new(value.node)))
            }
            ExprKind::Compare { op, left, right } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.comparison(*op, left, right)?
            }
            ExprKind::Between { value, low, high, negated } => {
                let (value, low, high) = (self.expr(value)?, self.expr(low)?, self.expr(high)?);
                negated_if(*negated, self.between(value, low, high)?)
            }
            ExprKind::In { value, list, negated } => {
                let value = self.expr(value)?;
                let list = list.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
                negated_if(*negated, self.list(value, list)?)
            }
            ExprKind::Like { value, pattern, escape, negated } => {
                let (value, pattern) = (self.expr(value)?, self.expr(pattern)?);
                negated_if(*negated, self.like(value, pattern, *escape)?)
            }
        };
        Ok(Typed { node, ty: Type::BOOL, form: Form::Other, place, shown: "a condition".into() })
    }

    fn null(place: super::error::Place) -> Typed {
        let form = Form::Literal(Literal::Null);
        Typed { node: Node::Constant(Datum::Null), ty: Type::Null, form, place, shown: "NULL".into() }
    }

    /// As a double, where the server computes or compares so.
    fn as_double(&self, value: Typed) -> Typed {
        let (ty, mut node) = (value.ty, value.node);
        if let (Form::Column(_, ColumnForm::Labels), Node::Column { reading, .. }) = (&value.form, &mut node) {
            *reading = Reading::Ordinal;
        }
        if !matches!(ty, Type::Double | Type::Null) {
            node = Node::ToDouble(Box::new(node));
        }
        Typed { node, ty: Type::Double, form: Form::Other, ..value }
    }
}

fn negated_if(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

/// Whether two ways to compare are of one kind, so that a list of them is one comparison for every server.
fn same_kind(a: &How, b: &How) -> bool {
    let kind = |how: &How| match how {
        How::Int | How::Decimal | How::RoundedDecimal(..) | How::Double => 0,
        How::Text(_) => 1,
        How::Bytes => 2,
        How::Moment => 3,
        How::Time => 4,
    };
    kind(a) == kind(b)
}
