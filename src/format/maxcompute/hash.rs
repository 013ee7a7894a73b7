//! Buckets of a table with a primary key: rows of one key go to one bucket, by a hash that client and service share.

use super::data_type::DataType;
use super::datum::Datum;

/// The two families of hashes; a session names the one that its table uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hasher {
    /// Of tables made today.
    Default,
    /// Of older ones.
    Legacy,
}

impl Hasher {
    /// By the name that a session gives.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::Default),
            "legacy" => Some(Self::Legacy),
            _ => None,
        }
    }

    /// The hash of one key column's value; none for a type that cannot be in a key, or a value that is not of it.
    pub fn hash(self, kind: &DataType, value: &Datum) -> Option<i32> {
        Some(match (kind, value) {
            (DataType::Date, &Datum::Integer(days)) => self.integer(days.wrapping_mul(86_400)),
            (
                DataType::BigInt | DataType::Int | DataType::SmallInt | DataType::TinyInt | DataType::DateTime,
                &Datum::Integer(value),
            ) => self.integer(value),
            (DataType::Timestamp, &Datum::Moment { seconds, nanos }) => {
                self.integer(seconds.wrapping_shl(30) | i64::from(nanos))
            }
            (DataType::Double, Datum::Double(value)) => self.integer(value.to_bits() as i64),
            (DataType::Float, Datum::Float(value)) => self.integer((value.to_bits() as i32).into()),
            (DataType::Boolean, Datum::Boolean(true)) => 0x172B_A9C7,
            (DataType::Boolean, Datum::Boolean(false)) => -0x3A59_CB12,
            (DataType::String | DataType::VarChar(_) | DataType::Char(_) | DataType::Binary, Datum::Bytes(value)) => {
                self.bytes(value)
            }
            (DataType::Decimal(declared), Datum::Bytes(text)) => {
                let (precision, scale) = declared.unwrap_or((38, 18));
                let scaled = scaled(text, scale)?;
                if precision > 18 {
                    self.integer(scaled as i64).wrapping_add(self.integer((scaled >> 64) as i64))
                } else {
                    self.integer(scaled as i64)
                }
            }
            _ => return None,
        })
    }

    fn integer(self, value: i64) -> i32 {
        match self {
            Self::Legacy => (value >> 32 ^ value) as i32,
            Self::Default => {
                let mut hash = (!value).wrapping_add(value << 18);
                hash ^= hash >> 31;
                hash = hash.wrapping_mul(21);
                hash ^= hash >> 11;
                hash = hash.wrapping_add(hash << 6);
                hash ^= hash >> 22;
                hash as i32
            }
        }
    }

    /// Bytes count as signed.
    fn bytes(self, bytes: &[u8]) -> i32 {
        let signed = bytes.iter().map(|&byte| i32::from(byte as i8));
        match self {
            Self::Legacy => signed.fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte)),
            Self::Default => {
                let mixed = signed.fold(0i32, |hash, byte| {
                    let hash = hash.wrapping_add(byte);
                    let hash = hash.wrapping_add(hash << 10);
                    hash ^ hash >> 6
                });
                let mixed = mixed.wrapping_add(mixed << 3);
                let mixed = mixed ^ mixed >> 11;
                mixed.wrapping_add(mixed << 15)
            }
        }
    }
}

/// The bucket of a row, of `buckets` at least 1, by its key columns; NULL counts as nothing. None where a column has no
/// hash.
pub fn bucket<'a>(
    hasher: Hasher,
    buckets: u32,
    key: impl IntoIterator<Item = (&'a DataType, Option<&'a Datum>)>,
) -> Option<u32> {
    combined(hasher, key).map(|hash| hash % buckets.max(1))
}

fn combined<'a>(hasher: Hasher, key: impl IntoIterator<Item = (&'a DataType, Option<&'a Datum>)>) -> Option<u32> {
    let mut sum = 0i32;
    for (kind, value) in key {
        if let Some(value) = value {
            sum = sum.wrapping_add(hasher.hash(kind, value)?);
        }
    }
    // The sign is its own partner in the last step, so that nothing below zero is left.
    Some((sum ^ sum >> 8) as u32)
}

