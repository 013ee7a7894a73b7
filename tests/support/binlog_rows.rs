//! Binlog events of rows, made byte by byte as a server writes them: for tests and benches that need rows of a known
//! shape without a server. Uses nothing of the crate, so that it cannot share its mistakes.

/// One column as a table map with FULL metadata describes it.
#[derive(Clone)]
pub struct Col {
    pub name: &'static str,
    pub wire: u8,
    pub meta: Vec<u8>,
    pub nullable: bool,
    pub unsigned: Option<bool>,
    pub collation: Option<u16>,
    pub labels: Vec<&'static [u8]>,
    pub geometry: Option<u8>,
    pub dimension: Option<u32>,
    pub visible: bool,
    pub key: bool,
}

/// A value as it lies in a row, without the length in front; none is NULL.
pub type Bytes = Option<Vec<u8>>;

/// A row image: a value for each column of the table; the outer none is a column that the image lacks.
pub type Image = Vec<Option<Bytes>>;

pub fn col(name: &'static str, wire: u8, meta: &[u8]) -> Col {
    Col {
        name,
        wire,
        meta: meta.to_vec(),
        nullable: true,
        unsigned: None,
        collation: None,
        labels: Vec::new(),
        geometry: None,
        dimension: None,
        visible: true,
        key: false,
    }
}

pub fn int(name: &'static str, wire: u8, unsigned: bool) -> Col {
    Col { unsigned: Some(unsigned), ..col(name, wire, &[]) }
}

pub fn varchar(name: &'static str, characters: u16, collation: u16, bytes_per_character: u16) -> Col {
    Col { collation: Some(collation), ..col(name, 15, &(characters * bytes_per_character).to_le_bytes()) }
}

/// CHAR or BINARY, at most 255 bytes.
pub fn fixed(name: &'static str, bytes: u8, collation: u16) -> Col {
    Col { collation: Some(collation), ..col(name, 254, &[254, bytes]) }
}

pub fn blob(name: &'static str, length_bytes: u8, collation: u16) -> Col {
    Col { collation: Some(collation), ..col(name, 252, &[length_bytes]) }
}

pub fn decimal_col(name: &'static str, precision: u8, scale: u8) -> Col {
    Col { unsigned: Some(false), ..col(name, 246, &[precision, scale]) }
}

pub fn labelled(name: &'static str, wire: u8, bytes: u8, labels: &[&'static str], collation: u16) -> Col {
    let labels = labels.iter().map(|label| label.as_bytes()).collect();
    Col { collation: Some(collation), labels, ..col(name, 254, &[wire, bytes]) }
}

impl Col {
    pub fn not_null(self) -> Self {
        Self { nullable: false, ..self }
    }

    pub fn key(self) -> Self {
        Self { nullable: false, key: true, ..self }
    }

    pub fn invisible(self) -> Self {
        Self { visible: false, ..self }
    }
}

fn lenenc(n: usize, out: &mut Vec<u8>) {
    match n {
        0..=250 => out.push(n as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend((n as u16).to_le_bytes());
        }
        _ => {
            out.push(0xfd);
            out.extend(&(n as u32).to_le_bytes()[..3]);
        }
    }
}

fn field(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    if !body.is_empty() {
        out.push(kind);
        lenenc(body.len(), out);
        out.extend(body);
    }
}

fn bits_high_first(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |b, (i, &on)| b | u8::from(on) << (7 - i))).collect()
}

fn bits_low_first(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |b, (i, &on)| b | u8::from(on) << i)).collect()
}

/// An event without a checksum.
pub fn event(kind: u8, timestamp: u32, end: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(timestamp.to_le_bytes());
    out.push(kind);
    out.extend(1u32.to_le_bytes());
    out.extend((19 + body.len() as u32).to_le_bytes());
    out.extend(end.to_le_bytes());
    out.extend(0u16.to_le_bytes());
    out.extend(body);
    out
}

/// A TABLE_MAP event: with all metadata, or (`full` false) with none, as MySQL 5.6 writes it.
pub fn table_map(table_id: u64, database: &str, table: &str, columns: &[Col], full: bool) -> Vec<u8> {
    let mut body = table_id.to_le_bytes()[..6].to_vec();
    body.extend(1u16.to_le_bytes());
    for name in [database, table] {
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.push(0);
    }
    lenenc(columns.len(), &mut body);
    body.extend(columns.iter().map(|c| c.wire));
    let meta: Vec<u8> = columns.iter().flat_map(|c| c.meta.clone()).collect();
    lenenc(meta.len(), &mut body);
    body.extend(meta);
    body.extend(bits_low_first(columns.iter().map(|c| c.nullable)));
    if full {
        metadata(columns, &mut body);
    }
    event(19, 1_767_225_930, 500, &body)
}

