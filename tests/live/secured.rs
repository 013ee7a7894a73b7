//! Logins, certificates and access rules of a real broker: what is allowed arrives, what is refused is named, by
//! `relay check` and by the delivery itself, with what to do about it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use relay::check::{self, Item, Level};
use relay::config::Config;
use relay::failure::{Class, Failure as _};

use crate::kafka::{Lab, assert_whole, topic};
use crate::support::servers::{Servers, shared};
use crate::support::{fresh, kafka};

const SCRAM_256: &str = "scram-sha-256";
const SCRAM_512: &str = "scram-sha-512";

/// Settings of a login by SCRAM over TLS.
fn scram(servers: &Servers, mechanism: &str) -> String {
    format!(
        "brokers = {:?}\nsecurity = \"sasl_ssl\"\nca_file = {:?}\nsasl_mechanism = {mechanism:?}\nusername = {:?}",
        servers.get("KAFKA_SASL_SSL_BROKERS"),
        servers.get("KAFKA_CA"),
        servers.get("KAFKA_USER")
    )
}

/// Settings of TLS, with a client's certificate.
fn certified(servers: &Servers, certificate: &str, key: &str) -> String {
    format!(
        "brokers = {:?}\nsecurity = \"ssl\"\nca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}",
        servers.get("KAFKA_SSL_BROKERS"),
        servers.get("KAFKA_CA"),
        servers.get(certificate),
        servers.get(key)
    )
}

fn lab(servers: &Servers, settings: &str, topic: &str) -> Lab {
    let mut lab = Lab::new(format!("{settings}\ntopic = {topic:?}"));
    lab.relay = fresh("secured");
    lab.password = Some(servers.get("KAFKA_PASSWORD").to_owned());
    lab.insert(1..=20, |_| "x".to_owned());
    lab
}

/// Everything arrives.
fn delivers(servers: &Servers, settings: &str, topic: &str) {
    let mut lab = lab(servers, settings, topic);
    lab.start();
    lab.wait_delivered();
    lab.stop().expect("in good order");
    assert_whole(&kafka::consume_committed(servers.brokers(), topic), 1..=20);
}

/// The delivery parks for a reason with these words, and says with those what to do. Nothing is acked.
#[track_caller]
fn parks(lab: &mut Lab, words: &str, step: &str) {
    lab.start();
    let error = lab.failure();
    assert_eq!(error.class(), Class::Definite, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    let next = error.next_step().unwrap_or_default();
    assert!(next.contains(step), "{error}: {next}");
    assert!(!format!("{error:?} {error} {next}").contains("canary"), "a password is repeated");
    assert_eq!(lab.acked().0, 0);
}

/// What `relay check` says of a delivery's cluster.
fn items(settings: &str, topic: &str, password: &str) -> Vec<Item> {
    items_of("secured", settings, topic, password)
}

/// The same, of a relay of this name.
fn items_of(relay: &str, settings: &str, topic: &str, password: &str) -> Vec<Item> {
    let text = format!(
        "name = {relay:?}\n[source]\nurl = \"mysql://r@127.0.0.1:1\"\n[log]\ndir = \"/nonexistent/log\"\n\
         [[delivery]]\nname = \"orders\"\n[delivery.kafka]\n{settings}\ntopic = {topic:?}\n"
    );
    let environment = |name: &str| (name == "RELAY_DELIVERY_ORDERS_PASSWORD").then(|| password.to_owned());
    let config = Config::parse(&text, Path::new("t"), &environment).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(check::run(&config)).items
}

#[track_caller]
fn check_fails(items: &[Item], id: &str, words: &str, step: &str) {
    let item = items.iter().find(|item| item.id == id).unwrap_or_else(|| panic!("no {id}: {items:#?}"));
    assert_eq!((item.level, item.unreachable), (Level::Fail, false), "{item:?}");
    assert!(item.finding.contains(words) && item.remedy.contains(step), "{item:?}");
    assert!(!format!("{items:?}").contains("canary"), "a password is repeated");
}

#[test]
fn scram_over_tls_delivers_at_least_once_and_exactly_once() {
    let servers = shared(&["kafka"]);
    delivers(&servers, &scram(&servers, SCRAM_256), &topic(&servers, 1, &[]));
    let once = format!("{}\ndelivery = \"exactly_once\"", scram(&servers, SCRAM_512));
    let topic = topic(&servers, 2, &[]);
    delivers(&servers, &once, &topic);
    let all = items(&once, &topic, servers.get("KAFKA_PASSWORD"));
    let auth = all.iter().find(|item| item.id == "kafka.auth").expect("asked");
    assert!(auth.level == Level::Pass && auth.finding.contains("SCRAM-SHA-512 over TLS"), "{auth:?}");
}

#[test]
fn a_wrong_password_is_a_refused_login_in_check_and_delivery() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 1, &[]);
    for mechanism in [SCRAM_256, SCRAM_512] {
        let settings = scram(&servers, mechanism);
        let mut lab = lab(&servers, &settings, &topic);
        lab.password = Some("wrong-canary".to_owned());
        parks(&mut lab, "login", "correct username, password or sasl_mechanism");
        check_fails(&items(&settings, &topic, "wrong-canary"), "kafka.auth", "login", "password");
    }
}

