//! Random conditions of the filter language over the columns of a table.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use relay::binlog::event::Dialect;

use super::table::{Column, Kind, Table, literal, quoted, text};

/// What has to be in the conditions that were compared, besides every column: as it is found in their text.
const WORDS: [&str; 36] = [
    " = ",
    " <> ",
    " != ",
    " < ",
    " <= ",
    " > ",
    " >= ",
    " <=> ",
    " IN (",
    " NOT IN (",
    " BETWEEN ",
    " NOT BETWEEN ",
    " LIKE ",
    " NOT LIKE ",
    " ESCAPE ",
    " IS NULL",
    " IS NOT NULL",
    " AND ",
    " OR ",
    "NOT (",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    "0x",
    "DATE'",
    "LOWER(",
    "UPPER(",
    "CHAR_LENGTH(",
    "SUBSTRING(",
    "CONCAT(",
    "COALESCE(",
    "IFNULL(",
    "ABS(",
    "MOD(",
];
const MORE_WORDS: [&str; 7] = ["DATE(", "YEAR(", "MONTH(", "DAY(", "UNIX_TIMESTAMP(", "FROM_UNIXTIME(", "LENGTH("];

pub struct Writer<'t> {
    table: &'t Table,
    dialect: Dialect,
    random: StdRng,
    /// Columns are taken in turns, so that each is asked.
    turn: usize,
}

impl<'t> Writer<'t> {
    pub fn new(table: &'t Table, dialect: Dialect, random: StdRng) -> Self {
        Self { table, dialect, random, turn: 0 }
    }

    /// How often each word and each column is in these texts.
    pub fn coverage(&self, texts: &[&str]) -> Vec<(String, usize)> {
        let count = |word: &str| texts.iter().filter(|text| text.contains(word)).count();
        let columns = self.table.columns.iter().skip(1).map(|column| format!("`{}`", column.name));
        let words = WORDS.iter().chain(&MORE_WORDS).map(|word| (*word).to_owned());
        let mut counts: Vec<_> = words.chain(columns).map(|word| (word.clone(), count(&word))).collect();
        counts.sort_by_key(|(_, count)| *count);
        counts.truncate(6);
        counts
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices.choose(&mut self.random).expect("some").clone()
    }

    fn chance(&mut self, of_100: u32) -> bool {
        self.random.random_range(0..100) < of_100
    }

    fn next_column(&mut self) -> Column {
        self.turn += 1;
        let columns = &self.table.columns;
        columns[1 + self.turn % (columns.len() - 1)].clone()
    }

    fn column_of(&mut self, fits: fn(Kind) -> bool) -> Column {
        let columns: Vec<_> = self.table.columns.iter().skip(1).filter(|column| fits(column.kind)).cloned().collect();
        self.one_of(&columns)
    }

    pub fn condition(&mut self) -> String {
        let parts = self.one_of(&[1, 1, 1, 2, 2, 3]);
        let mut text = self.predicate();
        for _ in 1..parts {
            let word = self.one_of(&["AND", "OR"]);
            let next = self.predicate();
            text = match self.random.random_range(0..3) {
                0 => format!("{text} {word} {next}"),
                1 => format!("({text}) {word} NOT ({next})"),
                _ => format!("NOT ({text} {word} {next})"),
            };
        }
        text
    }