/// A decimal's digits as an integer with `scale` digits behind the point, rounded half up; none when it is no number
/// or does not fit.
fn scaled(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let mut digits: Vec<u8> = mantissa.to_vec();
    if let Some(at) = point {
        digits.remove(at);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let behind = point.map_or(0, |at| mantissa.len() - 1 - at) as i32 - exponent.clamp(-200, 200);
    let shift = i32::from(scale) - behind;
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0i128, |value, &digit| value.checked_mul(10)?.checked_add((digit - b'0').into()))
    };
    let value = if shift >= 0 {
        number(&digits)?.checked_mul(10i128.checked_pow(shift as u32)?)?
    } else {
        let dropped = shift.unsigned_abs() as usize;
        let kept = digits.len().saturating_sub(dropped);
        let up = dropped <= digits.len() && digits.get(kept).is_some_and(|&digit| digit >= b'5');
        number(&digits[..kept])? + i128::from(up)
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::binlog::time::Date;
    use crate::format::epoch;

    #[derive(Deserialize)]
    struct Vectors {
        values: Vec<ValueCase>,
        combined: Vec<RowCase>,
    }

    #[derive(Deserialize)]
    struct ValueCase {
        hasher: String,
        #[serde(rename = "type")]
        kind: String,
        value: String,
        hash_i32: i32,
    }

    #[derive(Deserialize)]
    struct RowCase {
        hasher: String,
        keys: Vec<String>,
        row: (i64, String),
        combined_i32: u32,
        bucket_of_4_floor_mod: u32,
        bucket_of_16_floor_mod: u32,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../tests/fixtures/maxcompute/hashing.json")).expect("the vectors")
    }

    fn days(text: &str) -> i64 {
        let part = |range: std::ops::Range<usize>| text[range].parse::<u16>().expect("digits");
        epoch::days(Date { year: part(0..4), month: part(5..7) as u8, day: part(8..10) as u8 }).expect("a date")
    }

    fn datum(kind: &DataType, text: &str) -> Datum {
        match kind {
            DataType::Boolean => Datum::Boolean(text == "True"),
            DataType::Double => Datum::Double(text.parse().expect("a number")),
            DataType::Float => Datum::Float(text.parse().expect("a number")),
            DataType::Date => Datum::Integer(days(text)),
            DataType::DateTime => {
                let parts: Vec<i64> = text[11..].split([':', '.']).map(|part| part.parse().expect("digits")).collect();
                let seconds = days(text) * 86_400 + parts[0] * 3600 + parts[1] * 60 + parts[2];
                Datum::Integer(seconds * 1000 + parts.get(3).map_or(0, |micros| micros / 1000))
            }
            DataType::BigInt | DataType::Int => Datum::Integer(text.parse().expect("an integer")),
            _ => Datum::Bytes(text.as_bytes().to_vec()),
        }
    }

    #[test]
    fn values_hash_as_the_real_client_hashes_them() {
        let cases = vectors().values;
        assert!(cases.len() > 60);
        for case in cases {
            let hasher = Hasher::parse(&case.hasher).expect("a hasher");
            let kind = DataType::parse(&case.kind).expect("a type");
            let hash = hasher.hash(&kind, &datum(&kind, &case.value));
            assert_eq!(hash, Some(case.hash_i32), "{} {} {}", case.hasher, case.kind, case.value);
        }
    }

    #[test]
    fn rows_go_to_the_buckets_that_the_real_client_chose() {
        let cases = vectors().combined;
        assert!(cases.len() >= 24);
        for case in cases {
            let hasher = Hasher::parse(&case.hasher).expect("a hasher");
            let (id, name) = (Datum::Integer(case.row.0), Datum::Bytes(case.row.1.clone().into_bytes()));
            let key: Vec<_> = case
                .keys
                .iter()
                .map(|key| match key.as_str() {
                    "id" => (&DataType::BigInt, Some(&id)),
                    _ => (&DataType::String, Some(&name)),
                })
                .collect();
            assert_eq!(combined(hasher, key.clone()), Some(case.combined_i32));
            assert_eq!(bucket(hasher, 4, key.clone()), Some(case.bucket_of_4_floor_mod));
            assert_eq!(bucket(hasher, 16, key), Some(case.bucket_of_16_floor_mod));
        }
    }

    #[test]
    fn null_counts_as_nothing_and_a_type_without_a_hash_has_no_bucket() {
        let one = Datum::Integer(1);
        let alone = bucket(Hasher::Default, 16, [(&DataType::BigInt, Some(&one))]);
        let with_null = [(&DataType::BigInt, Some(&one)), (&DataType::String, None)];
        assert_eq!(bucket(Hasher::Default, 16, with_null), alone);
        let json = Datum::Bytes(b"{}".to_vec());
        assert_eq!(bucket(Hasher::Default, 16, [(&DataType::Json, Some(&json))]), None);
    }

    #[test]
    fn decimals_are_scaled_and_rounded_by_their_column() {
        for (text, scale, scaled_to) in [
            ("0", 18, Some(0)),
            ("1.5", 2, Some(150)),
            ("-1.555", 2, Some(-156)),
            ("1E+3", 0, Some(1000)),
            ("-1E-18", 18, Some(-1)),
            ("0.004", 2, Some(0)),
            ("0.0005", 2, Some(0)),
            ("1e-200", 2, Some(0)),
            ("1e200", 2, None),
            ("x", 0, None),
        ] {
            assert_eq!(scaled(text.as_bytes(), scale), scaled_to, "{text}");
        }
    }
}
