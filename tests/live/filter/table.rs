//! The table that conditions are asked of: a column of every type and of every collation, and values that matter.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// What a column's values and the literals beside it are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Least and greatest value.
    Int(i128, i128),
    /// Digits altogether and behind the point.
    Decimal(u32, u32),
    Double,
    Bit(u32),
    Year,
    Date,
    /// Digits behind the point.
    DateTime(usize),
    Timestamp(usize),
    Time(usize),
    Text,
    Bytes,
    Enum,
    Set,
    Json,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub declared: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Table {
    pub columns: Vec<Column>,
}

/// Collations of the first level of support, by who has them.
const EVERYWHERE: [&str; 18] = [
    "utf8mb4_general_ci",
    "utf8mb4_bin",
    "utf8mb4_unicode_ci",
    "utf8mb4_unicode_520_ci",
    "utf8_general_ci",
    "utf8_unicode_ci",
    "utf8_bin",
    "utf8_general_mysql500_ci",
    "latin1_swedish_ci",
    "latin1_general_cs",
    "latin1_bin",
    "ascii_general_ci",
    "cp1251_general_ci",
    "koi8r_bin",
    "greek_general_ci",
    "gbk_chinese_ci",
    "gbk_bin",
    "gb2312_chinese_ci",
];
const MYSQL97: [&str; 4] = ["utf8mb4_0900_ai_ci", "utf8mb4_0900_as_ci", "utf8mb4_0900_as_cs", "utf8mb4_0900_bin"];
const MARIADB: [&str; 10] = [
    "utf8mb4_uca1400_ai_ci",
    "utf8mb4_uca1400_ai_cs",
    "utf8mb4_uca1400_as_ci",
    "utf8mb4_uca1400_as_cs",
    "utf8mb4_uca1400_nopad_ai_ci",
    "utf8mb4_uca1400_nopad_as_cs",
    "utf8mb4_general_nopad_ci",
    "utf8mb4_unicode_nopad_ci",
    "utf8mb4_nopad_bin",
    "latin1_swedish_nopad_ci",
];

impl Table {
    pub fn of(server: &str) -> Self {
        use Kind::*;
        let mut columns = vec![("id".to_owned(), "INT PRIMARY KEY".to_owned(), Int(1, 100))];
        for (bits, name) in [(8, "TINYINT"), (16, "SMALLINT"), (24, "MEDIUMINT"), (32, "INT"), (64, "BIGINT")] {
            let half = 1i128 << (bits - 1);
            columns.push((format!("i{bits}"), name.into(), Int(-half, half - 1)));
            columns.push((format!("u{bits}"), format!("{name} UNSIGNED"), Int(0, 2 * half - 1)));
        }
        for (name, declared, kind) in [
            ("small", "INT", Int(-9, 9)),
            ("d1", "DECIMAL(10,3)", Decimal(10, 3)),
            ("d2", "DECIMAL(20,6)", Decimal(20, 6)),
            ("d3", "DECIMAL(40,0)", Decimal(40, 0)),
            ("d4", "DECIMAL(5,5)", Decimal(5, 5)),
            ("d5", "DECIMAL(12,4) UNSIGNED", Decimal(12, 4)),
            ("f", "FLOAT", Double),
            ("g", "DOUBLE", Double),
            ("b1", "BIT(1)", Bit(1)),
            ("b12", "BIT(12)", Bit(12)),
            ("b64", "BIT(64)", Bit(64)),
            ("y", "YEAR", Year),
            ("da", "DATE", Date),
            ("dt", "DATETIME", DateTime(0)),
            ("dt3", "DATETIME(3)", DateTime(3)),
            ("dt6", "DATETIME(6)", DateTime(6)),
            ("ts", "TIMESTAMP NULL", Timestamp(0)),
            ("ts4", "TIMESTAMP(4) NULL", Timestamp(4)),
            ("ti", "TIME", Time(0)),
            ("ti3", "TIME(3)", Time(3)),
            ("c", "CHAR(12)", Text),
            ("tx", "TEXT", Text),
            ("bi", "BINARY(6)", Bytes),
            ("vb", "VARBINARY(24)", Bytes),
            ("bl", "BLOB", Bytes),
            ("e", "ENUM('a','B','ä','12','')", Enum),
            ("st", "SET('a','B','c','12')", Set),
        ] {
            columns.push((name.into(), declared.into(), kind));
        }
        let own: &[&str] = match server {
            "mysql97" => &MYSQL97,
            "mariadb" => &MARIADB,
            _ => &[],
        };
        for collation in EVERYWHERE.iter().chain(own) {
            columns.push((format!("s_{collation}"), format!("VARCHAR(24) COLLATE {collation}"), Text));
        }
        if server == "mysql97" {
            columns.push(("js".into(), "JSON".into(), Json));
        }
        let columns = columns.into_iter().map(|(name, declared, kind)| Column { name, declared, kind });
        Self { columns: columns.collect() }
    }

