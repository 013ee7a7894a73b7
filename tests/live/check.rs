//! The precheck against real servers.

use std::path::Path;

use relay::check::server::{self, LogState};
use relay::check::{self, Item, Level, Report, Verdict};
use relay::config::Config;

use crate::support::servers::{Database, Servers, shared};
use crate::support::sql::Session;
use crate::support::{fresh, kafka};

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
            "table.generated",
            "table.encdb",
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

/// Runs every item for tables of a schema of mysql97, with these lines of a Kafka delivery and of its Kafka section.
fn of_delivery(servers: &Servers, schema: &str, delivery: &str, kafka: &str) -> Report {
    let log = tempfile::tempdir().expect("a folder");
    let text = format!(
        "name = \"check\"\n[source]\nurl = {:?}\ntls = \"disabled\"\ntables = [\"{schema}.*\"]\n[log]\ndir = {:?}\n\
         [[delivery]]\nname = \"orders\"\n{delivery}\n[delivery.kafka]\nbrokers = {:?}\n{kafka}\n",
        servers.mysql97().url("relay"),
        log.path().join("log").display().to_string(),
        servers.brokers(),
    );
    let environment = |name: &str| (name == "RELAY_SOURCE_PASSWORD").then(|| "relay".to_owned());
    let config = Config::parse(&text, Path::new("check.toml"), &environment).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(check::run(&config))
}

#[track_caller]
fn found(report: &Report, id: &str, level: Level, words: &str) {
    let of_id: Vec<&Item> = report.items.iter().filter(|item| item.id == id).collect();
    let item = of_id.iter().find(|item| item.level == level && item.finding.contains(words));
    let item = item.unwrap_or_else(|| panic!("no {} of {id} with {words:?}: {of_id:#?}", level.name()));
    assert_eq!(item.level == Level::Pass, item.remedy.is_empty(), "{item:?}");
}

#[test]
fn what_a_cluster_says_is_found_by_its_items() {
    let servers = shared(&["mysql97", "kafka"]);
    let schema = fresh("check");
    let mut root = Session::open(&servers.mysql97());
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.orders (id INT PRIMARY KEY)"));
    let (topic, ddl) = (format!("{schema}.orders"), format!("{schema}.ddl"));
    kafka::create_topic(&servers, &topic, 2, &["max.message.bytes=20000000"]);
    kafka::create_topic(&servers, &ddl, 1, &[]);
    let separate = format!("ddl_topic = {ddl:?}");
    let good = of_delivery(&servers, &schema, "", &separate);
    for id in ["connect", "auth", "version", "topic", "ddl_topic", "settings"] {
        found(&good, &format!("kafka.{id}"), Level::Pass, "");
    }
    found(&good, "kafka.version", Level::Pass, "metadata.version");
    found(&good, "objects.same_name", Level::Pass, "empty");
    found(&good, "table.row_size", Level::Pass, "");
    found(&of_delivery(&servers, &schema, "", ""), "kafka.ddl_topic", Level::Warn, "Flink");
    let missing = of_delivery(&servers, &schema, "", "ddl_topic = \"nowhere\"");
    found(&missing, "kafka.ddl_topic", Level::Fail, "nowhere");

    kafka::produce(servers.brokers(), &topic, "somebody else's");
    let full = of_delivery(&servers, &schema, "", &separate);
    found(&full, "objects.same_name", Level::Fail, &topic);
    assert_eq!(full.verdict(&[], true), Verdict::Failed);
    let added = of_delivery(&servers, &schema, "on_conflict = \"proceed\"", &separate);
    found(&added, "objects.same_name", Level::Warn, &topic);
    assert_eq!(added.verdict(&["source.server_id".to_owned()], false), Verdict::Ready, "{added}");
    let shared_topic = of_delivery(&servers, &schema, "", &format!("topic = {topic:?}\n{separate}"));
    found(&shared_topic, "objects.same_name", Level::Pass, "no topic is of one table alone");
    root.run(&format!("DROP DATABASE {schema}"));
}

