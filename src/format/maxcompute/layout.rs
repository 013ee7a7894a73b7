//! Which source column, or additional one, each column of a table is filled from.

use thiserror::Error;

use super::columns::{ADDITIONAL, Additional, Naming};
use super::data_type::DataType;
use super::mapping::{Form, form};
use super::name::{NameFault, column_names};
use crate::change::schema::Column;

/// A column of a table, as the service tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
}

/// What fills a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// A column of the source, by its place there.
    Source(usize, Form),
    /// An additional column.
    Additional(Additional),
    /// Nothing any more: NULL.
    Empty,
}

/// How rows of one shape of a source table lie in one table of MaxCompute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub(super) slots: Vec<Slot>,
    /// Source columns come in their own order.
    pub(super) in_order: bool,
}

/// A table that cannot take the rows. Definite: the table parks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayoutFault {
    /// Names that cannot be.
    #[error(transparent)]
    Name(#[from] NameFault),
    /// A column that the table lacks.
    #[error("the table has no column {column}")]
    Missing {
        /// Its name there.
        column: String,
    },
    /// A column whose type cannot hold every value.
    #[error("column {column} is {kind} in the table, which does not hold every {declared}")]
    Kind {
        /// Its name there.
        column: String,
        /// Its type there.
        kind: DataType,
        /// Its type at the source.
        declared: String,
    },
}

impl Layout {
    /// Fills the columns of `table`, partitions left out, from these source columns; `naming` is none for a table
    /// without additional columns. Columns of the table that the source does not have, or no longer has, are NULL.
    ///
    /// # Errors
    /// The first column that cannot be filled.
    pub fn new(
        source: &[Column],
        hidden_too: bool,
        table: &[TableColumn],
        naming: Option<Naming>,
    ) -> Result<Self, LayoutFault> {
        let names = Self::names(source, hidden_too, naming)?;
        Self::filled(source, &names, table, naming)
    }

    /// The source columns that are sent, by their places, and their names in a table.
    ///
    /// # Errors
    /// Names that cannot be.
    pub fn names(
        source: &[Column],
        hidden_too: bool,
        naming: Option<Naming>,
    ) -> Result<Vec<(usize, String)>, NameFault> {
        let sent: Vec<usize> = (0..source.len()).filter(|&at| source[at].is_sent(hidden_too)).collect();
        let taken: Vec<String> =
            naming.map_or(Vec::new(), |naming| ADDITIONAL.map(|column| naming.additional(column)).into());
        let names = column_names(sent.iter().map(|&at| &*source[at].name), &taken)?;
        Ok(sent.into_iter().zip(names).collect())
    }

    /// As [`Layout::new`], with these names for the source columns at these places.
    ///
    /// # Errors
    /// The first column that cannot be filled.
    pub fn filled(
        source: &[Column],
        names: &[(usize, String)],
        table: &[TableColumn],
        naming: Option<Naming>,
    ) -> Result<Self, LayoutFault> {
        let additional: Vec<(String, Additional)> =
            naming.map_or(Vec::new(), |naming| ADDITIONAL.map(|column| (naming.additional(column), column)).into());
        let mut slots = vec![Slot::Empty; table.len()];
        let place = |name: &str| {
            let found = table.iter().position(|column| column.name.eq_ignore_ascii_case(name));
            found.ok_or_else(|| LayoutFault::Missing { column: name.to_owned() })
        };
        for (name, column) in additional {
            let at = place(&name)?;
            if table[at].kind != column.data_type() {
                let (kind, declared) = (table[at].kind.clone(), column.data_type().to_string());
                return Err(LayoutFault::Kind { column: name, kind, declared });
            }
            slots[at] = Slot::Additional(column);
        }
        for &(from, ref name) in names {
            let at = place(name)?;
            let kind = &table[at].kind;
            let Some(form) = form(source[from].kind, kind) else {
                let (kind, declared) = (kind.clone(), source[from].declared.to_string());
                return Err(LayoutFault::Kind { column: name.clone(), kind, declared });
            };
            slots[at] = Slot::Source(from, form);
        }
        let mut places = slots.iter().filter_map(|slot| match slot {
            Slot::Source(from, _) => Some(from),
            _ => None,
        });
        let in_order = places.by_ref().is_sorted();
        Ok(Self { slots, in_order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::charset::Charset;
    use crate::change::column_type::ColumnType;

    fn column(name: &str, declared: &str) -> Column {
        Column {
            name: name.into(),
            declared: declared.into(),
            kind: ColumnType::parse(declared).expect("a type").0,
            charset: Charset::BINARY,
            collation: None,
            labels: Vec::new(),
            nullable: true,
            hidden: name == "my_row_id",
            generated: false,
            dropped: name == "left_out",
        }
    }

    fn table(columns: &[(&str, &str)]) -> Vec<TableColumn> {
        let kind = |kind| DataType::parse(kind).expect("a type");
        columns.iter().map(|&(name, text)| TableColumn { name: name.into(), kind: kind(text) }).collect()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_and_case() {
        let source =
            [column("Id", "bigint"), column("left_out", "int"), column("b-c", "int"), column("my_row_id", "int")];
        let there = table(&[("b_c", "bigint"), ("gone", "string"), ("id", "bigint")]);
        let layout = Layout::new(&source, false, &there, None).expect("a layout");
        let slots = [Slot::Source(2, Form::Integer), Slot::Empty, Slot::Source(0, Form::Integer)];
        assert_eq!(layout, Layout { slots: slots.into(), in_order: false });
        let there = table(&[("id", "bigint"), ("b_c", "string")]);
        let layout = Layout::new(&source, false, &there, None).expect("a layout");
        let slots = [Slot::Source(0, Form::Integer), Slot::Source(2, Form::Text)];
        assert_eq!(layout, Layout { slots: slots.into(), in_order: true });
    }

    #[test]
    fn additional_columns_are_those_of_the_rule() {
        let log = [
            ("id", "bigint"),
            ("record_id", "bigint"),
            ("operation_flag", "string"),
            ("utc_timestamp", "bigint"),
            ("before_flag", "string"),
            ("after_flag", "string"),
        ];
        let source = [column("id", "bigint")];
        let layout = Layout::new(&source, false, &table(&log), Some(Naming::Previous)).expect("a layout");
        assert_eq!(layout.slots[1], Slot::Additional(Additional::RecordId));
        let missing = Layout::new(&source, false, &table(&log), Some(Naming::New));
        assert_eq!(missing, Err(LayoutFault::Missing { column: "new_dts_sync_record_id".into() }));
        let clash = Layout::new(&[column("Before_Flag", "int")], false, &table(&log), Some(Naming::Previous));
        assert_eq!(clash, Err(NameFault::Additional { column: "Before_Flag".into() }.into()));
        let mut other = log;
        other[1].1 = "string";
        let kind = Layout::new(&source, false, &table(&other), Some(Naming::Previous));
        assert!(matches!(kind, Err(LayoutFault::Kind { column, .. }) if column == "record_id"));
    }

    #[test]
    fn a_table_that_lacks_a_column_or_cannot_hold_it_is_refused() {
        let source = [column("id", "bigint unsigned")];
        let missing = Layout::new(&source, false, &table(&[("key", "bigint")]), None);
        assert_eq!(missing, Err(LayoutFault::Missing { column: "id".into() }));
        let narrow = Layout::new(&source, false, &table(&[("id", "bigint")]), None);
        let fault = narrow.expect_err("a fault").to_string();
        assert_eq!(fault, "column id is bigint in the table, which does not hold every bigint unsigned");
    }
}
