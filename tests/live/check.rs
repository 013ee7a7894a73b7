//! The precheck against real servers.

use std::path::Path;

use relay::check::server::{self, LogState};
use relay::check::{Item, Level};
use relay::config::Config;

use crate::support::fresh;
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;

/// Asks the server with `[source]` settings beyond its address; `password` as from the environment.
fn ask(database: &Database, settings: &str, user: &str, password: &str) -> Vec<Item> {
    let url = format!("mysql://{user}@127.0.0.1:{}", database.port);
    let ca = match (&database.ca, settings.contains("tls =")) {
        (Some(ca), true) => format!("ca_file = {:?}\n", ca.display().to_string()),
        _ => String::new(),
    };
    let tls = if settings.contains("tls =") { "" } else { "tls = \"disabled\"\n" };
    let text = format!(
        "name = \"check\"\n[source]\nurl = \"{url}\"\n{tls}{ca}{settings}\n[log]\ndir = \"/nonexistent/log\"\n"
    );
    let environment = |name: &str| (name == "RELAY_SOURCE_PASSWORD").then(|| password.to_owned());
    let config = Config::parse(&text, Path::new("check.toml"), &environment).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(server::ask(&config.source, LogState::New)).items
}

#[track_caller]
fn item<'a>(items: &'a [Item], id: &str) -> &'a Item {
    items.iter().find(|item| item.id == id).unwrap_or_else(|| panic!("no item {id}: {items:#?}"))
}

#[test]
fn an_ordinary_server_fails_nothing_and_every_item_comes() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let schema = fresh("check");
        let mut root = Session::open(&database);
        root.run(&format!("CREATE DATABASE {schema}"));
        root.run(&format!("CREATE TABLE {schema}.good (id INT PRIMARY KEY, f DOUBLE)"));
        root.run(&format!("CREATE TABLE {schema}.loose (v INT)"));
        let all = ask(&database, &format!("tables = [\"{schema}.*\"]"), "relay", "relay");
        let failed: Vec<&Item> = all.iter().filter(|item| item.level == Level::Fail).collect();
        assert!(failed.is_empty(), "{}: {failed:#?}", database.name);
        for id in [
            "source.connect",
            "source.version",
            "source.role",
            "source.log_slave_updates",
            "source.server_id",
            "source.gtid",
            "source.privileges",
            "binlog.enabled",
            "binlog.format",
            "binlog.row_image",
            "binlog.json_partial",
            "binlog.metadata",
            "binlog.compression",
            "binlog.files",
            "binlog.retention",
            "binlog.checksum_encrypt",
            "table.engine",
            "table.charset",
            "table.invisible_columns",
            "table.foreign_keys",
            "table.float_precision",
            "objects.exist",
            "time.zone",
        ] {
            item(&all, id);
        }
        let key = item(&all, "table.key");
        assert_eq!(key.level, Level::Warn);
        assert!(key.finding.contains(&format!("{schema}.loose")) && !key.finding.contains("good"), "{key:?}");
    }
}

#[test]
fn what_is_wrong_is_found_by_its_item_with_a_remedy() {
    let servers = shared(&["mysql97", "mysql56"]);
    let database = servers.mysql97();
    let fails = |items: &[Item], id: &str, word: &str| {
        let item = item(items, id);
        assert_eq!(item.level, Level::Fail, "{item:?}");
        assert!(item.finding.contains(word) && !item.remedy.is_empty(), "{item:?}");
    };
    fails(&ask(&database, "", "relay", "wrong"), "source.connect", "1045");
    fails(&ask(&servers.mysql56(), "tls = \"required\"", "relay", "relay"), "source.connect", "no TLS");
    let gone = Database { port: 1, ..database.clone() };
    fails(&ask(&gone, "", "relay", "relay"), "source.connect", "127.0.0.1:1");
    let own_id = Session::open(&database).text("SELECT @@server_id");
    fails(&ask(&database, &format!("server_id = {own_id}"), "relay", "relay"), "source.server_id", &own_id);
    fails(&ask(&database, "tables = [\"nowhere.gone\"]", "relay", "relay"), "objects.exist", "nowhere.gone");
    fails(&ask(&database, "start = \"file:mysql-bin.000000:4\"", "relay", "relay"), "binlog.files", "mysql-bin.000000");
    fails(
        &ask(&database, "start = \"gtid:00000000-0000-0000-0000-000000000001:1\"", "relay", "relay"),
        "binlog.files",
        "lacks",
    );
    let user = fresh("poor");
    let mut root = Session::open(&database);
    root.run(&format!("CREATE USER {user} IDENTIFIED BY 'x'"));
    let poor = ask(&database, "", &user, "x");
    fails(&poor, "source.privileges", "SELECT, REPLICATION SLAVE, REPLICATION CLIENT");
    root.run(&format!("DROP USER {user}"));
}