    pub fn create(&self, schema: &str) -> String {
        let columns: Vec<_> = self.columns.iter().map(|c| format!("`{}` {}", c.name, c.declared)).collect();
        format!(
            "CREATE TABLE {schema}.t ({}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
            columns.join(", ")
        )
    }

    pub fn insert(&self, schema: &str, id: usize, random: &mut StdRng) -> String {
        let values: Vec<_> = self.columns.iter().skip(1).map(|column| value(column.kind, random)).collect();
        format!("INSERT INTO {schema}.t VALUES ({id}, {})", values.join(", "))
    }
}

fn value(kind: Kind, random: &mut StdRng) -> String {
    if random.random_bool(0.12) {
        return "NULL".into();
    }
    match kind {
        Kind::Timestamp(fsp) => quoted(&timestamp(fsp, random)),
        Kind::Bytes => format!("X'{}'", hex(bytes(random).as_slice())),
        Kind::Enum => random.random_range(0..=5).to_string(),
        Kind::Set => random.random_range(0..16).to_string(),
        Kind::Json => quoted("{\"a\": [1, 2.5, \"x\"]}"),
        other => literal(other, random),
    }
}

/// A literal of the kind, written so that it is one for the server and for us.
pub fn literal(kind: Kind, random: &mut StdRng) -> String {
    match kind {
        Kind::Int(least, greatest) => int(least, greatest, random).to_string(),
        Kind::Decimal(precision, scale) => decimal(precision, scale, random),
        Kind::Double => double(random),
        Kind::Bit(bits) => (random.random::<u64>() >> (64 - bits)).to_string(),
        Kind::Year => if random.random_bool(0.1) { 0 } else { random.random_range(1998..2004) }.to_string(),
        Kind::Date => quoted(&date(random)),
        Kind::DateTime(fsp) | Kind::Timestamp(fsp) => quoted(&datetime(fsp, random)),
        Kind::Time(fsp) => quoted(&time(fsp, random)),
        Kind::Text | Kind::Json => quoted(&text(random)),
        Kind::Bytes => format!("X'{}'", hex(bytes(random).as_slice())),
        Kind::Enum => quoted(["a", "B", "b", "ä", "A", "12", "", "x", "1"].choose(random).expect("one")),
        Kind::Set => quoted(["a", "B", "a,b", "a,B,c", "12", "", "B,c"].choose(random).expect("one")),
    }
}

fn int(least: i128, greatest: i128, random: &mut StdRng) -> i128 {
    let near = [0, 1, -1, 2, 3, 7, 10, 12, 100, 127, 255, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, least, greatest];
    let wish = match random.random_range(0..3) {
        0 => *near.choose(random).expect("one"),
        1 => random.random_range(-20..20),
        _ => random.random_range(least..=greatest),
    };
    wish.clamp(least, greatest)
}

fn decimal(precision: u32, scale: u32, random: &mut StdRng) -> String {
    let short = ["0", "1", "0.5", "1.5", "12", "12.000", "2.25", "0.00001", "0.99999", "100"];
    if random.random_bool(0.4) {
        let wish = short.choose(random).expect("one");
        return (*wish).to_owned();
    }
    let digits =
        |count: u32, random: &mut StdRng| (0..count).map(|_| random.random_range('0'..='9')).collect::<String>();
    let places = random.random_range(0..=precision - scale);
    let whole = digits(places, random);
    let fraction = digits(scale, random);
    let whole = if whole.is_empty() { "0".to_owned() } else { whole };
    let number = if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") };
    // An integer without a point would be an INT.
    if number.contains('.') || number.len() > 20 { number } else { format!("{number}.0") }
}

