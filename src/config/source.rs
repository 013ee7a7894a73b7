//! `[source]`: the server that is captured, how it is reached, and what of it enters the log.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};

use super::delivery::{RawRetry, Retry};
use super::{Environment, FieldError, Secret, Span};
use crate::capture::online_ddl::HelperPattern;
use crate::log::address::Address;
use crate::selection::{SYSTEM_SCHEMAS, TablePatterns};

const DEFAULT_PORT: u16 = 3306;
/// Servers accept more; a list longer than this is a mistake.
const HOSTS_MAX: usize = 16;

/// The server that is captured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// The address as a whole, without secrets, in its canonical form.
    pub url: String,
    /// Servers of one topology, in the order in which they are tried.
    #[serde(skip)]
    pub hosts: Vec<(String, u16)>,
    /// The account.
    #[serde(skip)]
    pub user: String,
    /// Its password; empty when none was given.
    #[serde(skip)]
    pub password: Secret,
    /// File the password was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The id under which the relay registers as a replica; unique in the topology.
    pub server_id: u32,
    /// How the connection is protected.
    #[serde(flatten)]
    pub tls: Tls,
    /// By what the stream resumes.
    pub resume: Resume,
    /// Where a fresh log begins.
    pub start: SourceStart,
    /// What enters the log.
    #[serde(serialize_with = "print_tables")]
    pub tables: TablePatterns,
    /// Names of helper tables of online schema changes, besides those of the usual tools.
    pub online_ddl: Vec<HelperPattern>,
    /// Whether a selected table stays one under any name that it gets.
    pub follow_rename: bool,
    /// Ids of precheck warnings that do not hold up the start.
    pub accept: Vec<String>,
    /// Whether row images other than FULL are taken.
    pub allow_partial_images: bool,
    /// Zone in which TIMESTAMP is rendered: `source` (the server's), an offset or an IANA name.
    pub timestamp_zone: String,
    /// For how long failures are retried.
    pub retry: Retry,
    /// Whether a failed capture tries again every 60 s.
    pub auto_resume: bool,
    /// How often an idle server says that it lives.
    pub heartbeat_interval: Span,
    /// How long a connection may take to be made.
    pub connect_timeout: Span,
    /// Table of which the relay replaces a row every second, so that the source's binlog moves; none: it writes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_table: Option<TableId>,
    /// Whether the heartbeats of other tools stay out of the log.
    pub ignore_foreign_heartbeats: bool,
}

/// One table by its names, written as `database.table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableId {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
}

impl TableId {
    /// Longest name of a database or a table (MySQL manual, "Identifier Length Limits").
    const NAME_CHARS_MAX: usize = 64;

    /// Reads `database.table`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("{text:?} {what}; write it as database.table");
        let (database, table) = text.split_once('.').ok_or_else(|| bad("has no dot"))?;
        for part in [database, table] {
            if part.is_empty() || part.chars().count() > Self::NAME_CHARS_MAX {
                return Err(bad("has a part that is empty or longer than 64 characters"));
            }
            if part.chars().any(|c| c.is_control() || c.is_whitespace() || "`.*%?!/\\".contains(c)) {
                return Err(bad("is not the name of one table"));
            }
        }
        if SYSTEM_SCHEMAS.iter().any(|schema| schema.eq_ignore_ascii_case(database)) {
            return Err(bad("lies in a schema of the server's own"));
        }
        Ok(Self { database: database.to_owned(), table: table.to_owned() })
    }
}

impl Serialize for TableId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}.{}", self.database, self.table))
    }
}

/// How a connection is protected. The mode never weakens by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// What is asked of the connection.
    #[serde(rename = "tls")]
    pub mode: TlsMode,
    /// PEM file of the authorities that are trusted; the public ones when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// What is asked of a TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Plain text.
    Disabled,
    /// Encrypted; nobody is verified.
    Required,
    /// The certificate must come from a trusted authority.
    VerifyCa,
    /// And name the host that was asked for.
    #[default]
    VerifyIdentity,
}

/// By what the stream resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// By GTID when the server has it, else by file and position.
    #[default]
    Auto,
    /// By GTID, or not at all.
    Gtid,
    /// By file and position, or not at all.
    File,
}

/// Where a fresh log begins in the source; later starts go on where the log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceStart {
    /// At the source's end.
    Latest,
    /// At the oldest binlog the source still has.
    Earliest,
    /// At the first transaction whose commit time reaches this, in microseconds since 1970.
    Time(i64),
    /// Behind the transactions of this set.
    Gtid(String),
    /// At this place.
    File {
        /// Name of the binlog file.
        file: String,
        /// Byte offset in it.
        offset: u64,
    },
}

