//! The client: metadata and SQL jobs at the service's endpoint, bulk data at the Tunnel's.
//!
//! | look in | for |
//! |---|---|
//! | [`http`] | one signed request |
//! | [`error`] | why a call failed, its request id, whether it may have taken effect |
//! | [`retry`] | when a call is made again |
//! | [`table`] | projects, tables, partitions |
//! | [`job`] | SQL |
//! | [`upload`] | batch upload sessions |
//! | [`stream`] | stream upload |
//! | [`upsert`] | upsert sessions of tables with a primary key |
//! | [`xml`] | the XML of metadata |
//!
//! Every method makes its request once and blocks until the answer; none repeats anything.

pub mod error;
pub mod http;
pub mod job;
pub mod retry;
pub mod stream;
pub mod table;
pub mod upload;
pub mod upsert;
pub mod xml;

use std::sync::{Arc, Mutex, PoisonError};

use ureq::http::Method;
use ureq::tls::Certificate;

use super::sign::{Credentials, Signer};
pub use error::ClientError;
use http::{Answer, Call, Content, Endpoint, Patience, Transport};

/// Version of the Tunnel's interface that is spoken.
const TUNNEL_VERSION: &str = "6";

/// Whom to talk to, and as whom.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Address of metadata and SQL, with its path.
    pub endpoint: String,
    /// Address of the Tunnel; asked from the service when it is not given.
    pub tunnel_endpoint: Option<String>,
    /// The project.
    pub project: String,
    /// The schema, in a project that has them.
    pub schema: Option<String>,
    /// The quota whose slots bulk data uses.
    pub quota: Option<String>,
    /// Region; requests are signed by version 4 when it is given.
    pub region: Option<String>,
    /// The key.
    pub credentials: Credentials,
    /// How long calls may take.
    pub patience: Patience,
    /// The only authorities whose certificates are believed; none: the public ones.
    pub authorities: Option<Vec<Certificate<'static>>>,
}

/// A client of one project. Cheap to clone; clones share connections and what they learned.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    endpoint: Endpoint,
    project: String,
    schema: Option<String>,
    quota: Option<String>,
    /// Given, or as the service told.
    tunnel: Mutex<Option<Endpoint>>,
}

impl Client {
    /// A client. Asks nobody yet.
    ///
    /// # Errors
    /// [`ClientError::Setting`].
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let endpoint = Endpoint::parse(&options.endpoint, "endpoint")?;
        let given = options.tunnel_endpoint.as_deref();
        let tunnel = given.map(|url| Endpoint::parse(url, "tunnel_endpoint")).transpose()?;
        let signer = Signer::new(options.credentials.clone(), options.region.clone());
        Ok(Self {
            shared: Arc::new(Shared {
                transport: Transport::new(signer, options.patience, options.authorities.as_deref()),
                endpoint,
                project: options.project.clone(),
                schema: options.schema.clone(),
                quota: options.quota.clone(),
                tunnel: Mutex::new(tunnel),
            }),
        })
    }

    /// The project.
    pub fn project_name(&self) -> &str {
        &self.shared.project
    }

    /// The schema, in a project that has them.
    pub fn schema_name(&self) -> Option<&str> {
        self.shared.schema.as_deref()
    }

    /// Asks the metadata service. `rest` follows the project in the path.
    fn ask(
        &self,
        what: &'static str,
        method: Method,
        rest: &str,
        mut parameters: Vec<(&'static str, String)>,
        content: Content<'_>,
    ) -> Result<Answer, ClientError> {
        let shared = &self.shared;
        parameters.push(("curr_project", shared.project.clone()));
        parameters.extend(shared.schema.iter().map(|schema| ("curr_schema", schema.clone())));
        let path = format!("/projects/{}{rest}", shared.project);
        shared.transport.send(&shared.endpoint, Call { what, method, path, parameters, headers: Vec::new(), content })
    }

    /// Asks the Tunnel. `kind` follows the table in the path (`/streams`).
    fn ask_tunnel(&self, tunnel: TunnelCall<'_>) -> Result<Answer, ClientError> {
        let TunnelCall { what, method, table, kind, partition, mut parameters, mut headers, content } = tunnel;
        let shared = &self.shared;
        let schema = shared.schema.as_ref().map_or(String::new(), |schema| format!("/schemas/{schema}"));
        let path = format!("/projects/{}{schema}/tables/{table}{kind}", shared.project);
        parameters.extend(partition.map(|partition| ("partition", partition.to_owned())));
        parameters.extend(shared.quota.iter().map(|quota| ("quotaName", quota.clone())));
        parameters.push(("curr_project", shared.project.clone()));
        headers.push(("x-odps-tunnel-version", TUNNEL_VERSION.to_owned()));
        headers.push(("odps-tunnel-date-transform", "v1".to_owned()));
        headers.push(("odps-tunnel-sdk-support-schema-evolution", "true".to_owned()));
        let endpoint = self.tunnel_endpoint()?;
        let answer = shared.transport.send(&endpoint, Call { what, method, path, parameters, headers, content })?;
        // Old servers keep DATETIME by another calendar and say so.
        match answer.header("odps-tunnel-date-transform") {
            Some("true") => Err(answer.meaningless("the server keeps dates by an old calendar")),
            _ => Ok(answer),
        }
    }

    /// Where the Tunnel is: as it was given, or as the service says, asked once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn tunnel_endpoint(&self) -> Result<Endpoint, ClientError> {
        // Held across the call on purpose: others wait for the same answer. A panic leaves it whole.
        let mut known = self.shared.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let mut parameters = vec![("service", String::new())];
        parameters.extend(self.shared.quota.iter().map(|quota| ("quotaName", quota.clone())));
        let answer = self.ask("find the tunnel", Method::GET, "/tunnel", parameters, Content::None)?;
        let host = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        if host.is_empty() || host.contains(['/', '<', '{']) || host.contains(char::is_whitespace) {
            return Err(answer.meaningless("it is no host"));
        }
        Ok(known.insert(self.shared.endpoint.beside(host)).clone())
    }
}

/// What the Tunnel is asked.
struct TunnelCall<'a> {
    what: &'static str,
    method: Method,
    table: &'a str,
    kind: &'static str,
    partition: Option<&'a str>,
    parameters: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    content: Content<'a>,
}
