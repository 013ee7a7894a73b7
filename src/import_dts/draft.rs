//! The config that is being written: its fields in the order of the sections, and what follows from several settings
//! together.

use std::fmt::Write;

use toml::Value;

use super::report::{Fate, Report};

/// Stands where an address must be filled in: a name that never resolves (RFC 2606).
pub(super) const SOURCE_PLACEHOLDER: &str = "source-address.invalid";
const BROKERS_PLACEHOLDER: &str = "broker-address.invalid:9092";

/// Fields of one section, in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(super) fn set(&mut self, field: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, old)) => *old = value,
            None => self.0.push((field, value)),
        }
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == field).and_then(|(_, value)| value.as_str())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self, text: &mut String) {
        for (field, value) in &self.0 {
            writeln!(text, "{field} = {value}").expect("a String takes all");
        }
    }
}

/// The retry windows, which must suit each other.
#[derive(Debug, Default)]
pub(super) struct RetryMinutes {
    pub(super) connection: Option<u64>,
    pub(super) other: Option<u64>,
}

/// What a table, or the tables of a pattern, do differently.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub(super) pattern: String,
    pub(super) fields: Fields,
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) source_host: Option<String>,
    pub(super) source_port: Option<u16>,
    pub(super) source_user: Option<String>,
    pub(super) source: Fields,
    pub(super) tables: Vec<String>,
    pub(super) broker_host: Option<String>,
    pub(super) broker_port: Option<u16>,
    pub(super) retry: RetryMinutes,
    pub(super) throttle: toml::Table,
    pub(super) delivery: Fields,
    pub(super) kafka: Fields,
    pub(super) sasl: bool,
    pub(super) sasl_user: Option<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) alert: Fields,
    /// The task has a script, or a registry, and does not use it.
    pub(super) etl_off: bool,
    pub(super) registry_off: bool,
    pub(super) registry: Option<String>,
    /// The task says how it writes to Kafka, beyond which objects.
    pub(super) has_reserve: bool,
}

impl Draft {
    /// Settles what several settings decide together, and says what is still missing.
    pub(super) fn complete(&mut self, report: &mut Report) {
        self.complete_addresses(report);
        self.complete_account(report);
        self.complete_retry(report);
        self.complete_topics(report);
        self.complete_format(report);
        if !self.throttle.is_empty() {
            self.delivery.set("throttle", std::mem::take(&mut self.throttle));
        }
        if self.tables.is_empty() {
            let what = "without an object list every table outside the system schemas is selected; write source.tables";
            report.add("DbList", "", (Fate::ByHand, what.to_owned()));
        }
    }

    fn complete_addresses(&mut self, report: &mut Report) {
        let mut missing = |what: &str, outcome: &str| report.add(what, "", (Fate::ByHand, outcome.to_owned()));
        if self.source_host.is_none() {
            missing("SourceEndpointIP", "write the server's address into source.url, where a placeholder stands");
        }
        if self.source_user.is_none() {
            missing("SourceEndpointUserName", "write the account into source.url; \"relay\" stands there");
        }
        missing(
            "SourceEndpointPassword",
            "put it into the environment as RELAY_SOURCE_PASSWORD, or name a source.password_file",
        );
        if self.broker_host.is_none() {
            missing(
                "DestinationEndpointIP",
                "write the bootstrap servers into delivery.kafka.brokers, where a placeholder stands",
            );
        }
    }

    fn complete_account(&mut self, report: &mut Report) {
        if self.sasl {
            if self.sasl_user.is_none() {
                let what = "write the account into delivery.kafka.username; \"relay\" stands there";
                report.add("DestinationEndpointUserName", "", (Fate::ByHand, what.to_owned()));
            }
            self.kafka.set("security", "sasl_plaintext");
            self.kafka.set("sasl_mechanism", "scram-sha-256");
            self.kafka.set("username", self.sasl_user.take().unwrap_or_else(|| "relay".to_owned()));
            let what =
                "put it into the environment as RELAY_DELIVERY_KAFKA_PASSWORD, or name a delivery.kafka.password_file";
            report.add("DestinationEndpointPassword", "", (Fate::ByHand, what.to_owned()));
        } else if let Some(user) = self.sasl_user.take() {
            let what = "the task connects without SASL, so the account is not used; set delivery.kafka.security for it";
            report.add("DestinationEndpointUserName", &user, (Fate::NotNeeded, what.to_owned()));
        }
    }

    /// `other` must be shorter than `connection`.
    fn complete_retry(&mut self, report: &mut Report) {
        const DEFAULT_CONNECTION: u64 = 720;
        let connection = self.retry.connection.unwrap_or(DEFAULT_CONNECTION);
        if let Some(other) = self.retry.other.filter(|other| *other >= connection) {
            let what =
                format!("{other}min is not shorter than the {connection}min for connections: choose retry.other");
            report.items.retain(|item| !item.setting.ends_with(".retry.blind.seconds"));
            report.add("Reserve.retry.blind.seconds", &format!("{} s", other * 60), (Fate::ByHand, what));
            self.retry.other = None;
        }
        let mut retry = toml::Table::new();
        for (field, minutes) in [("connection", self.retry.connection), ("other", self.retry.other)] {
            if let Some(minutes) = minutes {
                retry.insert(field.to_owned(), Value::String(format!("{minutes}min")));
            }
        }
        // A short window for connections asks for a shorter one for the rest than the default of 10 minutes.
        if self.retry.other.is_none() && connection <= 10 {
            retry.insert("other".to_owned(), Value::String("1min".to_owned()));
        }
        if !retry.is_empty() {
            self.source.set("retry", retry.clone());
            self.delivery.set("retry", retry);
        }
    }