fn metadata(columns: &[Col], out: &mut Vec<u8>) {
    let numeric: Vec<bool> = columns
        .iter()
        .filter(|c| matches!(c.wire, 1..=5 | 8 | 9 | 13 | 246))
        .map(|c| c.unsigned.unwrap_or(c.wire == 13))
        .collect();
    field(1, &bits_high_first(&numeric), out);
    let real = |c: &Col| if c.wire == 254 { c.meta[0] } else { c.wire };
    let is_labelled = |c: &Col| matches!(real(c), 247 | 248);
    for (kind, labelled) in [(3, false), (11, true)] {
        let mut body = Vec::new();
        for column in columns.iter().filter(|c| c.collation.is_some() && is_labelled(c) == labelled) {
            lenenc(column.collation.unwrap_or_default().into(), &mut body);
        }
        field(kind, &body, out);
    }
    let mut names = Vec::new();
    for column in columns {
        lenenc(column.name.len(), &mut names);
        names.extend(column.name.as_bytes());
    }
    field(4, &names, out);
    for (kind, wire) in [(5, 248), (6, 247)] {
        let mut body = Vec::new();
        for column in columns.iter().filter(|c| real(c) == wire) {
            lenenc(column.labels.len(), &mut body);
            for label in &column.labels {
                lenenc(label.len(), &mut body);
                body.extend(*label);
            }
        }
        field(kind, &body, out);
    }
    field(7, &columns.iter().filter_map(|c| c.geometry).collect::<Vec<_>>(), out);
    let mut dimensions = Vec::new();
    for dimension in columns.iter().filter_map(|c| c.dimension) {
        lenenc(dimension as usize, &mut dimensions);
    }
    let keys: Vec<u8> = columns.iter().enumerate().filter(|(_, c)| c.key).map(|(i, _)| i as u8).collect();
    field(8, &keys, out);
    field(12, &bits_high_first(&columns.iter().map(|c| c.visible).collect::<Vec<_>>()), out);
    field(13, &dimensions, out);
}

/// A rows event, version 2: kind 30 (images: one each), 31 (before, after, ...), 32.
pub fn rows(kind: u8, table_id: u64, columns: &[Col], images: &[Image], timestamp: u32) -> Vec<u8> {
    let mut body = table_id.to_le_bytes()[..6].to_vec();
    body.extend(1u16.to_le_bytes());
    body.extend(2u16.to_le_bytes());
    lenenc(columns.len(), &mut body);
    body.extend(bits_low_first(images[0].iter().map(Option::is_some)));
    if kind == 31 {
        body.extend(bits_low_first(images[1].iter().map(Option::is_some)));
    }
    for image in images {
        let held = || image.iter().zip(columns).filter_map(|(value, column)| value.as_ref().map(|v| (v, column)));
        body.extend(bits_low_first(held().map(|(value, _)| value.is_none())));
        for (value, column) in held() {
            let Some(value) = value else { continue };
            let prefix = match column.wire {
                15 | 141 => 1 + usize::from(u16::from_le_bytes([column.meta[0], column.meta[1]]) > 255),
                // Two bits of a length above 255 hide in the type byte, inverted.
                254 if !matches!(column.meta[0], 247 | 248) => 1 + usize::from(column.meta[0] & 0x30 != 0x30),
                252 | 245 | 255 | 242 | 140 => column.meta[0].into(),
                _ => 0,
            };
            body.extend(&value.len().to_le_bytes()[..prefix]);
            body.extend(value);
        }
    }
    event(kind, timestamp, 900, &body)
}

/// A whole image of these values.
pub fn image(values: &[Bytes]) -> Image {
    values.iter().cloned().map(Some).collect()
}

pub fn le(value: i64, bytes: usize) -> Bytes {
    Some(value.to_le_bytes()[..bytes].to_vec())
}

pub fn text(value: &str) -> Bytes {
    Some(value.as_bytes().to_vec())
}

