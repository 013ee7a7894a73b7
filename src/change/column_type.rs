//! Column types: read from a declared type as `COLUMN_TYPE` prints it, and printed as MySQL 8 and later print them.

use std::fmt::Write as _;

use thiserror::Error;

/// What kind of values a column holds, with the parameters that matter to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are MySQL's type names, their fields the declared parameters")]
pub enum ColumnType {
    TinyInt {
        unsigned: bool,
    },
    SmallInt {
        unsigned: bool,
    },
    MediumInt {
        unsigned: bool,
    },
    Int {
        unsigned: bool,
    },
    BigInt {
        unsigned: bool,
    },
    Decimal {
        precision: u8,
        scale: u8,
        unsigned: bool,
    },
    Float {
        unsigned: bool,
    },
    Double {
        unsigned: bool,
    },
    Bit {
        bits: u8,
    },
    Year,
    Date,
    Time {
        fsp: u8,
    },
    DateTime {
        fsp: u8,
    },
    Timestamp {
        fsp: u8,
    },
    /// Length in characters.
    Char {
        length: u32,
    },
    /// Length in characters.
    VarChar {
        length: u32,
    },
    /// Its size class.
    Text {
        size: BlobSize,
    },
    /// Length in bytes; shorter values in the binlog lack trailing zero bytes.
    Binary {
        length: u32,
    },
    /// Greatest length in bytes.
    VarBinary {
        length: u32,
    },
    /// Its size class.
    Blob {
        size: BlobSize,
    },
    Enum,
    Set,
    Json,
    Geometry {
        shape: Shape,
    },
    Vector {
        dimension: u32,
    },
    /// MariaDB; sixteen bytes in network order.
    Inet6,
    /// MariaDB; four bytes in network order.
    Inet4,
    /// MariaDB; sixteen bytes, their order described at the renderer.
    Uuid,
}

/// Size class of BLOB and TEXT; the number is that of the bytes of a value's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "MySQL's own prefixes")]
pub enum BlobSize {
    Tiny = 1,
    Plain = 2,
    Medium = 3,
    Long = 4,
}

/// Which geometry a column is declared as; numbers are those of the table map's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the OpenGIS types")]
pub enum Shape {
    Geometry = 0,
    Point = 1,
    LineString = 2,
    Polygon = 3,
    MultiPoint = 4,
    MultiLineString = 5,
    MultiPolygon = 6,
    Collection = 7,
}

/// A declared type that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column type {0:?} is not understood")]
pub struct UnknownType(pub String);

impl BlobSize {
    /// By the number of length bytes that the table map states.
    pub fn from_length_bytes(bytes: u16) -> Option<Self> {
        Some(match bytes {
            1 => Self::Tiny,
            2 => Self::Plain,
            3 => Self::Medium,
            4 => Self::Long,
            _ => return None,
        })
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Plain => "",
            Self::Medium => "medium",
            Self::Long => "long",
        }
    }
}

impl Shape {
    /// By the number that the table map's metadata gives.
    pub fn from_metadata(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Geometry,
            1 => Self::Point,
            2 => Self::LineString,
            3 => Self::Polygon,
            4 => Self::MultiPoint,
            5 => Self::MultiLineString,
            6 => Self::MultiPolygon,
            7 => Self::Collection,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Geometry => "geometry",
            Self::Point => "point",
            Self::LineString => "linestring",
            Self::Polygon => "polygon",
            Self::MultiPoint => "multipoint",
            Self::MultiLineString => "multilinestring",
            Self::MultiPolygon => "multipolygon",
            Self::Collection => "geomcollection",
        }
    }
}