#[test]
fn a_certificate_is_a_login_and_one_without_rights_is_told() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 1, &[]);
    kafka::allow(&servers, "User:CN=relay test client", &["Write", "Describe"], ["--topic", &topic]);
    let settings = certified(&servers, "KAFKA_CLIENT_CERT", "KAFKA_CLIENT_KEY");
    delivers(&servers, &settings, &topic);
    let stranger = scram(&servers, SCRAM_256);
    parks(&mut lab(&servers, &stranger, &topic), &topic, "allow WRITE and DESCRIBE");
    check_fails(&items(&stranger, &topic, servers.get("KAFKA_PASSWORD")), "kafka.auth", &topic, "DESCRIBE");
}

#[test]
fn a_certificate_whose_time_is_over_is_told_on_either_side() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 1, &[]);
    let settings = certified(&servers, "KAFKA_EXPIRED_CERT", "KAFKA_EXPIRED_KEY");
    parks(&mut lab(&servers, &settings, &topic), "certificate", "cert_file");
    check_fails(&items(&settings, &topic, ""), "kafka.connect", "certificate", "cert_file");

    let (broker, authority) = expired_broker();
    let settings = format!("brokers = {broker:?}\nsecurity = \"ssl\"\nca_file = {:?}", authority.path());
    parks(&mut lab(&servers, &settings, &topic), "certificate", "ca_file");
    check_fails(&items(&settings, &topic, ""), "kafka.connect", "certificate", "ca_file");
}

/// Something that listens with a certificate of which the time is over, and the file of its authority.
fn expired_broker() -> (String, tempfile::NamedTempFile) {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a server");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a server");
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // Nobody gets through the handshake.
            while stream.read(&mut [0; 512]).is_ok_and(|n| n > 0) {}
        }
    });
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(certificate.pem().as_bytes()).expect("a disk");
    (address, file)
}

#[test]
fn what_an_account_may_not_do_parks_by_its_name() {
    let servers = shared(&["kafka"]);
    let settings = scram(&servers, SCRAM_256);
    let user = format!("User:{}", servers.get("KAFKA_USER"));
    let readable = topic(&servers, 1, &[]);
    kafka::allow(&servers, &user, &["Describe"], ["--topic", &readable]);
    parks(&mut lab(&servers, &settings, &readable), &readable, "allow WRITE and DESCRIBE on topic");
    let password = servers.get("KAFKA_PASSWORD");
    check_fails(&items(&settings, &readable, password), "kafka.auth", &readable, "allow WRITE");
    kafka::allow(&servers, &user, &["Write"], ["--topic", &readable]);
    delivers(&servers, &settings, &readable);

    let open = topic(&servers, 1, &[]);
    let exactly = format!("{settings}\ndelivery = \"exactly_once\"");
    let mut once = lab(&servers, &exactly, &open);
    let relay = once.relay.clone();
    let auth = |items: Vec<Item>| items.into_iter().find(|item| item.id == "kafka.auth").expect("asked");
    let before = auth(items_of(&relay, &exactly, &open, password));
    assert_eq!(before.level, Level::Pass, "{before:?}");
    let id = format!("relay-{}/orders", once.relay);
    kafka::allow(&servers, "User:somebody", &["Write"], ["--transactional-id", &id]);
    parks(&mut once, "transactions", "transactional ids");
    check_fails(&items_of(&relay, &exactly, &open, password), "kafka.auth", &id, "transactional ids");

    let hidden = topic(&servers, 1, &[]);
    kafka::allow(&servers, "User:somebody", &["Read"], ["--topic", &hidden]);
    parks(&mut lab(&servers, &settings, &hidden), &hidden, "allow WRITE and DESCRIBE on topic");
    check_fails(&items(&settings, &hidden, password), "kafka.auth", &hidden, "DESCRIBE");
}