/// A DECIMAL by its text, which has exactly `scale` digits behind the point.
pub fn decimal(value: &str, precision: usize, scale: usize) -> Bytes {
    let negative = value.starts_with('-');
    let value = value.trim_start_matches('-');
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    assert_eq!(fraction.len(), scale);
    let whole = format!("{whole:0>width$}", width = precision - scale);
    let bytes_of = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let mut out: Vec<u8> = Vec::new();
    let mut group = |digits: &str| {
        if !digits.is_empty() {
            let number: u32 = digits.parse().expect("digits");
            out.extend(&number.to_be_bytes()[4 - bytes_of[digits.len()]..]);
        }
    };
    let (lead, rest) = whole.split_at(whole.len() % 9);
    group(lead);
    rest.as_bytes().chunks(9).for_each(|g| group(std::str::from_utf8(g).expect("digits")));
    fraction.as_bytes().chunks(9).for_each(|g| group(std::str::from_utf8(g).expect("digits")));
    out[0] ^= 0x80;
    if negative {
        out.iter_mut().for_each(|b| *b = !*b);
    }
    Some(out)
}

/// Fraction of a temporal value: `fsp` digits, two of them a byte.
fn fraction(micros: u32, fsp: u8) -> Vec<u8> {
    match fsp {
        0 => Vec::new(),
        1 | 2 => vec![(micros / 10_000) as u8],
        3 | 4 => ((micros / 100) as u16).to_be_bytes().to_vec(),
        _ => micros.to_be_bytes()[1..].to_vec(),
    }
}

pub fn date(year: u32, month: u32, day: u32) -> Bytes {
    Some((year << 9 | month << 5 | day).to_le_bytes()[..3].to_vec())
}

pub fn datetime2(date: [u64; 3], time: [u64; 3], micros: u32, fsp: u8) -> Bytes {
    let packed = ((date[0] * 13 + date[1]) << 5 | date[2]) << 17 | time[0] << 12 | time[1] << 6 | time[2];
    let mut out = (packed | 1 << 39).to_be_bytes()[3..].to_vec();
    out.extend(fraction(micros, fsp));
    Some(out)
}

pub fn timestamp2(seconds: u32, micros: u32, fsp: u8) -> Bytes {
    let mut out = seconds.to_be_bytes().to_vec();
    out.extend(fraction(micros, fsp));
    Some(out)
}

/// A TIME without a fraction, or a positive one with it.
pub fn time2(negative: bool, time: [i64; 3], micros: u32, fsp: u8) -> Bytes {
    assert!(!negative || micros == 0);
    let packed = time[0] << 12 | time[1] << 6 | time[2];
    let packed = if negative { -packed } else { packed } + 0x80_0000;
    let mut out = packed.to_be_bytes()[5..].to_vec();
    out.extend(fraction(micros, fsp));
    Some(out)
}

/// A MySQL GTID event of 8.0: uuid, number, clocks, commit time.
pub fn gtid(uuid: [u8; 16], number: i64, commit_us: u64) -> Vec<u8> {
    let mut body = vec![1];
    body.extend(uuid);
    body.extend(number.to_le_bytes());
    body.push(2);
    body.extend(0i64.to_le_bytes());
    body.extend(1i64.to_le_bytes());
    body.extend(&commit_us.to_le_bytes()[..7]);
    lenenc(400, &mut body);
    body.extend(90_704u32.to_le_bytes());
    event(33, 1_767_225_930, 200, &body)
}

/// A QUERY event without status variables.
pub fn query(thread_id: u32, database: &str, sql: &str) -> Vec<u8> {
    let mut body = thread_id.to_le_bytes().to_vec();
    body.extend(0u32.to_le_bytes());
    body.push(database.len() as u8);
    body.extend(0u16.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    body.extend(database.as_bytes());
    body.push(0);
    body.extend(sql.as_bytes());
    event(2, 1_767_225_930, 300, &body)
}

/// A format description of this server version: no checksums, post-header lengths as MySQL 8 has them for rows.
pub fn format_description(version: &str) -> Vec<u8> {
    let mut body = 4u16.to_le_bytes().to_vec();
    let mut name = [0u8; 50];
    name[..version.len()].copy_from_slice(version.as_bytes());
    body.extend(name);
    body.extend(1_767_000_000u32.to_le_bytes());
    body.push(19);
    let mut lengths = vec![0u8; 41];
    lengths[18] = 8;
    for rows in [23, 24, 25] {
        lengths[rows - 1] = 8;
    }
    for rows in [30, 31, 32, 39] {
        lengths[rows - 1] = 10;
    }
    body.extend(lengths);
    body.extend([0; 5]);
    event(15, 1_767_000_000, 126, &body)
}

/// The XID event.
pub fn xid(number: u64) -> Vec<u8> {
    event(16, 1_767_225_930, 1000, &number.to_le_bytes())
}
