//! Column and key definitions, as they stand in CREATE TABLE and ALTER TABLE.

use super::Reason;
use super::cursor::Cursor;
use super::lexer::Token;

/// A column's declared type, in parts; how it prints depends on the server (display widths).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnType {
    /// Base type in lower case and under its one name: `int`, not `integer`.
    pub base: String,
    /// What stands in its parentheses: a length, precision and scale, a fraction.
    pub arguments: Vec<u64>,
    /// Labels of ENUM and SET.
    pub labels: Vec<String>,
    /// Whether it is UNSIGNED (ZEROFILL implies it).
    pub unsigned: bool,
    /// Whether it is ZEROFILL.
    pub zerofill: bool,
}

/// Where ALTER TABLE puts a column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Where it stands, or at the end when it is new.
    #[default]
    Default,
    /// First.
    First,
    /// Behind this one.
    After(String),
}

/// A column definition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Character set named in the definition.
    pub charset: Option<String>,
    /// Collation named in the definition.
    pub collation: Option<String>,
    /// Whether the definition says NOT NULL (true), NULL (false) or nothing.
    pub not_null: Option<bool>,
    /// Whether it is invisible.
    pub invisible: bool,
    /// Whether it is computed from other columns.
    pub generated: bool,
    /// `PRIMARY KEY` in the definition.
    pub primary: bool,
    /// `UNIQUE` in the definition.
    pub unique: bool,
}

/// A key that identifies rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// `PRIMARY`, or its name; none when the server has to choose one.
    pub name: Option<String>,
    /// Its columns in key order; none when a part is an expression or a prefix.
    pub columns: Option<Vec<String>>,
}

/// What a list of definitions can hold, besides what has no meaning here (plain indexes, foreign keys, checks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Definition {
    Column(ColumnSpec, Place),
    Key(KeySpec),
    /// A plain index.
    Index,
    Other,
}

/// One definition of a CREATE TABLE's list, or what follows ADD in an ALTER TABLE.
pub(super) fn definition(cursor: &mut Cursor<'_>) -> Result<Definition, Reason> {
    if let Some(other) = key_definition(cursor)? {
        return Ok(other);
    }
    let (column, place) = column(cursor)?;
    Ok(Definition::Column(column, place))
}

/// A key, a constraint or an index; none when a column follows. Bare words only: a quoted `key` is a column's name.
fn key_definition(cursor: &mut Cursor<'_>) -> Result<Option<Definition>, Reason> {
    let mut constraint = None;
    if cursor.take("CONSTRAINT") {
        let named = !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|k| cursor.sees(k));
        if named {
            cursor.take_if_exists();
            constraint = Some(cursor.identifier()?);
        }
    }
    if cursor.take_all(&["PRIMARY", "KEY"]) {
        return Ok(Some(Definition::Key(key(cursor, Some("PRIMARY".to_owned()))?)));
    }
    if cursor.take("UNIQUE") {
        cursor.take_any(&["KEY", "INDEX"]);
        return Ok(Some(Definition::Key(key(cursor, constraint)?)));
    }
    if cursor.take_any(&["FULLTEXT", "SPATIAL", "KEY", "INDEX"]) {
        return Ok(Some(Definition::Index));
    }
    let other = constraint.is_some()
        || cursor.sees_all(&["FOREIGN", "KEY"])
        || cursor.sees("CHECK")
        || cursor.sees_all(&["PERIOD", "FOR"]);
    Ok(other.then_some(Definition::Other))
}

/// `[IF NOT EXISTS] [name] [USING type] (columns)`.
pub(super) fn key(cursor: &mut Cursor<'_>, mut name: Option<String>) -> Result<KeySpec, Reason> {
    cursor.take_if_exists();
    if cursor.peek() != Some(&Token::Sign('(')) && !cursor.sees("USING") && !cursor.sees("TYPE") {
        let own = cursor.identifier()?;
        name = name.filter(|n| n == "PRIMARY").or(Some(own));
    }
    if cursor.take_any(&["USING", "TYPE"]) {
        cursor.identifier()?;
    }
    let columns = key_columns(cursor)?;
    Ok(KeySpec { name, columns })
}

