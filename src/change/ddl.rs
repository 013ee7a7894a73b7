//! What a statement does to tables: for the tracker of table definitions, and the names that messages about DDL carry.
//!
//! The parser reads what changes a table's columns and keys and passes over the rest (indexes, partitions, options,
//! expressions), so that a new option of a new server is no error. What it cannot read is [`Unparsed`], with the
//! tables that the statement may touch: the tracker then trusts none of them.

mod alter;
mod column;
mod cursor;
mod lexer;
mod statement;

pub use alter::AlterSpec;
pub use column::{ColumnSpec, ColumnType, KeySpec, Place, charset_of};
use column::{Definition, charset_name, definition};
use cursor::Cursor;
use lexer::Token;
pub use statement::{CreateTable, Ddl, Effect, Item, Kind, ObjectName};

/// Longest statement that is read; a longer one is data, not DDL.
const SQL_BYTES_MAX: usize = 4 << 20;

/// Why a statement could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Something else stands where this must.
    #[error("expected {0}")]
    Expected(&'static str),
    /// It does not split into tokens.
    #[error("{0}")]
    Text(&'static str),
    /// It is longer than any DDL.
    #[error("longer than 4 MiB")]
    TooLong,
    /// A CREATE TABLE whose columns come from a query.
    #[error("its columns come from a query")]
    ColumnsFromQuery,
}

/// A statement that could not be read, and what it may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unparsed {
    /// Why.
    pub reason: Reason,
    /// Tables that it may touch, as far as names could be found.
    pub maybe: Vec<ObjectName>,
    /// What a message about it says: its kind by its first words, its first table.
    pub item: Item,
}

/// Reads a statement. `default_database` is the one that it ran in.
///
/// # Errors
/// A statement about tables that does not read; statements about anything else never fail.
pub fn parse(sql: &str, default_database: &str) -> Result<Ddl, Box<Unparsed>> {
    let fail = |reason, tokens: &[Token]| Box::new(unparsed(reason, tokens, default_database));
    if sql.len() > SQL_BYTES_MAX {
        return Err(fail(Reason::TooLong, &[]));
    }
    let tokens = lexer::tokens(sql).map_err(|reason| fail(Reason::Text(reason), &[]))?;
    let mut cursor = Cursor::new(&tokens, default_database);
    statement(&mut cursor).map_err(|reason| fail(reason, &tokens))
}

fn statement(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    if is_about_accounts(cursor.clone()) {
        return Ok(Ddl::of_accounts());
    }
    if cursor.take("CREATE") {
        return create(cursor);
    }
    if cursor.take("ALTER") {
        return alter_statement(cursor);
    }
    if cursor.take("DROP") {
        return drop_statement(cursor);
    }
    if cursor.take("RENAME") && cursor.take_any(&["TABLE", "TABLES"]) {
        return rename(cursor);
    }
    if cursor.take("TRUNCATE") {
        cursor.take("TABLE");
        let table = cursor.object()?;
        return Ok(Ddl::one(Kind::Truncate, &table, Vec::new()));
    }
    if cursor.take_all(&["DELETE", "FROM"]) {
        // All of a table: what a server writes for a MEMORY table that its restart has emptied.
        let table = cursor.object()?;
        if cursor.at_end() {
            return Ok(Ddl::one(Kind::Truncate, &table, Vec::new()));
        }
    }
    Ok(Ddl::of_database(Kind::Query, cursor.default_database()))
}

/// GRANT, REVOKE, SET PASSWORD and SET DEFAULT ROLE, and what makes, changes, renames and drops users and roles.
fn is_about_accounts(mut cursor: Cursor<'_>) -> bool {
    if cursor.take_any(&["GRANT", "REVOKE", "SET"]) {
        return true;
    }
    if !cursor.take_any(&["CREATE", "ALTER", "DROP", "RENAME"]) {
        return false;
    }
    cursor.take_all(&["OR", "REPLACE"]);
    cursor.sees("USER") || cursor.sees("ROLE")
}

fn create(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    cursor.take_all(&["OR", "REPLACE"]);
    let temporary = cursor.take("TEMPORARY");
    if cursor.take("TABLE") {
        return create_table(cursor, temporary);
    }
    if cursor.take_any(&["DATABASE", "SCHEMA"]) {
        cursor.take_if_exists();
        return Ok(Ddl::of_database(Kind::Database, &cursor.identifier()?));
    }
    cursor.take_any(&["ONLINE", "OFFLINE"]);
    let unique = cursor.take("UNIQUE");
    if unique || cursor.take_any(&["FULLTEXT", "SPATIAL"]) || cursor.sees("INDEX") {
        cursor.expect("INDEX")?;
        return create_index(cursor, unique);
    }
    named_object(cursor)
}