impl Serialize for SourceStart {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Address::from(self.clone()).serialize(s)
    }
}

impl From<SourceStart> for Address {
    fn from(start: SourceStart) -> Self {
        match start {
            SourceStart::Latest => Self::Latest,
            SourceStart::Earliest => Self::Earliest,
            SourceStart::Time(us) => Self::Time(us),
            SourceStart::Gtid(set) => Self::Gtid(set),
            SourceStart::File { file, offset } => Self::File { file, offset },
        }
    }
}

fn print_tables<S: Serializer>(tables: &TablePatterns, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(tables.texts())
}

/// The section as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    url: String,
    password_file: Option<PathBuf>,
    server_id: Option<u32>,
    #[serde(default)]
    tls: TlsMode,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    #[serde(default)]
    resume: Resume,
    start: Option<Address>,
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default)]
    online_ddl: Vec<HelperPattern>,
    #[serde(default)]
    follow_rename: bool,
    #[serde(default)]
    accept: Vec<String>,
    #[serde(default)]
    allow_partial_images: bool,
    timestamp_zone: Option<String>,
    #[serde(default)]
    retry: RawRetry,
    auto_resume: Option<bool>,
    heartbeat_interval: Option<Span>,
    connect_timeout: Option<Span>,
    heartbeat_table: Option<String>,
    ignore_foreign_heartbeats: Option<bool>,
}

impl Raw {
    pub(super) fn resolve(self, name: &str, environment: Environment<'_>) -> Result<Source, FieldError> {
        let (user, hosts) = parse_url(&self.url).map_err(|reason| FieldError::new("url", reason))?;
        let password = super::find_secret(environment, "RELAY_SOURCE_PASSWORD", self.password_file.as_deref())
            .map_err(|reason| FieldError::new("password_file", reason))?
            .unwrap_or_else(|| Secret::new(""));
        let server_id = self.server_id.unwrap_or_else(|| default_server_id(name));
        if server_id == 0 {
            return Err(FieldError::new(
                "server_id",
                "0 is no id of a replica; take one that no server of the topology has",
            ));
        }
        let start = match self.start {
            None | Some(Address::Latest) => SourceStart::Latest,
            Some(Address::Earliest) => SourceStart::Earliest,
            Some(Address::Time(us)) => SourceStart::Time(us),
            Some(Address::Gtid(set)) => SourceStart::Gtid(set),
            Some(Address::File { file, offset }) => SourceStart::File { file, offset },
            Some(Address::Seq(_)) => {
                let reason = "seq: counts entries of our own log, which a source does not know; use earliest, latest, time:, gtid: or file:";
                return Err(FieldError::new("start", reason));
            }
        };
        let tls = Tls { mode: self.tls, ca_file: self.ca_file, cert_file: self.cert_file, key_file: self.key_file };
        tls.validate()?;
        let tables = TablePatterns::parse(&self.tables).map_err(|e| FieldError::new("tables", e.to_string()))?;
        let timestamp_zone = self.timestamp_zone.unwrap_or_else(|| "source".to_owned());
        check_zone(&timestamp_zone).map_err(|reason| FieldError::new("timestamp_zone", reason))?;
        let heartbeat_interval = self.heartbeat_interval.unwrap_or(Span::seconds(5));
        // Half-open connections are noticed after three missed heartbeats, and within 30 s.
        super::within("heartbeat_interval", heartbeat_interval, Span::millis(100), Span::seconds(10))?;
        let connect_timeout = self.connect_timeout.unwrap_or(Span::seconds(10));
        super::within("connect_timeout", connect_timeout, Span::millis(100), Span::minutes(10))?;
        let heartbeat_table = self.heartbeat_table.map(|text| TableId::parse(&text)).transpose();
        let heartbeat_table = heartbeat_table.map_err(|reason| FieldError::new("heartbeat_table", reason))?;
        let url = print_url(&user, &hosts);
        Ok(Source {
            url,
            hosts,
            user,
            password,
            password_file: self.password_file,
            server_id,
            tls,
            resume: self.resume,
            start,
            tables,
            online_ddl: self.online_ddl,
            follow_rename: self.follow_rename,
            accept: self.accept,
            allow_partial_images: self.allow_partial_images,
            timestamp_zone,
            retry: self.retry.resolve()?,
            auto_resume: self.auto_resume.unwrap_or(true),
            heartbeat_interval,
            connect_timeout,
            heartbeat_table,
            ignore_foreign_heartbeats: self.ignore_foreign_heartbeats.unwrap_or(true),
        })
    }
}

