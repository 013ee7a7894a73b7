//! MariaDB's positions: the newest GTID of each replication domain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::GtidParseError;

/// One MariaDB GTID, which prints as `domain-server-seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainGtid {
    /// Replication domain.
    pub domain: u32,
    /// The server that first ran the group.
    pub server_id: u32,
    /// Number in the domain, rising.
    pub seq: u64,
}

impl fmt::Display for DomainGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.seq)
    }
}

impl FromStr for DomainGtid {
    type Err = GtidParseError;

    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let wrong = || GtidParseError::new(text, "a mariadb gtid");
        let mut parts = text.split('-');
        let mut part = || parts.next().filter(|p| p.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong);
        let gtid = DomainGtid {
            domain: part()?.parse().map_err(|_| wrong())?,
            server_id: part()?.parse().map_err(|_| wrong())?,
            seq: part()?.parse().map_err(|_| wrong())?,
        };
        if parts.next().is_some() { Err(wrong()) } else { Ok(gtid) }
    }
}

/// The newest GTID of each domain, as `gtid_binlog_pos` and `slave_connect_state` have it. Prints with domains rising.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MariadbPosition {
    domains: BTreeMap<u32, (u32, u64)>,
}

impl MariadbPosition {
    /// The position before everything.
    pub fn new() -> MariadbPosition {
        MariadbPosition::default()
    }

    /// Whether no domain has a GTID.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// `gtid` was read: it is its domain's newest from now on, whatever the number (a domain can be reset).
    pub fn add(&mut self, gtid: DomainGtid) {
        self.domains.insert(gtid.domain, (gtid.server_id, gtid.seq));
    }

    /// The server and number of a domain's newest GTID.
    pub fn get(&self, domain: u32) -> Option<(u32, u64)> {
        self.domains.get(&domain).copied()
    }

    /// Whether the position is at or after `gtid` in its domain.
    pub fn covers(&self, gtid: &DomainGtid) -> bool {
        self.get(gtid.domain).is_some_and(|(_, seq)| seq >= gtid.seq)
    }

    /// Whether every domain of `other` is covered.
    pub fn covers_all(&self, other: &MariadbPosition) -> bool {
        other.iter().all(|gtid| self.covers(&gtid))
    }

    /// One GTID per domain, domains rising.
    pub fn iter(&self) -> impl Iterator<Item = DomainGtid> + '_ {
        self.domains.iter().map(|(&domain, &(server_id, seq))| DomainGtid { domain, server_id, seq })
    }
}

impl fmt::Display for MariadbPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, gtid) in self.iter().enumerate() {
            write!(f, "{}{gtid}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for MariadbPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl FromStr for MariadbPosition {
    type Err = GtidParseError;

    /// Reads `0-10-20,7-10-1`; spaces between the parts are allowed, two GTIDs of one domain are not.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let mut position = MariadbPosition::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let gtid: DomainGtid = part.parse()?;
            if position.get(gtid.domain).is_some() {
                return Err(GtidParseError::new(part, "the only gtid of its domain"));
            }
            position.add(gtid);
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gtid_a_domain() {
        let mut p: MariadbPosition = "7-10-1, 0-10-20".parse().unwrap();
        assert_eq!(p.to_string(), "0-10-20,7-10-1");
        assert!(p.covers(&"0-99-20".parse().unwrap()) && !p.covers(&"0-10-21".parse().unwrap()));
        assert!(!p.covers(&"1-1-1".parse().unwrap()));
        p.add("0-11-21".parse().unwrap());
        assert_eq!(p.get(0), Some((11, 21)));
        assert!(p.covers_all(&"0-10-20,7-10-1".parse().unwrap()));
        assert!(!p.covers_all(&"0-10-20,8-10-1".parse().unwrap()));
        assert_eq!("".parse::<MariadbPosition>().unwrap(), MariadbPosition::new());
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["0", "0-1", "0-1-2-3", "a-1-2", "0-1--2", "0--1-2", "+0-1-2", "4294967296-1-1", "0-1-1,0-2-5"] {
            assert!(text.parse::<MariadbPosition>().is_err(), "{text}");
        }
    }
}
