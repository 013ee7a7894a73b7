//! Names as MaxCompute allows them, and its limits on them.

use std::borrow::Cow;
use std::collections::HashMap;

use thiserror::Error;

/// Most bytes of a name.
pub const NAME_MAX: usize = 128;
/// Most columns of a table, those of partitions included.
pub const COLUMNS_MAX: usize = 1200;

/// A table whose names cannot be. Definite: it parks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameFault {
    /// Longer than a name may be.
    #[error("the name {name} has {} bytes, MaxCompute allows {NAME_MAX}", name.len())]
    Long {
        /// The name.
        name: String,
    },
    /// A table's name that begins with anything but a letter.
    #[error("the table name {name} does not begin with a letter, as MaxCompute asks")]
    Start {
        /// The name.
        name: String,
    },
    /// Two source columns with one name there.
    #[error("columns {first} and {second} would both be named {name} in MaxCompute")]
    Equal {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The name.
        name: String,
    },
    /// A source column named as an additional one.
    #[error("column {column} has the name of an additional column: choose naming = \"new\", or map it")]
    Additional {
        /// The column.
        column: String,
    },
    /// More columns than a table may have.
    #[error("the table would have {columns} columns, MaxCompute allows {COLUMNS_MAX}")]
    Columns {
        /// How many.
        columns: usize,
    },
}

/// A column's name with `_` for each character that MaxCompute does not take: letters and digits of ASCII, `_` and
/// Chinese characters stay.
pub fn column_name(name: &str) -> Cow<'_, str> {
    replaced(name, |c| c.is_ascii_alphanumeric() || c == '_' || ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// As [`column_name`], for a table: no Chinese characters, and a letter first.
///
/// # Errors
/// [`NameFault::Start`], [`NameFault::Long`].
pub fn table_name(name: &str) -> Result<Cow<'_, str>, NameFault> {
    let clean = replaced(name, |c| c.is_ascii_alphanumeric() || c == '_');
    if !clean.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(NameFault::Start { name: clean.into_owned() });
    }
    within_length(&clean)?;
    Ok(clean)
}

fn replaced(name: &str, allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if name.chars().all(&allowed) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if allowed(c) { c } else { '_' }).collect())
}

fn within_length(name: &str) -> Result<(), NameFault> {
    if name.len() > NAME_MAX {
        return Err(NameFault::Long { name: name.to_owned() });
    }
    Ok(())
}

/// The names that source columns have in a table that also has the `additional` ones; case does not tell names apart.
///
/// # Errors
/// The first name that cannot be.
pub fn column_names<'a>(
    columns: impl IntoIterator<Item = &'a str>,
    additional: &[String],
) -> Result<Vec<String>, NameFault> {
    let mut taken: HashMap<String, &str> = HashMap::new();
    let mut names = Vec::new();
    for column in columns {
        let name = column_name(column).into_owned();
        within_length(&name)?;
        let folded = name.to_ascii_lowercase();
        if additional.contains(&folded) {
            return Err(NameFault::Additional { column: column.to_owned() });
        }
        if let Some(first) = taken.insert(folded, column) {
            return Err(NameFault::Equal { first: first.to_owned(), second: column.to_owned(), name });
        }
        names.push(name);
    }
    match names.len() + additional.len() {
        columns if columns > COLUMNS_MAX => Err(NameFault::Columns { columns }),
        _ => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_not_taken_become_underscores() {
        assert_eq!(column_name("amount"), "amount");
        assert_eq!(column_name("a-b c.é"), "a_b_c__");
        assert_eq!(column_name("金额"), "金额");
        assert_eq!(table_name("Orders$1").as_deref(), Ok("Orders_1"));
        assert_eq!(table_name("订单"), Err(NameFault::Start { name: "__".into() }));
        assert_eq!(table_name("2024"), Err(NameFault::Start { name: "2024".into() }));
        assert!(matches!(table_name(&"t".repeat(129)), Err(NameFault::Long { .. })));
    }

    #[test]
    fn names_that_become_equal_or_clash_or_are_too_many_are_faults() {
        let additional = ["record_id".to_owned()];
        assert_eq!(column_names(["id", "b"], &additional), Ok(vec!["id".into(), "b".into()]));
        let equal = |first: &str, second: &str, name: &str| {
            Err(NameFault::Equal { first: first.into(), second: second.into(), name: name.into() })
        };
        assert_eq!(column_names(["a-b", "a_b"], &additional), equal("a-b", "a_b", "a_b"));
        assert_eq!(column_names(["A", "a"], &additional), equal("A", "a", "a"));
        assert_eq!(column_names(["Record_ID"], &additional), Err(NameFault::Additional { column: "Record_ID".into() }));
        assert!(matches!(column_names(["c".repeat(129).as_str()], &[]), Err(NameFault::Long { .. })));
        let many: Vec<String> = (0..1200).map(|n| format!("c{n}")).collect();
        assert!(column_names(many.iter().map(String::as_str), &[]).is_ok());
        let beyond = column_names(many.iter().map(String::as_str), &additional);
        assert_eq!(beyond, Err(NameFault::Columns { columns: 1201 }));
    }
}
