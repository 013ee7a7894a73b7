//! The client against a registry made of faults.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use rustls::pki_types::PrivateKeyDer;

use super::*;

const SCHEMA: &str = r#"{"type":"string"}"#;

/// What the registry does with one request.
#[derive(Clone)]
enum Reply {
    Answer(u16, &'static str),
    /// Nothing, for as long as the client stays.
    Hang,
    /// It closes the connection.
    Close,
}

use Reply::{Answer, Close, Hang};

/// What it was asked: request line, headers, body.
struct Asked {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find_map(|header| {
            let (found, value) = header.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        found.map(str::trim)
    }
}

/// A registry that gives these replies, one a connection, and no more.
struct Fake {
    url: String,
    asked: Receiver<Asked>,
    server: JoinHandle<()>,
}

impl Fake {
    fn new(replies: &[Reply]) -> Self {
        Self::over("http", replies, Box::new)
    }

    fn over<S: Read + Write + Send + 'static>(
        scheme: &str,
        replies: &[Reply],
        wrap: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let (tell, asked) = channel();
        let replies = replies.to_vec();
        let server = std::thread::spawn(move || {
            for reply in replies {
                let (stream, _) = listener.accept().expect("a client");
                // A client that does not trust us leaves before it asks anything.
                if let Some(request) = serve(wrap(stream), &reply) {
                    tell.send(request).expect("a test that listens");
                }
            }
        });
        Self { url, asked, server }
    }

    fn options(&self) -> RegistryOptions {
        options(&self.url)
    }

