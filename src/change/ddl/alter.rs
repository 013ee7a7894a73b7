//! The actions of an ALTER TABLE.

use super::column::{ColumnSpec, Definition, KeySpec, Place, charset_name, column, definition};
use super::cursor::Cursor;
use super::lexer::Token;
use super::{Ddl, Effect, Item, Kind, ObjectName, Reason};

/// One action, as far as it changes columns or keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterSpec {
    /// A column is added.
    AddColumn {
        /// The column.
        column: ColumnSpec,
        /// Where.
        place: Place,
        /// Nothing happens when there is one of the name.
        if_not_exists: bool,
    },
    /// A column is dropped, and leaves the keys that it is in.
    DropColumn {
        /// Its name.
        name: String,
        /// Nothing happens when there is none of the name.
        if_exists: bool,
    },
    /// A column gets another definition (MODIFY), and another name when they differ (CHANGE).
    ChangeColumn {
        /// Its present name.
        name: String,
        /// Its new definition.
        column: ColumnSpec,
        /// Where.
        place: Place,
        /// Nothing happens when there is none of the name.
        if_exists: bool,
    },
    /// A column gets another name.
    RenameColumn {
        /// Old name.
        from: String,
        /// New name.
        to: String,
    },
    /// A column becomes visible or invisible.
    SetVisible {
        /// Its name.
        name: String,
        /// Whether it is visible from now on.
        visible: bool,
    },
    /// A primary or unique key is added.
    AddKey(KeySpec),
    /// The primary key is dropped.
    DropPrimaryKey,
    /// A key, or a constraint that may be one, is dropped.
    DropKey(String),
    /// A key gets another name.
    RenameKey {
        /// Old name.
        from: String,
        /// New name.
        to: String,
    },
    /// Every text column is converted.
    ConvertCharset {
        /// The character set; none for the database's default.
        charset: Option<String>,
        /// The collation, where it is named.
        collation: Option<String>,
    },
    /// Columns added from now on get this character set.
    DefaultCharset {
        /// The character set, where it is named.
        charset: Option<String>,
        /// The collation, where it is named.
        collation: Option<String>,
    },
    /// The table gets another name.
    RenameTable(ObjectName),
    /// A plain index is added.
    AddIndex,
    /// Nothing that changes columns or keys.
    Other,
}

impl AlterSpec {
    /// What Canal calls a statement that begins with this action.
    fn kind(&self) -> Kind {
        match self {
            Self::RenameTable(_) => Kind::Rename,
            Self::AddKey(_) | Self::AddIndex => Kind::CreateIndex,
            Self::DropKey(_) => Kind::DropIndex,
            _ => Kind::Alter,
        }
    }
}

/// What follows ALTER TABLE.
pub(super) fn alter_table(cursor: &mut Cursor<'_>) -> Result<Ddl, Reason> {
    cursor.take_if_exists();
    let table = cursor.object()?;
    cursor.skip_wait();
    let mut specs = Vec::new();
    for mut part in cursor.split_commas() {
        // Partitions come last, without a comma between them and the rest; nothing of theirs counts.
        if part.peek().is_some_and(|token| *token != Token::Sign(';')) {
            spec(&mut part, &mut specs)?;
        }
    }
    let kind = specs.first().map_or(Kind::Alter, AlterSpec::kind);
    Ok(Ddl { items: vec![Item::new(kind, &table)], effects: vec![Effect::Alter { table, specs }], temporary: false })
}

fn spec(part: &mut Cursor<'_>, specs: &mut Vec<AlterSpec>) -> Result<(), Reason> {
    if part.take("ADD") {
        return add(part, specs);
    }
    let spec = if part.take("DROP") {
        dropped(part)?
    } else if part.take("MODIFY") {
        part.take("COLUMN");
        let if_exists = part.take_if_exists();
        let (column, place) = column(part)?;
        AlterSpec::ChangeColumn { name: column.name.clone(), column, place, if_exists }
    } else if part.take("CHANGE") {
        part.take("COLUMN");
        let if_exists = part.take_if_exists();
        let name = part.identifier()?;
        let (column, place) = column(part)?;
        AlterSpec::ChangeColumn { name, column, place, if_exists }
    } else if part.take("RENAME") {
        renamed(part)?
    } else if part.take("ALTER") {
        altered(part)?
    } else if part.take("CONVERT") {
        part.expect("TO")?;
        converted(part)?
    } else {
        options(part)?
    };
    specs.push(spec);
    Ok(())
}

