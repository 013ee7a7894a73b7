//! The column types of the random workload: how each is declared, what values it gets, and how its server text and
//! its Canal JSON text are compared.

use rand::Rng;
use rand::rngs::StdRng;

/// Which server a workload runs on; types and syntax differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    MySql97,
    MySql56,
    MariaDb,
}

/// How the text of a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The server's text, character for character.
    Text,
    /// As 32-bit floats.
    Float,
    /// As 64-bit floats.
    Double,
    /// The server's number of the bits.
    Bits,
    /// One character a byte.
    Binary,
}

/// A column type: its declaration, and the SQL literal of a random value.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub declared: &'static str,
    pub comparison: Comparison,
    value: fn(&mut StdRng) -> String,
}

impl Kind {
    /// A literal; NULL one time in eight.
    pub fn literal(&self, random: &mut StdRng) -> String {
        if random.random_ratio(1, 8) { "NULL".into() } else { (self.value)(random) }
    }

    /// The expression whose text is compared.
    pub fn select(&self, name: &str) -> String {
        match self.comparison {
            Comparison::Bits => format!("`{name}` + 0"),
            // Shortest text of a float differs between servers; its value does not when it is widened.
            Comparison::Float => format!("`{name}` + 0e0"),
            Comparison::Text | Comparison::Double | Comparison::Binary => format!("`{name}`"),
        }
    }

    /// Whether the delivered text stands for the value that the server shows.
    pub fn same(&self, server: Option<&[u8]>, delivered: Option<&str>) -> bool {
        let (server, delivered) = match (server, delivered) {
            (None, None) => return true,
            (Some(server), Some(delivered)) => (server, delivered),
            _ => return false,
        };
        let text = || std::str::from_utf8(server).unwrap_or("\u{fffd}");
        match self.comparison {
            Comparison::Text | Comparison::Bits => server == delivered.as_bytes(),
            Comparison::Float => {
                text().parse::<f64>().ok().map(|v| v as f32) == delivered.parse::<f32>().ok() && delivered.contains('.')
            }
            Comparison::Double => text().parse::<f64>().ok() == delivered.parse::<f64>().ok(),
            Comparison::Binary => delivered.chars().map(u32::from).eq(server.iter().map(|b| u32::from(*b))),
        }
    }
}

const fn kind(declared: &'static str, comparison: Comparison, value: fn(&mut StdRng) -> String) -> Kind {
    Kind { declared, comparison, value }
}

fn pick(random: &mut StdRng, choices: &[&str]) -> String {
    choices[random.random_range(0..choices.len())].to_owned()
}

fn hex(random: &mut StdRng, length: usize) -> String {
    if length == 0 {
        return "''".into();
    }
    let digits: String = (0..length).map(|_| format!("{:02x}", random.random::<u8>())).collect();
    format!("x'{digits}'")
}

fn word(random: &mut StdRng) -> String {
    const WORDS: [&str; 12] =
        ["", "a", "naïve", "你好", "😀 ok", "it''s", "\\\\ back", "tab\\t", "new\\nline", "\\\"q\\\"", "ß", "~ "];
    let words: Vec<&str> = (0..random.random_range(1..4)).map(|_| WORDS[random.random_range(0..12)]).collect();
    format!("'{}'", words.join("-"))
}

fn latin_word(random: &mut StdRng) -> String {
    pick(random, &["''", "'plain'", "'naïve'", "'ÄÖÜ ß €'", "'it''s'"])
}

fn chinese_word(random: &mut StdRng) -> String {
    pick(random, &["''", "'plain'", "'你好'", "'订单 ABC'", "'价格'"])
}

fn date(random: &mut StdRng) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        random.random_range(1000..9999),
        random.random_range(1..13),
        random.random_range(1..29)
    )
}

fn clock(random: &mut StdRng) -> String {
    let (hour, minute, second) = (random.random_range(0..24), random.random_range(0..60), random.random_range(0..60));
    format!("{hour:02}:{minute:02}:{second:02}.{:06}", random.random_range(0..1_000_000))
}