    fn predicate(&mut self) -> String {
        let column = self.next_column();
        if self.chance(6) {
            let not = self.one_of(&["", "NOT "]);
            return format!("`{}` IS {not}NULL", column.name);
        }
        match column.kind {
            Kind::Json => format!("`{}` IS NOT NULL", column.name),
            Kind::Text => self.text_predicate(&column),
            Kind::Enum | Kind::Set => self.label_predicate(&column),
            Kind::Bytes => self.bytes_predicate(&column),
            Kind::Int(..) | Kind::Decimal(..) | Kind::Double | Kind::Bit(_) | Kind::Year => {
                self.number_predicate(&column)
            }
            Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_) => self.date_predicate(&column),
            Kind::Time(_) => self.time_predicate(&column),
        }
    }

    /// `value op other`, with others of the same kind.
    fn compared(&mut self, value: &str, mut other: impl FnMut(&mut Self) -> String) -> String {
        let not = self.one_of(&["", "NOT "]);
        match self.random.random_range(0..10) {
            0 | 1 => {
                let mut list: Vec<String> = (0..self.random.random_range(1..5)).map(|_| other(self)).collect();
                if self.chance(10) {
                    list.push("NULL".into());
                }
                format!("{value} {not}IN ({})", list.join(", "))
            }
            2 => {
                let (low, high) = (other(self), other(self));
                format!("{value} {not}BETWEEN {low} AND {high}")
            }
            3 => format!("{} {} {value}", other(self), self.comparison()),
            _ => {
                let op = self.comparison();
                let other = if self.chance(3) { "NULL".into() } else { other(self) };
                format!("{value} {op} {other}")
            }
        }
    }

    /// A number that is computed from literals alone, which servers compute before they look at a row.
    fn constant(&mut self) -> String {
        let (a, b) = (self.random.random_range(-9..2010), self.random.random_range(1..9));
        let choices = [
            format!("({a} + {b})"),
            format!("({a} - {b}.5)"),
            format!("{a} * {b}"),
            format!("{a} * 1e{b}"),
            format!("MOD({a}, {b}.25e0)"),
            format!("ABS({a})"),
            format!("COALESCE(NULL, {b})"),
            format!("IFNULL({b}, {a})"),
            format!("({a} < {b})"),
            format!("({a} + '{b}')"),
            format!("CHAR_LENGTH('{a}')"),
            format!("YEAR('2000-01-0{b}')"),
        ];
        self.one_of(&choices)
    }

    fn comparison(&mut self) -> &'static str {
        self.one_of(&["=", "=", "<>", "!=", "<", "<=", ">", ">=", "<=>"])
    }

    fn text_predicate(&mut self, column: &Column) -> String {
        let value = self.text_value(column, 2);
        match self.random.random_range(0..10) {
            0 => {
                let number = self.one_of(&["12", "1", "0", "1.5", "10", "-3.5", "2.5e0", "0x31"]);
                let op = self.comparison();
                if number == "0x31" {
                    format!("`{}` {op} {number}", column.name)
                } else {
                    format!("{value} {op} {number}")
                }
            }
            1 => {
                let length = self.one_of(&["LENGTH", "CHAR_LENGTH"]);
                let number = self.random.random_range(0..8);
                let op = self.comparison();
                format!("{length}({value}) {op} {number}")
            }
            2 => format!("{value} AND `id` > 3"),
            3..=5 => {
                let not = self.one_of(&["", "NOT "]);
                let pattern = self.pattern();
                match self.chance(20) {
                    true => format!("{value} {not}LIKE {} ESCAPE '|'", quoted(&pattern.replace('\\', "|"))),
                    false => format!("{value} {not}LIKE {}", quoted(&pattern)),
                }
            }
            _ => {
                let column = column.clone();
                self.compared(&value, move |writer| writer.text_operand(&column))
            }
        }
    }

    fn pattern(&mut self) -> String {
        let mut pattern: String = text(&mut self.random);
        for _ in 0..self.random.random_range(0..3) {
            let places: Vec<usize> = pattern.char_indices().map(|(at, _)| at).chain([pattern.len()]).collect();
            let at = self.one_of(&places);
            let mark = self.one_of(&["%", "%", "_", "\\%", "\\_"]);
            pattern.insert_str(at, mark);
        }
        pattern
    }

    fn text_operand(&mut self, column: &Column) -> String {
        match self.random.random_range(0..9) {
            0 => self.text_value(column, 1),
            1 => {
                let function = self.one_of(&["LOWER(", "UPPER(", "CONCAT('a', ", "IFNULL(NULL, ", "COALESCE("]);
                format!("{function}{})", quoted(&text(&mut self.random)))
            }
            _ => quoted(&text(&mut self.random)),
        }
    }

    fn text_value(&mut self, column: &Column, depth: usize) -> String {
        let name = format!("`{}`", column.name);
        if depth == 0 || self.chance(55) {
            return name;
        }
        let inner = self.text_value(column, depth - 1);
        match self.random.random_range(0..7) {
            0 => format!("LOWER({inner})"),
            1 => format!("UPPER({inner})"),
            2 => {
                let start = self.random.random_range(-4..5);
                format!("SUBSTRING({inner}, {start})")
            }
            3 => {
                let (start, length) = (self.random.random_range(-4..5), self.random.random_range(-1..4));
                format!("SUBSTRING({inner}, {start}, {length})")
            }
            4 => {
                let other = self
                    .column_of(|kind| matches!(kind, Kind::Int(..) | Kind::Decimal(..) | Kind::Date | Kind::Time(_)));
                let more = quoted(&text(&mut self.random));
                format!("CONCAT({inner}, `{}`, {more})", other.name)
            }
            5 => format!("COALESCE({inner}, {})", quoted(&text(&mut self.random))),
            _ => format!("IFNULL({inner}, {name})"),
        }
    }

    fn label_predicate(&mut self, column: &Column) -> String {
        let (name, kind) = (format!("`{}`", column.name), column.kind);
        match self.random.random_range(0..5) {
            0 => {
                let value = self.one_of(&[name.clone(), format!("{name} + 1"), format!("{name} * 2")]);
                self.compared(&value, |writer| writer.random.random_range(0..9).to_string())
            }
            1 => format!("{name} LIKE {}", quoted(&self.pattern())),
            2 => {
                let function = self.one_of(&["LOWER", "UPPER"]);
                self.compared(&format!("{function}({name})"), move |writer| literal(kind, &mut writer.random))
            }
            3 => format!("LENGTH({name}) = {}", self.random.random_range(0..5)),
            _ => self.compared(&name, move |writer| literal(kind, &mut writer.random)),
        }
    }

    fn bytes_predicate(&mut self, column: &Column) -> String {
        let name = format!("`{}`", column.name);
        let value = match self.random.random_range(0..6) {
            0 => format!("SUBSTRING({name}, {})", self.random.random_range(-3..4)),
            1 => format!("CONCAT({name}, {})", quoted(&text(&mut self.random))),
            2 => format!("IFNULL({name}, `vb`)"),
            3 => format!("UPPER({name})"),
            _ => name.clone(),
        };
        match self.random.random_range(0..6) {
            0 => format!("{value} LIKE {}", quoted(&self.pattern())),
            1 => format!("LENGTH({value}) {} {}", self.comparison(), self.random.random_range(0..8)),
            2 => format!("{name} {} {}", self.comparison(), self.one_of(&["12", "0", "1.5"])),
            3 => self.compared(&value, |writer| quoted(&text(&mut writer.random))),
            _ => {
                self.compared(&name, |writer| writer.one_of(&["0x616263", "X'61'", "`vb`", "`bl`", "'abc'"]).to_owned())
            }
        }
    }

    fn number_predicate(&mut self, column: &Column) -> String {
        let name = format!("`{}`", column.name);
        let kind = column.kind;
        let value = if self.chance(45) { name.clone() } else { self.number_value(&name, 2) };
        match self.random.random_range(0..14) {
            12 | 13 => self.compared(&value, Self::constant),
            0 => self.compared(&value, |writer| {
                writer.one_of(&["'12'", "'1.5'", "'abc'", "' 7'", "'1e1'", "'0'", "'100'"]).to_owned()
            }),
            1 if matches!(kind, Kind::Int(..) | Kind::Bit(_)) => {
                let hex = self.one_of(&["0x0C", "0x7F", "0x20000000000001", "X'FFFFFFFFFFFFFFFF'"]);
                format!("{name} {} {hex}", self.comparison())
            }
            2 if matches!(kind, Kind::Int(..) | Kind::Decimal(..)) => {
                let pattern = self.one_of(&["1%", "%0", "-_", "%.5%", "_", "12%"]);
                format!("{name} LIKE '{pattern}'")
            }
            3 => format!("({value}) AND `small` IS NOT NULL"),
            4 => {
                let other = self.column_of(|kind| matches!(kind, Kind::Int(..) | Kind::Decimal(..) | Kind::Double));
                format!("{value} {} `{}`", self.comparison(), other.name)
            }
            5 => {
                let kind = self.one_of(&[Kind::Int(-20, 20), Kind::Decimal(6, 2), Kind::Double]);
                self.compared(&value, move |writer| literal(kind, &mut writer.random))
            }
            _ => self.compared(&value, move |writer| literal(kind, &mut writer.random)),
        }
    }

    fn number_value(&mut self, name: &str, depth: usize) -> String {
        if depth == 0 {
            return match self.random.random_range(0..4) {
                0 => "`small`".into(),
                1 => literal(self.one_of(&[Kind::Int(-9, 9), Kind::Decimal(5, 2), Kind::Double]), &mut self.random),
                _ => name.to_owned(),
            };
        }
        let inner = self.number_value(name, depth - 1);
        let other = self.number_value(name, 0);
        match self.random.random_range(0..12) {
            0 => format!("({inner} + {other})"),
            1 => format!("({inner} - {other})"),
            2 => format!("({inner} * {other})"),
            3 => format!("({inner} / {other})"),
            4 => format!("({inner} % {other})"),
            5 => format!("MOD({inner}, {other})"),
            6 => format!("ABS({inner})"),
            7 => format!("-({inner})"),
            8 => format!("IFNULL({inner}, {other})"),
            9 => format!("COALESCE(NULL, {inner}, {other})"),
            10 => format!("({inner} < {other})"),
            _ => inner,
        }
    }

    fn date_predicate(&mut self, column: &Column) -> String {
        let name = format!("`{}`", column.name);
        let value = match self.random.random_range(0..8) {
            0 => format!("DATE({name})"),
            1 => format!("COALESCE({name}, {name})"),
            2 => {
                let number = self.one_of(&["`i32`", "`d1`", "`small` * 86400", "`u64`", "`d2`"]);
                format!("FROM_UNIXTIME({number})")
            }
            _ => name.clone(),
        };
        match self.random.random_range(0..10) {
            0 | 6 => {
                let (part, kind) = self.one_of(&[
                    ("YEAR", Kind::Int(1998, 2002)),
                    ("MONTH", Kind::Int(0, 4)),
                    ("DAY", Kind::Int(0, 5)),
                ]);
                self.compared(&format!("{part}({value})"), move |writer| literal(kind, &mut writer.random))
            }
            1 => {
                let seconds = self.one_of(&["946656000", "0", "946684800.5", "949334400", "-1"]);
                format!("UNIX_TIMESTAMP({value}) {} {seconds}", self.comparison())
            }
            2 => {
                let pattern = self.one_of(&["2000%", "%-01-%", "%00:00", "____-__-01", "%.5%", "%:00:01%"]);
                format!("{value} LIKE '{pattern}'")
            }
            3 => {
                let other = self.column_of(|kind| matches!(kind, Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_)));
                format!("{value} {} `{}`", self.comparison(), other.name)
            }
            4 => {
                let typed = self.one_of(&[
                    "DATE('2000-01-02 12:00:00')",
                    "FROM_UNIXTIME(946684800)",
                    "FROM_UNIXTIME(946684800.5)",
                    "DATE'2000-01-02'",
                    "DATE'1999-03-01'",
                    "DATE'2001-01-04'",
                    "TIMESTAMP'2000-01-02 00:00:00'",
                    "TIMESTAMP'1999-03-01 23:00:00.5'",
                ]);
                format!("{value} {} {typed}", self.comparison())
            }
            5 => {
                let low = self.column_of(|kind| matches!(kind, Kind::Date | Kind::DateTime(_)));
                format!("{value} BETWEEN `{}` AND `dt`", low.name)
            }
            _ => {
                let kind = self.one_of(&[Kind::Date, Kind::DateTime(0), Kind::DateTime(3), Kind::DateTime(6)]);
                self.compared(&value, move |writer| literal(kind, &mut writer.random))
            }
        }
    }

    fn time_predicate(&mut self, column: &Column) -> String {
        let (name, kind) = (format!("`{}`", column.name), column.kind);
        let value = if self.chance(20) { format!("COALESCE({name}, {name})") } else { name.clone() };
        match self.random.random_range(0..6) {
            0 => format!("{value} LIKE '{}'", self.one_of(&["-%", "%:00", "23%", "%.5%"])),
            1 => format!("{value} {} `ti3`", self.comparison()),
            2 => format!("{value} {} TIME'00:01:00'", self.comparison()),
            3 if self.dialect == Dialect::MySql => format!("CONCAT({value}, '') {} '00:00:00'", self.comparison()),
            _ => self.compared(&value, move |writer| literal(kind, &mut writer.random)),
        }
    }
}
