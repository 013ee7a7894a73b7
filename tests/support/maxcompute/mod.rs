//! A stand-in for MaxCompute: metadata, SQL jobs and the Tunnel on one address, as far as clients use them. It keeps the
//! rows, checks every signature and checksum, holds sessions to their states and limits, runs the little SQL that it
//! understands and refuses the rest, and misbehaves when it is told to.
//!
//! What it answers is what clients rely on; where nothing tells what the service answers, it is a choice: 404 for what is
//! not there, 400 for what is malformed, 409 for a session in another state, 401 for a signature, 429 for a quota.

#![allow(dead_code, reason = "each test crate uses its share of this")]

pub mod auth;
mod metadata;
mod sql;
mod state;
mod tunnel;
mod upsert;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use relay::config::Secret;
use relay::sink::maxcompute::client::http::Patience;
use relay::sink::maxcompute::client::{Client, ClientOptions};
use relay::sink::maxcompute::sign::Credentials;

use auth::{ACCESS_ID, ACCESS_KEY};
pub use state::State;

/// Most bytes of a request.
const BODY_MAX: usize = 256 << 20;
/// The only project.
pub const PROJECT: &str = "relay_test";

/// A request that was read whole.
pub struct Request {
    pub method: String,
    /// Of the metadata service; else of the Tunnel.
    pub is_metadata: bool,
    /// Decoded, without the endpoint's prefix.
    pub path: String,
    /// Decoded once.
    pub parameters: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    /// A parameter's value; "" for one without.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }

    /// Whether a parameter is `true`, or there without a value.
    pub fn is_set(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What is answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).with("Content-Type", "application/json")
    }

    pub fn xml(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, body).with("Content-Type", "application/xml")
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A refusal: HTTP status, code, words. Each service has its own form for it.
pub struct Refusal(pub u16, pub &'static str, pub String);

pub fn refuse<T>(status: u16, code: &'static str, words: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, code, words.into()))
}

/// What goes wrong, once, with the first request that fits.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `PUT`, `POST`, `GET`.
    pub method: &'static str,
    /// What the request must have as a parameter, or in its path.
    pub about: &'static str,
    /// Requests that fit and pass before it.
    pub after: usize,
    pub kind: FaultKind,
}

#[derive(Debug, Clone)]
pub enum FaultKind {
    /// The connection breaks before anything happened.
    LoseRequest,
    /// It is done, and the connection breaks.
    LoseAnswer,
    /// It is not done, and answered so.
    Refuse(u16, &'static str),
    /// It is done, and answered so.
    DoneButRefuse(u16, &'static str),
    /// It is done this much later.
    Delay(Duration),
    /// The connection breaks, and it is done this much later.
    Late(Duration),
}

/// The server; it ends when this is dropped.
pub struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StandIn {
    /// Starts an empty one; with schemas in its project when asked for.
    pub fn start(has_schemas: bool) -> Self {
        let state = Arc::new(Mutex::new(State::new(has_schemas)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let app = axum::Router::new().fallback(move |request| serve(shared.clone(), address, request));
                tokio::select! {
                    served = async { axum::serve(listener, app).await } => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// Address of metadata and SQL.
    pub fn endpoint(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// What a client needs to know of it.
    pub fn options(&self) -> ClientOptions {
        ClientOptions {
            endpoint: self.endpoint(),
            tunnel_endpoint: None,
            project: PROJECT.to_owned(),
            schema: None,
            quota: None,
            region: None,
            credentials: Credentials {
                access_id: ACCESS_ID.to_owned(),
                access_key: Secret::new(ACCESS_KEY),
                sts_token: None,
            },
            patience: Patience { connect: Duration::from_secs(20), answer: Duration::from_secs(60) },
            authorities: None,
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&self.options()).expect("settings")
    }

    /// What it holds.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Makes something go wrong.
    pub fn misbehave(&self, fault: Fault) {
        self.state().faults.push(fault);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the connection without an answer: the server drops what it was doing for it.
fn break_connection() -> ! {
    std::panic::resume_unwind(Box::new("a broken connection"))
}

async fn serve(state: Arc<Mutex<State>>, address: SocketAddr, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    // A body that was cut is no request.
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else { break_connection() };
    let (raw_path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let decoded = decode(raw_path);
    let prefix = decoded.strip_prefix("/api");
    let parameter = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(&value.replace('+', " ")))
    };
    let request = Request {
        method: head.method.to_string(),
        is_metadata: prefix.is_some(),
        path: prefix.unwrap_or(&decoded).to_owned(),
        parameters: query.split('&').filter(|pair| !pair.is_empty()).map(parameter).collect(),
        headers: head.headers,
        body: body.to_vec(),
    };
    let (fault, request_id) = {
        let mut state = lock(&state);
        (take_fault(&mut state.faults, &request), state.next_id("r"))
    };
    let answer = match fault {
        Some(FaultKind::LoseRequest) => break_connection(),
        Some(FaultKind::Late(delay)) => {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                answer(&state, address, &request);
            });
            break_connection()
        }
        Some(FaultKind::Refuse(status, code)) => refusal(&request, Refusal(status, code, "as told".into())),
        Some(FaultKind::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            answer(&state, address, &request)
        }
        after => {
            let done = answer(&state, address, &request);
            match after {
                Some(FaultKind::LoseAnswer) => break_connection(),
                Some(FaultKind::DoneButRefuse(status, code)) => {
                    refusal(&request, Refusal(status, code, "as told, but it is done".into()))
                }
                _ => done,
            }
        }
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).expect("a status"))
        .header("x-odps-request-id", request_id);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).expect("an answer")
}

fn take_fault(faults: &mut Vec<Fault>, request: &Request) -> Option<FaultKind> {
    let fits = |fault: &Fault| {
        fault.method == request.method && (request.has(fault.about) || request.path.contains(fault.about))
    };
    let at = faults.iter().position(fits)?;
    if faults[at].after > 0 {
        faults[at].after -= 1;
        return None;
    }
    Some(faults.remove(at).kind)
}

fn answer(state: &Mutex<State>, address: SocketAddr, request: &Request) -> Answer {
    let mut state = lock(state);
    let answered = auth::check(request).and_then(|()| match request.is_metadata {
        true => metadata::answer(&mut state, address, request),
        false => tunnel::answer(&mut state, request),
    });
    answered.unwrap_or_else(|refused| refusal(request, refused))
}

fn refusal(request: &Request, Refusal(status, code, words): Refusal) -> Answer {
    if request.is_metadata {
        let mut body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>");
        metadata::escape(&words, &mut body);
        body.push_str("</Message><RequestId>r</RequestId><HostId>stand-in</HostId></Error>");
        return Answer::xml(status, body);
    }
    Answer::json(status, &serde_json::json!({ "Code": code, "Message": words }))
}
