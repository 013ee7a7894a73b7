//! Columns by name, with the type that the server gives them in expressions.

use super::Compiler;
use super::types::{ColumnForm, Form, TextOrigin, Type, Typed};
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;
use crate::filter::error::{FilterError, FilterFault, Place};
use crate::filter::program::{Node, Reading};

/// Most letters that differ in a name that is shown as a near one.
const NEAR: usize = 2;

impl Compiler<'_> {
    pub(super) fn find(&self, name: &str, place: Place) -> Result<usize, FilterError> {
        let lower = name.to_lowercase();
        let names = || self.plan.columns.iter().map(|column| &*column.name);
        if let Some(at) = names().position(|known| known.to_lowercase() == lower) {
            return Ok(at);
        }
        let near = names().map(|known| (distance(&known.to_lowercase(), &lower), known)).min();
        let near = near.filter(|(distance, _)| *distance <= NEAR).map(|(_, known)| known.to_owned());
        let fault = FilterFault::UnknownColumn { table: self.plan.source.to_string(), name: name.to_owned(), near };
        Err(FilterError { place, fault })
    }

    pub(super) fn column(&self, name: &str, place: Place) -> Result<Typed, FilterError> {
        let at = self.find(name, place)?;
        let column = &self.plan.columns[at];
        let (ty, form) = type_of(column);
        let slot = self.slots.binary_search(&at).expect("every column was collected");
        let reading = match column.kind {
            ColumnType::Binary { length } => Reading::Padded(length),
            _ => Reading::Value,
        };
        let shown = format!("column {} ({})", column.name, shortened(&column.declared));
        Ok(Typed { node: Node::Column { slot, reading }, ty, form: Form::Column(at, form), place, shown })
    }
}

fn type_of(column: &Column) -> (Type, ColumnForm) {
    let int = |unsigned, digits| Type::Int { unsigned, digits };
    let text = || {
        let collation = column.collation.clone();
        Type::Text(TextOrigin::Column { charset: column.charset, collation })
    };
    let float = if column.declared.contains('(') { ColumnForm::FixedFloat } else { ColumnForm::Plain };
    let ty = match column.kind {
        ColumnType::TinyInt { unsigned } => int(unsigned, 3),
        ColumnType::SmallInt { unsigned } => int(unsigned, 5),
        ColumnType::MediumInt { unsigned } => int(unsigned, 8),
        ColumnType::Int { unsigned } => int(unsigned, 10),
        ColumnType::BigInt { unsigned } => return (int(unsigned, 20), ColumnForm::BigInt),
        ColumnType::Decimal { precision, scale, unsigned } => {
            Type::Decimal { whole: precision.saturating_sub(scale), scale, unsigned, quotient: false }
        }
        ColumnType::Float { .. } | ColumnType::Double { .. } => return (Type::Double, float),
        ColumnType::Bit { .. } => return (int(true, 20), ColumnForm::Bit),
        ColumnType::Year => return (int(true, 4), ColumnForm::Year),
        ColumnType::Date => Type::Date,
        ColumnType::Time { fsp } => Type::Time { fsp },
        ColumnType::DateTime { fsp } => Type::DateTime { fsp },
        ColumnType::Timestamp { fsp } => return (Type::DateTime { fsp }, ColumnForm::Timestamp),
        ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. } => text(),
        ColumnType::Enum | ColumnType::Set => return (text(), ColumnForm::Labels),
        ColumnType::Binary { .. } | ColumnType::VarBinary { .. } | ColumnType::Blob { .. } => Type::Bytes,
        ColumnType::Json
        | ColumnType::Geometry { .. }
        | ColumnType::Vector { .. }
        | ColumnType::Inet6
        | ColumnType::Inet4
        | ColumnType::Uuid => Type::Opaque,
    };
    (ty, ColumnForm::Plain)
}

fn shortened(declared: &str) -> String {
    const CHARS_MAX: usize = 40;
    match declared.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &declared[..end]),
        None => declared.to_owned(),
    }
}

/// How many letters have to be put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
