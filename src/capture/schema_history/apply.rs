//! What CREATE TABLE and ALTER TABLE make of a definition.

use super::Dialect;
use crate::change::ddl::{AlterSpec, ColumnSpec, ColumnType, CreateTable, KeySpec, ObjectName, Place, charset_of};
use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

const PRIMARY: &str = "PRIMARY";

/// The definition that a CREATE TABLE makes; its id is given later.
pub(super) fn created(create: &CreateTable, charset: Option<&str>, dialect: Dialect) -> TableDefinition {
    let mut table = TableDefinition {
        id: 0,
        database: create.table.database.clone(),
        table: create.table.table.clone(),
        columns: Vec::new(),
        keys: Vec::new(),
        default_charset: create.charset.clone().or_else(|| charset.map(str::to_owned)),
        default_collation: create.collation.clone(),
        unconfirmed: None,
        dropped: false,
    };
    for spec in &create.columns {
        let column = column(spec, &table, dialect);
        table.columns.push(column);
    }
    for spec in &create.columns {
        keys_of_column(&mut table, spec);
    }
    for key in &create.keys {
        add_key(&mut table, key);
    }
    table
}

/// Whether an action leaves columns and keys as they are.
pub(super) fn changes_nothing(spec: &AlterSpec) -> bool {
    matches!(spec, AlterSpec::Other | AlterSpec::AddIndex | AlterSpec::RenameTable(_))
}

/// The new name that an ALTER TABLE gives.
pub(super) fn renamed_to(specs: &[AlterSpec]) -> Option<&ObjectName> {
    specs.iter().rev().find_map(|spec| match spec {
        AlterSpec::RenameTable(to) => Some(to),
        _ => None,
    })
}

/// Applies the actions. All names in one statement are those from before it, so renames of columns come last.
///
/// # Errors
/// An action on a column that the definition does not have, or has already: the definition is not what it seemed.
pub(super) fn altered(table: &mut TableDefinition, specs: &[AlterSpec], dialect: Dialect) -> Result<(), String> {
    // A statement may drop a column and add another one of its name, in any order.
    let (drops, others): (Vec<_>, Vec<_>) = specs.iter().partition(|spec| {
        matches!(spec, AlterSpec::DropColumn { .. } | AlterSpec::DropPrimaryKey | AlterSpec::DropKey(_))
    });
    let mut renames = Vec::new();
    for spec in drops.into_iter().chain(others) {
        match spec {
            AlterSpec::RenameColumn { from, to } => renames.push((from, to)),
            spec => alter_once(table, spec, dialect)?,
        }
    }
    let places = renames.iter().map(|(from, _)| place_of(table, from)).collect::<Result<Vec<_>, _>>()?;
    for (place, (_, to)) in places.into_iter().zip(renames) {
        table.columns[place].name.clone_from(to);
    }
    Ok(())
}

fn alter_once(table: &mut TableDefinition, spec: &AlterSpec, dialect: Dialect) -> Result<(), String> {
    match spec {
        AlterSpec::AddColumn { column: spec, place, if_not_exists } => {
            if place_of(table, &spec.name).is_ok() {
                return if *if_not_exists { Ok(()) } else { Err(format!("column {} is there already", spec.name)) };
            }
            let column = column(spec, table, dialect);
            let at = match place {
                Place::Default => table.columns.len(),
                Place::First => 0,
                Place::After(name) => place_of(table, name)? + 1,
            };
            insert(table, at, column);
            keys_of_column(table, spec);
        }
        AlterSpec::DropColumn { name, if_exists } => match place_of(table, name) {
            Ok(at) => remove(table, at),
            Err(_) if *if_exists => {}
            Err(reason) => return Err(reason),
        },
        AlterSpec::ChangeColumn { name, column: spec, place, if_exists } => match place_of(table, name) {
            Ok(at) => change(table, at, spec, place, dialect)?,
            Err(_) if *if_exists => {}
            Err(reason) => return Err(reason),
        },
        AlterSpec::SetVisible { name, visible } => {
            let at = place_of(table, name)?;
            table.columns[at].invisible = !visible;
        }
        AlterSpec::AddKey(key) => add_key(table, key),
        AlterSpec::DropPrimaryKey => table.keys.retain(|key| key.name != PRIMARY),
        AlterSpec::DropKey(name) => table.keys.retain(|key| !key.name.eq_ignore_ascii_case(name)),
        AlterSpec::RenameKey { from, to } => {
            for key in table.keys.iter_mut().filter(|key| key.name.eq_ignore_ascii_case(from)) {
                key.name.clone_from(to);
            }
        }
        AlterSpec::ConvertCharset { charset, collation } => {
            let Some(charset) = charset.clone().or_else(|| collation.as_deref().map(charset_of)) else {
                return Err("its character set is the schema's default, which is not known".to_owned());
            };
            for column in table.columns.iter_mut().filter(|column| column.charset.is_some()) {
                column.charset = Some(charset.clone());
                column.collation.clone_from(collation);
            }
            (table.default_charset, table.default_collation) = (Some(charset), collation.clone());
        }
        AlterSpec::DefaultCharset { charset, collation } => {
            let named = charset.clone().or_else(|| collation.as_deref().map(charset_of));
            if named.is_some() {
                (table.default_charset, table.default_collation) = (named, collation.clone());
            }
        }
        AlterSpec::RenameColumn { .. } | AlterSpec::RenameTable(_) | AlterSpec::AddIndex | AlterSpec::Other => {}
    }
    Ok(())
}

