//! Why a call failed, and what may be done about it. The service's own code decides before the HTTP status does: which
//! status belongs to which code is not documented.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::failure::{Class, Failure};

/// A call that did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
    /// A setting that cannot be used.
    #[error("maxcompute: {field}: {reason}")]
    Setting {
        /// Which one.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// No answer. Whether the request arrived is not known, unless the connection was never made.
    #[error("{call} at {host}: {reason}")]
    NoAnswer {
        /// What was asked.
        call: &'static str,
        /// Whom.
        host: String,
        /// What happened.
        reason: String,
        /// The request cannot have arrived.
        unsent: bool,
    },
    /// The server's certificate is not to be believed.
    #[error("{call} at {host}: {reason}")]
    Certificate {
        /// What was asked.
        call: &'static str,
        /// Whom.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The service said no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// An answer that means nothing.
    #[error("{call}: the answer is none: {reason}{}", Request(request_id.as_deref()))]
    Answer {
        /// What was asked.
        call: &'static str,
        /// What is wrong with it.
        reason: String,
        /// The request's id, when the answer had one.
        request_id: Option<String>,
    },
    /// An SQL job that failed.
    #[error("sql job {instance} {status}: {message}{}", Request(request_id.as_deref()))]
    Job {
        /// Its id.
        instance: String,
        /// `failed` or `cancelled`, as the service spells it.
        status: String,
        /// What it says, its code in front.
        message: String,
        /// The id of the request that told.
        request_id: Option<String>,
    },
    /// An SQL job that did not end in time. It may still end.
    #[error("sql job {instance} did not end within {waited:?}{}", Request(request_id.as_deref()))]
    JobSlow {
        /// Its id.
        instance: String,
        /// How long it was waited for.
        waited: Duration,
        /// The id of the last request about it.
        request_id: Option<String>,
    },
}

/// What the service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub call: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Its own code, empty when the answer had none.
    pub code: String,
    /// Its words.
    pub message: String,
    /// The request's id, when the answer had one.
    pub request_id: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// With `SchemaModified`: the version that the table has now.
    pub latest_schema_version: Option<u64>,
    /// With status 308: where the slot went.
    pub routed_server: Option<String>,
}

/// The end of a message: the request's id.
struct Request<'a>(Option<&'a str>);

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, " (request {id})"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, status, code, message, request_id, .. } = self;
        let code = if code.is_empty() { String::new() } else { format!(" {code}") };
        write!(f, "{call}: {status}{code}: {message}{}", Request(request_id.as_deref()))
    }
}

impl std::error::Error for Refusal {}

/// What a refusal is about, by its code and, where that tells nothing, by its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A quota or slot is used up: the same call, later, without limit.
    Flow,
    /// The slot moved to another server (status 308).
    Moved,
    /// The service has a problem of its own.
    Busy,
    /// The table's columns are not those of the session any more.
    SchemaModified,
    /// No such session: never opened, expired, or forgotten.
    NoSuchSession,
    /// The session's state does not allow the call: committed, committing, expired.
    StatusConflict,
    /// No such table.
    NoSuchTable,
    /// No such partition.
    NoSuchPartition,
    /// No such project or schema.
    NoSuchProject,
    /// The key is not accepted.
    Unauthorized,
    /// The key has no right to do this.
    Forbidden,
    /// The machine's clock is too far off.
    Clock,
    /// The temporary key is over.
    Expired,
    /// Anything else that another try would not change.
    Other,
}

impl Refusal {
    /// What it is about.
    pub fn reason(&self) -> Reason {
        match self.code.as_str() {
            "FlowExceeded" | "SlotExceeded" | "QPSExceeded" => Reason::Flow,
            "SchemaModified" => Reason::SchemaModified,
            "NoSuchUpload" | "StreamSessionNotFound" | "UpsertSessionNotFound" => Reason::NoSuchSession,
            "StatusConflict" | "InvalidStatusChange" => Reason::StatusConflict,
            "NoSuchTable" => Reason::NoSuchTable,
            "NoSuchPartition" => Reason::NoSuchPartition,
            "NoSuchProject" | "NoSuchSchema" => Reason::NoSuchProject,
            "NoSuchObject" if self.message.contains("ODPS-0130131") => Reason::NoSuchTable,
            "Unauthorized" | "InvalidAccessKeyId.NotFound" | "SignatureDoesNotMatch" | "SignatureNotMatch" => {
                Reason::Unauthorized
            }
            "AccessDenied" | "NoPermission" => Reason::Forbidden,
            "RequestTimeTooSkewed" | "RequestExpired" => Reason::Clock,
            "AuthenticationRequestExpired" => Reason::Expired,
            "InternalServerError"
            | "ServiceUnavailable"
            | "DataStoreError"
            | "DataUnderReplication"
            | "MetaTransactionAborted" => Reason::Busy,
            code if code.starts_with("ODPS-0410051") || code.starts_with("ODPS-0410042") => Reason::Unauthorized,
            _ => match self.status {
                308 => Reason::Moved,
                429 => Reason::Flow,
                408 | 500..=599 => Reason::Busy,
                412 => Reason::SchemaModified,
                401 => Reason::Unauthorized,
                403 => Reason::Forbidden,
                _ => Reason::Other,
            },
        }
    }
}