fn timestamp(random: &mut StdRng) -> String {
    format!(
        "'{:04}-{:02}-{:02} {}'",
        random.random_range(1971..2037),
        random.random_range(1..13),
        random.random_range(1..29),
        clock(random)
    )
}

fn json(random: &mut StdRng) -> String {
    let number = random.random_range(-5_000_000_000i64..5_000_000_000);
    let choices = [
        format!("'{{\"a\": {number}, \"b\": [true, null, \"x 你\"]}}'"),
        format!("'[{number}, 1.5, -0.25, 1e100]'"),
        "'{}'".to_owned(),
        "'\"text \\\\\"quoted\\\\\" \\\\n\"'".to_owned(),
        format!(
            "'{{\"deep\": {{\"er\": [{{\"n\": {number}}}]}}, \"z\": \"{}\"}}'",
            "y".repeat(random.random_range(0..300))
        ),
        "'null'".to_owned(),
    ];
    choices[random.random_range(0..choices.len())].clone()
}

const EVERYWHERE: &[Kind] = &[
    kind("TINYINT", Comparison::Text, |r| r.random::<i8>().to_string()),
    kind("TINYINT UNSIGNED", Comparison::Text, |r| r.random::<u8>().to_string()),
    kind("SMALLINT", Comparison::Text, |r| r.random::<i16>().to_string()),
    kind("SMALLINT UNSIGNED", Comparison::Text, |r| r.random::<u16>().to_string()),
    kind("MEDIUMINT", Comparison::Text, |r| r.random_range(-8_388_608..8_388_608).to_string()),
    kind("MEDIUMINT UNSIGNED", Comparison::Text, |r| r.random_range(0..16_777_216).to_string()),
    kind("INT", Comparison::Text, |r| r.random::<i32>().to_string()),
    kind("INT UNSIGNED", Comparison::Text, |r| r.random::<u32>().to_string()),
    kind("BIGINT", Comparison::Text, |r| r.random::<i64>().to_string()),
    kind("BIGINT UNSIGNED", Comparison::Text, |r| r.random::<u64>().to_string()),
    kind("DECIMAL(20,4)", Comparison::Text, |r| {
        format!("{}.{:04}", r.random_range(-999_999_999i64..999_999_999), r.random_range(0..10_000))
    }),
    kind("DECIMAL(65,30)", Comparison::Text, |r| format!("{}.{:030}", r.random::<i64>(), r.random::<u64>())),
    kind("DECIMAL(5,0)", Comparison::Text, |r| r.random_range(-99_999..99_999).to_string()),
    kind("FLOAT", Comparison::Float, |r| {
        format!("{:e}", (r.random::<f32>() - 0.5) * 10f32.powi(r.random_range(-20..20)))
    }),
    kind("DOUBLE", Comparison::Double, |r| {
        format!("{:e}", (r.random::<f64>() - 0.5) * 10f64.powi(r.random_range(-200..200)))
    }),
    kind("BIT(1)", Comparison::Bits, |r| format!("b'{}'", r.random_range(0..2))),
    kind("BIT(13)", Comparison::Bits, |r| format!("{}", r.random_range(0..8192))),
    kind("BIT(64)", Comparison::Bits, |r| r.random::<u64>().to_string()),
    kind("YEAR", Comparison::Text, |r| pick(r, &["0", "1901", "2026", "2155"])),
    kind("DATE", Comparison::Text, |r| format!("'{}'", date(r))),
    kind("TIME", Comparison::Text, |r| {
        pick(r, &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'", "'12:30:45'"])
    }),
    kind("TIME(3)", Comparison::Text, |r| format!("'{}{}'", pick(r, &["", "-"]), clock(r))),
    kind("TIME(6)", Comparison::Text, |r| format!("'{}{}'", pick(r, &["", "-"]), clock(r))),
    kind("DATETIME", Comparison::Text, |r| format!("'{} {}'", date(r), clock(r))),
    kind("DATETIME(6)", Comparison::Text, |r| format!("'{} {}'", date(r), clock(r))),
    kind("TIMESTAMP NULL", Comparison::Text, timestamp),
    kind("TIMESTAMP(4) NULL", Comparison::Text, timestamp),
    kind("CHAR(8) CHARACTER SET utf8mb4", Comparison::Text, |r| pick(r, &["''", "'abc'", "'你好'", "'😀'"])),
    kind("CHAR(100) CHARACTER SET utf8mb4", Comparison::Text, word),
    kind("VARCHAR(60) CHARACTER SET utf8mb4", Comparison::Text, word),
    kind("VARCHAR(300) CHARACTER SET utf8mb4", Comparison::Text, word),
    kind("VARCHAR(40) CHARACTER SET latin1", Comparison::Text, latin_word),
    kind("VARCHAR(40) CHARACTER SET gbk", Comparison::Text, chinese_word),
    kind("VARCHAR(40) CHARACTER SET ucs2", Comparison::Text, chinese_word),
    kind("CHAR(20) CHARACTER SET utf16", Comparison::Text, chinese_word),
    kind("TEXT CHARACTER SET utf8mb4", Comparison::Text, |r| {
        format!("'{}'", "long 文 ".repeat(r.random_range(0..400)))
    }),
    kind("LONGTEXT CHARACTER SET utf8mb4", Comparison::Text, word),
    kind("BINARY(4)", Comparison::Binary, |r| {
        let n = r.random_range(0..5);
        hex(r, n)
    }),
    kind("VARBINARY(300)", Comparison::Binary, |r| {
        let n = r.random_range(0..300);
        hex(r, n)
    }),
    kind("TINYBLOB", Comparison::Binary, |r| {
        let n = r.random_range(0..255);
        hex(r, n)
    }),
    kind("BLOB", Comparison::Binary, |r| {
        let n = r.random_range(0..3_000);
        hex(r, n)
    }),
    kind("ENUM('S','M','L, XL','你好') CHARACTER SET utf8mb4", Comparison::Text, |r| {
        pick(r, &["'S'", "'M'", "'L, XL'", "'你好'"])
    }),
    kind("SET('a','b','c''d','é') CHARACTER SET utf8mb4", Comparison::Text, |r| {
        pick(r, &["''", "'a'", "'a,c''d'", "'a,b,c''d,é'"])
    }),
];

const NEWER: &[Kind] = &[
    kind("JSON", Comparison::Text, json),
    kind("POINT", Comparison::Binary, |r| {
        format!("ST_GeomFromText('POINT({} {})')", r.random_range(-90..90), r.random_range(-90..90))
    }),
];

const MYSQL97: &[Kind] = &[
    kind("VECTOR(3)", Comparison::Binary, |r| {
        format!("STRING_TO_VECTOR('[{},{},{}]')", r.random::<i8>(), r.random::<i8>(), r.random::<i8>())
    }),
    kind("VARCHAR(40) CHARACTER SET gb18030", Comparison::Text, chinese_word),
];

const MARIADB: &[Kind] = &[
    kind("INET6", Comparison::Text, |r| pick(r, &["'::1'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.128'"])),
    kind("UUID", Comparison::Text, |r| {
        format!("'{:08x}-0000-4000-8000-{:012x}'", r.random::<u32>(), r.random::<u32>())
    }),
    kind("VARCHAR(200) COMPRESSED CHARACTER SET utf8mb4", Comparison::Text, |r| {
        format!("'{}'", "zz ".repeat(r.random_range(0..60)))
    }),
];

/// All types of a server.
pub fn kinds(flavour: Flavour) -> Vec<Kind> {
    let more: &[&[Kind]] = match flavour {
        Flavour::MySql56 => &[],
        Flavour::MySql97 => &[NEWER, MYSQL97],
        Flavour::MariaDb => &[NEWER, MARIADB],
    };
    EVERYWHERE.iter().chain(more.iter().copied().flatten()).copied().collect()
}