    /// DTS sends DDL to the task's topic also where tables have topics of their own.
    fn complete_topics(&mut self, report: &mut Report) {
        let Some(topic) = self.kafka.text("topic").map(str::to_owned) else {
            let what = "without a topic each table has its own, {database}.{table}; write delivery.kafka.topic";
            report.add("Reserve.destTopic", "", (Fate::ByHand, what.to_owned()));
            return;
        };
        let own = self.rules.iter().any(|rule| rule.fields.text("topic").is_some());
        if own && self.kafka.text("ddl_topic").is_none() {
            self.kafka.set("ddl_topic", topic.clone());
            let what =
                format!("delivery.kafka.ddl_topic = \"{topic}\": the task's topic, although tables have their own");
            report.add("Reserve.sink.kafka.ddl.topic", "", (Fate::Taken, what));
        }
    }

    /// DTS writes its own Avro where nothing else is said, and has schemas for that only. Its conditions are asked of the
    /// row as it was.
    fn complete_format(&mut self, report: &mut Report) {
        if self.has_reserve && self.kafka.text("format").is_none() && !report.names("kafkaRecordFormat") {
            self.kafka.set("format", "dts-avro");
            let what = "delivery.kafka.format = \"dts-avro\": what a task writes that names no format";
            report.add("Reserve.kafkaRecordFormat", "", (Fate::Taken, what.to_owned()));
        }
        if let Some(url) = self.registry.take() {
            if self.kafka.text("format") == Some("dts-avro") && !self.registry_off {
                self.kafka.set("registry", toml::Table::from_iter([("url".to_owned(), Value::String(url))]));
            } else {
                let name = "dest.kafka.schema.registry.url";
                report.items.retain(|item| !item.setting.ends_with(name));
                let why = match self.registry_off {
                    true => "destSchemaRegistry says that it is not used",
                    false => "records in JSON have no schema that could be registered",
                };
                report.add(&format!("Reserve.{name}"), &url, (Fate::NotNeeded, why.to_owned()));
            }
        }
        if self.rules.iter().any(|rule| rule.fields.text("filter").is_some()) {
            self.delivery.set("filter_images", "before");
            let what = "delivery.filter_images = \"before\": as a task asks its conditions; \"both\" also carries rows that \
                        enter a condition";
            report.add("DbList", "", (Fate::Taken, what.to_owned()));
        }
    }

    /// The config file.
    pub(super) fn to_toml(&self) -> String {
        let mut text = String::from(
            "# Made by `relay import-dts`. Its report says what is still to do; ops/relay.toml explains every setting.\n",
        );
        let mut head = Fields::default();
        if let Some(name) = &self.name {
            head.set("name", name.as_str());
        }
        if let Some(environment) = &self.environment {
            head.set("environment", environment.as_str());
        }
        head.print(&mut text);
        text.push_str("\n[source]\n");
        let mut url = Fields::default();
        url.set("url", self.source_url());
        url.print(&mut text);
        self.source.print(&mut text);
        print_tables(&mut text, &self.tables);
        if !self.alert.is_empty() {
            text.push_str("\n[alert]\n");
            self.alert.print(&mut text);
        }
        text.push_str("\n[[delivery]]\nname = \"kafka\"\n");
        self.delivery.print(&mut text);
        text.push_str("\n[delivery.kafka]\n");
        let mut brokers = Fields::default();
        brokers.set("brokers", self.brokers());
        brokers.print(&mut text);
        self.kafka.print(&mut text);
        for rule in &self.rules {
            text.push_str("\n[[delivery.table]]\n");
            let mut pattern = Fields::default();
            pattern.set("match", rule.pattern.as_str());
            pattern.print(&mut text);
            rule.fields.print(&mut text);
        }
        text
    }

    fn source_url(&self) -> String {
        let user = self.source_user.as_deref().unwrap_or("relay");
        let user = percent_encoding::utf8_percent_encode(user, USER);
        let host = self.source_host.as_deref().unwrap_or(SOURCE_PLACEHOLDER);
        format!("mysql://{user}@{host}:{}", self.source_port.unwrap_or(3306))
    }

    fn brokers(&self) -> String {
        let port = self.broker_port.unwrap_or(9092);
        match &self.broker_host {
            None => BROKERS_PLACEHOLDER.to_owned(),
            // A list has its ports already.
            Some(list) if list.contains(':') => list.clone(),
            Some(hosts) => {
                let hosts: Vec<String> = hosts.split(',').map(|host| format!("{}:{port}", host.trim())).collect();
                hosts.join(",")
            }
        }
    }
}

/// What a user's name keeps as it is in a URL.
const USER: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// A line a table: lists of thousands must stay readable, and their changes too.
fn print_tables(text: &mut String, tables: &[String]) {
    if tables.is_empty() {
        return;
    }
    text.push_str("tables = [\n");
    for table in tables {
        writeln!(text, "    {},", Value::String(table.clone())).expect("a String takes all");
    }
    text.push_str("]\n");
}