fn key_columns(cursor: &mut Cursor<'_>) -> Result<Option<Vec<String>>, Reason> {
    let mut columns = Some(Vec::new());
    for mut part in cursor.parenthesised()?.split_commas() {
        if part.peek() == Some(&Token::Sign('(')) {
            columns = None; // an expression
            continue;
        }
        let name = part.identifier()?;
        if part.peek() == Some(&Token::Sign('(')) {
            columns = None; // a prefix
        }
        if let Some(columns) = columns.as_mut() {
            columns.push(name);
        }
    }
    Ok(columns)
}

/// `name type attributes`, and where ALTER TABLE puts it.
pub(super) fn column(cursor: &mut Cursor<'_>) -> Result<(ColumnSpec, Place), Reason> {
    let mut column = ColumnSpec { name: cursor.identifier()?, ..ColumnSpec::default() };
    column_type(cursor, &mut column)?;
    let mut place = Place::Default;
    while let Some(token) = cursor.next() {
        attribute(token, cursor, &mut column, &mut place)?;
    }
    settle_charset(&mut column);
    Ok((column, place))
}

/// One attribute; `token` is its first word. What has no meaning here is passed over, parentheses as a whole.
fn attribute(token: &Token, cursor: &mut Cursor<'_>, column: &mut ColumnSpec, place: &mut Place) -> Result<(), Reason> {
    let Token::Word(word) = token else {
        return match token {
            Token::Sign(')') => Err(Reason::Expected("no closing parenthesis")),
            Token::Sign('(') => skip_open(cursor),
            _ => Ok(()),
        };
    };
    match word.to_ascii_uppercase().as_str() {
        "UNSIGNED" => column.column_type.unsigned = true,
        "ZEROFILL" => (column.column_type.unsigned, column.column_type.zerofill) = (true, true),
        "CHARACTER" | "CHAR" if cursor.take("SET") => column.charset = Some(charset_name(cursor)?),
        "CHARSET" => column.charset = Some(charset_name(cursor)?),
        "ASCII" => column.charset = Some("latin1".to_owned()),
        "UNICODE" => column.charset = Some("ucs2".to_owned()),
        "BYTE" => column.charset = Some("binary".to_owned()),
        "COLLATE" => column.collation = Some(cursor.identifier()?.to_ascii_lowercase()),
        "NOT" => {
            if cursor.take("NULL") {
                column.not_null = Some(true);
            }
        }
        "NULL" => column.not_null = Some(false),
        "DEFAULT" => default_value(cursor)?,
        "ON" if cursor.take("UPDATE") => {
            cursor.next();
            cursor.skip_parenthesised()?;
        }
        "COMMENT"
        | "ENGINE_ATTRIBUTE"
        | "SECONDARY_ENGINE_ATTRIBUTE"
        | "COLUMN_FORMAT"
        | "STORAGE"
        | "SRID"
        | "REF_SYSTEM_ID" => {
            cursor.sign('=');
            cursor.next();
        }
        "PRIMARY" => {
            cursor.expect("KEY")?;
            (column.primary, column.not_null) = (true, Some(true));
        }
        "KEY" => (column.primary, column.not_null) = (true, Some(true)),
        "UNIQUE" => {
            cursor.take("KEY");
            column.unique = true;
        }
        "INVISIBLE" => column.invisible = true,
        "AS" => {
            column.generated = true;
            cursor.skip_parenthesised()?;
        }
        // GENERATED ALWAYS AS ROW START is a system-versioned column: stored like any other.
        "GENERATED" if cursor.take("ALWAYS") => {
            cursor.expect("AS")?;
            column.generated = !cursor.take("ROW");
            cursor.skip_parenthesised()?;
        }
        "FIRST" => *place = Place::First,
        "AFTER" => *place = Place::After(cursor.identifier()?),
        _ => cursor.skip_parenthesised()?,
    }
    Ok(())
}

