//! Arithmetic: the number type of a result, and how many digits it may need.

use super::Compiler;
use super::literal::DECIMAL_DIGITS;
use super::types::{ColumnForm, Form, Type, Typed};
use crate::filter::decimal::Decimal;
use crate::filter::error::{FilterError, FilterFault, Place};
use crate::filter::program::{Datum, Division, Node, Numeric};
use crate::filter::syntax::{Arithmetic, Expr, ExprKind, Literal};

/// Most digits behind the point.
const SCALE_MAX: u8 = 30;
/// `div_precision_increment`.
const DIVISION_DIGITS: u8 = 4;
/// Digits of one word of the server's decimals, of which there are nine.
const WORD_DIGITS: u8 = 9;
const WORDS: u8 = 9;

impl Compiler<'_> {
    pub(super) fn arithmetic(
        &self,
        op: Arithmetic,
        left: Typed,
        right: Typed,
        place: Place,
    ) -> Result<Typed, FilterError> {
        let what = op.name();
        let (left, right) = (self.as_numeric(what, left)?, self.as_numeric(what, right)?);
        let (ty, node) = match (&left.ty, &right.ty) {
            (Type::Null, _) | (_, Type::Null) => return Ok(Self::null(place)),
            (Type::Double, _) | (_, Type::Double) => {
                let (left, right) = (self.as_double(left), self.as_double(right));
                (Type::Double, arithmetic(op, Numeric::Double, left, right, place))
            }
            _ if op == Arithmetic::Divide => return self.division(left, right, place),
            (Type::Int { unsigned, digits }, Type::Int { unsigned: other, digits: others }) => {
                let (unsigned, digits) = match op {
                    Arithmetic::Modulo => (*unsigned, (*digits).max(*others)),
                    Arithmetic::Multiply => (*unsigned || *other, digits.saturating_add(*others).min(20)),
                    _ => (*unsigned || *other, (*digits.max(others) + 1).min(20)),
                };
                let wraps = self.session.is_mariadb() || self.session.is_old_mysql();
                (Type::Int { unsigned, digits }, arithmetic(op, Numeric::Int { unsigned, wraps }, left, right, place))
            }
            _ => {
                let ((whole, scale), (others, other)) = (digits_of(&left.ty), digits_of(&right.ty));
                let (whole, scale) = match op {
                    Arithmetic::Multiply => (whole + others, scale + other),
                    Arithmetic::Modulo => (whole.max(others), scale.max(other)),
                    _ => (whole.max(others) + 1, scale.max(other)),
                };
                check_digits(what, whole, scale, place)?;
                let quotient = is_quotient(&left.ty) || is_quotient(&right.ty);
                let (a, b) = (left.ty.is_unsigned(), right.ty.is_unsigned());
                let unsigned = match op {
                    Arithmetic::Modulo => a,
                    Arithmetic::Subtract if a && b => {
                        return left
                            .refuse(what, "where neither side has a sign, servers differ on what is below zero");
                    }
                    _ => a || b,
                };
                if op == Arithmetic::Modulo && self.rounds_quotients().is_none() {
                    return left.refuse(what, "what this server version says of zero with a sign is not known");
                }
                let ty = Type::Decimal { whole, scale, unsigned, quotient };
                if quotient {
                    // What is computed with has more digits than what is shown.
                    let kept = self.kept_digits(&left.ty).max(self.kept_digits(&right.ty));
                    let kept = if op == Arithmetic::Multiply {
                        self.kept_digits(&left.ty) + self.kept_digits(&right.ty)
                    } else {
                        kept
                    };
                    check_digits(what, whole, kept, place)?;
                }
                (
                    ty,
                    arithmetic(
                        op,
                        Numeric::Decimal { signed_zero: self.rounds_quotients() == Some(false) },
                        self.as_decimal(left),
                        self.as_decimal(right),
                        place,
                    ),
                )
            }
        };
        Ok(Typed { node, ty, form: Form::Other, place, shown: format!("a result of {what}") })
    }

    /// A quotient of exact numbers. Servers differ in what becomes of the digits that are computed and not shown.
    fn division(&self, left: Typed, right: Typed, place: Place) -> Result<Typed, FilterError> {
        let refuse = |instead| {
            let fault = FilterFault::Types { what: "/", with: "whole numbers and decimals".into(), instead };
            Err(FilterError { place, fault })
        };
        let Some(rounds) = self.rounds_quotients() else {
            return refuse(
                "this server version rounds in a way of its own; multiply instead, or divide by a DOUBLE (2e0)",
            );
        };
        let ((whole, scale), (_, other)) = (digits_of(&left.ty), digits_of(&right.ty));
        if is_quotient(&left.ty) || is_quotient(&right.ty) {
            return refuse("divide once: the digits of a quotient of quotients are not known");
        }
        let shown = (scale + DIVISION_DIGITS).min(SCALE_MAX);
        let computed = quotient_digits(scale, other);
        let whole = whole + other;
        let words = whole.div_ceil(WORD_DIGITS) + computed.div_ceil(WORD_DIGITS);
        if words > WORDS || computed > 2 * SCALE_MAX || whole + shown > DECIMAL_DIGITS as u8 {
            return refuse("the quotient may have more digits than a DECIMAL");
        }
        let unsigned = left.ty.is_unsigned();
        let rule = Division { round: rounds.then_some(shown) };
        let (left, right) = (self.as_decimal(left), self.as_decimal(right));
        let node = Node::Divide { rule, left: Box::new(left.node), right: Box::new(right.node), place };
        let ty = Type::Decimal { whole, scale: shown, unsigned, quotient: !rounds };
        Ok(Typed { node, ty, form: Form::Other, place, shown: "a quotient".into() })
    }

    /// Whether the server rounds quotients at once; none for versions that nobody has asked.
    fn rounds_quotients(&self) -> Option<bool> {
        match self.session.version {
            _ if self.session.is_mariadb() => Some(false),
            (5, 5 | 6, _) => Some(false),
            (9, 7.., _) | (10.., _, _) => Some(true),
            _ => None,
        }
    }

    /// Digits behind the point that a value really has.
    fn kept_digits(&self, ty: &Type) -> u8 {
        let (_, scale) = digits_of(ty);
        // The most that a quotient keeps where none is refused.
        if is_quotient(ty) { 2 * WORD_DIGITS + scale } else { scale }
    }

    pub(super) fn negate(&mut self, inner: &Expr, place: Place) -> Result<Typed, FilterError> {
        if let ExprKind::Literal(Literal::Int(value)) = inner.kind {
            let negative = -i128::from(value);
            if i64::try_from(negative).is_ok() {
                let ty = Type::Int { unsigned: false, digits: 19 };
                let (node, form) = (Node::Constant(Datum::Int(negative)), Form::Other);
                return Ok(Typed { node, ty, form, place, shown: format!("the number {negative}") });
            }
            let ty = Type::Decimal { whole: 20, scale: 0, unsigned: false, quotient: false };
            let node = Node::Constant(Datum::Decimal(Decimal::of_int(negative)));
            return Ok(Typed { node, ty, form: Form::Other, place, shown: format!("the number {negative}") });
        }
        let value = self.expr(inner)?;
        if matches!(value.ty, Type::Int { .. }) && !inner.has_column() {
            return value.refuse("-", "write the number itself");
        }
        let value = self.as_numeric("-", value)?;
        let (numeric, ty) = match value.ty {
            Type::Null => return Ok(Self::null(place)),
            Type::Int { digits, .. } => {
                (Numeric::Int { unsigned: false, wraps: false }, Type::Int { unsigned: false, digits })
            }
            Type::Decimal { whole, scale, quotient, .. } => {
                (Numeric::Decimal { signed_zero: false }, Type::Decimal { whole, scale, unsigned: false, quotient })
            }
            _ => (Numeric::Double, Type::Double),
        };
        let node = Node::Negate { numeric, value: Box::new(value.node), place };
        Ok(Typed { node, ty, form: Form::Other, place, shown: "a result of -".into() })
    }

    /// An operand of arithmetic: a number, or text that is read as a double.
    pub(super) fn as_numeric(&self, what: &'static str, value: Typed) -> Result<Typed, FilterError> {
        match (&value.ty, value.column()) {
            (_, Some(ColumnForm::FixedFloat)) => {
                value.refuse(what, "servers round such numbers; only IS NULL can be asked")
            }
            (_, Some(ColumnForm::Bit)) => value.refuse(what, "bits are compared with whole numbers alone"),
            (Type::Bytes, _) if value.literal().is_some() => value.refuse(what, "write the number in decimal digits"),
            (Type::Text(_) | Type::Bytes, _) => Ok(self.as_double(value)),
            (ty, _) if ty.is_number() || matches!(ty, Type::Null) => Ok(value),
            _ => value.refuse(what, "compute with numbers"),
        }
    }

    pub(super) fn as_decimal(&self, value: Typed) -> Typed {
        if matches!(value.ty, Type::Decimal { .. }) {
            return value;
        }
        Typed { node: Node::ToDecimal(Box::new(value.node)), ..value }
    }
}

