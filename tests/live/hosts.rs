//! A source with several servers: capture goes on at the first one that can continue the log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay::capture::chunks::Chunks;
use relay::capture::position::PositionError;
use relay::capture::{CaptureContext, CaptureError, run};
use relay::config::Config;
use relay::failure::{Class, Failure};
use relay::metrics::Metrics;
use relay::status::Status;
use relay_store::{Store, StoreOptions};
use tokio_util::sync::CancellationToken;

use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// Runs capture on these servers in this order until `done`, given the version of the server in use, or until it ends
/// by itself.
fn capture(store: &Store, ports: &[u16], done: impl Fn(&str) -> bool) -> Result<(), CaptureError> {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let server_id = 700_000_000 + std::process::id();
    let toml = format!(
        "[source]\nurl = \"mysql://root@{}\"\nserver_id = {server_id}\ntls = \"disabled\"\nheartbeat_interval = \"1s\"\n\
         [log]\ndir = \"/nonexistent\"\n",
        hosts.join(",")
    );
    let config = Config::parse(&toml, Path::new("relay.toml"), &|_| None).expect("a valid config");
    let (status, shutdown) = (Status::new(), CancellationToken::new());
    let context = CaptureContext {
        config: Arc::new(config.source),
        store: store.clone(),
        status: status.capture(),
        metrics: Metrics::new("source", "test").capture(),
        chunks: Chunks::default(),
        shutdown: shutdown.clone(),
    };
    std::thread::scope(|scope| {
        let life = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(context))
        });
        // Capture ends also when the test fails here.
        let ends = shutdown.drop_guard();
        wait_until("capture gets there, or ends", Duration::from_secs(60), || {
            let version = status.capture().server().map(|server| server.version).unwrap_or_default();
            (life.is_finished() || done(&version)).then_some(())
        });
        drop(ends);
        life.join().expect("capture does not panic")
    })
}

#[test]
fn the_server_that_has_everything_is_found_behind_one_that_has_not() {
    let servers = shared(&["mysql97", "mysql56"]);
    let (right, wrong) = (servers.mysql97().port, servers.mysql56().port);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("a fresh store");
    let mut root = Session::open(&servers.mysql97());
    let schema = fresh("hosts");
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (v INT PRIMARY KEY)"));

    // The log begins at the right server: capture first, then a row, so that it has a checkpoint.
    let row = std::cell::RefCell::new(&mut root);
    let first = std::cell::Cell::new(true);
    let seen = store.positions().visible_seq;
    capture(&store, &[right], |version| {
        if !version.is_empty() && first.replace(false) {
            row.borrow_mut().run(&format!("INSERT INTO {schema}.t VALUES (1)"));
        }
        store.positions().visible_seq > seen && store.checkpoint().is_some()
    })
    .expect("it goes on until it is told to stop");
    let begun = store.positions().visible_seq;

    // The other server alone is refused, and not for good while a further one does not answer.
    let error = capture(&store, &[wrong], |_| false).expect_err("another server");
    assert!(matches!(error, CaptureError::Position(PositionError::Diverged { .. })), "{error}");
    assert_eq!(error.class(), Class::Definite);
    let error = capture(&store, &[wrong, 1], |_| false).expect_err("another server, and none");
    assert_eq!(error.class(), Class::Transient, "{error}");

    // With the right one behind it in the list, the log goes on.
    root.run(&format!("INSERT INTO {schema}.t VALUES (2)"));
    let servers_seen = std::cell::RefCell::new(String::new());
    capture(&store, &[wrong, right], |version| {
        *servers_seen.borrow_mut() = version.to_owned();
        store.positions().visible_seq > begun
    })
    .expect("it goes on until it is told to stop");
    assert!(servers_seen.borrow().starts_with("9."), "{}", servers_seen.borrow());
}