#[test]
fn a_registry_that_cannot_be_used_fails_the_check_and_nothing_is_registered() {
    let servers = shared(&["mysql97", "kafka", "registry"]);
    let schema = fresh("check");
    let mut root = Session::open(&servers.mysql97());
    root.run(&format!("CREATE DATABASE {schema}"));
    let topic = fresh("avro");
    kafka::create_topic(&servers, &topic, 1, &[]);
    let url = servers.get("REGISTRY_URL");
    let with = |registry: &str| {
        let settings = format!("topic = {topic:?}\nformat = \"dts-avro\"\nregistry = {{ {registry} }}");
        of_delivery(&servers, &schema, "", &settings)
    };
    let good = with(&format!("url = {url:?}"));
    found(&good, "kafka.registry", Level::Pass, "takes it for 1");
    found(&good, "kafka.ddl_topic", Level::Pass, "");
    found(&with(&format!("url = {url:?}, register = false")), "kafka.registry", Level::Fail, &topic);
    found(&with("url = \"http://127.0.0.1:1\""), "kafka.registry", Level::Fail, "127.0.0.1:1");
    let stranger = format!("url = {:?}", servers.get("REGISTRY_SSL_URL"));
    found(&with(&stranger), "kafka.registry", Level::Fail, "");
    let put = |path: &str, body: &str| {
        let request = ureq::put(format!("{url}/{path}")).header("Content-Type", "application/json");
        assert!(request.send(body).expect("the registry answers").status().is_success());
    };
    let other = serde_json::json!({ "schema": r#"{"type":"record","name":"Other","fields":[]}"# }).to_string();
    let posted =
        ureq::post(format!("{url}/subjects/{topic}-value/versions")).header("Content-Type", "application/json");
    assert!(posted.send(&other).expect("the registry answers").status().is_success());
    put(&format!("config/{topic}-value"), r#"{"compatibility":"FULL"}"#);
    found(&with(&format!("url = {url:?}")), "kafka.registry", Level::Fail, &format!("{topic}-value"));
    root.run(&format!("DROP DATABASE {schema}"));
}

#[test]
fn tables_with_large_rows_and_virtual_columns_are_told() {
    let servers = shared(&["mysql97", "kafka"]);
    let schema = fresh("check");
    let mut root = Session::open(&servers.mysql97());
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.notes (id INT PRIMARY KEY, note LONGTEXT)"));
    root.run(&format!("CREATE TABLE {schema}.sums (a INT, b INT AS (a + 1) VIRTUAL NOT NULL, c INT AS (a + 2) STORED NOT NULL, UNIQUE (b))"));
    for id in 1..=8 {
        root.run(&format!("INSERT INTO {schema}.notes VALUES ({id}, REPEAT('x', 700000))"));
    }
    root.run(&format!("ANALYZE TABLE {schema}.notes"));
    let limit = |limit: &str| format!("topic = \"all\"\nmax_record_bytes = {limit:?}");
    found(
        &of_delivery(&servers, &schema, "", &limit("100KiB")),
        "table.row_size",
        Level::Fail,
        &format!("{schema}.notes"),
    );
    let report = of_delivery(&servers, &schema, "filter = \"1 = 1\"", &limit("10MiB"));
    found(&report, "table.row_size", Level::Pass, "");
    found(&report, "table.generated", Level::Warn, &format!("{schema}.sums"));
    found(&report, "table.encdb", Level::Pass, "off");
    let only = format!("tables = [\"{schema}.sums\"]\nfilter = \"b > 1\"\netl = \"e_keep(op_gt(`b`, 2))\"");
    let report = of_delivery(&servers, &schema, &only, &limit("10MiB"));
    found(&report, "table.generated", Level::Warn, "condition reads");
    found(&report, "filter.syntax", Level::Warn, &format!("{schema}.sums.b"));
    root.run(&format!("DROP DATABASE {schema}"));
}