fn change(
    table: &mut TableDefinition,
    at: usize,
    spec: &ColumnSpec,
    place: &Place,
    dialect: Dialect,
) -> Result<(), String> {
    let mut changed = column(spec, table, dialect);
    // A column of the primary key stays NOT NULL whatever its new definition says.
    let primary = table.keys.iter().any(|key| key.name == PRIMARY && key.columns.contains(&(at as u32)));
    changed.nullable &= !primary;
    table.columns[at] = changed;
    let to = match place {
        Place::Default => at,
        Place::First => 0,
        Place::After(name) => {
            let after = place_of(table, name)?;
            if after < at { after + 1 } else { after }
        }
    };
    if to != at {
        let column = table.columns.remove(at);
        table.columns.insert(to, column);
        for key in &mut table.keys {
            for place in &mut key.columns {
                *place = moved(*place, at as u32, to as u32);
            }
        }
    }
    keys_of_column(table, spec);
    Ok(())
}

/// Where a place is after the column at `from` went to `to`.
fn moved(place: u32, from: u32, to: u32) -> u32 {
    match place {
        place if place == from => to,
        place if from < place && place <= to => place - 1,
        place if to <= place && place < from => place + 1,
        place => place,
    }
}

/// Names of columns compare without case.
fn place_of(table: &TableDefinition, name: &str) -> Result<usize, String> {
    let same = |column: &ColumnDefinition| column.name.to_lowercase() == name.to_lowercase();
    table.columns.iter().position(same).ok_or_else(|| format!("column {name} is not known"))
}

fn insert(table: &mut TableDefinition, at: usize, column: ColumnDefinition) {
    table.columns.insert(at, column);
    for place in table.keys.iter_mut().flat_map(|key| &mut key.columns) {
        *place += u32::from(*place >= at as u32);
    }
}

/// A dropped column leaves the keys that it is in; a key without columns is gone.
fn remove(table: &mut TableDefinition, at: usize) {
    table.columns.remove(at);
    for key in &mut table.keys {
        key.columns.retain(|place| *place != at as u32);
        for place in &mut key.columns {
            *place -= u32::from(*place > at as u32);
        }
    }
    table.keys.retain(|key| !key.columns.is_empty());
}

fn column(spec: &ColumnSpec, table: &TableDefinition, dialect: Dialect) -> ColumnDefinition {
    let mut column_type = spec.column_type.clone();
    let mut own = (spec.charset.clone(), spec.collation.clone());
    if dialect.json_is_text && column_type.base == "json" {
        column_type.base = "longtext".to_owned();
        own = (Some("utf8mb4".to_owned()), Some("utf8mb4_bin".to_owned()));
    }
    let (charset, collation) = match column_type.is_text() {
        false => (None, None),
        true if own.0.is_some() => own,
        true => (table.default_charset.clone(), table.default_collation.clone()),
    };
    if charset.as_deref() == Some("binary") {
        become_binary(&mut column_type);
    }
    let is_text = column_type.is_text();
    ColumnDefinition {
        name: spec.name.clone(),
        column_type: column_type.print(dialect.display_widths),
        charset: charset.filter(|_| is_text),
        collation: collation.filter(|_| is_text),
        nullable: !spec.not_null.unwrap_or(false),
        invisible: spec.invisible,
        generated: spec.generated,
    }
}

/// In a table whose default is the character set `binary`, text types are their binary twins.
fn become_binary(column_type: &mut ColumnType) {
    let base = match column_type.base.as_str() {
        "char" => "binary",
        "varchar" => "varbinary",
        "tinytext" => "tinyblob",
        "text" => "blob",
        "mediumtext" => "mediumblob",
        "longtext" => "longblob",
        _ => return,
    };
    column_type.base = base.to_owned();
}

fn keys_of_column(table: &mut TableDefinition, spec: &ColumnSpec) {
    let columns = Some(vec![spec.name.clone()]);
    if spec.primary {
        add_key(table, &KeySpec { name: Some(PRIMARY.to_owned()), columns: columns.clone() });
    }
    if spec.unique {
        add_key(table, &KeySpec { name: None, columns });
    }
}

/// Adds a key whose columns are known; one with an expression or a prefix tells no rows apart by columns alone.
fn add_key(table: &mut TableDefinition, key: &KeySpec) {
    let Some(names) = &key.columns else { return };
    let places: Option<Vec<u32>> =
        names.iter().map(|name| place_of(table, name).ok().map(|place| place as u32)).collect();
    let Some(columns) = places.filter(|places| !places.is_empty()) else { return };
    let name = key.name.clone().unwrap_or_else(|| free_name(table, &names[0]));
    if name == PRIMARY {
        for place in &columns {
            table.columns[*place as usize].nullable = false;
        }
        table.keys.insert(0, KeyDefinition { name, columns });
    } else {
        table.keys.push(KeyDefinition { name, columns });
    }
}

/// The name that the server gives to a key without one: its first column, numbered when that is taken.
fn free_name(table: &TableDefinition, column: &str) -> String {
    let taken = |name: &str| table.keys.iter().any(|key| key.name.eq_ignore_ascii_case(name));
    let numbered = (2..).map(|number| format!("{column}_{number}"));
    std::iter::once(column.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}