/// A default is one literal, a sign and a number, a function call or an expression in parentheses; its words must
/// not be taken for attributes.
fn default_value(cursor: &mut Cursor<'_>) -> Result<(), Reason> {
    while cursor.sign('-') || cursor.sign('+') {}
    if cursor.peek() == Some(&Token::Sign('(')) {
        return cursor.skip_parenthesised();
    }
    cursor.next();
    if matches!(cursor.peek(), Some(Token::Text(_))) {
        cursor.next(); // _utf8'x', b'1', x'41'
    }
    cursor.skip_parenthesised()
}

fn skip_open(cursor: &mut Cursor<'_>) -> Result<(), Reason> {
    let mut depth = 1usize;
    while let Some(token) = cursor.next() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(());
        }
    }
    Err(Reason::Expected("a closing parenthesis"))
}

/// The name of a character set or collation, behind an optional equals sign.
pub(super) fn charset_name(cursor: &mut Cursor<'_>) -> Result<String, Reason> {
    cursor.sign('=');
    Ok(canonical_charset(&cursor.identifier()?))
}

fn canonical_charset(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "utf8" { "utf8mb3".to_owned() } else { name }
}

/// The character set that a collation belongs to: the part before its first underscore.
pub fn charset_of(collation: &str) -> String {
    canonical_charset(collation.split('_').next().unwrap_or(collation))
}

/// A collation names a character set, and the character set `binary` makes another type of a text type.
fn settle_charset(column: &mut ColumnSpec) {
    if column.charset.is_none() {
        column.charset = column.collation.as_deref().map(charset_of);
    }
    if column.charset.as_deref() != Some("binary") {
        return;
    }
    let binary = match column.column_type.base.as_str() {
        "char" => "binary",
        "varchar" => "varbinary",
        "tinytext" => "tinyblob",
        "text" => "blob",
        "mediumtext" => "mediumblob",
        "longtext" => "longblob",
        _ => return,
    };
    column.column_type.base = binary.to_owned();
    (column.charset, column.collation) = (None, None);
}

fn column_type(cursor: &mut Cursor<'_>, column: &mut ColumnSpec) -> Result<(), Reason> {
    let Some(Token::Word(word)) = cursor.next() else { return Err(Reason::Expected("a column type")) };
    let word = word.to_ascii_lowercase();
    let national = matches!(word.as_str(), "national" | "nchar" | "nvarchar");
    let base = match word.as_str() {
        "int" | "integer" | "int4" => "int",
        "int1" => "tinyint",
        "int2" => "smallint",
        "int3" | "middleint" => "mediumint",
        "int8" => "bigint",
        "bool" | "boolean" => {
            column.column_type.arguments = vec![1];
            "tinyint"
        }
        "serial" => {
            (column.column_type.unsigned, column.not_null, column.unique) = (true, Some(true), true);
            "bigint"
        }
        "dec" | "numeric" | "fixed" | "decimal" => "decimal",
        "real" | "float8" => "double",
        "float4" => "float",
        "double" => {
            cursor.take("PRECISION");
            "double"
        }
        "character" | "char" | "nchar" if cursor.take("VARYING") || cursor.take("VARCHAR") => "varchar",
        "character" | "char" | "nchar" => "char",
        "nvarchar" | "varcharacter" => "varchar",
        "national" => {
            let varying = cursor.take_any(&["VARCHAR", "VARCHARACTER"]);
            if !varying {
                cursor.next();
            }
            if varying || cursor.take("VARYING") { "varchar" } else { "char" }
        }
        "long" if cursor.take("VARBINARY") => "mediumblob",
        "long" => {
            cursor.take_any(&["VARCHAR", "VARCHARACTER"]);
            cursor.take("VARYING");
            "mediumtext"
        }
        "geometrycollection" => "geomcollection",
        other => other,
    };
    column.column_type.base = base.to_owned();
    if national {
        column.charset = Some("utf8mb3".to_owned());
    }
    if cursor.peek() == Some(&Token::Sign('(')) {
        let mut inner = cursor.parenthesised()?;
        type_arguments(&mut inner, &mut column.column_type);
    }
    default_arguments(&mut column.column_type);
    Ok(())
}