fn arithmetic(op: Arithmetic, numeric: Numeric, left: Typed, right: Typed, place: Place) -> Node {
    Node::Arithmetic { op, numeric, left: Box::new(left.node), right: Box::new(right.node), place }
}

fn is_quotient(ty: &Type) -> bool {
    matches!(ty, Type::Decimal { quotient: true, .. })
}

/// Digits before and behind the point.
pub(super) fn digits_of(ty: &Type) -> (u8, u8) {
    match ty {
        Type::Int { digits, .. } => (*digits, 0),
        Type::Decimal { whole, scale, .. } => (*whole, *scale),
        _ => (0, 0),
    }
}

/// Digits behind the point that the server computes of a quotient (`do_div_mod` of strings/decimal.cc): both scales in
/// whole words and, as far as those do not hold them already, four more.
pub(in crate::filter) fn quotient_digits(scale: u8, other: u8) -> u8 {
    let whole_words = |digits: u8| digits.div_ceil(WORD_DIGITS) * WORD_DIGITS;
    let (left, right) = (whole_words(scale), whole_words(other));
    let more = DIVISION_DIGITS.saturating_sub(left - scale + right - other);
    whole_words(left + right + more)
}

fn check_digits(what: &'static str, whole: u8, scale: u8, place: Place) -> Result<(), FilterError> {
    if scale <= SCALE_MAX && usize::from(whole) + usize::from(scale) <= DECIMAL_DIGITS {
        return Ok(());
    }
    let fault = FilterFault::Types {
        what,
        with: "numbers of so many digits".into(),
        instead: "the result may have more digits than a DECIMAL",
    };
    Err(FilterError { place, fault })
}
