//! The connection to the source against real servers: logins, TLS, dumps, and how each end of a stream is told.

use std::time::Duration;

use relay::capture::source::file_created;
use relay::capture::stream::{
    BinlogStream, ConnectOptions, Connection, DumpFrom, DumpOptions, Refusal, StreamError, TlsError,
};
use relay::config::{Secret, Tls, TlsMode};
use relay::failure::{Class, Exit, Failure};

use crate::support::fresh;
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn options(database: &Database, user: &str) -> ConnectOptions {
    ConnectOptions {
        host: "127.0.0.1".into(),
        port: database.port,
        user: user.into(),
        password: Secret::new(if user == "root" { "" } else { "relay" }),
        tls: Tls { mode: TlsMode::Disabled, ca_file: None, cert_file: None, key_file: None },
        timeout: Duration::from_secs(30),
    }
}

fn with_tls(database: &Database, user: &str, mode: TlsMode) -> ConnectOptions {
    let tls = Tls { mode, ca_file: database.ca.clone(), cert_file: None, key_file: None };
    ConnectOptions { tls, ..options(database, user) }
}

async fn cipher(connection: &mut Connection) -> String {
    let rows = connection.query("SHOW STATUS LIKE 'Ssl_cipher'").await.expect("a status");
    rows.first().and_then(|row| row.at(1)).unwrap_or_default().to_owned()
}

/// A server id that no other dump of this test run uses.
fn server_id() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    500_000 + std::process::id() % 100_000 * 100 + NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn dump(database: &Database, from: &DumpFrom, options_of_dump: &DumpOptions) -> BinlogStream {
    let connection = Connection::connect(&options(database, "relay")).await.expect("a login");
    connection.dump(from, options_of_dump).await.expect("a dump")
}

/// Reads until the bytes occur in an event; gives the type of each event read.
async fn read_until(stream: &mut BinlogStream, needle: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    loop {
        let packet = stream.next().await.expect("an event");
        assert_eq!(u32::from_le_bytes(packet.event[9..13].try_into().unwrap()) as usize, packet.event.len());
        kinds.push(packet.event[4]);
        if packet.event.windows(needle.len()).any(|window| window == needle) {
            return kinds;
        }
    }
}

#[test]
fn caching_sha2_logs_in_over_tcp_and_in_every_mode_of_tls() {
    let servers = shared(&["mysql97"]);
    let database = servers.mysql97();
    let mut root = Session::open(&database);
    let user = fresh("sha2");
    root.run(&format!("CREATE USER {user} IDENTIFIED WITH caching_sha2_password BY 'relay'"));
    for mode in [TlsMode::Disabled, TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        root.run("FLUSH PRIVILEGES"); // empties the cache: the next login needs the whole password
        for what in ["whole password", "cached"] {
            let cipher = run(async {
                let mut connection = Connection::connect(&with_tls(&database, &user, mode))
                    .await
                    .unwrap_or_else(|e| panic!("{mode:?}, {what}: {e}"));
                cipher(&mut connection).await
            });
            assert_eq!(cipher.is_empty(), mode == TlsMode::Disabled, "{mode:?}: {cipher:?}");
        }
    }
    root.run(&format!("DROP USER {user}"));
}

#[test]
fn a_certificate_is_verified_as_far_as_the_mode_says_and_no_further() {
    let servers = shared(&["mysql97"]);
    let database = servers.mysql97();
    let connect = |mode, ca: bool, host: &str| {
        let mut options = with_tls(&database, "relay", mode);
        options.host = host.into();
        if !ca {
            options.tls.ca_file = None;
        }
        run(Connection::connect(&options))
    };
    for (mode, ca, host, good) in [
        (TlsMode::Required, false, "127.0.0.1", true),
        (TlsMode::VerifyCa, true, "127.0.0.1", true),
        (TlsMode::VerifyCa, false, "127.0.0.1", false),
        (TlsMode::VerifyIdentity, true, "localhost", true),
        (TlsMode::VerifyIdentity, false, "127.0.0.1", false),
    ] {
        match connect(mode, ca, host) {
            Ok(_) => assert!(good, "{mode:?} ca={ca} {host} was let through"),
            Err(error) => {
                assert!(!good, "{mode:?} ca={ca} {host}: {error}");
                assert!(matches!(error, StreamError::Tls { source: TlsError::Handshake(_), .. }), "{error}");
                assert_eq!(error.class(), Class::Definite);
            }
        }
    }
}