impl ColumnType {
    /// Reads a declared type and, for ENUM and SET, its labels.
    ///
    /// # Errors
    /// A type that no server known to us prints.
    pub fn parse(declared: &str) -> Result<(Self, Vec<Box<str>>), UnknownType> {
        let unknown = || UnknownType(declared.to_owned());
        let text = declared.trim();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (word, rest) = (text[..end].to_ascii_lowercase(), text[end..].trim_start());
        if word == "enum" || word == "set" {
            let labels = parse_labels(rest).ok_or_else(unknown)?;
            return Ok((if word == "enum" { Self::Enum } else { Self::Set }, labels));
        }
        let (arguments, attributes) = parse_arguments(rest).ok_or_else(unknown)?;
        let unsigned = attributes
            .split_ascii_whitespace()
            .any(|word| word.eq_ignore_ascii_case("unsigned") || word.eq_ignore_ascii_case("zerofill"));
        let first = |default: u32| arguments.first().copied().unwrap_or(default);
        let small = |value: u32| u8::try_from(value).map_err(|_| unknown());
        let fsp = || small(first(0));
        let kind = match word.as_str() {
            "tinyint" | "bool" | "boolean" => Self::TinyInt { unsigned },
            "smallint" => Self::SmallInt { unsigned },
            "mediumint" => Self::MediumInt { unsigned },
            "int" | "integer" => Self::Int { unsigned },
            "bigint" => Self::BigInt { unsigned },
            "decimal" | "numeric" => {
                let scale = small(arguments.get(1).copied().unwrap_or(0))?;
                Self::Decimal { precision: small(first(10))?, scale, unsigned }
            }
            "float" => Self::Float { unsigned },
            "double" | "real" => Self::Double { unsigned },
            "bit" => Self::Bit { bits: small(first(1))? },
            "year" => Self::Year,
            "date" => Self::Date,
            "time" => Self::Time { fsp: fsp()? },
            "datetime" => Self::DateTime { fsp: fsp()? },
            "timestamp" => Self::Timestamp { fsp: fsp()? },
            "char" => Self::Char { length: first(1) },
            "varchar" => Self::VarChar { length: first(0) },
            "tinytext" => Self::Text { size: BlobSize::Tiny },
            "text" => Self::Text { size: BlobSize::Plain },
            "mediumtext" => Self::Text { size: BlobSize::Medium },
            "longtext" => Self::Text { size: BlobSize::Long },
            "binary" => Self::Binary { length: first(1) },
            "varbinary" => Self::VarBinary { length: first(0) },
            "tinyblob" => Self::Blob { size: BlobSize::Tiny },
            "blob" => Self::Blob { size: BlobSize::Plain },
            "mediumblob" => Self::Blob { size: BlobSize::Medium },
            "longblob" => Self::Blob { size: BlobSize::Long },
            "json" => Self::Json,
            "geometry" => Self::Geometry { shape: Shape::Geometry },
            "point" => Self::Geometry { shape: Shape::Point },
            "linestring" => Self::Geometry { shape: Shape::LineString },
            "polygon" => Self::Geometry { shape: Shape::Polygon },
            "multipoint" => Self::Geometry { shape: Shape::MultiPoint },
            "multilinestring" => Self::Geometry { shape: Shape::MultiLineString },
            "multipolygon" => Self::Geometry { shape: Shape::MultiPolygon },
            "geomcollection" | "geometrycollection" => Self::Geometry { shape: Shape::Collection },
            // The dimension that VECTOR has when none is declared.
            "vector" => Self::Vector { dimension: first(2048) },
            "inet6" => Self::Inet6,
            "inet4" => Self::Inet4,
            "uuid" => Self::Uuid,
            _ => return Err(unknown()),
        };
        Ok((kind, Vec::new()))
    }

    /// The declared type as MySQL 8.0.19 and later print it: no display widths.
    pub fn declare(&self, labels: &[Box<str>]) -> String {
        let mut out = String::new();
        let with_unsigned = |name: &str, unsigned: bool| format!("{name}{}", if unsigned { " unsigned" } else { "" });
        let with_fsp = |name: &str, fsp: u8| if fsp == 0 { name.to_owned() } else { format!("{name}({fsp})") };
        match *self {
            Self::TinyInt { unsigned } => out = with_unsigned("tinyint", unsigned),
            Self::SmallInt { unsigned } => out = with_unsigned("smallint", unsigned),
            Self::MediumInt { unsigned } => out = with_unsigned("mediumint", unsigned),
            Self::Int { unsigned } => out = with_unsigned("int", unsigned),
            Self::BigInt { unsigned } => out = with_unsigned("bigint", unsigned),
            Self::Decimal { precision, scale, unsigned } => {
                out = with_unsigned(&format!("decimal({precision},{scale})"), unsigned);
            }
            Self::Float { unsigned } => out = with_unsigned("float", unsigned),
            Self::Double { unsigned } => out = with_unsigned("double", unsigned),
            Self::Bit { bits } => out = format!("bit({bits})"),
            Self::Year => out.push_str("year"),
            Self::Date => out.push_str("date"),
            Self::Time { fsp } => out = with_fsp("time", fsp),
            Self::DateTime { fsp } => out = with_fsp("datetime", fsp),
            Self::Timestamp { fsp } => out = with_fsp("timestamp", fsp),
            Self::Char { length } => out = format!("char({length})"),
            Self::VarChar { length } => out = format!("varchar({length})"),
            Self::Text { size } => out = format!("{}text", size.prefix()),
            Self::Binary { length } => out = format!("binary({length})"),
            Self::VarBinary { length } => out = format!("varbinary({length})"),
            Self::Blob { size } => out = format!("{}blob", size.prefix()),
            Self::Enum => declare_labels("enum", labels, &mut out),
            Self::Set => declare_labels("set", labels, &mut out),
            Self::Json => out.push_str("json"),
            Self::Geometry { shape } => out.push_str(shape.name()),
            Self::Vector { dimension } => out = format!("vector({dimension})"),
            Self::Inet6 => out.push_str("inet6"),
            Self::Inet4 => out.push_str("inet4"),
            Self::Uuid => out.push_str("uuid"),
        }
        out
    }

