use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const MINIMAL: &str = "[source]\nurl = \"mysql://relay@db1\"\n";

fn parse(text: &str) -> Result<Config, String> {
    parse_with(text, &|_| None)
}

fn parse_with(text: &str, environment: Environment<'_>) -> Result<Config, String> {
    Config::parse(text, Path::new("relay.toml"), environment).map_err(|e| e.to_string())
}

/// `MINIMAL` with lines added to `[source]` and behind it.
fn with(lines: &str) -> Result<Config, String> {
    parse(&format!("{MINIMAL}{lines}\n"))
}

/// The key of the one delivery that does not come without.
fn a_key(variable: &str) -> Option<String> {
    (variable == "RELAY_DELIVERY_WAREHOUSE_ACCESS_KEY").then(|| "canary".to_owned())
}

fn annotated() -> &'static str {
    include_str!("../../ops/relay.toml")
}

#[test]
fn the_annotated_file_shows_the_defaults() {
    let shown = parse_with(annotated(), &a_key).unwrap();
    let bare = "name = \"shop-prod\"\n[source]\nurl = \"mysql://relay@db1:3306\"\n\
        [[delivery]]\nname = \"orders\"\n[delivery.kafka]\nbrokers = \"k1:9092,k2:9092\"\n\
        [[delivery]]\nname = \"warehouse\"\n[delivery.maxcompute]\nproject = \"shop\"\naccess_id = \"LTAI5t\"\n\
        endpoint = \"https://service.cn-hangzhou.maxcompute.aliyun.com/api\"\n\
        [[delivery]]\nname = \"local\"\n[delivery.file]\npath = \"changes.jsonl\"\n";
    assert_eq!(shown, parse_with(bare, &a_key).unwrap());
}

#[test]
fn the_annotated_file_shows_every_setting() {
    fn fields(value: &toml::Value, out: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(t) => t.iter().for_each(|(k, v)| {
                out.insert(k.clone());
                fields(v, out);
            }),
            toml::Value::Array(list) => list.iter().for_each(|v| fields(v, out)),
            _ => {}
        }
    }
    // The optional settings too: the effective config of a file with all of them set.
    let optional = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let name = rest.split(' ').next()?;
        let is_setting =
            rest[name.len()..].starts_with(" = ") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        // Files that are not there, and what goes with another format.
        let elsewhere = ["password_file", "webhook_file", "etl_file", "registry", "access_key_file", "sts_token_file"];
        ((is_setting && !elsewhere.contains(&name)) || rest.starts_with("[[")).then(|| rest.to_owned())
    };
    let every: Vec<String> =
        annotated().lines().map(|line| optional(line).unwrap_or_else(|| line.to_owned())).collect();
    let every = every.join("\n");
    let mut known = BTreeSet::new();
    fields(&toml::from_str(&parse_with(&every, &a_key).unwrap().to_toml()).unwrap(), &mut known);
    let mut shown = BTreeSet::new();
    fields(&toml::from_str(&every).unwrap(), &mut shown);
    assert_eq!(known, shown);
}

#[test]
fn the_printed_config_reads_back_and_holds_no_secret() {
    let text = "name = \"a\"\n[source]\nurl = \"mysql://re%40lay@db1,[::1]:3307\"\nstart = \"file:bin.000001:4\"\n\
        tables = [\"shop.*\", \"!shop.x_%\"]\n[[delivery]]\nname = \"or-ders\"\n[delivery.kafka]\nbrokers = \"k\"\n\
        security = \"sasl_ssl\"\nusername = \"u\"\n";
    let canary = |name: &str| match name {
        "RELAY_SOURCE_PASSWORD" | "RELAY_DELIVERY_OR_DERS_PASSWORD" => Some("canary".to_owned()),
        _ => None,
    };
    let config = parse_with(text, &canary).unwrap();
    let printed = config.to_toml();
    assert!(!printed.contains("canary") && !format!("{config:?}").contains("canary"), "{printed}");
    let again = parse_with(&printed.replace("password = \"***\"\n", ""), &canary).unwrap();
    assert_eq!(again, config);
    assert_eq!(config.source.user, "re@lay");
    assert_eq!(config.source.hosts, [("db1".to_owned(), 3306), ("::1".to_owned(), 3307)]);
}

