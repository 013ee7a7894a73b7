//! The object list: which databases and tables, and what single ones do differently. A database is whole (`all`) or
//! lists its tables; into Kafka the `name` of either is a topic, because Kafka has nothing else that could be named.

use serde_json::{Map, Value};

use super::draft::{Draft, Rule};
use super::report::{Fate, Report};
use crate::filter::Parsed;
use crate::selection::TablePatterns;

type Members = Map<String, Value>;

/// Members that say nothing by themselves, or are read with another.
const READ_ELSEWHERE: [&str; 6] = ["all", "Table", "column", "patternType", "filterType", "grayName"];
/// Kinds of objects that Kafka does not take, of DTS neither.
const NOT_TABLES: [&str; 8] = ["View", "Function", "Procedure", "Trigger", "Event", "Package", "Sequence", "Synonym"];

/// What a database says for its tables.
#[derive(Debug, Default, Clone)]
struct Inherited<'a> {
    members: Vec<(&'a str, &'a Value)>,
}

/// Settings that a table has from its database unless it says otherwise.
const INHERITED: [&str; 7] = ["name", "dml_op", "ddl_op", "part_key", "part_num", "message_key", "filter"];

pub(super) fn take(objects: Option<&Members>, draft: &mut Draft, report: &mut Report) {
    let Some(objects) = objects else { return };
    for (database, value) in objects {
        let Value::Object(members) = value else { continue };
        take_database(database, members, draft, report);
    }
    if !draft.tables.is_empty() {
        let count = format!("databases: {}", objects.len());
        report.add("DbList", &count, (Fate::Taken, format!("source.tables, {} in number", draft.tables.len())));
    }
}

fn take_database(database: &str, members: &Members, draft: &mut Draft, report: &mut Report) {
    let at = format!("DbList.{database}");
    let none = Members::new();
    let tables = members.get("Table").and_then(Value::as_object).unwrap_or(&none);
    let whole = members.get("all").and_then(Value::as_bool).unwrap_or(tables.is_empty());
    let inherited = Inherited {
        members: INHERITED
            .into_iter()
            .filter_map(|name| members.get(name).map(|value| (name, value)))
            .filter(|&(name, value)| name != "name" || value.as_str() != Some(database))
            .collect(),
    };
    report_others(&at, members, report);
    let name = match written(database, members) {
        Ok((name, false)) => name,
        Ok((_, true)) => return report.add(&at, "", by_hand("leave its tables out of source.tables with !")),
        Err(why) => return report.add(&at, "", by_hand(why)),
    };
    if name.contains('.') {
        return report.add(
            &at,
            "",
            by_hand("a pattern ends the database's name at its first dot: ? may stand for the dot"),
        );
    }
    for (table, value) in tables {
        let at = format!("{at}.{table}");
        let Value::Object(members) = value else {
            report.add(&at, &value.to_string(), by_hand("it is no object: write its pattern into source.tables"));
            continue;
        };
        report_others(&at, members, report);
        let (table_name, excluded) = match written(table, members) {
            Ok(written) => written,
            Err(why) => {
                report.add(&at, "", by_hand(why));
                continue;
            }
        };
        let pattern = format!("{name}.{table_name}");
        if let Err(error) = TablePatterns::parse(&[&pattern]) {
            report.add(&at, "", by_hand(error.to_string()));
            continue;
        }
        if excluded {
            draft.tables.push(format!("!{pattern}"));
            continue;
        }
        if !whole {
            draft.tables.push(pattern.clone());
        }
        let own = |name: &str| members.get(name).filter(|value| name != "name" || value.as_str() != Some(table));
        let rule = rule(&at, pattern, draft, report, members, &|name| own(name).or_else(|| inherited.get(name)));
        draft.rules.extend(rule);
    }
    if whole {
        let pattern = format!("{name}.*");
        draft.tables.push(pattern.clone());
        let rule = rule(&at, pattern, draft, report, &none, &|name| inherited.get(name));
        draft.rules.extend(rule);
    }
}

impl<'a> Inherited<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn by_hand(what: impl Into<String>) -> (Fate, String) {
    (Fate::ByHand, what.into())
}

/// A name as part of a pattern, and whether it leaves out what matches.
fn written(name: &str, members: &Members) -> Result<(String, bool), &'static str> {
    let text = |member: &str| members.get(member).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let excluded = text("filterType") == "black";
    let wild = |c: char| matches!(c, '*' | '%' | '?');
    match text("patternType").as_str() {
        "" | "bare_name" | "barename" if name.contains(wild) => {
            Err("*, % and ? stand for other text in patterns: write one into source.tables that fits nothing else")
        }
        "" | "bare_name" | "barename" => Ok((name.to_owned(), excluded)),
        // A % is itself there, and any text here.
        "fnmatch" if !name.contains(['[', ']', '{', '}', '%']) => Ok((name.to_owned(), excluded)),
        _ => Err("it is a pattern that a relay does not read: write it into source.tables with * and ?"),
    }
}