fn double(random: &mut StdRng) -> String {
    match random.random_range(0..3) {
        0 => {
            (*["0e0", "1e0", "1.5e0", "1.1e0", "12e0", "1e15", "1e16", "1e-5", "-2.25e0"].choose(random).expect("one"))
                .into()
        }
        1 => format!("{:e}", f64::from(random.random_range(-200..200)) / 8.0),
        _ => format!("{:e}", random.random_range(-1e6..1e6)),
    }
}

fn date(random: &mut StdRng) -> String {
    if random.random_bool(0.15) {
        return (*["0000-00-00", "2000-00-00", "2000-02-00", "1970-01-01", "2038-01-19"].choose(random).expect("one"))
            .into();
    }
    format!("{}-{:02}-{:02}", random.random_range(1999..=2001), random.random_range(1..=3), random.random_range(1..=4))
}

fn clock(fsp: usize, random: &mut StdRng) -> String {
    let clock = format!(
        "{:02}:{:02}:{:02}",
        random.random_range(0..2) * 23,
        random.random_range(0..2),
        random.random_range(0..3)
    );
    if fsp == 0 { clock } else { format!("{clock}.{}", &"500000"[..fsp]) }
}

fn datetime(fsp: usize, random: &mut StdRng) -> String {
    let date = date(random);
    if random.random_bool(0.3) { date } else { format!("{date} {}", clock(fsp, random)) }
}

fn timestamp(fsp: usize, random: &mut StdRng) -> String {
    let date = if random.random_bool(0.1) {
        "0000-00-00".to_owned()
    } else {
        format!("2000-01-0{}", random.random_range(1..5))
    };
    if date.starts_with('0') { format!("{date} 00:00:00") } else { format!("{date} {}", clock(fsp, random)) }
}

fn time(fsp: usize, random: &mut StdRng) -> String {
    match random.random_range(0..6) {
        0 => "838:59:59".into(),
        1 => "-838:59:59".into(),
        2 => format!("-{}", clock(fsp, random)),
        _ => clock(fsp, random),
    }
}

/// Texts that some collation takes for one another, and texts that begin with numbers.
const TEXTS: [&str; 70] = [
    "", " ", "a", "A", "b", "B", "ab", "AB", "aB", "abc", "ABC ", "abc", "abd", "abc  ", "ä", "Ä", "a\u{308}", "á",
    "à", "é", "e", "E\u{301}", "ß", "ss", "SS", "s", "ẞ", "œ", "oe", "æ", "ae", "ﬁ", "fi", "ı", "i", "I", "İ", "ñ",
    "n", "ø", "o", "Å", "aa", "0", "1", "12", "12abc", " 12", "1e1", "-3.5", "2.5", "1.50", "x12", "你好", "你", "好",
    "中文", "日本", "か", "カ", "が", "😀", "😁", "a%b", "a_b", "%", "_", "a\\b", "10%", "a\tb",
];

/// Letters of scripts where sequences matter.
const LETTERS: [(u32, u32); 14] = [
    (0x20, 0x7e),
    (0x20, 0x7e),
    (0xa0, 0x17f),
    (0x180, 0x24f),
    (0x300, 0x36f),
    (0x370, 0x3ff),
    (0x400, 0x4ff),
    (0x5d0, 0x5ea),
    (0x620, 0x655),
    (0x900, 0x97f),
    (0xe01, 0xe4e),
    (0x1e00, 0x1eff),
    (0x3040, 0x30ff),
    (0x4e00, 0x9fa5),
];

pub fn text(random: &mut StdRng) -> String {
    if random.random_bool(0.65) {
        return (*TEXTS.choose(random).expect("one")).into();
    }
    let (from, to) = *LETTERS.choose(random).expect("one");
    let length = random.random_range(1..=4);
    (0..length).filter_map(|_| char::from_u32(random.random_range(from..=to))).collect()
}

fn bytes(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..4) {
        0 => Vec::new(),
        1 => vec![random.random_range(b'a'..=b'c')],
        2 => (*["abc", "ABC", "12", "a\0", "abc\0\0\0"].choose(random).expect("one")).as_bytes().to_vec(),
        _ => (0..random.random_range(1..=6)).map(|_| random.random()).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}