#[test]
fn other_plugins_log_in_by_an_auth_switch() {
    let servers = shared(&["mysql56", "mariadb"]);
    for (database, user) in [
        (servers.mysql56(), "relay_native"),
        (servers.mysql56(), "root"),
        (servers.mariadb(), "relay_native"),
        (servers.mariadb(), "relay_ed25519"),
    ] {
        let rows = run(async {
            let mut connection = Connection::connect(&options(&database, user)).await?;
            connection.query("SELECT CURRENT_USER()").await
        });
        let rows = rows.unwrap_or_else(|e| panic!("{user} on {}: {e}", database.name));
        let who = rows.first().and_then(|row| row.at(0)).unwrap_or_default().to_owned();
        assert!(who.starts_with(&format!("{user}@")), "{who}");
    }
    let wrong = ConnectOptions { password: Secret::new("wrong"), ..options(&servers.mariadb(), "relay_ed25519") };
    let error = run(Connection::connect(&wrong)).unwrap_err();
    assert!(matches!(&error, StreamError::Login { source, .. } if source.code == 1045), "{error}");
}

/// Where the server's binlog ends now, in both ways of saying it.
fn ends(database: &Database) -> [DumpFrom; 2] {
    let mut root = Session::open(database);
    let status = if database.name == "mysql97" { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let row = root.rows(status).remove(0);
    let text = |i: usize| String::from_utf8(row[i].clone().expect("a value")).expect("text");
    let file = DumpFrom::File { file: text(0), position: text(1).parse().expect("a position") };
    let gtid = match database.name {
        "mariadb" => DumpFrom::MariaDbGtid(root.text("SELECT @@gtid_binlog_pos").parse().expect("a position")),
        _ => DumpFrom::MySqlGtid(root.text("SELECT @@GLOBAL.gtid_executed").parse().expect("a set")),
    };
    [file, gtid]
}

#[test]
fn a_dump_by_position_and_by_gtid_gives_what_comes_after_it() {
    const GTID_EVENTS: [u8; 3] = [33, 42, 162];
    const ANNOTATE_ROWS: u8 = 160;
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = Session::open(&database);
        let name = fresh("wire");
        root.run(&format!("CREATE DATABASE {name}"));
        root.run(&format!("CREATE TABLE {name}.t (id INT PRIMARY KEY, v TEXT)"));
        root.run(&format!("INSERT INTO {name}.t VALUES (1, 'before-{name}')"));
        let starts = ends(&database);
        root.run(&format!("INSERT INTO {name}.t VALUES (2, 'after-{name}')"));
        for from in &starts {
            run(async {
                let mut stream = dump(&database, from, &DumpOptions::new(server_id())).await;
                let kinds = read_until(&mut stream, format!("after-{name}").as_bytes()).await;
                let what = format!("{} {from:?}: {kinds:?}", database.name);
                assert_eq!(kinds[..2], [4, 15], "rotate and format description come first: {what}");
                assert!(kinds.iter().any(|kind| GTID_EVENTS.contains(kind)), "{what}");
                assert_eq!(kinds.contains(&ANNOTATE_ROWS), database.name == "mariadb", "{what}");
            });
        }
    }
}