#[test]
fn without_a_delivery_changes_go_to_standard_output() {
    let config = parse(MINIMAL).unwrap();
    let [delivery] = &config.deliveries[..] else { panic!("one delivery") };
    let SinkConfig::File(file) = &delivery.kind else { panic!("a file") };
    assert_eq!((delivery.name.as_str(), file.path.as_path()), (STANDARD_OUTPUT, Path::new("-")));
}

#[test]
fn a_policy_of_the_log_is_the_default_of_each_delivery() {
    let text = "[log]\nretention = { lagging_cursor = \"expire\" }\n[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n\
        [[delivery]]\nname = \"b\"\nlagging_cursor = \"hold\"\nfile = { path = \"-\" }\n";
    let config = with(text).unwrap();
    assert_eq!(config.deliveries[0].lagging_cursor, LaggingCursor::Expire);
    assert_eq!(config.deliveries[1].lagging_cursor, LaggingCursor::Hold);
}

/// Each wrong file: what is added to `MINIMAL`, and what its one sentence must name.
#[test]
fn each_wrong_setting_is_one_sentence_with_file_line_and_field() {
    let file = "file = { path = \"-\" }";
    for (lines, named) in [
        ("sevrer_id = 1", &["relay.toml:3", "unknown field `sevrer_id`", "server_id"][..]),
        ("[snapshit]", &["relay.toml:3", "unknown field `snapshit`"]),
        ("server_id = 0", &["relay.toml:3: source.server_id", "no id of a replica"]),
        ("server_id = -1", &["relay.toml:3: source.server_id"]),
        ("retry = { connection = \"5min\" }", &["relay.toml:3: source.retry.connection", "10min to 1440min"]),
        ("retry = { connection = 720 }", &["relay.toml:3: source.retry.connection"]),
        ("retry = { other = \"2h\", connection = \"1h\" }", &["relay.toml:3: source.retry.other", "shorter"]),
        ("retry = { other = \"forever\" }", &["source.retry.other", "shorter"]),
        ("heartbeat_interval = \"5\"", &["relay.toml:3: source.heartbeat_interval", "\"5\" is no duration"]),
        ("heartbeat_interval = 5", &["relay.toml:3: source.heartbeat_interval", "5 has no unit"]),
        ("heartbeat_interval = \"1h\"", &["source.heartbeat_interval", "outside 100ms to 10s"]),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\ndml_op = [\"upsert\"]",
            &["relay.toml:6: delivery[0].dml_op", "upsert", "insert"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\nmap = { columns = { a = \"x\", b = \"x\" } }",
            &["relay.toml:6: delivery[0].map.columns", "a and b would both be named x"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\nmap = { table = \"{tabel}\" }",
            &["delivery[0].map.table", "{database} and {table}"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n[[delivery.table]]\nmatch = \"a.b\"\ntopic = \"x\"",
            &["relay.toml:8: delivery[0].table[0].topic", "Kafka"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\" }\n[[delivery.table]]\nmatch = \"a.b\"\npartition = \"murmur2\"",
            &["relay.toml:8: delivery[0].table[0].partition", "set message_key"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", partition = \"murmur2\", message_key = \"table\" }\n[[delivery.table]]\nmatch = \"a.b\"\nmessage_key = \"none\"",
            &["relay.toml:8: delivery[0].table[0].message_key", "murmur2"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n[[delivery.table]]\nmatch = \"ab\"",
            &["relay.toml:7: delivery[0].table[0].match", "no dot"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", partition = \"table\", partition_key = [\"x\"] }",
            &["relay.toml:5: delivery[0].kafka.partition_key", "partition = \"key\""],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\nthrottle = { mbps = -1 }",
            &["relay.toml:6: delivery[0].throttle.mbps", "neither 0"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\nthrottle = { snapshot_mbps = nan }",
            &["relay.toml:6: delivery[0].throttle.snapshot_mbps", "neither 0"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\nthrottle = { rps = 2000000000 }",
            &["relay.toml:6: delivery[0].throttle.rps", "outside 0 to"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\nfilter = \"a = (SELECT 1)\"",
            &["relay.toml:6: delivery[0].filter", "line 1", "column 6"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n[[delivery.table]]\nmatch = \"a.b\"\nfilter = \"a =\"",
            &["relay.toml:8: delivery[0].table[0].filter"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\netl = \"e_dorp()\"",
            &["relay.toml:6: delivery[0].etl", "e_dorp", "e_drop", "line 1"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\netl = \"e_drop()\"\netl_file = \"x\"",
            &["relay.toml:7: delivery[0].etl_file", "leave one of them out"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\netl_file = \"/nowhere/x\"",
            &["relay.toml:6: delivery[0].etl_file", "/nowhere/x"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", format = \"dts-avro\", avro_tx_markers = true }",
            &["relay.toml:5: delivery[0].kafka.avro_tx_markers", "ddl_topic"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", registry = { url = \"http://r\" } }",
            &["relay.toml:5: delivery[0].kafka.registry", "dts-avro"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\", format = \"dts-avro\" }",
            &["relay.toml:5: delivery[0].file.format", "JSON"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", on_too_large = \"shrink\" }",
            &["relay.toml:5: delivery[0].kafka.on_too_large", "truncate_columns"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", on_too_large = \"dead_letter\" }",
            &["relay.toml:5: delivery[0].kafka.on_too_large", "dead_letter_topic"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\" }\n[[delivery.table]]\nmatch = \"a.b\"\non_too_large = \"dead_letter\"",
            &["relay.toml:8: delivery[0].table[0].on_too_large", "dead_letter_topic"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n[[delivery.table]]\nmatch = \"a.b\"\non_too_large = \"skip\"",
            &["relay.toml:8: delivery[0].table[0].on_too_large", "Kafka"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", topic = \"all\", dead_letter_topic = \"all\" }",
            &["relay.toml:5: delivery[0].kafka.dead_letter_topic", "of their own"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", dead_letter_topic = \"a b\" }",
            &["relay.toml:5: delivery[0].kafka.dead_letter_topic", "' '"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", create_topics = true, replication = 0 }",
            &["relay.toml:5: delivery[0].kafka.replication", "outside 1"],
        ),
        (
            "[[delivery]]\nname = \"a\"\netl = \"e_drop()\"\netl_on_error = \"dead_letter\"\nkafka = { brokers = \"k\" }",
            &["relay.toml:6: delivery[0].etl_on_error", "dead_letter_topic"],
        ),
        (
            "[[delivery]]\nname = \"a\"\netl = \"e_drop()\"\netl_on_error = \"dead_letter\"\nfile = { path = \"-\" }",
            &["relay.toml:6: delivery[0].etl_on_error", "Kafka"],
        ),
        ("tables = [\"orders\"]", &["relay.toml:3: source.tables", "\"orders\"", "no dot"]),
        ("start = \"seq:4\"", &["relay.toml:3: source.start", "our own log"]),
        ("start = \"yesterday\"", &["relay.toml:3: source.start", "is no address"]),
        ("tls = \"prefered\"", &["relay.toml:3: source.tls", "verify_identity"]),
        ("tls = \"disabled\"\nca_file = \"x\"", &["relay.toml:3: source.tls", "certificates are named"]),
        ("cert_file = \"x\"", &["source.key_file", "missing"]),
        ("timestamp_zone = \"Mars/Olympus\"", &["relay.toml:3: source.timestamp_zone", "no time zone"]),
        ("password = \"canary\"", &["relay.toml:3", "password_file"]),
        ("password_file = \"/none/such\"", &["relay.toml:3: source.password_file", "/none/such"]),
        ("[log]\ncommit_interval = \"5MiB\"", &["relay.toml:4: log.commit_interval", "no duration"]),
        ("[log]\nretention = { max_bytes = \"72h\" }", &["relay.toml:4: log.retention.max_bytes", "no size"]),
        ("[log]\nretention = { max_bytes = \"1MiB\" }", &["relay.toml:4: log.retention.max_bytes", "two segments"]),
        ("[log]\ncodec = \"gzip\"", &["relay.toml:4: log.codec", "lz4"]),
        ("[admin]\nlisten = \"0.0.0.0:7070\"", &["relay.toml:4: admin.listen", "loopback"]),
        ("heartbeat_table = \"beat\"", &["relay.toml:3: source.heartbeat_table", "no dot"]),
        ("heartbeat_table = \"shop.*\"", &["relay.toml:3: source.heartbeat_table", "one table"]),
        ("heartbeat_table = \"mysql.beat\"", &["relay.toml:3: source.heartbeat_table", "server's own"]),
        ("[alert]\nwebhook = \"canary\"", &["relay.toml:4: alert.webhook", "https://"]),
        ("[alert]\nlatency = \"1ms\"", &["relay.toml:4: alert.latency", "outside 1s"]),
        ("[alert]\nwebhook = \"https://h/canary\"\nwebhook_file = \"x\"", &["relay.toml:5: alert.webhook_file"]),
        ("[admin]\nlisten = \"here\"", &["relay.toml:4: admin.listen"]),
        ("[[delivery]]\nname = \"a\"", &["relay.toml:3: delivery[0]", "no sink"]),
        (
            &format!("[[delivery]]\nname = \"a\"\n{file}\n[[delivery]]\nname = \"a\"\n{file}"),
            &["relay.toml:7: delivery[1].name", "two deliveries"],
        ),
        (&format!("[[delivery]]\nname = \"../a\"\n{file}"), &["relay.toml:4: delivery[0].name", "is no name"]),
        (&format!("[[delivery]]\nname = \"{}\"\n{file}", "a".repeat(65)), &["delivery[0].name", "is no name"]),
        (&format!("[[delivery]]\n{file}"), &["missing field `name`"]),
        (&format!("[[delivery]]\nname = \"a\"\nworkers = 0\n{file}"), &["delivery[0].workers", "outside 1 to 64"]),
        ("[[delivery]]\nname = \"a\"\nkafka = { brokers = \"\" }", &["delivery[0].kafka.brokers", "empty"]),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", tombstones = true }",
            &["delivery[0].kafka.tombstones"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nkafka = { brokers = \"k\", security = \"sasl_ssl\", username = \"u\" }",
            &["password"],
        ),
    ] {
        let e = with(lines).expect_err(lines);
        for part in named {
            assert!(e.contains(part), "{lines:?} gives {e:?}, which does not name {part:?}");
        }
        assert!(!e.contains('\n') && !e.contains("canary"), "{e:?}");
    }
}

#[test]
fn large_records_dead_letters_and_new_topics_have_their_settings() {
    let text = "[[delivery]]\nname = \"a\"\netl = \"e_drop()\"\netl_on_error = \"dead_letter\"\n[delivery.kafka]\n\
        brokers = \"k\"\non_too_large = \"dead_letter\"\ndead_letter_topic = \"dead\"\ncreate_topics = true\nreplication = 3\n\
        topic_config = { \"retention.ms\" = \"-1\" }\n[[delivery.table]]\nmatch = \"a.b\"\non_too_large = \"key_only\"\n";
    let config = with(text).unwrap();
    let SinkConfig::Kafka(kafka) = &config.deliveries[0].kind else { panic!("Kafka") };
    assert_eq!((kafka.create_topics, kafka.replication, kafka.topic_config.len()), (true, Some(3), 1));
    let named: Vec<String> = kafka.named_topics().into_iter().map(|topic| topic.name).collect();
    assert_eq!(named, ["dead"]);
    let again = parse(&config.to_toml()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn a_file_that_is_no_config_is_named_with_its_line() {
    let e = parse("name = \"a\"\nurl = = 3\n").unwrap_err();
    assert!(e.starts_with("relay.toml:2: not valid TOML"), "{e}");
    let e = parse("").unwrap_err();
    assert!(e.contains("[source]"), "{e}");
    let e = Config::load(Path::new("/none/such.toml")).unwrap_err().to_string();
    assert!(e.contains("/none/such.toml") && e.contains("--config"), "{e}");
}

#[test]
fn a_url_is_refused_without_repeating_what_may_be_a_secret() {
    for (url, named) in [
        ("relay@db1", "mysql://"),
        ("mysql://db1", "no user"),
        ("mysql://@db1", "no user"),
        ("mysql://relay:canary@db1", "RELAY_SOURCE_PASSWORD"),
        ("mysql://relay@db1/shop", "no place"),
        ("mysql://relay@db1?x=1", "no place"),
        ("mysql://relay@db1:0", "port"),
        ("mysql://relay@db1:70000", "port"),
        ("mysql://relay@db1,,db2", "no name"),
        ("mysql://relay@[::1", "bracket"),
        ("mysql://relay@[fish]:3306", "IPv6"),
    ] {
        let e = parse(&format!("[source]\nurl = \"{url}\"\n")).expect_err(url);
        assert!(e.starts_with("relay.toml:2: source.url: ") && e.contains(named), "{url}: {e}");
        assert!(!e.contains("canary"), "{e}");
    }
}

#[test]
fn zones_are_offsets_or_names() {
    for text in ["+08:00", "-03:30", "Asia/Shanghai", "UTC"] {
        assert!(parse_zone(text).is_some(), "{text}");
    }
    let east = parse_zone("+08:00").unwrap().to_offset(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(east.seconds(), 8 * 3600);
    assert_eq!(parse_zone("-03:30").unwrap().to_offset(jiff::Timestamp::UNIX_EPOCH).seconds(), -12_600);
    for text in ["source", "", "+8", "+15:00", "+08:60", "SYSTEM", "+-8:00"] {
        assert!(parse_zone(text).is_none(), "{text}");
    }
}

#[test]
fn a_delivery_into_maxcompute_says_what_is_wrong_with_it() {
    let with = |lines: &str| {
        let text = format!(
            "{MINIMAL}[[delivery]]\nname = \"warehouse\"\n[delivery.maxcompute]\nendpoint = \"http://h/api\"\n\
             project = \"shop\"\naccess_id = \"id\"\n{lines}\n"
        );
        parse_with(&text, &a_key)
    };
    let config = with("partitions = [\"year\", \"month\"]\nflush_interval = \"5s\"").unwrap();
    let SinkConfig::MaxCompute(maxcompute) = &config.deliveries[0].kind else { panic!("MaxCompute") };
    assert_eq!(maxcompute.access_key.as_ref().map(Secret::expose), Some("canary"));
    assert!(!config.to_toml().contains("canary") && !format!("{config:?}").contains("canary"));
    for (lines, named) in [
        ("access_key = \"x\"", "a key does not stand in the config file"),
        ("mode = \"upsert\"", "delivery[0].maxcompute.mode"),
        ("flush_interval = \"10ms\"", "delivery[0].maxcompute.flush_interval: 10ms is outside 1s to 60min"),
        ("flush_bytes = \"1KiB\"", "delivery[0].maxcompute.flush_bytes"),
        ("partitions = [\"month\"]", "delivery[0].maxcompute.partitions: it must be the first few of"),
        ("log_suffix = \"_base\"", "delivery[0].maxcompute.log_suffix"),
        ("log_suffix = \"-log\"", "delivery[0].maxcompute.log_suffix"),
        ("partition_zone = \"Mars\"", "delivery[0].maxcompute.partition_zone: \"Mars\" is no time zone"),
        ("datetime_zone = \"x\"", "delivery[0].maxcompute.datetime_zone"),
        ("lifecycle_days = 0", "delivery[0].maxcompute.lifecycle_days"),
        ("record_id_base = -1", "delivery[0].maxcompute.record_id_base"),
        ("tunnel_endpoint = \"dt.example\"", "delivery[0].maxcompute.tunnel_endpoint"),
        ("schema = \"a.b\"", "delivery[0].maxcompute.schema"),
    ] {
        let error = with(lines).expect_err(lines);
        assert!(error.contains(named), "{lines}: {error}");
    }
    let without = format!(
        "{MINIMAL}[[delivery]]\nname = \"w\"\nmaxcompute = {{ endpoint = \"http://h\", project = \"p\", access_id = \"i\" }}\n"
    );
    assert!(parse(&without).expect_err("no key").contains("delivery[0].maxcompute.access_key_file: there is no key"));
}
