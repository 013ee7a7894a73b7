//! Comparisons: what two values are compared as, by the servers' rules.

use super::types::{ColumnForm, Form, TextOrigin, Type, Typed};
use super::{Compiler, same_kind};
use crate::filter::error::{FilterError, FilterFault};
use crate::filter::program::{Datum, How, Node, Reading};
use crate::filter::syntax::{Comparison, Literal};

impl Compiler<'_> {
    pub(super) fn comparison(&self, op: Comparison, left: Typed, right: Typed) -> Result<Node, FilterError> {
        if let Some(other) = beside_null(&left, &right) {
            return Ok(match (op, other) {
                (Comparison::NullSafeEqual, true) => Node::IsNull(Box::new(left.node)),
                (Comparison::NullSafeEqual, false) => Node::IsNull(Box::new(right.node)),
                // NULL whatever the other is, which is computed all the same: it may be out of range.
                _ => Node::Compare { op, how: How::Int, left: Box::new(left.node), right: Box::new(right.node) },
            });
        }
        let (left, right, how) = self.pair(op.name(), left, right)?;
        Ok(Node::Compare { op, how, left: Box::new(left.node), right: Box::new(right.node) })
    }

    pub(super) fn between(&self, value: Typed, low: Typed, high: Typed) -> Result<Node, FilterError> {
        const WHAT: &str = "BETWEEN";
        if [&value, &low, &high].iter().any(|part| self.is_open_quotient(part)) {
            return value.refuse(WHAT, "compare the quotient by < and >");
        }
        if let Some(null) = [&value, &low, &high].into_iter().find(|part| matches!(part.ty, Type::Null)) {
            return null.refuse(WHAT, "compare with one bound by < or >");
        }
        // Of 19 digits, a literal is unsigned when it is greater than any number with a sign.
        let wide = |part: &&Typed| matches!(part.ty, Type::Int { unsigned: true, digits: 19.. });
        if self.session.is_old_mysql() && [&value, &low, &high].iter().any(wide) {
            return value.refuse(WHAT, "before 8.0 the server takes great numbers for negative ones; write >= and <=");
        }
        if [&value, &low, &high].iter().all(|part| part.ty.is_text()) {
            let how = How::Text(self.aggregate(&[&value, &low, &high])?);
            return Ok(between(value, low, high, how.clone(), how));
        }
        let (value, low, low_how) = self.pair(WHAT, value, low)?;
        let (value, high, high_how) = self.pair(WHAT, value, high)?;
        if !same_kind(&low_how, &high_how) || matches!(value.ty, Type::Text(_)) && !matches!(low_how, How::Double) {
            return value.refuse(WHAT, "give it bounds of one type");
        }
        // One type for all three, as on the server.
        let how = match (&low_how, &high_how) {
            (How::Double, _) | (_, How::Double) => Some(How::Double),
            (How::Decimal, _) | (_, How::Decimal) => Some(How::Decimal),
            _ => None,
        };
        let (low_how, high_how) = how.map_or((low_how, high_how), |how| (how.clone(), how));
        Ok(between(value, low, high, low_how, high_how))
    }

    pub(super) fn list(&self, value: Typed, list: Vec<Typed>) -> Result<Node, FilterError> {
        const WHAT: &str = "IN";
        if matches!(value.ty, Type::Null) {
            return Ok(Node::Constant(Datum::Null));
        }
        if self.is_open_quotient(&value) || list.iter().any(|item| self.is_open_quotient(item)) {
            return value.refuse(WHAT, "compare the quotient by <, > or =");
        }
        let known = || list.iter().filter(|item| !matches!(item.ty, Type::Null));
        if value.ty.is_text() && known().all(|item| item.ty.is_text()) {
            let all: Vec<_> = std::iter::once(&value).chain(known()).collect();
            let collation = self.aggregate(&all)?;
            let list = list.into_iter().map(|item| (How::Text(collation.clone()), item.node)).collect();
            return Ok(Node::In { value: Box::new(value.node), list });
        }
        if value.literal().is_some_and(|literal| matches!(literal, Literal::Text(_) | Literal::Hex(_))) {
            return value.refuse(WHAT, "put a column before IN");
        }
        // The server makes whole numbers of the list where none of its sides is a column.
        let inexact = |item: &Typed| matches!(item.ty, Type::Double) || item.literal().is_some() && item.ty.is_text();
        if matches!(value.ty, Type::Int { .. }) && value.column().is_none() && list.iter().any(inexact) {
            return value.refuse(WHAT, "give it a list of whole numbers or decimals");
        }
        // Zero with a sign, which a column never holds, is zero to a list of texts and not to a single one.
        let quoted = list.iter().find(|item| item.literal().is_some() && item.ty.is_text());
        let computed = matches!(value.ty, Type::Decimal { .. }) && value.column().is_none();
        if let Some(quoted) = quoted.filter(|_| computed && self.session.is_mariadb()) {
            return quoted.refuse(WHAT, "write the number without quotes");
        }
        let (mut value, mut items, mut kind, mut known_items) = (value, Vec::new(), None::<How>, 0);
        for item in list {
            if matches!(item.ty, Type::Null) {
                items.push((How::Int, item.node));
                continue;
            }
            let place = item.place;
            let shown = item.shown.clone();
            let (same, item, how) = self.pair(WHAT, value, item)?;
            value = same;
            if kind.as_ref().is_some_and(|kind| !same_kind(kind, &how)) {
                let instead = "give it a list of one type";
                let fault = FilterFault::Types { what: WHAT, with: shown, instead };
                return Err(FilterError { place, fault });
            }
            known_items += 1;
            if !matches!(kind, Some(How::Double)) {
                kind = Some(how.clone());
            }
            items.push((how, item.node));
        }
        let temporal = matches!(kind, Some(How::Moment | How::Time)) && self.session.is_old_mysql();
        if items.len() > known_items && temporal {
            return value.refuse(WHAT, "before 8.0, NULL in a list of dates is lost; leave it out");
        }
        if items.len() > known_items && matches!(kind, Some(How::Double)) {
            return value.refuse(WHAT, "with NULL in a list of doubles, MySQL takes 0 for a match; leave NULL out");
        }
        Ok(Node::In { value: Box::new(value.node), list: items })
    }

    /// A quotient whose server shows fewer digits than it keeps, and is not of one mind which to compare.
    pub(super) fn is_open_quotient(&self, value: &Typed) -> bool {
        self.session.is_mariadb() && matches!(value.ty, Type::Decimal { quotient: true, .. })
    }

    /// Settles what two values are compared as; literals become what stands beside them.
    fn pair(&self, what: &'static str, left: Typed, right: Typed) -> Result<(Typed, Typed, How), FilterError> {
        for side in [&left, &right] {
            match (&side.ty, side.column()) {
                (Type::Opaque, _) => return side.refuse(what, "only IS NULL can be asked of it"),
                (_, Some(ColumnForm::FixedFloat)) => {
                    return side
                        .refuse(what, "servers compare such numbers with a tolerance; only IS NULL can be asked");
                }
                _ => {}
            }
        }
        let is_hex = |side: &Typed| matches!(side.literal(), Some(Literal::Hex(_)));
        match (is_hex(&left), is_hex(&right)) {
            (true, true) => return right.refuse(what, "compare a column with it"),
            (true, false) => {
                let left = self.as_hex(what, left, &right)?;
                return self.pair(what, left, right);
            }
            (false, true) => {
                let right = self.as_hex(what, right, &left)?;
                return self.pair(what, left, right);
            }
            (false, false) => {}
        }
        match (&left.ty, &right.ty) {
            (a, b) if a.is_moment() && b.is_moment() => Ok((left, right, How::Moment)),
            (a, _) if a.is_moment() => Ok((left, Self::as_moment(right)?, How::Moment)),
            (_, b) if b.is_moment() => Ok((Self::as_moment(left)?, right, How::Moment)),
            (Type::Time { .. }, Type::Time { .. }) => {
                let (left, right) = match (left.literal().is_some(), right.literal().is_some()) {
                    (false, true) => {
                        let fsp = time_digits(&left);
                        (left, Self::as_time(right, fsp)?)
                    }
                    (true, false) => {
                        let fsp = time_digits(&right);
                        (Self::as_time(left, fsp)?, right)
                    }
                    _ => (left, right),
                };
                Ok((left, right, How::Time))
            }
            (Type::Time { .. }, _) if left.column().is_none() => left.refuse(what, "compare it with TIME'hh:mm:ss'"),
            (_, Type::Time { .. }) if right.column().is_none() => right.refuse(what, "compare it with TIME'hh:mm:ss'"),
            (Type::Time { fsp }, _) => {
                let fsp = *fsp;
                Ok((left, Self::as_time(right, fsp)?, How::Time))
            }
            (_, Type::Time { fsp }) => {
                let fsp = *fsp;
                Ok((Self::as_time(left, fsp)?, right, How::Time))
            }
            (Type::Text(_), Type::Text(_)) => {
                let how = How::Text(self.aggregate(&[&left, &right])?);
                Ok((left, right, how))
            }
            (Type::Bytes, Type::Bytes) => Ok((left, right, How::Bytes)),
            (Type::Bytes, Type::Text(_)) => Ok((left, Self::as_bytes(what, right)?, How::Bytes)),
            (Type::Text(_), Type::Bytes) => Ok((Self::as_bytes(what, left)?, right, How::Bytes)),
            _ => self.numbers(what, left, right),
        }
    }

    fn numbers(&self, what: &'static str, left: Typed, right: Typed) -> Result<(Typed, Typed, How), FilterError> {
        check_year(what, &left, &right)?;
        check_year(what, &right, &left)?;
        match (&left.ty, &right.ty) {
            (Type::Int { .. }, Type::Int { .. }) => Ok((left, right, How::Int)),
            (a, b) if a.is_exact() && b.is_exact() => {
                let scale = |ty: &Type| if let Type::Decimal { scale, .. } = ty { *scale } else { 0 };
                let rounded = self.is_open_quotient(&left) || self.is_open_quotient(&right);
                let how = if rounded { How::RoundedDecimal(scale(a), scale(b)) } else { How::Decimal };
                Ok((left, right, how))
            }
            (Type::Text(_), _) if left.literal().is_some() => {
                let (right, left, how) = self.number_and_text(right, left)?;
                Ok((left, right, how))
            }
            (_, Type::Text(_)) if right.literal().is_some() => self.number_and_text(left, right),
            _ => {
                // Text and bytes read as numbers; but what BIT compares as beside them is not known.
                for (side, other) in [(&left, &right), (&right, &left)] {
                    if matches!(other.ty, Type::Int { .. }) && self.has_other_blanks(side) {
                        let instead =
                            "this server passes by a no-break space there; compare it with text, or add 0 to it";
                        return side.refuse(what, instead);
                    }
                    if side.column() == Some(ColumnForm::Bit) && !other.ty.is_exact() {
                        return side.refuse(what, "compare it with a whole number or a decimal");
                    }
                }
                Ok((left, right, How::Double))
            }
        }
        .map(|(left, right, how)| match how {
            How::Double => (left.with_ordinal(), right.with_ordinal(), How::Double),
            how => (left, right, how),
        })
    }

    /// Whether MariaDB, when it makes a whole number or a truth value of it, takes more for a blank than when it makes a
    /// double: bytes, and text that is not UTF-8, have the no-break space of their character set.
    pub(super) fn has_other_blanks(&self, value: &Typed) -> bool {
        let other = match &value.ty {
            Type::Bytes => true,
            Type::Text(TextOrigin::Column { charset, .. }) => !charset.is_utf8(),
            _ => false,
        };
        other && self.session.is_mariadb() && value.column() != Some(ColumnForm::Labels)
    }

    fn number_and_text(&self, number: Typed, text: Typed) -> Result<(Typed, Typed, How), FilterError> {
        let Some(Literal::Text(written)) = text.literal() else { return Ok((number, text, How::Double)) };
        match self.as_number(written, &text, &number)? {
            None => Ok((number, text, How::Double)),
            Some(node) => {
                let text = Typed { node, ty: number.ty.clone(), form: Form::Other, ..text };
                let how = if matches!(number.ty, Type::Int { .. }) { How::Int } else { How::Decimal };
                Ok((number, text, how))
            }
        }
    }

    /// A hexadecimal literal beside a column: its text, its bytes, or its number.
    fn as_hex(&self, what: &'static str, hex: Typed, other: &Typed) -> Result<Typed, FilterError> {
        let instead = "compare a column of text, bytes or whole numbers with it";
        let Some(Literal::Hex(bytes)) = hex.literal() else { return hex.refuse(what, instead) };
        // Beyond that, servers do not agree on its sign.
        let number = bytes.iter().try_fold(0i64, |number, &byte| number.checked_mul(256)?.checked_add(byte.into()));
        match (&other.ty, &other.form) {
            (Type::Bytes, _) => {
                let node = Node::Constant(Datum::Bytes(bytes.clone().into()));
                Ok(Typed { node, form: Form::Other, ..hex })
            }
            (Type::Text(origin), Form::Column(_, ColumnForm::Plain)) => {
                let Some(text) = origin.decode(bytes) else {
                    return hex.refuse(what, "its bytes are no text in the character set of the column");
                };
                let form = Form::Literal(Literal::Text(text.clone()));
                Ok(Typed { node: Node::Constant(Datum::Text(text.into())), ty: other.ty.clone(), form, ..hex })
            }
            (Type::Int { .. }, Form::Column(_, ColumnForm::Plain | ColumnForm::BigInt)) if number.is_some() => {
                let ty = Type::Int { unsigned: false, digits: 19 };
                let node = Node::Constant(Datum::Int(number.unwrap_or_default().into()));
                Ok(Typed { node, ty, form: Form::Other, ..hex })
            }
            _ => hex.refuse(what, instead),
        }
    }

    /// Text beside bytes: the bytes of a literal.
    pub(super) fn as_bytes(what: &'static str, text: Typed) -> Result<Typed, FilterError> {
        match text.literal() {
            Some(Literal::Text(written)) => {
                let node = Node::Constant(Datum::Bytes(written.clone().into_bytes().into()));
                Ok(Typed { node, ty: Type::Bytes, form: Form::Other, ..text })
            }
            _ => text.refuse(what, "a column of bytes compares with bytes and literals alone"),
        }
    }
}

