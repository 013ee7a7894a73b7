//! The connection to servers that stop, hang, purge and are reset. Each test has servers of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use relay::capture::position::{PositionError, choose};
use relay::capture::source::{Session, file_created};
use relay::capture::stream::{BinlogStream, ConnectOptions, Connection, DumpFrom, DumpOptions, Refusal, StreamError};
use relay::config::{Resume, Secret, SourceStart, Tls, TlsMode};
use relay::failure::{Class, Exit, Failure};
use relay::log::{Checkpoint, SourcePosition};

use crate::support::servers::{Database, Servers, own};
use crate::support::{sql, wait_until};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn options(database: &Database) -> ConnectOptions {
    ConnectOptions {
        host: "127.0.0.1".into(),
        port: database.port,
        user: "relay".into(),
        password: Secret::new("relay"),
        tls: Tls { mode: TlsMode::Disabled, ca_file: None, cert_file: None, key_file: None },
        timeout: Duration::from_secs(30),
    }
}

fn quick() -> DumpOptions {
    DumpOptions {
        heartbeat: Duration::from_millis(200),
        steady_patience: Duration::from_secs(2),
        ..DumpOptions::new(880_001)
    }
}

async fn dump(database: &Database, from: &DumpFrom) -> BinlogStream {
    let connection = Connection::connect(&options(database)).await.expect("a login");
    connection.dump(from, &quick()).await.expect("a dump")
}

async fn end_of(stream: &mut BinlogStream) -> StreamError {
    loop {
        if let Err(error) = stream.next().await {
            return error;
        }
    }
}

/// Reads until the bytes occur near the end of an event; gives that event's length.
async fn read_until(stream: &mut BinlogStream, needle: &[u8]) -> usize {
    loop {
        let event = stream.next().await.expect("an event").event;
        let tail = &event[event.len().saturating_sub(64)..];
        if tail.windows(needle.len()).any(|window| window == needle) {
            return event.len();
        }
    }
}

/// The checkpoint of a log that has everything up to now.
fn checkpoint_now(database: &Database) -> Checkpoint {
    run(async {
        let facts = Session::connect(&options(database)).await.expect("a login").facts().await.expect("facts");
        let end = facts.end.expect("an end");
        let created = file_created(&options(database), 880_002, &end.file).await.expect("its age");
        Checkpoint {
            gtids: end.gtids,
            file: end.file,
            position: end.position,
            server: facts.identity,
            file_created: created,
            ..Checkpoint::default()
        }
    })
}

fn resume(database: &Database, checkpoint: &Checkpoint) -> Result<DumpFrom, PositionError> {
    let facts = run(async { Session::connect(&options(database)).await?.facts().await }).expect("facts");
    choose(Some(checkpoint), Resume::Auto, &SourceStart::Latest, &facts).map(|point| point.from)
}

/// The same checkpoint without its GTIDs.
fn by_file(checkpoint: &Checkpoint) -> Checkpoint {
    Checkpoint { gtids: SourcePosition::FileOnly, ..checkpoint.clone() }
}

fn each(servers: &Servers) -> [Database; 3] {
    [servers.mysql97(), servers.mysql56(), servers.mariadb()]
}

fn signal(servers: &Servers, database: &Database, name: &str) {
    let prefix = match database.name {
        "mysql97" => "MYSQL97",
        "mysql56" => "MYSQL56",
        _ => "MARIADB",
    };
    let pid = servers.get(&format!("{prefix}_PID"));
    assert!(Command::new("kill").args(["-s", name, pid]).status().expect("kill runs").success());
}

