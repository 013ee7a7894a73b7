//! Text: which collation rules where several meet, numbers and dates as text, LIKE.

use std::sync::Arc;

use super::Compiler;
use super::types::{ColumnForm, Form, TextOrigin, Type, Typed};
use crate::change::charset::Charset;
use crate::filter::collation::{Collation, Repertoire};
use crate::filter::error::{FilterError, FilterFault};
use crate::filter::like;
use crate::filter::program::{Datum, LengthRule, Node, Shown};
use crate::filter::syntax::Literal;

impl TextOrigin {
    /// Bytes as text of a column's character set.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<String> {
        let Self::Column { charset, .. } = self else { return None };
        let mut scratch = String::new();
        let text = charset.decode(bytes, &mut scratch);
        (!text.bad).then(|| text.text.to_owned())
    }
}

/// What several texts are together.
pub(super) struct Joined {
    pub(super) origin: TextOrigin,
}

impl Compiler<'_> {
    /// The collation that texts are compared by.
    pub(super) fn aggregate(&self, parts: &[&Typed]) -> Result<Arc<Collation>, FilterError> {
        let joined = self.join(parts)?;
        self.collation(&joined.origin, parts[0])
    }

    pub(super) fn collation(&self, origin: &TextOrigin, at: &Typed) -> Result<Arc<Collation>, FilterError> {
        let TextOrigin::Column { charset, collation } = origin else { return Ok(Arc::new(Collation::of_session())) };
        let known = collation.as_deref().and_then(|name| Collation::of_name(name, *charset));
        known.map(Arc::new).ok_or_else(|| {
            let collation = collation.as_deref().unwrap_or("unknown").to_owned();
            FilterError { place: at.place, fault: FilterFault::Collation { collation } }
        })
    }

    /// Character set and collation that texts have together: those of the columns, which must be the same.
    pub(super) fn join(&self, parts: &[&Typed]) -> Result<Joined, FilterError> {
        let mut joined = TextOrigin::Session { ascii: true };
        for part in parts {
            let Type::Text(origin) = &part.ty else { continue };
            match (&joined, origin) {
                (TextOrigin::Session { .. }, TextOrigin::Column { .. }) => joined = origin.clone(),
                (TextOrigin::Session { ascii }, TextOrigin::Session { ascii: other }) => {
                    joined = TextOrigin::Session { ascii: *ascii && *other };
                }
                (TextOrigin::Column { collation, .. }, TextOrigin::Column { collation: other, .. })
                    if collation != other =>
                {
                    let name = |collation: &Option<Box<str>>| collation.as_deref().unwrap_or("unknown").to_owned();
                    let fault = FilterFault::Collations { left: name(collation), right: name(other) };
                    return Err(FilterError { place: part.place, fault });
                }
                _ => {}
            }
        }
        if let TextOrigin::Column { charset, .. } = &joined {
            for part in parts {
                check_literal(*charset, part)?;
            }
        }
        Ok(Joined { origin: joined })
    }

    /// A number or a date as the text that the server makes of it.
    pub(super) fn as_text(&self, what: &'static str, value: Typed) -> Result<Typed, FilterError> {
        if matches!(value.literal(), Some(Literal::Hex(_))) {
            return value.refuse(what, "compare a column with it");
        }
        let shown = match (&value.ty, value.column()) {
            (Type::Text(_) | Type::Bytes | Type::Null, _) => return Ok(value),
            (Type::Int { .. }, Some(ColumnForm::Bit)) => return value.refuse(what, "its bits are no text"),
            (Type::Int { .. } | Type::Decimal { quotient: false, .. }, _) => Shown::Number,
            (Type::Date, _) => Shown::Date,
            (Type::DateTime { fsp }, _) => Shown::DateTime { fsp: *fsp },
            (Type::Time { fsp }, _) => Shown::Time { fsp: *fsp },
            (Type::Decimal { .. }, _) => return value.refuse(what, "servers write quotients in different ways"),
            (Type::Double, _) => return value.refuse(what, "servers write such numbers in different ways"),
            (Type::Opaque, _) => return value.refuse(what, "only IS NULL can be asked of it"),
        };
        let node = Node::ToText { shown, value: Box::new(value.node) };
        Ok(Typed { node, ty: Type::Text(TextOrigin::Session { ascii: true }), form: Form::Other, ..value })
    }

    pub(super) fn like(&self, value: Typed, pattern: Typed, escape: char) -> Result<Node, FilterError> {
        const WHAT: &str = "LIKE";
        let (mut value, mut pattern) = (self.as_text(WHAT, value)?, self.as_text(WHAT, pattern)?);
        if matches!(value.ty, Type::Null) || matches!(pattern.ty, Type::Null) {
            return Ok(Node::Constant(Datum::Null));
        }
        let collation = match (&value.ty, &pattern.ty) {
            (Type::Text(_), Type::Text(_)) => {
                let collation = self.aggregate(&[&value, &pattern])?;
                self.check_escapes(&collation, &pattern, escape)?;
                Some(collation)
            }
            (Type::Bytes, Type::Bytes) => None,
            (Type::Bytes, _) => {
                pattern = Self::as_bytes(WHAT, pattern)?;
                None
            }
            _ => {
                value = Self::as_bytes(WHAT, value)?;
                None
            }
        };
        Ok(Node::Like { value: Box::new(value.node), pattern: Box::new(pattern.node), escape, collation })
    }

    /// Before 8.0, by collations of the Unicode algorithm, MySQL reads what an escape protects behind `%` a second time
    /// (`my_wildcmp_uca` of strings/ctype-uca.c), when nothing protects it any more: `%\\%` is `%`.
    fn check_escapes(&self, collation: &Collation, pattern: &Typed, escape: char) -> Result<(), FilterError> {
        let safe = match pattern.literal() {
            _ if !self.session.is_old_mysql() || !collation.is_unicode() => true,
            Some(Literal::Text(written)) => !like::escapes_behind_any(written, escape),
            // A column's text may be any pattern.
            _ => false,
        };
        if safe {
            return Ok(());
        }
        pattern.refuse("LIKE", "before 8.0 the server forgets the escape behind % in this collation")
    }

    /// How LENGTH counts bytes of this text.
    pub(super) fn length_rule(&self, value: &Typed) -> Result<LengthRule, FilterError> {
        match &value.ty {
            Type::Text(TextOrigin::Column { charset, .. }) if !charset.is_utf8() => match Repertoire::of(*charset) {
                Some(repertoire) => Ok(LengthRule::Other(repertoire)),
                None => value.refuse("LENGTH", "use CHAR_LENGTH for text in this character set"),
            },
            _ => Ok(LengthRule::Utf8),
        }
    }
}

/// Whether the character set can hold the literal: the server refuses what it would have to change.
fn check_literal(charset: Charset, part: &Typed) -> Result<(), FilterError> {
    let fits = match (&part.ty, part.literal()) {
        (Type::Text(TextOrigin::Session { ascii: true } | TextOrigin::Column { .. }), _) => charset.holds_ascii(),
        (Type::Text(_), Some(Literal::Text(text))) => match charset.name() {
            "utf8mb4" => true,
            "utf8mb3" => text.chars().all(|c| c <= '\u{ffff}'),
            _ => Repertoire::of(charset).is_some_and(|repertoire| repertoire.has(text)),
        },
        (Type::Text(_), _) => charset.name() == "utf8mb4",
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let fault =
        FilterFault::Literal { literal: part.shown.clone(), expected: "text in the character set of the column" };
    Err(FilterError { place: part.place, fault })
}
