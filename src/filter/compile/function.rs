//! Functions: which arguments they take, and the type of what they give.

use super::Compiler;
use super::arithmetic::digits_of;
use super::types::{ColumnForm, Form, TextOrigin, Type, Typed};
use crate::filter::error::{FilterError, Place};
use crate::filter::moment::fixed_offset;
use crate::filter::program::{DatePart, EpochRule, LengthRule, Node, Numeric};
use crate::filter::syntax::{Arithmetic, Expr, Function, Literal};

/// Last second that MySQL has dates for, from 8.0.28 on: the end of 3001-01-18.
const LAST_SECOND: i64 = 32_536_771_199;
/// Last second of servers that count in 31 bits.
const LAST_SECOND_31: i64 = 2_147_483_647;

impl Compiler<'_> {
    pub(super) fn call(&mut self, function: Function, arguments: &[Expr], place: Place) -> Result<Typed, FilterError> {
        let what = function.name();
        let mut values = arguments.iter().map(|argument| self.expr(argument)).collect::<Result<Vec<_>, _>>()?;
        let spreads = matches!(function, Function::Coalesce | Function::IfNull);
        if !spreads && values.iter().any(|value| matches!(value.ty, Type::Null)) {
            return Ok(Self::null(place));
        }
        let (node, ty) = match function {
            Function::Mod => {
                let right = values.remove(1);
                return self.arithmetic(Arithmetic::Modulo, values.remove(0), right, place);
            }
            Function::Coalesce | Function::IfNull => return self.coalesce(what, values, place),
            Function::Concat => self.concat(what, values)?,
            Function::Substring => self.substring(what, values)?,
            _ => {
                let value = values.remove(0);
                match function {
                    Function::Lower | Function::Upper => self.case(what, value, function == Function::Upper)?,
                    Function::Length | Function::CharLength => self.length(what, value, function)?,
                    Function::Abs => self.abs(what, value, place)?,
                    Function::Date => (Node::ToDate(Box::new(Self::moment(what, value)?.node)), Type::Date),
                    Function::Year => part(DatePart::Year, Self::moment(what, value)?, 4),
                    Function::Month => part(DatePart::Month, Self::moment(what, value)?, 2),
                    Function::Day => part(DatePart::Day, Self::moment(what, value)?, 2),
                    Function::UnixTimestamp => self.unix_timestamp(what, value)?,
                    _ => self.date_of_seconds(what, value)?,
                }
            }
        };
        Ok(Typed { node, ty, form: Form::Other, place, shown: format!("a result of {what}") })
    }

    fn case(&self, what: &'static str, value: Typed, upper: bool) -> Result<(Node, Type), FilterError> {
        let value = self.as_text(what, value)?;
        let Type::Text(origin) = &value.ty else { return Ok((value.node, value.ty)) };
        let collation = self.collation(origin, &value)?;
        Ok((
            Node::Case { upper, in_place: !self.session.is_mariadb(), collation, value: Box::new(value.node) },
            value.ty,
        ))
    }

    fn length(&self, what: &'static str, value: Typed, function: Function) -> Result<(Node, Type), FilterError> {
        let value = self.as_text(what, value)?;
        let rule = match function {
            Function::CharLength => LengthRule::Characters,
            _ => self.length_rule(&value)?,
        };
        let node = Node::Length { rule, value: Box::new(value.node) };
        Ok((node, Type::Int { unsigned: false, digits: 10 }))
    }

    fn abs(&self, what: &'static str, value: Typed, place: Place) -> Result<(Node, Type), FilterError> {
        let value = self.as_numeric(what, value)?;
        let numeric = match value.ty {
            Type::Int { unsigned, .. } => Numeric::Int { unsigned, wraps: false },
            Type::Decimal { .. } => Numeric::Decimal { signed_zero: false },
            _ => Numeric::Double,
        };
        Ok((Node::Abs { numeric, value: Box::new(value.node), place }, value.ty))
    }

    fn concat(&self, what: &'static str, values: Vec<Typed>) -> Result<(Node, Type), FilterError> {
        let values = values.into_iter().map(|value| self.as_text(what, value)).collect::<Result<Vec<_>, _>>()?;
        if !values.iter().any(|value| matches!(value.ty, Type::Bytes)) {
            let origin = self.join(&values.iter().collect::<Vec<_>>())?.origin;
            return Ok((Node::Concat(values.into_iter().map(|value| value.node).collect()), Type::Text(origin)));
        }
        let parts = values.into_iter().map(|value| match &value.ty {
            Type::Bytes => Ok(value.node),
            Type::Text(TextOrigin::Session { .. }) => Ok(Node::ToBytes(Box::new(value.node))),
            _ => value.refuse(what, "bytes are joined with bytes and literals alone"),
        });
        Ok((Node::Concat(parts.collect::<Result<_, _>>()?), Type::Bytes))
    }

    fn substring(&self, what: &'static str, values: Vec<Typed>) -> Result<(Node, Type), FilterError> {
        let mut values = values.into_iter();
        let mut next = || values.next().map(|value| (matches!(value.ty, Type::Int { .. }), value));
        let Some((_, value)) = next() else { unreachable!("arity was checked") };
        let value = self.as_text(what, value)?;
        let mut place = || match next() {
            None => Ok(None),
            Some((true, place)) => Ok(Some(Box::new(place.node))),
            Some((false, other)) => other.refuse(what, "places and lengths are whole numbers"),
        };
        let (start, length) = (place()?, place()?);
        let Some(start) = start else { unreachable!("arity was checked") };
        Ok((Node::Substring { value: Box::new(value.node), start, length }, value.ty))
    }

    fn coalesce(&self, what: &'static str, values: Vec<Typed>, place: Place) -> Result<Typed, FilterError> {
        let known: Vec<&Typed> = values.iter().filter(|value| !matches!(value.ty, Type::Null)).collect();
        let Some(first) = known.first() else { return Ok(Self::null(place)) };
        let temporal = |value: &&&Typed| value.ty.is_moment() || matches!(value.ty, Type::Time { .. });
        if let Some(value) = known.iter().find(temporal).filter(|_| self.session.is_old_mysql()) {
            return value.refuse(what, "before 8.0 the server makes text of dates there");
        }
        for value in &known {
            let instead = match (&value.ty, value.column()) {
                (_, Some(ColumnForm::FixedFloat | ColumnForm::Bit | ColumnForm::Year)) => {
                    "servers give it different types"
                }
                (Type::Opaque, _) => "only IS NULL can be asked of it",
                _ if self.is_open_quotient(value) => "servers write quotients in different ways",
                (Type::Bytes, _) if value.literal().is_some() => "compare a column with it",
                _ => continue,
            };
            return value.refuse(what, instead);
        }
        let all = |is: fn(&Type) -> bool| known.iter().all(|value| is(&value.ty));
        let ty = if all(Type::is_text) {
            Type::Text(self.join(&known)?.origin)
        } else if all(Type::is_number) {
            self.coalesced_number(what, &known, known.len() < values.len())?
        } else if all(|ty| matches!(ty, Type::Bytes)) {
            Type::Bytes
        } else if all(|ty| matches!(ty, Type::Date)) {
            Type::Date
        } else if all(|ty| matches!(ty, Type::DateTime { .. })) {
            Type::DateTime { fsp: known.iter().map(|value| fsp_of(&value.ty)).max().unwrap_or(0) }
        } else if all(|ty| matches!(ty, Type::Time { .. })) {
            Type::Time { fsp: known.iter().map(|value| fsp_of(&value.ty)).max().unwrap_or(0) }
        } else {
            return first.refuse(what, "give it values of one type");
        };
        let nodes = values.into_iter().map(|value| match ty {
            Type::Double => self.as_double(value).node,
            Type::Decimal { .. } if !matches!(value.ty, Type::Null) => self.as_decimal(value).node,
            _ => value.node,
        });
        let node = Node::Coalesce(nodes.collect());
        Ok(Typed { node, ty, form: Form::Other, place, shown: format!("a result of {what}") })
    }

    /// `null`: a NULL literal is among the arguments.
    fn coalesced_number(&self, what: &'static str, values: &[&Typed], null: bool) -> Result<Type, FilterError> {
        if values.iter().any(|value| matches!(value.ty, Type::Double)) {
            return Ok(Type::Double);
        }
        let (old, mariadb) = (self.session.is_old_mysql(), self.session.is_mariadb());
        let is_int = |value: &&&Typed| matches!(value.ty, Type::Int { .. });
        let signed = (old || mariadb) && null || values.iter().filter(is_int).any(|value| !value.ty.is_unsigned());
        let unsigned = values.iter().find(|value| value.ty.is_unsigned());
        let (whole, scale) = values.iter().fold((0, 0), |(whole, scale), value| {
            let (w, s) = digits_of(&value.ty);
            (whole.max(w), scale.max(s))
        });
        let quotient = values.iter().any(|value| matches!(value.ty, Type::Decimal { quotient: true, .. }));
        let decimal = |unsigned| Type::Decimal { whole, scale, unsigned, quotient };
        match unsigned {
            Some(value) if old && signed => {
                value.refuse(what, "before 8.0 the server mixes up signed and unsigned numbers there")
            }
            _ if values.iter().filter(is_int).count() < values.len() => Ok(decimal(unsigned.is_some())),
            Some(_) if signed && (mariadb || whole == 20) => Ok(decimal(false)),
            _ => Ok(Type::Int { unsigned: !signed, digits: whole }),
        }
    }

    /// An argument that is a date.
    fn moment(what: &'static str, value: Typed) -> Result<Typed, FilterError> {
        match (&value.ty, value.literal()) {
            (ty, _) if ty.is_moment() => Ok(value),
            (_, Some(Literal::Text(_))) => Self::as_moment(value),
            _ => value.refuse(what, "give it a date"),
        }
    }

    /// The last second that the server converts, where that is known.
    fn last_second(&self, what: &'static str, value: &Typed) -> Result<i64, FilterError> {
        match self.session.version {
            version if self.session.is_mariadb() && version >= (11, 5, 0) => {
                value.refuse(what, "the range of this server version is not known")
            }
            version if !self.session.is_mariadb() && version >= (8, 0, 28) => Ok(LAST_SECOND),
            _ => Ok(LAST_SECOND_31),
        }
    }

    fn unix_timestamp(&self, what: &'static str, value: Typed) -> Result<(Node, Type), FilterError> {
        let typed = |fsp: u8| match fsp {
            0 => Type::Int { unsigned: false, digits: 11 },
            scale => Type::Decimal { whole: 11, scale, unsigned: false, quotient: false },
        };
        if let (Some(ColumnForm::Timestamp), Node::Column { slot, .. }) = (value.column(), &value.node) {
            let fsp = fsp_of(&value.ty);
            return Ok((Node::EpochOfColumn { slot: *slot, fsp }, typed(fsp)));
        }
        let value = Self::moment(what, value)?;
        let last = self.last_second(what, &value)?;
        let Some(offset) = fixed_offset(&self.session.zone) else {
            return value.refuse(what, "in a zone whose offset changes, only a TIMESTAMP column has one meaning");
        };
        let fsp = fsp_of(&value.ty);
        let rule = EpochRule { offset, last, null: self.session.is_mariadb(), fsp };
        Ok((Node::Epoch { rule, value: Box::new(value.node) }, typed(fsp)))
    }

    fn date_of_seconds(&self, what: &'static str, value: Typed) -> Result<(Node, Type), FilterError> {
        let fsp = match &value.ty {
            Type::Int { .. } => 0,
            Type::Decimal { scale: scale @ 0..=6, quotient: false, .. } => *scale,
            _ => return value.refuse(what, "give it a number of at most six digits behind the point"),
        };
        let last = self.last_second(what, &value)?;
        Ok((Node::FromEpoch { last, value: Box::new(value.node) }, Type::DateTime { fsp }))
    }
}

fn fsp_of(ty: &Type) -> u8 {
    match ty {
        Type::DateTime { fsp } | Type::Time { fsp } => *fsp,
        _ => 0,
    }
}

fn part(part: DatePart, value: Typed, digits: u8) -> (Node, Type) {
    (Node::Part { part, value: Box::new(value.node) }, Type::Int { unsigned: false, digits })
}