#[test]
fn an_idle_server_beats_and_the_file_tells_its_age_wherever_the_dump_begins() {
    const HEARTBEATS: [u8; 2] = [27, 41];
    // Other tests write to these servers, none of them for long.
    const IDLE_SOON: Duration = Duration::from_secs(300);
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        for from in &ends(&database) {
            let DumpFrom::File { file, .. } = &ends(&database)[0] else { panic!("a file comes first") };
            run(async {
                let age = file_created(&options(&database, "relay"), server_id(), file).await.expect("its age");
                let mut dumping = DumpOptions::new(server_id());
                dumping.heartbeat = Duration::from_millis(100);
                let mut stream = dump(&database, from, &dumping).await;
                let (mut beats, mut seen_age) = (0, None);
                let read = async {
                    while beats < 2 {
                        let packet = stream.next().await.expect("an event");
                        beats += u32::from(HEARTBEATS.contains(&packet.event[4]));
                        if packet.event[4] == 15 && seen_age.is_none() {
                            seen_age = Some(u32::from_le_bytes(packet.event[..4].try_into().unwrap()));
                        }
                    }
                };
                tokio::time::timeout(IDLE_SOON, read).await.expect("the server rests sometimes");
                assert_eq!(seen_age, Some(age), "{} {from:?}", database.name);
            });
        }
    }
}

#[test]
fn two_readers_of_one_server_id_do_not_go_on_in_silence() {
    let servers = shared(&["mysql97", "mysql56"]);
    for database in [servers.mysql97(), servers.mysql56()] {
        let from = &ends(&database)[1];
        run(async {
            let mut dumping = DumpOptions::new(server_id());
            dumping.heartbeat = Duration::from_millis(200);
            let mut older = dump(&database, from, &dumping).await;
            older.next().await.expect("the first event");
            let mut newer = dump(&database, from, &dumping).await;
            newer.next().await.expect("the first event");
            let error = end_of(&mut older).await;
            // 5.6 says nothing and closes.
            if database.name == "mysql97" {
                assert_eq!(error.refusal(), Some(Refusal::DuplicateServerId), "{error}");
                assert_eq!(error.class(), Class::Definite);
            }
            newer.next().await.expect("the newer one goes on");
        });
    }
}

#[test]
fn a_killed_dump_thread_is_to_be_reconnected() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = Session::open(&database);
        for from in &ends(&database) {
            let error = run(async {
                let mut stream = dump(&database, from, &DumpOptions::new(server_id())).await;
                stream.next().await.expect("the first event");
                let id = stream.connection_id();
                let kill = options(&database, "root");
                Connection::connect(&kill).await.expect("root").execute(&format!("KILL {id}")).await.expect("a kill");
                end_of(&mut stream).await
            });
            assert_eq!(error.class(), Class::Transient, "{}: {error}", database.name);
        }
        root.run("SELECT 1");
    }
}

/// The error that ends a stream.
async fn end_of(stream: &mut BinlogStream) -> StreamError {
    loop {
        if let Err(error) = stream.next().await {
            return error;
        }
    }
}

#[test]
fn a_position_that_is_no_position_of_this_server_is_refused_by_its_kind() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let [DumpFrom::File { file, position }, _] = &ends(&database) else { panic!("a file comes first") };
        // From here on the others write to the next file: this one's end is near, however busy the server is.
        Session::open(&database).run("FLUSH BINARY LOGS");
        let here = |file: &str, position| DumpFrom::File { file: file.into(), position };
        let foreign: DumpFrom = match database.name {
            "mariadb" => DumpFrom::MariaDbGtid("0-99-99999999".parse().unwrap()),
            _ => {
                let uuid = Session::open(&database).text("SELECT @@server_uuid");
                DumpFrom::MySqlGtid(format!("{uuid}:1-99999999").parse().unwrap())
            }
        };
        // Further than the others have got before the file ended.
        let beyond = position + (1 << 30);
        for (from, expected) in [
            (here("mysql-bin.999999", 4), Refusal::FileMissing),
            (here(file, beyond), Refusal::PositionBeyondFile),
            (here(file, (1 << 32) + 77), Refusal::PositionBeyondFile),
            (here("mysql-bin.000001", 143), Refusal::PositionInsideEvent),
            (foreign, Refusal::Diverged),
        ] {
            let what = format!("{} {from:?}", database.name);
            let error = run(async {
                let mut dumping = DumpOptions::new(server_id());
                dumping.heartbeat = Duration::from_millis(200);
                dumping.steady_patience = Duration::from_secs(30);
                let mut stream = dump(&database, &from, &dumping).await;
                tokio::time::timeout(Duration::from_secs(60), end_of(&mut stream)).await
            });
            let error = error.unwrap_or_else(|_| panic!("{what}: the server took it"));
            assert_eq!(error.refusal(), Some(expected), "{what}: {error}");
            assert_eq!((error.class(), error.exit()), (Class::Definite, Exit::Source), "{what}");
        }
    }
}

