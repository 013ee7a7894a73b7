use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::alert::Kind;
use crate::metrics::Metrics;

fn notice(delivery: &str, change: Change) -> Notice {
    Notice {
        text: String::new(),
        name: "shop".to_owned(),
        environment: String::new(),
        delivery: Some(delivery.to_owned()),
        table: None,
        alert: Kind::Parked,
        change,
        state: "parked",
        reason: "no topic".to_owned(),
        value: None,
        threshold: None,
        since: String::new(),
        time: String::new(),
        next_step: None,
    }
}

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Hang,
    Hangup,
}

/// A receiver that answers as told, the last answer for ever, and hands on what it was sent.
fn receiver(answers: Vec<Answer>) -> (Webhook, mpsc::Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/secret-canary", listener.local_addr().expect("an address"));
    let (seen, requests) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let body = read_request(&mut stream);
            let answer = answers[n.min(answers.len() - 1)];
            match answer {
                Answer::Status(status) => {
                    let _ = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nLocation: /else\r\n\r\n");
                }
                Answer::Hang => held.push(stream),
                Answer::Hangup => drop(stream),
            }
            if seen.send(body).is_err() {
                return;
            }
        }
    });
    (Webhook::parse(&url).expect("an address"), requests)
}

fn read_request(stream: &mut TcpStream) -> serde_json::Value {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).expect("a request");
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("POST /secret-canary HTTP/1.1"), "{head}");
            assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
            if let Ok(value) = serde_json::from_str(body) {
                return value;
            }
        }
        assert!(n > 0, "a whole request, not {text}");
    }
}

fn outboxes() -> (Outboxes, AlertMetrics) {
    let metrics = Metrics::new("t", "").alerts();
    (Outboxes::new(metrics.clone()), metrics)
}

async fn next(requests: &mpsc::Receiver<serde_json::Value>) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(request) = requests.try_recv() {
            return request;
        }
        assert!(Instant::now() < deadline, "no request in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn empty(outboxes: &Outboxes) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while outboxes.waiting() > 0 {
        assert!(Instant::now() < deadline, "they still wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn notices_arrive_in_order_and_only_once() {
    let (to, requests) = receiver(vec![Answer::Status(200), Answer::Status(202)]);
    let (mut outboxes, metrics) = outboxes();
    outboxes.send(&to, notice("a", Change::Raised));
    outboxes.send(&to, notice("a", Change::Normal));
    assert_eq!(next(&requests).await["change"], "raised");
    assert_eq!(next(&requests).await["change"], "normal");
    empty(&outboxes).await;
    assert_eq!((metrics.posted.get(), metrics.failed.get(), metrics.dropped.get()), (2, 0, 0));
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_until_it_takes_the_notice() {
    for bad in [Answer::Status(500), Answer::Status(302), Answer::Hangup] {
        let (to, requests) = receiver(vec![bad, Answer::Status(200)]);
        let (mut outboxes, metrics) = outboxes();
        outboxes.send(&to, notice("a", Change::Raised));
        assert_eq!(next(&requests).await, next(&requests).await);
        empty(&outboxes).await;
        assert_eq!((metrics.posted.get(), metrics.failed.get()), (1, 1));
    }
}

#[tokio::test]
async fn one_that_refuses_is_named_without_its_path() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let to = Webhook::parse(&format!("http://127.0.0.1:{port}/secret-canary")).expect("an address");
    let error = webhook::post(&to, b"{}".to_vec()).await.expect_err("nobody listens").to_string();
    assert!(error.starts_with(&format!("http://127.0.0.1:{port}/***: ")) && !error.contains("canary"), "{error}");
    let to = Webhook::parse("http://no-such-host.invalid/secret-canary").expect("an address");
    let error = webhook::post(&to, b"{}".to_vec()).await.expect_err("no such host").to_string();
    assert!(!error.contains("canary"), "{error}");
}

#[tokio::test]
async fn https_is_never_answered_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/secret-canary", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).expect("a first message");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let first = buffer[..n].to_vec();
        // Whoever closes with bytes unread resets the connection, and the answer with it.
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
        first
    });
    let to = Webhook::parse(&url).expect("an address");
    let error = webhook::post(&to, b"{}".to_vec()).await.expect_err("it speaks no TLS").to_string();
    assert!(error.contains("TLS") && !error.contains("canary"), "{error}");
    let sent = server.join().expect("it ends");
    assert!(sent.starts_with(&[22, 3]), "a TLS handshake");
    assert!(!sent.windows(6).any(|w| w == b"canary"), "the path is not sent before the server is known");
}

#[tokio::test]
async fn only_the_authorities_of_ca_file_vouch_for_it() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/secret-canary", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).expect("a server");
            let mut stream = rustls::StreamOwned::new(connection, stream.expect("a connection"));
            // One that does not believe the certificate hangs up.
            if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.flush();
            }
        }
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), made.cert.pem()).expect("a disk");
    let to = Webhook::parse(&url).expect("an address");
    let known = to.clone().vouched_by(Some(file.path().to_owned()));
    assert_eq!(webhook::post(&known, b"{}".to_vec()).await, Ok(()));
    let error = webhook::post(&to, b"{}".to_vec()).await.expect_err("nobody vouches for it").to_string();
    assert!(error.contains("TLS") && !error.contains("canary"), "{error}");
    std::fs::write(file.path(), "nothing").expect("a disk");
    let error = webhook::post(&known, b"{}".to_vec()).await.expect_err("no authority").to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn one_that_hangs_holds_up_neither_another_nor_the_end() {
    let (hung, hung_requests) = receiver(vec![Answer::Hang]);
    let (well, requests) = receiver(vec![Answer::Status(200)]);
    let (mut outboxes, _) = outboxes();
    let begun = Instant::now();
    outboxes.send(&hung, notice("a", Change::Raised));
    next(&hung_requests).await;
    outboxes.send(&well, notice("b", Change::Raised));
    assert_eq!(next(&requests).await["delivery"], "b");
    // The answer comes back after the request was seen.
    while outboxes.waiting() != 1 {
        assert!(begun.elapsed() < webhook::POST_MAX, "{} wait", outboxes.waiting());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(outboxes);
    assert!(begun.elapsed() < webhook::POST_MAX, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_waits_is_bounded_and_repetitions_are_not_piled_up() {
    let (hung, hung_requests) = receiver(vec![Answer::Hang]);
    let (mut outboxes, metrics) = outboxes();
    outboxes.send(&hung, notice("a", Change::Raised));
    next(&hung_requests).await;
    for _ in 0..5 {
        outboxes.send(&hung, notice("a", Change::Lasting));
    }
    assert_eq!((outboxes.waiting(), metrics.dropped.get()), (1, 0));
    for n in 0..300 {
        outboxes.send(&hung, notice(&n.to_string(), Change::Raised));
    }
    assert_eq!((outboxes.waiting(), metrics.dropped.get()), (WAITING_MAX, 45));
    outboxes.keep(&BTreeSet::new());
    assert_eq!((outboxes.waiting(), metrics.dropped.get()), (0, 301));
}

#[test]
fn delays_double_to_a_minute() {
    let full: Vec<u64> = (1..9).map(|n| delay(n, 1.0).as_secs()).collect();
    assert_eq!(full, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(delay(1, 0.0), Duration::from_millis(500));
}