    /// Whether values are numbers whose sign the table map's metadata tells.
    pub fn is_numeric(&self) -> bool {
        self.unsigned().is_some()
    }

    /// Whether a numeric column is unsigned; none for columns that are no numbers.
    pub fn unsigned(&self) -> Option<bool> {
        match *self {
            Self::TinyInt { unsigned }
            | Self::SmallInt { unsigned }
            | Self::MediumInt { unsigned }
            | Self::Int { unsigned }
            | Self::BigInt { unsigned }
            | Self::Decimal { unsigned, .. }
            | Self::Float { unsigned }
            | Self::Double { unsigned } => Some(unsigned),
            _ => None,
        }
    }

    /// Whether values are text in the column's character set.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Char { .. } | Self::VarChar { .. } | Self::Text { .. } | Self::Enum | Self::Set)
    }
}

/// Writes labels as the server does in `COLUMN_TYPE`: a quote doubled, backslash and line ends escaped
/// (`append_unescaped` of sql/sql_show.cc).
fn declare_labels(word: &str, labels: &[Box<str>], out: &mut String) {
    out.push_str(word);
    out.push('(');
    for (place, label) in labels.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push('\'');
        for c in label.chars() {
            match c {
                '\'' => out.push_str("''"),
                '\\' => out.push_str("\\\\"),
                '\0' => out.push_str("\\0"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                other => out.push(other),
            }
        }
        out.push('\'');
    }
    let _ = out.write_char(')');
}

/// Reads `('a','b''c')`.
fn parse_labels(text: &str) -> Option<Vec<Box<str>>> {
    let mut chars = text.strip_prefix('(')?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        while chars.peek()?.is_ascii_whitespace() {
            chars.next();
        }
        if chars.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match chars.next()? {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match chars.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label.into_boxed_str());
        match chars.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}

/// Reads `(10,2) unsigned` into its numbers and what follows them.
fn parse_arguments(text: &str) -> Option<(Vec<u32>, &str)> {
    let Some(inner) = text.strip_prefix('(') else { return Some((Vec::new(), text)) };
    let (inner, after) = inner.split_once(')')?;
    let numbers = inner.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
    Some((numbers, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_of_every_server_are_read() {
        for (declared, kind) in [
            ("tinyint(1)", ColumnType::TinyInt { unsigned: false }),
            ("tinyint unsigned", ColumnType::TinyInt { unsigned: true }),
            ("int(10) unsigned zerofill", ColumnType::Int { unsigned: true }),
            ("bigint(20)", ColumnType::BigInt { unsigned: false }),
            ("decimal(20,4) unsigned", ColumnType::Decimal { precision: 20, scale: 4, unsigned: true }),
            ("double(10,2)", ColumnType::Double { unsigned: false }),
            ("bit(64)", ColumnType::Bit { bits: 64 }),
            ("year(4)", ColumnType::Year),
            ("timestamp(3)", ColumnType::Timestamp { fsp: 3 }),
            ("varchar(64)", ColumnType::VarChar { length: 64 }),
            ("varchar(64) /*M!100301 COMPRESSED*/", ColumnType::VarChar { length: 64 }),
            ("mediumblob /*M!100301 COMPRESSED*/", ColumnType::Blob { size: BlobSize::Medium }),
            ("geometrycollection", ColumnType::Geometry { shape: Shape::Collection }),
            ("vector(3)", ColumnType::Vector { dimension: 3 }),
            ("uuid", ColumnType::Uuid),
            ("INET6", ColumnType::Inet6),
        ] {
            assert_eq!(ColumnType::parse(declared).map(|(kind, _)| kind), Ok(kind), "{declared}");
        }
        for bad in ["", "hologram(3)", "decimal(a,b)", "enum", "enum('a'", "enum('a' 'b')", "bit(900)", "varchar(3"] {
            assert_eq!(ColumnType::parse(bad), Err(UnknownType(bad.into())));
        }
    }

    #[test]
    fn types_without_widths_are_printed_as_they_are_read() {
        for declared in [
            "tinyint",
            "int unsigned",
            "decimal(10,2)",
            "float unsigned",
            "bit(8)",
            "datetime(6)",
            "char(8)",
            "varbinary(16)",
            "tinytext",
            "longblob",
            "enum('S','it''s','b\\\\c','d\\ne')",
            "set('a','b','c')",
            "json",
            "geomcollection",
            "vector(2048)",
        ] {
            let (kind, labels) = ColumnType::parse(declared).expect("a declared type");
            assert_eq!(kind.declare(&labels), declared);
        }
    }

    #[test]
    fn labels_keep_commas_quotes_and_brackets() {
        let (_, labels) = ColumnType::parse("enum('a,b','it''s',')','')").expect("labels");
        assert_eq!(labels.iter().map(|l| &l[..]).collect::<Vec<_>>(), ["a,b", "it's", ")", ""]);
    }
}