#[test]
fn a_client_certificate_is_shown_when_the_account_demands_one() {
    let servers = shared(&["mysql97"]);
    let database = servers.mysql97();
    let mut root = Session::open(&database);
    let user = fresh("x509");
    root.run(&format!("CREATE USER {user} IDENTIFIED BY 'relay' REQUIRE X509"));
    let mut with = with_tls(&database, &user, TlsMode::VerifyIdentity);
    let error = run(Connection::connect(&with)).expect_err("no certificate shown");
    assert!(matches!(&error, StreamError::Login { source, .. } if source.code == 1045), "{error}");
    let folder = database.ca.as_ref().and_then(|ca| ca.parent()).expect("a folder of certificates");
    with.tls.cert_file = Some(folder.join("client.pem"));
    with.tls.key_file = Some(folder.join("client.key"));
    run(Connection::connect(&with)).expect("a login");
    with.tls.key_file = Some(folder.join("server.key"));
    let error = run(Connection::connect(&with)).expect_err("a key that fits no certificate");
    assert!(matches!(error, StreamError::Tls { source: TlsError::Material { .. }, .. }), "{error}");
    root.run(&format!("DROP USER {user}"));
}

#[test]
fn a_missing_right_is_told_with_the_grant_that_helps() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = Session::open(&database);
        let user: String = fresh("p").chars().take(16).collect(); // 5.6 knows no longer names
        root.run(&format!("CREATE USER {user} IDENTIFIED BY 'relay'"));
        let from = &ends(&database)[0];
        let error = run(async {
            let connection = Connection::connect(&options(&database, &user)).await.expect("a login");
            match connection.dump(from, &DumpOptions::new(server_id())).await {
                Ok(mut stream) => end_of(&mut stream).await,
                Err(error) => error,
            }
        });
        assert_eq!(error.class(), Class::Definite, "{}: {error}", database.name);
        let step = error.next_step().unwrap_or_else(|| panic!("{}: {error}", database.name));
        assert!(step.contains("REPLICATION SLAVE"), "{}: {error}: {step}", database.name);
        root.run(&format!("DROP USER {user}"));
    }
}

#[test]
fn tagged_gtids_are_resumed_after_like_the_others() {
    let servers = shared(&["mysql97"]);
    let database = servers.mysql97();
    let name = fresh("tagged");
    let mut root = Session::open(&database);
    root.run(&format!("CREATE DATABASE {name}"));
    root.run(&format!("CREATE TABLE {name}.t (v TEXT)"));
    root.run("SET gtid_next = 'AUTOMATIC:relay_tag'");
    root.run(&format!("INSERT INTO {name}.t VALUES ('tagged-before-{name}')"));
    let from = &ends(&database)[1];
    assert!(matches!(from, DumpFrom::MySqlGtid(set) if set.has_tags()), "{from:?}");
    root.run(&format!("INSERT INTO {name}.t VALUES ('tagged-after-{name}')"));
    run(async {
        let mut stream = dump(&database, from, &DumpOptions::new(server_id())).await;
        loop {
            let event = stream.next().await.expect("an event").event;
            let holds = |text: String| event.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds(format!("tagged-before-{name}")), "it was in the set");
            if holds(format!("tagged-after-{name}")) {
                break;
            }
        }
    });
}