impl Tls {
    fn validate(&self) -> Result<(), FieldError> {
        if self.cert_file.is_some() != self.key_file.is_some() {
            let (missing, other) =
                if self.cert_file.is_some() { ("key_file", "cert_file") } else { ("cert_file", "key_file") };
            return Err(FieldError::new(
                missing,
                format!("it is missing, but {other} is set; a client certificate needs both"),
            ));
        }
        if self.mode == TlsMode::Disabled && (self.ca_file.is_some() || self.cert_file.is_some()) {
            return Err(FieldError::new(
                "tls",
                "it is disabled, but certificates are named; leave them out or set \"verify_identity\"",
            ));
        }
        Ok(())
    }
}

/// `mysql://user@host1:3306,host2:3306` to the account and the servers.
fn parse_url(url: &str) -> Result<(String, Vec<(String, u16)>), String> {
    const FORM: &str = "write it as mysql://user@host:3306, with several hosts separated by commas";
    let rest = url
        .strip_prefix("mysql://")
        .or_else(|| url.strip_prefix("mariadb://"))
        .ok_or_else(|| format!("it does not begin with mysql://; {FORM}"))?;
    let (account, hosts) = rest.rsplit_once('@').ok_or_else(|| format!("it names no user; {FORM}"))?;
    // The account may hold a secret: it is never repeated in an error.
    if account.contains(':') {
        return Err("it holds a password; put that into RELAY_SOURCE_PASSWORD or password_file".to_owned());
    }
    let user = percent_decode_str(account)
        .decode_utf8()
        .map_err(|_| "the user is not UTF-8 behind its percent signs".to_owned())?
        .into_owned();
    if user.is_empty() {
        return Err(format!("it names no user; {FORM}"));
    }
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    if let Some(c) = hosts.chars().find(|c| "/?#".contains(*c)) {
        return Err(format!("{c:?} behind the hosts: a database and options have no place here; {FORM}"));
    }
    let hosts = hosts.split(',').map(|h| parse_host(h.trim())).collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > HOSTS_MAX {
        return Err(format!("{} hosts; at most {HOSTS_MAX} are tried", hosts.len()));
    }
    Ok((user, hosts))
}

fn parse_host(text: &str) -> Result<(String, u16), String> {
    let bad = |what: &str| format!("host {text:?} {what}; write it as host:3306 or [::1]:3306");
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| bad("has no closing bracket"))?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| bad("is no IPv6 address"))?;
        (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")).ok_or_else(|| bad("is malformed"))?)
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("has no name"));
    }
    let port = match port {
        "" => DEFAULT_PORT,
        digits => digits.parse().ok().filter(|p| *p != 0).ok_or_else(|| bad("has no valid port"))?,
    };
    Ok((host.to_owned(), port))
}

fn print_url(user: &str, hosts: &[(String, u16)]) -> String {
    let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    let list: Vec<String> = hosts
        .iter()
        .map(|(host, port)| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
        .collect();
    format!("mysql://{user}@{}", list.join(","))
}

/// Two relays on one server need two ids, so the default follows the relay's name; the upper half of the range
/// keeps clear of the small numbers that servers have.
fn default_server_id(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes()) | 0x8000_0000
}

/// A zone by its offset (`+08:00`) or its name; `None` when neither, as for `source`.
pub fn parse_zone(text: &str) -> Option<jiff::tz::TimeZone> {
    if let Some(rest) = text.strip_prefix(['+', '-']) {
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes): (u8, u8) = (digits(hours)?, digits(minutes)?);
        // MySQL takes -13:59 to +14:00.
        if hours > 14 || minutes > 59 {
            return None;
        }
        let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
        let seconds = if text.starts_with('-') { -seconds } else { seconds };
        return jiff::tz::Offset::from_seconds(seconds).ok().map(jiff::tz::TimeZone::fixed);
    }
    jiff::tz::TimeZone::get(text).ok()
}

/// Two digits and nothing else.
fn digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn check_zone(zone: &str) -> Result<(), String> {
    if zone == "source" || parse_zone(zone).is_some() {
        return Ok(());
    }
    Err(format!(
        "{zone:?} is no time zone; write \"source\", an offset such as \"+08:00\" or a name such as \"Asia/Shanghai\""
    ))
}