fn type_arguments(inner: &mut Cursor<'_>, column_type: &mut ColumnType) {
    while let Some(token) = inner.next() {
        match token {
            Token::Number(digits) => column_type.arguments.extend(digits.parse::<u64>().ok()),
            Token::Text(label) => column_type.labels.push(label.clone()),
            _ => {}
        }
    }
}

/// Fills in what a type has when it names nothing, and picks the size of a text that names its length.
fn default_arguments(column_type: &mut ColumnType) {
    let arguments = &mut column_type.arguments;
    match (column_type.base.as_str(), arguments.as_slice()) {
        ("decimal", []) => *arguments = vec![10, 0],
        ("decimal", [precision]) => *arguments = vec![*precision, 0],
        ("char" | "binary" | "bit", []) => *arguments = vec![1],
        ("float", [precision]) => {
            column_type.base = if *precision > 24 { "double" } else { "float" }.to_owned();
            arguments.clear();
        }
        ("text" | "blob", [length]) => {
            let size = match length {
                0..=0xFF => "tiny",
                0x100..=0xFFFF => "",
                0x1_0000..=0xFF_FFFF => "medium",
                _ => "long",
            };
            column_type.base.insert_str(0, size);
            arguments.clear();
        }
        ("datetime" | "timestamp" | "time", [0]) | ("year", [_]) => arguments.clear(),
        _ => {}
    }
}

impl ColumnType {
    /// Whether it holds text in a character set.
    pub fn is_text(&self) -> bool {
        matches!(
            self.base.as_str(),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
        )
    }

    /// As `COLUMN_TYPE` of information_schema prints it. `display_widths`: the server is older than MySQL 8.0.19, or
    /// MariaDB, and prints widths of integers (`int(11)`) and years (`year(4)`).
    pub fn print(&self, display_widths: bool) -> String {
        let mut out = self.base.clone();
        let arguments = self.printed_arguments(display_widths);
        if !self.labels.is_empty() {
            let labels: Vec<_> = self.labels.iter().map(|l| format!("'{}'", l.replace('\'', "''"))).collect();
            out.push_str(&format!("({})", labels.join(",")));
        } else if !arguments.is_empty() {
            let arguments: Vec<_> = arguments.iter().map(u64::to_string).collect();
            out.push_str(&format!("({})", arguments.join(",")));
        }
        if self.unsigned {
            out.push_str(" unsigned");
        }
        if self.zerofill {
            out.push_str(" zerofill");
        }
        out
    }

    fn printed_arguments(&self, display_widths: bool) -> Vec<u64> {
        let unsigned = u64::from(self.unsigned);
        let width = match self.base.as_str() {
            "tinyint" => 4 - unsigned,
            "smallint" => 6 - unsigned,
            "mediumint" => 9 - unsigned,
            "int" => 11 - unsigned,
            "bigint" => 20,
            "year" if display_widths => return vec![4],
            _ => return self.arguments.clone(),
        };
        let is_bool = self.base == "tinyint" && self.arguments == [1] && !self.unsigned;
        match self.arguments.as_slice() {
            given @ [_] if display_widths || self.zerofill || is_bool => given.to_vec(),
            [] if display_widths || self.zerofill => vec![width],
            _ => Vec::new(),
        }
    }
}