impl ClientError {
    /// What the service refused for; none for a failure of another kind.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason()),
            _ => None,
        }
    }

    /// Whether the call may have taken effect in spite of the failure.
    pub fn in_doubt(&self) -> bool {
        match self {
            Self::NoAnswer { unsent, .. } => !unsent,
            Self::Answer { .. } | Self::JobSlow { .. } => true,
            Self::Refused(refusal) => refusal.reason() == Reason::Busy,
            Self::Setting { .. } | Self::Certificate { .. } | Self::Job { .. } => false,
        }
    }

    /// The id of the request, for the service's operators.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.request_id.as_deref(),
            Self::Answer { request_id, .. } | Self::Job { request_id, .. } | Self::JobSlow { request_id, .. } => {
                request_id.as_deref()
            }
            Self::Setting { .. } | Self::NoAnswer { .. } | Self::Certificate { .. } => None,
        }
    }
}

/// Codes of SQL jobs that fail for reasons of the service's own: internal errors, versions of data, connections.
const JOB_RETRY: [&str; 4] = ["ODPS-0010000", "ODPS-0420153", "ODPS-0110141", "ODPS-0430055"];

impl Failure for ClientError {
    fn class(&self) -> Class {
        match self {
            Self::NoAnswer { .. } | Self::JobSlow { .. } => Class::Transient,
            Self::Setting { .. } | Self::Certificate { .. } | Self::Answer { .. } => Class::Definite,
            Self::Job { message, .. } if JOB_RETRY.iter().any(|code| message.contains(code)) => Class::Transient,
            Self::Job { .. } => Class::Definite,
            Self::Refused(refusal) => match refusal.reason() {
                Reason::Flow
                | Reason::Moved
                | Reason::Busy
                | Reason::SchemaModified
                | Reason::NoSuchSession
                | Reason::StatusConflict => Class::Transient,
                _ => Class::Definite,
            },
        }
    }

    fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::Setting { field, .. } => format!("correct maxcompute.{field}"),
            Self::Certificate { .. } => {
                "check maxcompute.endpoint and the certificate of what answers there".to_owned()
            }
            Self::Answer { .. } => "check maxcompute.endpoint and maxcompute.tunnel_endpoint".to_owned(),
            _ => match self.reason()? {
                Reason::Unauthorized => {
                    "check maxcompute.access_id and the access key, and maxcompute.region if it is set".to_owned()
                }
                Reason::Forbidden => "grant the account its rights on the project and its tables".to_owned(),
                Reason::NoSuchProject => "check maxcompute.project and maxcompute.schema".to_owned(),
                Reason::Clock => "set this machine's clock".to_owned(),
                Reason::Expired => "give a new temporary key".to_owned(),
                _ => return None,
            },
        };
        Some(step)
    }

    fn is_connection(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> ClientError {
        ClientError::Refused(Box::new(Refusal {
            call: "write a block",
            status,
            code: code.to_owned(),
            message: "words".to_owned(),
            request_id: Some("2024r1".to_owned()),
            retry_after: None,
            latest_schema_version: None,
            routed_server: None,
        }))
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for (status, code, reason) in [
            (400, "FlowExceeded", Reason::Flow),
            (429, "", Reason::Flow),
            (429, "FromNowhere", Reason::Flow),
            (308, "", Reason::Moved),
            (412, "", Reason::SchemaModified),
            (400, "SchemaModified", Reason::SchemaModified),
            (500, "NoSuchUpload", Reason::NoSuchSession),
            (400, "StatusConflict", Reason::StatusConflict),
            (502, "", Reason::Busy),
            (400, "InternalServerError", Reason::Busy),
            (400, "InvalidPartitionSpec", Reason::Other),
            (404, "NoSuchPartition", Reason::NoSuchPartition),
            (403, "", Reason::Forbidden),
            (400, "NoPermission", Reason::Forbidden),
            (401, "", Reason::Unauthorized),
            (400, "RequestTimeTooSkewed", Reason::Clock),
        ] {
            assert_eq!(refusal(status, code).reason(), Some(reason), "{status} {code}");
        }
    }

    #[test]
    fn every_message_that_can_names_its_request() {
        assert_eq!(refusal(400, "InvalidURI").to_string(), "write a block: 400 InvalidURI: words (request 2024r1)");
        assert_eq!(refusal(502, "").request_id(), Some("2024r1"));
        let answer = ClientError::Answer { call: "x", reason: "y".into(), request_id: Some("r".into()) };
        assert_eq!(answer.to_string(), "x: the answer is none: y (request r)");
    }

    #[test]
    fn only_what_another_try_can_cure_is_transient() {
        for (status, code, class) in [
            (429, "", Class::Transient),
            (503, "", Class::Transient),
            (412, "", Class::Transient),
            (400, "InvalidArgument", Class::Definite),
            (403, "", Class::Definite),
            (404, "NoSuchTable", Class::Definite),
        ] {
            assert_eq!(refusal(status, code).class(), class, "{status} {code}");
        }
        let job = |message: &str| ClientError::Job {
            instance: "i".into(),
            status: "Failed".into(),
            message: message.into(),
            request_id: None,
        };
        assert_eq!(job("ODPS-0130131:[1,13] Table not found").class(), Class::Definite);
        assert_eq!(job("ODPS-0010000: System internal error").class(), Class::Transient);
    }

    #[test]
    fn a_request_that_never_left_is_in_no_doubt() {
        let no_answer =
            |unsent| ClientError::NoAnswer { call: "commit", host: "h".into(), reason: "refused".into(), unsent };
        assert!(!no_answer(true).in_doubt());
        assert!(no_answer(false).in_doubt());
        assert!(refusal(500, "").in_doubt() && !refusal(400, "").in_doubt());
    }
}