    /// Every request, once all replies were given.
    fn asked(self) -> Vec<Asked> {
        self.server.join().expect("every reply was called for");
        self.asked.iter().collect()
    }
}

fn serve(stream: impl Read + Write, reply: &Reply) -> Option<Asked> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.remove(0);
    let mut asked = Asked { line, headers: lines, body: String::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).expect("text");
    match reply {
        Answer(status, body) => {
            let head = format!("HTTP/1.1 {status} Word\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let stream = stream.get_mut();
            stream.write_all(format!("{head}{body}").as_bytes()).expect("a client");
            stream.flush().expect("a client");
        }
        Hang => drop(stream.read(&mut [0])),
        Close => {}
    }
    Some(asked)
}

fn options(url: &str) -> RegistryOptions {
    toml::from_str(&format!("url = {url:?}")).expect("settings")
}

fn registry(options: &RegistryOptions) -> Registry {
    let patience = Patience { connect: Duration::from_secs(5), call: Duration::from_secs(5) };
    Registry::new(options, patience).expect("settings")
}

fn ask(fake: &Fake) -> Result<u32, RegistryError> {
    registry(&fake.options()).id("orders-value", SCHEMA)
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("a disk");
    file
}

#[test]
fn a_schema_is_registered_once_and_its_id_remembered() {
    let fake = Fake::new(&[Answer(200, r#"{"id":7,"version":1,"schemaType":"AVRO"}"#)]);
    let registry = registry(&fake.options());
    assert_eq!(registry.known("orders value/ü"), None);
    for _ in 0..3 {
        assert_eq!(registry.clone().id("orders value/ü", SCHEMA).expect("an id"), 7);
    }
    assert_eq!(registry.known("orders value/ü"), Some(7));
    let asked = fake.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /subjects/orders%20value%2F%C3%BC/versions HTTP/1.1");
    assert_eq!(asked[0].header("content-type"), Some("application/vnd.schemaregistry.v1+json"));
    assert_eq!(asked[0].header("authorization"), None);
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).expect("JSON");
    assert_eq!(body, serde_json::json!({ "schema": SCHEMA }));
}

#[test]
fn without_register_it_is_looked_up_only() {
    let fake = Fake::new(&[
        Answer(200, r#"{"subject":"orders-value","id":41,"version":3,"schema":"\"string\""}"#),
        Answer(404, r#"{"error_code":40401,"message":"Subject 'other' not found."}"#),
        Answer(404, "<html>no such page</html>"),
    ]);
    let options = RegistryOptions { register: false, url: format!("{}/apis/ccompat/v7/", fake.url), ..fake.options() };
    let registry = registry(&options);
    assert_eq!(registry.id("orders-value", SCHEMA).expect("an id"), 41);
    let unknown = registry.id("other", SCHEMA).expect_err("no such subject");
    assert!(matches!(&unknown, RegistryError::Unknown { message, .. } if message.contains("'other'")), "{unknown}");
    assert_eq!(unknown.class(), Class::Definite);
    let elsewhere = registry.id("other", SCHEMA).expect_err("no registry");
    assert!(matches!(elsewhere, RegistryError::Answer { .. }), "{elsewhere}");
    assert_eq!(fake.asked()[0].line, "POST /apis/ccompat/v7/subjects/orders-value HTTP/1.1");
}

#[test]
fn a_registry_that_has_trouble_is_worth_another_call() {
    for trouble in [
        Answer(500, r#"{"error_code":50001,"message":"Error in the backend data store"}"#),
        Answer(503, "starting"),
        Answer(429, "slower"),
        Close,
    ] {
        let fake = Fake::new(&[trouble, Answer(200, r#"{"id":3}"#)]);
        let registry = registry(&fake.options());
        let error = registry.id("orders-value", SCHEMA).expect_err("trouble");
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert_eq!(registry.id("orders-value", SCHEMA).expect("an id"), 3);
        assert_eq!(fake.asked().len(), 2);
    }
}

#[test]
fn nobody_there_is_told_from_somebody_in_trouble() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let error = registry(&options(&format!("http://{port}"))).id("s", SCHEMA).expect_err("nobody listens");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(error.is_connection() && error.class() == Class::Transient);
    let fake = Fake::new(&[Answer(500, "")]);
    assert!(!ask(&fake).expect_err("trouble").is_connection());
    fake.asked();
}

#[test]
fn a_registry_that_hangs_costs_no_more_than_the_patience() {
    let fake = Fake::new(&[Hang]);
    let patience = Patience { connect: Duration::from_millis(300), call: Duration::from_millis(300) };
    let registry = Registry::new(&fake.options(), patience).expect("settings");
    let began = std::time::Instant::now();
    let error = registry.id("s", SCHEMA).expect_err("no answer");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(registry);
    fake.asked();
}

#[test]
fn a_refused_schema_is_not_tried_again() {
    for (status, body, words) in [
        (409, r#"{"error_code":409,"message":"Schema being registered is incompatible"}"#, "is incompatible"),
        (422, r#"{"error_code":42201,"message":"Invalid schema"}"#, "Invalid schema"),
        (405, "not allowed", "not allowed"),
    ] {
        let fake = Fake::new(&[Answer(status, body)]);
        let error = ask(&fake).expect_err("a refusal");
        assert!(matches!(error, RegistryError::Refused { status: found, .. } if found == status), "{error}");
        assert!(error.to_string().contains(words) && error.to_string().contains("orders-value"), "{error}");
        assert_eq!(error.class(), Class::Definite);
        assert!(error.next_step().is_some());
        fake.asked();
    }
}

#[test]
fn the_user_is_shown_and_a_wrong_one_told() {
    let fake = Fake::new(&[Answer(401, r#"{"error_code":401,"message":"Unauthorized"}"#), Answer(403, "")]);
    let password = file("s3cret\n");
    let options = RegistryOptions {
        username: Some("relay".into()),
        password_file: Some(password.path().into()),
        ..fake.options()
    };
    let registry = registry(&options);
    for _ in 0..2 {
        let error = registry.id("s", SCHEMA).expect_err("a refusal");
        assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
        assert_eq!(error.class(), Class::Definite);
        assert!(error.next_step().is_some_and(|step| step.contains("password_file")));
    }
    assert!(!format!("{registry:?}").contains("s3cret") && !format!("{registry:?}").contains("Basic"));
    // printf relay:s3cret | base64
    assert_eq!(fake.asked()[0].header("authorization"), Some("Basic cmVsYXk6czNjcmV0"));
}

#[test]
fn an_answer_that_is_none_says_what_is_wrong() {
    for reply in [
        Answer(200, "<html>"),
        Answer(200, "{}"),
        Answer(200, r#"{"id":-1}"#),
        Answer(200, r#"{"id":4294967296}"#),
        Answer(302, ""),
        Answer(404, r#"{"message":"no such path"}"#),
    ] {
        let fake = Fake::new(&[reply]);
        let error = ask(&fake).expect_err("no id");
        assert!(matches!(error, RegistryError::Answer { .. }), "{error}");
        assert_eq!(error.class(), Class::Definite);
        fake.asked();
    }
}

#[test]
fn only_the_authorities_of_ca_file_are_believed() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    let config = Arc::new(config);
    let tls = move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a server");
        rustls::StreamOwned::new(connection, stream)
    };
    let fake = Fake::over("https", &[Answer(200, r#"{"id":9}"#), Close], tls);
    let authority = file(&made.cert.pem());
    let options = RegistryOptions { ca_file: Some(authority.path().into()), ..fake.options() };
    assert_eq!(registry(&options).id("s", SCHEMA).expect("an id"), 9);
    let error = registry(&fake.options()).id("s", SCHEMA).expect_err("an unknown authority");
    assert!(matches!(error, RegistryError::Certificate { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Definite);
    fake.asked();
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let refused = |options: RegistryOptions| {
        let error = Registry::new(&options, Patience::default()).expect_err("a wrong setting");
        assert_eq!(error.class(), Class::Definite);
        match error {
            RegistryError::Setting { field, reason } => format!("{field}: {reason}"),
            other => panic!("{other}"),
        }
    };
    let good = || options("http://127.0.0.1:8081");
    for url in ["127.0.0.1:8081", "ftp://x", "http://", "http://a b", "http://x/?y"] {
        assert!(refused(options(url)).starts_with("url: "), "{url}");
    }
    let with_user = refused(options("http://u:p@host"));
    assert!(with_user.contains("registry.username"), "{with_user}");
    let user = Some("u".to_owned());
    assert!(refused(RegistryOptions { username: user.clone(), ..good() }).starts_with("password_file"));
    let nowhere = Some("/none/such".into());
    assert!(refused(RegistryOptions { password_file: nowhere.clone(), ..good() }).starts_with("username"));
    let lost = RegistryOptions { username: user, password_file: nowhere.clone(), ..good() };
    assert!(refused(lost).contains("/none/such"));
    assert!(refused(RegistryOptions { ca_file: nowhere, ..good() }).starts_with("ca_file: read /none/such"));
    let empty = file("nothing");
    let empty = RegistryOptions { ca_file: Some(empty.path().into()), ..good() };
    assert!(refused(empty).ends_with("holds no certificate"));
    assert!(toml::from_str::<RegistryOptions>("url = \"http://x\"\nurls = \"\"").is_err());
}

#[test]
fn subjects_follow_the_strategy_and_frames_the_wire_format() {
    let options: RegistryOptions =
        toml::from_str("url = \"http://x\"\nsubject = \"topic_record\"\nregister = false").expect("settings");
    let record = "com.example.Record";
    assert_eq!(registry(&options).subject("orders", record), "orders-com.example.Record");
    assert!(!options.register);
    assert_eq!(SubjectStrategy::Topic.subject("orders", record), "orders-value");
    assert_eq!(SubjectStrategy::Record.subject("orders", record), record);
    let mut out = b"x".to_vec();
    write_frame(0x0102_0304, &mut out);
    assert_eq!(out, b"x\0\x01\x02\x03\x04");
}