fn add(part: &mut Cursor<'_>, specs: &mut Vec<AlterSpec>) -> Result<(), Reason> {
    let named = part.take("COLUMN");
    if !named && (part.sees("PARTITION") || part.sees_all(&["SYSTEM", "VERSIONING"])) {
        specs.push(AlterSpec::Other);
        return Ok(());
    }
    let if_not_exists = part.take_if_exists();
    let columns = match part.peek() {
        Some(Token::Sign('(')) => part.parenthesised()?.split_commas(),
        _ => vec![part.clone()],
    };
    for mut cursor in columns {
        let definition = match named {
            true => column(&mut cursor).map(|(column, place)| Definition::Column(column, place))?,
            false => definition(&mut cursor)?,
        };
        specs.push(match definition {
            Definition::Column(column, place) => AlterSpec::AddColumn { column, place, if_not_exists },
            Definition::Key(key) => AlterSpec::AddKey(key),
            Definition::Index => AlterSpec::AddIndex,
            Definition::Other => AlterSpec::Other,
        });
    }
    Ok(())
}

fn dropped(part: &mut Cursor<'_>) -> Result<AlterSpec, Reason> {
    if part.take_all(&["PRIMARY", "KEY"]) {
        return Ok(AlterSpec::DropPrimaryKey);
    }
    if part.take_any(&["INDEX", "KEY", "CONSTRAINT"]) {
        part.take_if_exists();
        return Ok(AlterSpec::DropKey(part.identifier()?));
    }
    let other = part.sees_all(&["FOREIGN", "KEY"])
        || part.sees("CHECK")
        || part.sees("PARTITION")
        || part.sees_all(&["SYSTEM", "VERSIONING"])
        || part.sees_all(&["PERIOD", "FOR"]);
    if other {
        return Ok(AlterSpec::Other);
    }
    part.take("COLUMN");
    let if_exists = part.take_if_exists();
    Ok(AlterSpec::DropColumn { name: part.identifier()?, if_exists })
}

fn renamed(part: &mut Cursor<'_>) -> Result<AlterSpec, Reason> {
    let column = part.take("COLUMN");
    if column || part.take_any(&["INDEX", "KEY"]) {
        part.take_if_exists();
        let from = part.identifier()?;
        part.expect("TO")?;
        let to = part.identifier()?;
        return Ok(if column { AlterSpec::RenameColumn { from, to } } else { AlterSpec::RenameKey { from, to } });
    }
    let _ = part.take_any(&["TO", "AS"]) || part.sign('=');
    Ok(AlterSpec::RenameTable(part.object()?))
}

/// `ALTER [COLUMN] name SET DEFAULT ..., SET VISIBLE, ...`, or an index or a check.
fn altered(part: &mut Cursor<'_>) -> Result<AlterSpec, Reason> {
    if part.take_any(&["INDEX", "CHECK", "CONSTRAINT", "KEY"]) {
        return Ok(AlterSpec::Other);
    }
    part.take("COLUMN");
    part.take_if_exists();
    let name = part.identifier()?;
    Ok(match part.take("SET") {
        true if part.take("VISIBLE") => AlterSpec::SetVisible { name, visible: true },
        true if part.take("INVISIBLE") => AlterSpec::SetVisible { name, visible: false },
        _ => AlterSpec::Other,
    })
}

/// `CHARACTER SET name [COLLATE name]` behind CONVERT TO.
fn converted(part: &mut Cursor<'_>) -> Result<AlterSpec, Reason> {
    if !part.take("CHARSET") {
        part.expect("CHARACTER")?;
        part.expect("SET")?;
    }
    let charset = if part.take("DEFAULT") { None } else { Some(charset_name(part)?) };
    let collation = match part.take("COLLATE") {
        true => Some(part.identifier()?.to_ascii_lowercase()),
        false => None,
    };
    Ok(AlterSpec::ConvertCharset { charset, collation })
}

/// Table options, which need no commas between them: of all of them only the default character set counts.
fn options(part: &mut Cursor<'_>) -> Result<AlterSpec, Reason> {
    let (mut charset, mut collation) = (None, None);
    while let Some(token) = part.next() {
        if token.is("CHARSET") || (token.is("CHARACTER") && part.take("SET")) {
            charset = Some(charset_name(part)?);
        } else if token.is("COLLATE") {
            part.sign('=');
            collation = Some(part.identifier()?.to_ascii_lowercase());
        } else if token.is("PARTITION") || token.is("COMMENT") || token.is("CONNECTION") {
            break;
        }
    }
    if charset.is_none() && collation.is_none() {
        return Ok(AlterSpec::Other);
    }
    Ok(AlterSpec::DefaultCharset { charset, collation })
}