#[test]
fn a_server_that_hangs_is_noticed_and_one_that_stops_is_followed_again_after_its_start() {
    let servers = own("outage", &["mysql97", "mysql56", "mariadb"]);
    for database in each(&servers) {
        let name = database.name;
        // MyISAM: the redo log of a small InnoDB takes no row of 100 MB.
        sql::Session::open(&database)
            .run_all(&["CREATE DATABASE wire", "CREATE TABLE wire.t (v LONGBLOB) ENGINE=MyISAM"]);
        let from = resume(&database, &checkpoint_now(&database)).expect("it goes on");

        // Half-open: the connection stands, and nothing comes.
        let hung = run(async {
            let mut stream = dump(&database, &from).await;
            while !matches!(stream.next().await.expect("an event").event[4], 27 | 41) {}
            signal(&servers, &database, "STOP");
            let begun = Instant::now();
            let error = end_of(&mut stream).await;
            signal(&servers, &database, "CONT");
            assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?}", begun.elapsed());
            error
        });
        assert!(matches!(hung, StreamError::Silent(_)), "{name}: {hung}");
        assert_eq!(hung.class(), Class::Transient);

        // An event of 100 MB, in the middle of others.
        let mut root = sql::Session::open(&database);
        root.run("INSERT INTO wire.t VALUES (CONCAT(REPEAT('x', 100 * 1024 * 1024), 'large-', 'one'))");
        root.run("INSERT INTO wire.t VALUES ('small-one')");
        run(async {
            let mut stream = dump(&database, &from).await;
            let length = read_until(&mut stream, b"large-one").await;
            assert!(length > 100 << 20, "{name}: {length}");
            read_until(&mut stream, b"small-one").await;
        });

        // An orderly stop is no end of the stream.
        let checkpoint = checkpoint_now(&database);
        let from = resume(&database, &checkpoint).expect("it goes on");
        let stopped = run(async {
            let mut stream = dump(&database, &from).await;
            stream.next().await.expect("the first event");
            servers.control(&["stop", name]);
            end_of(&mut stream).await
        });
        assert_eq!(stopped.class(), Class::Transient, "{name}: {stopped}");
        let refused = run(Connection::connect(&options(&database))).expect_err("it is down");
        assert!(matches!(refused, StreamError::Connect { .. }), "{name}: {refused}");
        assert_eq!(refused.class(), Class::Transient);
        servers.control(&["start", name]);
        sql::Session::open(&database).run("INSERT INTO wire.t VALUES ('after-the-start')");
        let from = resume(&database, &checkpoint).expect("it goes on");
        run(async { read_until(&mut dump(&database, &from).await, b"after-the-start").await });
        servers.control(&["stop", name]);
    }
}

#[test]
fn a_purged_or_reset_server_is_never_followed_past_the_gap() {
    let servers = own("gap", &["mysql97", "mysql56", "mariadb"]);
    for database in each(&servers) {
        let name = database.name;
        let mut root = sql::Session::open(&database);
        root.run_all(&["CREATE DATABASE wire", "CREATE TABLE wire.t (v INT)"]);
        let checkpoint = checkpoint_now(&database);
        let from = resume(&database, &checkpoint).expect("it goes on");
        root.run_all(&["INSERT INTO wire.t VALUES (1)", "FLUSH LOGS", "INSERT INTO wire.t VALUES (2)", "FLUSH LOGS"]);
        let last = root.rows("SHOW BINARY LOGS").last().and_then(|row| row[0].clone()).expect("a file");
        let last = String::from_utf8(last).expect("text");
        // The files go when no reader is in them any more.
        wait_until("the files are purged", Duration::from_secs(20), || {
            root.run(&format!("PURGE BINARY LOGS TO '{last}'"));
            (root.rows("SHOW BINARY LOGS").len() == 1).then_some(())
        });
        let error = resume(&database, &checkpoint).expect_err("a gap");
        assert!(matches!(error, PositionError::Purged { .. }), "{name}: {error}");
        assert_eq!(error.exit(), Exit::Source);
        let error = resume(&database, &by_file(&checkpoint)).expect_err("a gap");
        assert!(matches!(error, PositionError::FilePurged { .. }), "{name}: {error}");
        // The server says the same when it is asked all the same.
        let old_file = DumpFrom::File { file: checkpoint.file.clone(), position: checkpoint.position };
        for (from, refusal) in [(&from, Refusal::Purged), (&old_file, Refusal::FileMissing)] {
            let error = run(async { end_of(&mut dump(&database, from).await).await });
            assert_eq!(error.refusal(), Some(refusal), "{name}: {error}");
            assert_eq!((error.class(), error.exit()), (Class::Definite, Exit::Source), "{name}");
        }

        let checkpoint = checkpoint_now(&database);
        std::thread::sleep(Duration::from_millis(1100)); // creation times have whole seconds
        root.run(if name == "mysql97" { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" });
        for log in [&checkpoint, &by_file(&checkpoint)] {
            let error = resume(&database, log).expect_err("another binlog");
            assert!(matches!(error, PositionError::ResetServer { .. }), "{name}: {error}");
        }
        // Grown past the log again, in files and in GTIDs: only the age of the file tells.
        for i in 0..30 {
            root.run(&format!("INSERT INTO wire.t VALUES ({i})"));
            root.run("FLUSH LOGS");
        }
        let facts = run(async { Session::connect(&options(&database)).await?.facts().await }).expect("facts");
        for log in [&checkpoint, &by_file(&checkpoint)] {
            match choose(Some(log), Resume::Auto, &SourceStart::Latest, &facts) {
                Err(PositionError::ResetServer { .. }) => {}
                Err(error) => panic!("{name}: {error}"),
                Ok(point) => {
                    let created = run(file_created(&options(&database), 880_002, &log.file)).expect("its age");
                    let error = point.confirm_file(&log.file, created).expect_err("another file");
                    assert!(matches!(error, PositionError::ResetServer { .. }), "{name}: {error}");
                }
            }
        }
        servers.control(&["stop", name]);
    }
}