/// `[IF NOT EXISTS] name [USING type] ON table (columns)`.
fn create_index(cursor: &mut Cursor<'_>, unique: bool) -> Result<Ddl, Reason> {
    cursor.take_if_exists();
    let name = cursor.identifier()?;
    if cursor.take_any(&["USING", "TYPE"]) {
        cursor.identifier()?;
    }
    cursor.expect("ON")?;
    let table = cursor.object()?;
    cursor.skip_wait();
    let mut effects = Vec::new();
    if unique {
        let key = KeySpec { name: Some(name), columns: column::key(cursor, None)?.columns };
        effects.push(Effect::Alter { table: table.clone(), specs: vec![AlterSpec::AddKey(key)] });
    }
    Ok(Ddl::one(Kind::CreateIndex, &table, effects))
}

fn create_table(cursor: &mut Cursor<'_>, temporary: bool) -> Result<Ddl, Reason> {
    let if_not_exists = cursor.take_if_exists();
    let table = cursor.object()?;
    let done = |effect| Ddl { temporary, ..Ddl::one(Kind::Create, &table, vec![effect]) };
    if cursor.take("LIKE") {
        return Ok(done(Effect::CreateLike { like: cursor.object()?, table: table.clone() }));
    }
    if cursor.peek() != Some(&Token::Sign('(')) {
        return if temporary {
            Ok(Ddl { temporary, ..Ddl::one(Kind::Create, &table, Vec::new()) })
        } else {
            Err(Reason::ColumnsFromQuery)
        };
    }
    let mut body = cursor.parenthesised()?;
    if body.take("LIKE") {
        return Ok(done(Effect::CreateLike { like: body.object()?, table: table.clone() }));
    }
    if body.sees("SELECT") {
        return Err(Reason::ColumnsFromQuery);
    }
    let mut create = CreateTable {
        table: table.clone(),
        if_not_exists,
        columns: vec![],
        keys: vec![],
        charset: None,
        collation: None,
    };
    for mut part in body.split_commas() {
        match definition(&mut part)? {
            Definition::Column(column, _) => create.columns.push(column),
            Definition::Key(key) => create.keys.push(key),
            Definition::Index | Definition::Other => {}
        }
    }
    (create.charset, create.collation) = table_options(cursor)?;
    Ok(done(Effect::Create(create)))
}

/// The options behind a CREATE TABLE's list: of all of them only the character set counts. A query behind them would
/// add columns.
fn table_options(cursor: &mut Cursor<'_>) -> Result<(Option<String>, Option<String>), Reason> {
    let (mut charset, mut collation) = (None, None);
    while let Some(token) = cursor.next() {
        match token {
            token if token.is("CHARSET") => charset = Some(charset_name(cursor)?),
            token if token.is("CHARACTER") && cursor.take("SET") => charset = Some(charset_name(cursor)?),
            token if token.is("COLLATE") => {
                cursor.sign('=');
                collation = Some(cursor.identifier()?.to_ascii_lowercase());
            }
            token if token.is("COMMENT") || token.is("CONNECTION") || token.is("PARTITION") => {
                cursor.sign('=');
                cursor.next();
            }
            token if token.is("SELECT") => return Err(Reason::ColumnsFromQuery),
            Token::Sign('(') => {
                // A partition's definition, a list of tables: nothing that counts.
                let mut depth = 1usize;
                while depth > 0 {
                    match cursor.next() {
                        Some(Token::Sign('(')) => depth += 1,
                        Some(Token::Sign(')')) => depth -= 1,
                        Some(_) => {}
                        None => return Err(Reason::Expected("a closing parenthesis")),
                    }
                }
            }
            _ => {}
        }
    }
    let charset = charset.or_else(|| collation.as_deref().map(charset_of));
    Ok((charset, collation))
}