/// Whether one side is NULL, and if so whether it is the right one.
fn beside_null(left: &Typed, right: &Typed) -> Option<bool> {
    match (&left.ty, &right.ty) {
        (_, Type::Null) => Some(true),
        (Type::Null, _) => Some(false),
        _ => None,
    }
}

fn between(value: Typed, low: Typed, high: Typed, low_how: How, high_how: How) -> Node {
    let (value, low, high) = (Box::new(value.node), Box::new(low.node), Box::new(high.node));
    Node::Between { low_how, high_how, value, low, high }
}

fn time_digits(value: &Typed) -> u8 {
    if let Type::Time { fsp } = value.ty { fsp } else { 0 }
}

/// Servers make years of two digits of small numbers, not all of them everywhere: of those that they compute from
/// literals as well, before they look at a row.
fn check_year(what: &'static str, year: &Typed, other: &Typed) -> Result<(), FilterError> {
    if year.column() != Some(ColumnForm::Year) {
        return Ok(());
    }
    match &other.form {
        Form::Column(..) | Form::Other | Form::Literal(Literal::Int(0 | 1901..=2155) | Literal::Text(_)) => Ok(()),
        Form::Computed | Form::Literal(_) => {
            other.refuse(what, "compare a YEAR column with 0, or a year from 1901 to 2155")
        }
    }
}

impl Typed {
    /// Asks for the number of an ENUM or SET.
    pub(super) fn with_ordinal(mut self) -> Self {
        if let (Some(ColumnForm::Labels), Node::Column { reading, .. }) = (self.column(), &mut self.node) {
            *reading = Reading::Ordinal;
        }
        self
    }
}
