//! Addresses: how a person names a place in the log. Parsing only says what was meant; what it
//! leads to is looked up in [`resolve`](super::resolve).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A place in the log, or of the source, as a user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The first entry the log still holds; of a source: its oldest binlog.
    Earliest,
    /// Behind the last visible entry; of a source: its end.
    Latest,
    /// An entry by its number, from 1.
    Seq(u64),
    /// The first transaction whose commit time reaches this, in microseconds since 1970.
    Time(i64),
    /// The first transaction that is not in this GTID set (MySQL) or position (MariaDB).
    Gtid(String),
    /// The first transaction that ends behind this offset of this binlog file.
    File {
        /// Name of the binlog file, as the server lists it.
        file: String,
        /// Byte offset in it.
        offset: u64,
    },
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is no address: {reason}; write earliest, latest, seq:N, time:2026-01-31T08:00:00Z, gtid:SET or file:mysql-bin.000003:4"
)]
pub struct AddressError {
    /// The text as it was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = |reason: String| AddressError { text: text.to_owned(), reason };
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        let (kind, rest) = text.split_once(':').ok_or_else(|| fail("it has no kind".into()))?;
        match kind {
            "seq" => match rest.parse() {
                Ok(0) => Err(fail("seqs start at 1".into())),
                Ok(seq) => Ok(Self::Seq(seq)),
                Err(_) => Err(fail("seq: takes a whole number".into())),
            },
            "time" => rest
                .parse::<Timestamp>()
                .map(|t| Self::Time(t.as_microsecond()))
                .map_err(|_| fail("time: takes a date and time with its zone, RFC 3339".into())),
            "gtid" if rest.trim().is_empty() => Err(fail("gtid: takes a GTID set".into())),
            "gtid" => Ok(Self::Gtid(rest.split_whitespace().collect())),
            "file" => {
                let (file, offset) =
                    rest.rsplit_once(':').ok_or_else(|| fail("file: takes a name and an offset".into()))?;
                let offset = offset.parse().map_err(|_| fail("the offset is no whole number".into()))?;
                if file.is_empty() || file.chars().any(|c| c.is_control() || c == '/') {
                    return Err(fail("the name is no binlog file's".into()));
                }
                Ok(Self::File { file: file.to_owned(), offset })
            }
            other => Err(fail(format!("no kind of address is called {other:?}"))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Seq(seq) => write!(f, "seq:{seq}"),
            Self::Time(us) => match Timestamp::from_microsecond(*us) {
                Ok(time) => write!(f, "time:{time}"),
                Err(_) => write!(f, "time:{us}us"),
            },
            Self::Gtid(set) => write!(f, "gtid:{set}"),
            Self::File { file, offset } => write!(f, "file:{file}:{offset}"),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_as_it_prints() {
        for text in [
            "earliest",
            "latest",
            "seq:17",
            "time:2026-01-31T08:00:00Z",
            "time:2026-01-31T08:00:00.25Z",
            "gtid:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
            "gtid:0-1-42",
            "file:mysql-bin.000003:4",
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("time:2026-01-31T10:00:00+02:00".parse(), "time:2026-01-31T08:00:00Z".parse::<Address>());
        assert_eq!("gtid:a:1,\n b:2".parse(), Ok(Address::Gtid("a:1,b:2".into())));
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_it_may_take() {
        for text in [
            "",
            "now",
            "seq:",
            "seq:0",
            "seq:-1",
            "time:",
            "time:2026-01-31",
            "time:yesterday",
            "gtid:",
            "file:x",
            "file::4",
            "file:a/b:4",
            "file:a:x",
            "lsn:4",
        ] {
            let e = text.parse::<Address>().unwrap_err().to_string();
            assert!(e.contains("seq:N") && e.contains(&format!("{text:?}")), "{e}");
        }
    }
}
