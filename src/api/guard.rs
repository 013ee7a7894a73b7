//! What a request must be before any route sees it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ApiError;
use crate::config::Admin;

/// The largest body of a request; what is asked for here is short.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a request may take; a reset that counts a long replay is the slowest.
const REQUEST_MAX: Duration = Duration::from_secs(600);

/// Names that a request's `Host` header may carry. A page that rebinds its own name to 127.0.0.1 is kept out by it.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Arc<[String]>);

impl Hosts {
    pub(super) fn new(admin: &Admin) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let listen = match admin.listen.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self(own.into_iter().chain([listen]).chain(admin.hosts.iter().map(|h| h.to_ascii_lowercase())).collect())
    }

    fn allow(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

/// Refuses what a browser could be tricked into sending, then bounds the time.
pub(super) async fn admit(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if let Err(refusal) = check(&hosts, request.method(), request.headers()) {
        return refusal.into_response();
    }
    match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::GATEWAY_TIMEOUT, "the request took too long").into_response(),
    }
}

fn check(hosts: &Hosts, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !hosts.allow(host) {
        let text = format!("host {host:?} is not allowed: add it to admin.hosts if it is yours");
        return Err(ApiError::new(StatusCode::FORBIDDEN, text));
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    // No page has business here: what writes is a tool, and tools send no origin.
    if headers.contains_key(ORIGIN) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "requests from web pages are refused"));
    }
    let content = headers.get(CONTENT_TYPE).and_then(|c| c.to_str().ok()).unwrap_or_default();
    let media = content.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let text = "a request that changes something must be application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts::new(&Admin { hosts: vec!["Relay.internal".into()], ..Admin::default() })
    }

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(k, v)| (k.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    fn code(method: Method, list: &[(&'static str, &'static str)]) -> Option<StatusCode> {
        check(&hosts(), &method, &headers(list)).err().map(|e| e.into_response().status())
    }

    #[test]
    fn only_known_hosts_are_answered() {
        for host in ["localhost", "localhost:7070", "127.0.0.1:7070", "[::1]:7070", "[::1]", "relay.INTERNAL:80"] {
            assert!(hosts().allow(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:7070", "127.0.0.1.evil.example", "localhost:7070:x", "::1"] {
            assert!(!hosts().allow(host), "{host}");
        }
        assert_eq!(code(Method::GET, &[("host", "evil.example")]), Some(StatusCode::FORBIDDEN));
        assert_eq!(code(Method::GET, &[]), Some(StatusCode::FORBIDDEN));
    }

    #[test]
    fn a_write_is_json_and_comes_from_no_page() {
        let json = ("content-type", "application/json; charset=utf-8");
        let host = ("host", "localhost");
        assert_eq!(code(Method::POST, &[host, json]), None);
        assert_eq!(code(Method::GET, &[host]), None);
        assert_eq!(code(Method::POST, &[host]), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(code(Method::DELETE, &[host]), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(code(Method::POST, &[host, form]), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        let origin = ("origin", "http://localhost");
        assert_eq!(code(Method::POST, &[host, json, origin]), Some(StatusCode::FORBIDDEN));
    }
}