fn alter_statement(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    cursor.take_any(&["ONLINE", "OFFLINE"]);
    cursor.take("IGNORE");
    if cursor.take("TABLE") {
        return alter::alter_table(cursor);
    }
    if cursor.take_any(&["DATABASE", "SCHEMA"]) {
        let options = ["DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "ENCRYPTION", "READ", "COMMENT", "UPGRADE"];
        let unnamed = options.iter().any(|option| cursor.sees(option));
        let name = if unnamed { cursor.default_database().to_owned() } else { cursor.identifier()? };
        return Ok(Ddl {
            effects: vec![Effect::AlterDatabase(name.clone())],
            ..Ddl::of_database(Kind::Database, &name)
        });
    }
    named_object(cursor)
}

fn drop_statement(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    let temporary = cursor.take("TEMPORARY");
    if cursor.take_any(&["TABLE", "TABLES"]) {
        cursor.take_if_exists();
        let (mut items, mut effects) = (Vec::new(), Vec::new());
        loop {
            let table = cursor.object()?;
            items.push(Item::new(Kind::Erase, &table));
            effects.push(Effect::Drop(table));
            if !cursor.sign(',') {
                break;
            }
        }
        return Ok(Ddl { items, effects, temporary });
    }
    if cursor.take_any(&["DATABASE", "SCHEMA"]) {
        cursor.take_if_exists();
        let name = cursor.identifier()?;
        return Ok(Ddl {
            effects: vec![Effect::DropDatabase(name.clone())],
            ..Ddl::of_database(Kind::Database, &name)
        });
    }
    cursor.take_any(&["ONLINE", "OFFLINE"]);
    if cursor.take("INDEX") {
        cursor.take_if_exists();
        let name = cursor.identifier()?;
        cursor.expect("ON")?;
        let table = cursor.object()?;
        let effect = Effect::Alter { table: table.clone(), specs: vec![AlterSpec::DropKey(name)] };
        return Ok(Ddl::one(Kind::DropIndex, &table, vec![effect]));
    }
    named_object(cursor)
}

fn rename(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    cursor.take_if_exists();
    let (mut items, mut effects) = (Vec::new(), Vec::new());
    loop {
        let from = cursor.object()?;
        cursor.skip_wait();
        cursor.expect("TO")?;
        let to = cursor.object()?;
        items.push(Item::new(Kind::Rename, &from));
        effects.push(Effect::Rename { from, to });
        if !cursor.sign(',') {
            break;
        }
    }
    if !cursor.at_end() {
        return Err(Reason::Expected("the statement's end"));
    }
    Ok(Ddl { items, effects, temporary: false })
}

/// CREATE, ALTER or DROP of something else than a table: its name tells the database, nothing else counts.
fn named_object(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    const OBJECTS: [(&str, Kind); 7] = [
        ("VIEW", Kind::View),
        ("PROCEDURE", Kind::Routine),
        ("FUNCTION", Kind::Routine),
        ("PACKAGE", Kind::Routine),
        ("TRIGGER", Kind::Trigger),
        ("EVENT", Kind::Query),
        ("SEQUENCE", Kind::Query),
    ];
    while let Some(token) = cursor.next() {
        if let Some(&(_, kind)) = OBJECTS.iter().find(|(object, _)| token.is(object)) {
            cursor.take("BODY");
            cursor.take_if_exists();
            let default = cursor.default_database();
            let Ok(name) = cursor.object() else { return Ok(Ddl::of_database(kind, default)) };
            return Ok(Ddl::of_database(kind, &name.database));
        }
    }
    Ok(Ddl::of_database(Kind::Query, cursor.default_database()))
}

/// Every name behind TABLE, TABLES, TO, LIKE or ON, or behind a comma after such a one, may be a table.
fn unparsed(reason: Reason, tokens: &[Token], default_database: &str) -> Unparsed {
    let mut maybe: Vec<ObjectName> = Vec::new();
    let mut cursor = Cursor::new(tokens, default_database);
    while let Some(token) = cursor.next() {
        if !["TABLE", "TABLES", "TO", "LIKE", "ON"].iter().any(|word| token.is(word)) {
            continue;
        }
        loop {
            let mut ahead = cursor.clone();
            ahead.take_if_exists();
            let Ok(name) = ahead.object() else { break };
            if !maybe.contains(&name) {
                maybe.push(name);
            }
            cursor = ahead;
            if !cursor.sign(',') {
                break;
            }
        }
    }
    let first = |word| tokens.first().is_some_and(|t: &Token| t.is(word));
    let kind = match () {
        () if first("CREATE") => Kind::Create,
        () if first("ALTER") => Kind::Alter,
        () if first("DROP") => Kind::Erase,
        () if first("RENAME") => Kind::Rename,
        () if first("TRUNCATE") => Kind::Truncate,
        () => Kind::Query,
    };
    let item = match maybe.first() {
        Some(name) => Item::new(kind, name),
        None => Item { kind: Kind::Query, database: default_database.to_owned(), table: String::new() },
    };
    Unparsed { reason, maybe, item }
}

#[cfg(test)]
mod tests;