/// Says what becomes of members that make no rule.
fn report_others(at: &str, members: &Members, report: &mut Report) {
    for (member, value) in members {
        let member = member.as_str();
        let outcome = match member {
            _ if READ_ELSEWHERE.contains(&member) || INHERITED.contains(&member) => continue,
            "part_db_key" | "part_tab_key" | "tab_num_eachdb" | "tableGroup" | "type" | "primary_key" | "cluster"
            | "shard" | "replica" | "analysis" | "analyzer" | "index_mapping" | "family" | "conflict" | "dbName"
            | "is_partition" | "partition" | "partition_key" | "_id" | "_idvalue" | "is_join" | "relation_role"
            | "parent_name" | "parent_id" | "index" | "srcSchema" | "destSchema" | "case_sen" | "grayNameMatchWay" => {
                (Fate::NotNeeded, "of other destinations than Kafka".to_owned())
            }
            "time_zone" => by_hand("set source.timestamp_zone, which holds for all tables"),
            "attach_column" => {
                by_hand("a relay adds no columns: the records' relay.* headers tell source, position and operation")
            }
            _ if NOT_TABLES.contains(&member) => (Fate::NotNeeded, "only tables are carried to Kafka".to_owned()),
            _ => by_hand("not known here: look up what it does"),
        };
        let shown = if value.is_object() { String::new() } else { text(value) };
        report.add(&format!("{at}.{member}"), &shown, outcome);
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What the tables of a pattern do differently; none when that is nothing.
fn rule<'a>(
    at: &str,
    pattern: String,
    draft: &Draft,
    report: &mut Report,
    members: &Members,
    get: &dyn Fn(&str) -> Option<&'a Value>,
) -> Option<Rule> {
    let mut rule = Rule { pattern, ..Rule::default() };
    let columns = Columns::read(members.get("column"));
    let mut note = |member: &str, value: &str, outcome| report.add(&format!("{at}.{member}"), value, outcome);
    for (member, words, others) in [
        ("dml_op", dml_word as fn(&str) -> Option<&'static str>, "insert, update, delete"),
        ("ddl_op", ddl_word, "create_table, alter_table, ..."),
    ] {
        let Some(value) = get(member) else { continue };
        match operations(value, words) {
            Ok(None) => {}
            Ok(Some(operations)) => {
                note(
                    member,
                    &text(value),
                    (Fate::Taken, format!("delivery.table.{member} = {}", toml::Value::from(operations.clone()))),
                );
                rule.fields.set(if member == "dml_op" { "dml_op" } else { "ddl_op" }, operations);
            }
            Err(code) => {
                let what = format!(
                    "{code:?} is no operation that is known here, so all are carried: write {member} = [{others}]"
                );
                note(member, &text(value), by_hand(what));
            }
        }
    }
    if let Some(filter) = get("filter").and_then(Value::as_str).map(str::trim).filter(|filter| !filter.is_empty()) {
        match Parsed::parse(filter) {
            Ok(_) => {
                rule.fields.set("filter", filter);
                note("filter", filter, (Fate::Taken, format!("delivery.table.filter = {}", toml::Value::from(filter))));
            }
            Err(error) => note("filter", filter, by_hand(format!("{error}: correct it as delivery.table.filter"))),
        }
    }
    if let Some(map) = columns.map() {
        note(
            "column",
            &columns.renamed_text(),
            (Fate::Taken, format!("delivery.table.map = {}", toml::Value::Table(map.clone()))),
        );
        rule.fields.set("map", map);
    }
    if columns.are_chosen(members) {
        let what =
            "only these columns are carried by the task: name the table's others in delivery.table.map.drop_columns";
        note("column", &columns.names_text(), by_hand(what));
    }
    if let Some(topic) = get("name").and_then(Value::as_str).filter(|topic| draft.kafka.text("topic") != Some(*topic)) {
        match crate::sink::kafka::check_template(topic) {
            Ok(()) => {
                rule.fields.set("topic", topic);
                note("name", topic, (Fate::Taken, format!("delivery.table.topic = {}", toml::Value::from(topic))));
            }
            Err(why) => note("name", topic, by_hand(format!("{why}: write delivery.table.topic"))),
        }
    }
    let by_key = draft.kafka.text("partition").is_none_or(|policy| policy == "key");
    let part_key = get("part_key").map(list).filter(|columns| !columns.is_empty());
    if let Some(key) = part_key.or_else(|| columns.shared_keys()) {
        let key: Vec<String> = key.iter().map(|column| columns.delivered(column)).collect();
        let value = toml::Value::from(key);
        if by_key {
            note("part_key", "", (Fate::Taken, format!("delivery.table.partition_key = {value}")));
            rule.fields.set("partition_key", value);
        } else {
            note(
                "part_key",
                "",
                (Fate::NotNeeded, "a partition key counts under the policy \"columns\" only".to_owned()),
            );
        }
    }
    if let Some(value) = get("part_num") {
        match text(value).parse::<u32>() {
            Ok(count) if count > 0 => {
                rule.fields.set("partitions", i64::from(count));
                note("part_num", &text(value), (Fate::Taken, format!("delivery.table.partitions = {count}")));
            }
            _ => note(
                "part_num",
                &text(value),
                by_hand("it is no number of partitions: write delivery.table.partitions"),
            ),
        }
    }
    if let Some(value) = get("message_key").filter(|value| !text(value).is_empty()) {
        let key = message_key(value, &columns);
        note("message_key", &text(value), (Fate::Taken, format!("delivery.table.message_key = {key}")));
        rule.fields.set("message_key", key);
    }
    (!rule.fields.is_empty()).then_some(rule)
}

/// Text with commas, or an array of texts.
fn list(value: &Value) -> Vec<String> {
    let parts = match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::String(text) => text.split([',', ';', '|']).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let trimmed = parts.iter().map(|part: &String| part.trim().to_owned());
    trimmed.filter(|part| !part.is_empty()).collect()
}

fn message_key(value: &Value, columns: &Columns) -> toml::Value {
    match text(value).to_ascii_lowercase().as_str() {
        word @ ("none" | "table" | "primary_key") => toml::Value::from(word),
        _ => toml::Value::from(list(value).iter().map(|column| columns.delivered(column)).collect::<Vec<String>>()),
    }
}

/// The operations by the words of the config, each once; none when nothing is said.
fn operations(value: &Value, word: fn(&str) -> Option<&'static str>) -> Result<Option<Vec<&'static str>>, String> {
    let codes = list(value);
    if codes.is_empty() {
        return Ok(None);
    }
    if codes.iter().all(|code| code.eq_ignore_ascii_case("none")) {
        return Ok(Some(Vec::new()));
    }
    let mut words = Vec::new();
    for code in codes {
        let plain = code.to_ascii_lowercase().replace([' ', '-'], "_");
        let word = word(&plain).ok_or(code)?;
        if !words.contains(&word) {
            words.push(word);
        }
    }
    Ok(Some(words))
}

/// The spelling of the codes is documented nowhere: words and initials are understood.
fn dml_word(code: &str) -> Option<&'static str> {
    match code {
        "i" | "insert" => Some("insert"),
        "u" | "update" => Some("update"),
        "d" | "delete" => Some("delete"),
        _ => None,
    }
}

fn ddl_word(code: &str) -> Option<&'static str> {
    const TABLES: [&str; 7] =
        ["create_table", "alter_table", "drop_table", "rename_table", "truncate_table", "create_index", "drop_index"];
    const GROUPS: [(&str, &str); 6] = [
        ("view", "view"),
        ("procedure", "routine"),
        ("function", "routine"),
        ("trigger", "trigger"),
        ("database", "database"),
        ("schema", "database"),
    ];
    if let Some(word) = TABLES.into_iter().find(|word| *word == code) {
        return Some(word);
    }
    let object = ["create_", "alter_", "drop_"].into_iter().find_map(|verb| code.strip_prefix(verb))?;
    GROUPS.into_iter().find(|(name, _)| *name == object).map(|(_, word)| word)
}

/// The columns of a table that the list names.
#[derive(Debug, Default)]
struct Columns {
    /// Name in the source, name as delivered, whether its hash decides the partition.
    named: Vec<(String, String, bool)>,
}

impl Columns {
    fn read(value: Option<&Value>) -> Self {
        let Some(Value::Object(columns)) = value else { return Self::default() };
        let column = |(name, value): (&String, &Value)| {
            let delivered = value.get("name").and_then(Value::as_str).filter(|to| !to.is_empty()).unwrap_or(name);
            let shared = value.get("sharedKey").and_then(Value::as_bool).unwrap_or(false);
            (name.clone(), delivered.to_owned(), shared)
        };
        Self { named: columns.iter().map(column).collect() }
    }

    /// Whether the list leaves columns out: a table that is taken as a whole lists some for other reasons.
    fn are_chosen(&self, members: &Members) -> bool {
        !self.named.is_empty() && members.get("all").and_then(Value::as_bool) != Some(true)
    }

    fn renamed(&self) -> impl Iterator<Item = &(String, String, bool)> {
        self.named.iter().filter(|(from, to, _)| from != to)
    }

    fn map(&self) -> Option<toml::Table> {
        let columns: toml::Table =
            self.renamed().map(|(from, to, _)| (from.clone(), toml::Value::from(to.as_str()))).collect();
        (!columns.is_empty()).then(|| toml::Table::from_iter([("columns".to_owned(), toml::Value::Table(columns))]))
    }

    fn renamed_text(&self) -> String {
        self.renamed().map(|(from, to, _)| format!("{from} -> {to}")).collect::<Vec<_>>().join(", ")
    }

    fn names_text(&self) -> String {
        self.named.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn shared_keys(&self) -> Option<Vec<String>> {
        let keys: Vec<String> =
            self.named.iter().filter(|(.., shared)| *shared).map(|(name, ..)| name.clone()).collect();
        (!keys.is_empty()).then_some(keys)
    }

    /// A column's name as it is delivered.
    fn delivered(&self, name: &str) -> String {
        self.named.iter().find(|(from, ..)| from == name).map_or_else(|| name.to_owned(), |(_, to, _)| to.clone())
    }
}
