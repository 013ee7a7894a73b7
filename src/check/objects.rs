//! `objects.map`, `objects.case_clash`, `filter.syntax`, `etl.syntax`, `table.generated` of conditions, `kafka.settings`:
//! what each delivery makes of the
//! tables that are there, with the very code that will do it.

use std::collections::HashMap;
use std::sync::Arc;

use super::Item;
use super::row_size;
use super::server::Found;
use super::table::list;
use crate::capture::facts::TableFacts;
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::config::{Config, Delivery, SinkConfig};
use crate::delivery::encode::Conditions;
use crate::delivery::route::{Route, Routing};
use crate::delivery::select::{NameClash, Selection};
use crate::etl::Script;
use crate::filter::Session;
use crate::sink::kafka::config::OnTooLarge;

const MAP: &str = "objects.map";
const CLASH: &str = "objects.case_clash";
const SETTINGS: &str = "kafka.settings";
const FILTER: &str = "filter.syntax";
const ETL: &str = "etl.syntax";
const GENERATED: &str = "table.generated";

/// The items of every delivery.
pub(super) fn items(config: &Config, found: &Found) -> Vec<Item> {
    // A table without a plan is told by other items.
    let plans: Vec<Arc<TablePlan>> =
        found.tables.iter().filter_map(|table| TablePlan::of_definition(&table.definition).ok()).collect();
    let mut items: Vec<Item> = Vec::new();
    for delivery in &config.deliveries {
        items.extend(of_delivery(delivery, &plans, found));
        if let SinkConfig::Kafka(kafka) = &delivery.kind {
            let parks = kafka.on_too_large == OnTooLarge::Fail;
            items.push(row_size::item(delivery, kafka.max_record_bytes, parks, &found.tables).about(&delivery.name));
        }
    }
    items
}

/// The tables of a delivery: the name it delivers them under, and the source's.
pub(super) fn delivered_names(delivery: &Delivery, tables: &[TableFacts]) -> Vec<(TableName, TableName)> {
    let selection = Selection::of(delivery);
    let source =
        |table: &TableFacts| TableName::new(table.definition.database.as_str(), table.definition.table.as_str());
    tables
        .iter()
        .map(source)
        .filter(|name| selection.wants(name))
        .map(|name| {
            let delivered = selection.delivered_name(&name);
            (delivered, name)
        })
        .collect()
}

fn of_delivery(delivery: &Delivery, plans: &[Arc<TablePlan>], server: &Found) -> Vec<Item> {
    let selection = Selection::of(delivery);
    let mut found = Outcome::default();
    let conditions = Conditions::of_delivery(delivery).unwrap_or_else(|error| {
        found.filters.push(error.to_string());
        Conditions::default()
    });
    let script = delivery.transform.compile(server.zone.clone()).unwrap_or_else(|error| {
        found.scripts.push(error);
        None
    });
    let session = Session::of(&server.version, server.zone.clone());
    let scripted = script.as_ref().map(Script::columns).unwrap_or_default();
    let virtual_columns: HashMap<TableName, &[String]> = server
        .tables
        .iter()
        .filter(|table| !table.virtual_columns.is_empty())
        .map(|table| {
            (TableName::new(&*table.definition.database, &*table.definition.table), &table.virtual_columns[..])
        })
        .collect();
    for plan in plans.iter().filter(|plan| selection.wants(&plan.source)) {
        if let Some(condition) = conditions.of(&selection, &plan.source) {
            found.conditions += 1;
            match condition.compile(plan, &session) {
                Ok(filter) => {
                    let computed = virtual_columns.get(&plan.source).copied().unwrap_or_default();
                    for column in filter.columns() {
                        if scripted.contains(column) {
                            found.shared.push(format!("{}.{column}", plan.source));
                        }
                        if computed.iter().any(|name| name == column) {
                            found.computed.push(format!("{}.{column}", plan.source));
                        }
                    }
                }
                Err(error) => found.filters.push(format!("{}: {error}", plan.source)),
            }
        }
        if let Some(script) = &script {
            found.scripts.extend(script.bind(plan).err().map(|e| format!("{}: {e}", plan.source)));
        }
        match selection.lane(plan) {
            Ok(lane) => {
                found.name(&lane.plan);
                if let SinkConfig::Kafka(kafka) = &delivery.kind {
                    let rule = selection.objects.rule(&plan.source.database, &plan.source.table);
                    let routing = Routing::kafka(kafka);
                    if let Err(error) = Route::new(&routing.with(rule), &lane.plan) {
                        found.routes.push(error.to_string());
                    }
                }
            }
            Err(clash @ NameClash::Columns { .. }) => found.clashes.push(clash.to_string()),
            Err(clash @ NameClash::KeyDropped { .. }) => found.keys.push(clash.to_string()),
        }
    }
    let idle = idle_rules(delivery, plans);
    found.items(idle, script.is_some()).into_iter().map(|item| item.about(&delivery.name)).collect()
}

/// What is wrong with the tables of one delivery.
#[derive(Default)]
struct Outcome {
    /// Tables with a condition.
    conditions: usize,
    filters: Vec<String>,
    /// Columns of conditions that the script names too.
    shared: Vec<String>,
    /// Virtual columns of conditions.
    computed: Vec<String>,
    scripts: Vec<String>,
    named: HashMap<TableName, TableName>,
    clashes: Vec<String>,
    keys: Vec<String>,
    routes: Vec<String>,
}

impl Outcome {
    fn name(&mut self, plan: &TablePlan) {
        if let Some(other) = self.named.insert(plan.name.clone(), plan.source.clone()) {
            self.clashes.push(format!("{other} and {} would both be named {}", plan.source, plan.name));
        }
    }

    fn items(self, idle: Vec<String>, has_script: bool) -> Vec<Item> {
        let mut items = Vec::new();
        if self.conditions > 0 || !self.filters.is_empty() {
            items.push(match (self.filters.is_empty(), self.shared.is_empty()) {
                (true, true) => Item::pass(FILTER, format!("the conditions of {} tables compile", self.conditions)),
                (true, false) => Item::warn(
                    FILTER,
                    format!("the condition reads columns that the script names too: {}", list(&self.shared)),
                    "conditions are asked of rows as they are in the source, before the script: accept that, or write the \
                     condition into the script (e_keep)",
                ),
                (false, _) => Item::fail(
                    FILTER,
                    list(&self.filters),
                    "correct the condition; a rule gives a table one of its own",
                ),
            });
        }
        if !self.computed.is_empty() {
            items.push(Item::warn(
                GENERATED,
                format!("the condition reads virtual generated columns: {}", list(&self.computed)),
                "make them STORED, or write what they are computed from into the condition",
            ));
        }
        if has_script || !self.scripts.is_empty() {
            items.push(match self.scripts.is_empty() {
                true => Item::pass(ETL, "the script fits every table"),
                false => Item::fail(
                    ETL,
                    list(&self.scripts),
                    "correct the script, or deliver these tables by another delivery",
                ),
            });
        }
        items.push(match self.clashes.is_empty() {
            true => Item::pass(CLASH, "every name is of one table, and of one column"),
            false => Item::fail(CLASH, list(&self.clashes), "change map or case_policy, or leave one of them out"),
        });
        if !self.keys.is_empty() {
            items.push(Item::fail(MAP, list(&self.keys), "take the key's columns out of map.drop_columns"));
        }
        if !idle.is_empty() {
            items.push(Item::warn(
                MAP,
                list(&idle),
                "correct the name, or leave it: it takes effect once there is such a one",
            ));
        }
        if self.keys.is_empty() && idle.is_empty() {
            items.push(Item::pass(MAP, "every rule is of a table, every mapped column of one"));
        }
        if !self.routes.is_empty() {
            let remedy = "name columns as they are delivered in partition_key and message_key";
            items.push(Item::fail(SETTINGS, list(&self.routes), remedy));
        }
        items
    }
}

/// Rules that no table follows, and columns in a map that none of its tables has.
fn idle_rules(delivery: &Delivery, plans: &[Arc<TablePlan>]) -> Vec<String> {
    let objects = &delivery.objects;
    let rule_of = |plan: &TablePlan| {
        objects.rules.iter().position(|rule| rule.pattern.matches(&plan.source.database, &plan.source.table))
    };
    let selected = || plans.iter().filter(|plan| delivery.tables.matches(&plan.source.database, &plan.source.table));
    let mut idle = Vec::new();
    let maps = std::iter::once((None, Some(&objects.map)))
        .chain(objects.rules.iter().enumerate().map(|(at, rule)| (Some(at), rule.map.as_ref())));
    for (at, map) in maps {
        // A rule that has no map of its own leaves its tables to the delivery's.
        let followers: Vec<_> = match at {
            Some(at) => selected().filter(|plan| rule_of(plan) == Some(at)).collect(),
            None => selected().filter(|plan| rule_of(plan).is_none_or(|at| objects.rules[at].map.is_none())).collect(),
        };
        if let Some(at) = at.filter(|_| followers.is_empty()) {
            idle.push(format!("no table follows the rule for {}", objects.rules[at].pattern));
            continue;
        }
        let Some(map) = map.filter(|_| !followers.is_empty()) else { continue };
        for column in map.columns.keys().chain(&map.drop_columns) {
            let has = |plan: &&Arc<TablePlan>| plan.columns.iter().any(|c| c.name.eq_ignore_ascii_case(column));
            if !followers.iter().any(has) {
                idle.push(format!("map names the column {column}, which no table has"));
            }
        }
    }
    idle
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::check::Level;
    use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

    fn table(name: &str) -> TableFacts {
        let column = |name: &str| ColumnDefinition {
            name: name.into(),
            column_type: "bigint".into(),
            charset: None,
            collation: None,
            nullable: false,
            invisible: false,
            generated: false,
        };
        TableFacts {
            definition: TableDefinition {
                id: 0,
                database: "shop".into(),
                table: name.into(),
                columns: ["id", "v"].map(column).into(),
                keys: vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![0] }],
                default_charset: None,
                default_collation: None,
                unconfirmed: None,
                dropped: false,
            },
            engine: Some("InnoDB".into()),
            foreign_keys: Vec::new(),
            virtual_columns: Vec::new(),
            average_row_bytes: None,
        }
    }

    /// The items that do not pass, as `id level`, and all that was found.
    fn wrong(delivery: &str) -> (Vec<String>, String) {
        wrong_in(TimeZone::UTC, delivery)
    }

    fn wrong_in(zone: TimeZone, delivery: &str) -> (Vec<String>, String) {
        let text = format!(
            "[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"d\"\nkafka = {{ brokers = \"k\" }}\n{delivery}\n"
        );
        let config = Config::parse(&text, Path::new("t"), &|_| None).expect("valid");
        let tables = vec![table("orders"), table("Orders"), table("items")];
        let items = items(&config, &Found { version: "9.7.0".into(), zone, has_gtids: true, tables });
        assert!(items.iter().all(|item| item.subject == "d"), "{items:?}");
        let wrong = || items.iter().filter(|item| item.level != Level::Pass);
        let found = wrong().map(|item| format!("{}; ", item.finding)).collect();
        (wrong().map(|item| format!("{} {}", item.id, item.level.name())).collect(), found)
    }

    #[test]
    fn names_as_they_are_pass() {
        assert_eq!(wrong("").0, [] as [&str; 0]);
    }

    #[test]
    fn two_tables_of_one_name_fail() {
        let (items, found) = wrong("case_policy = \"lower\"");
        assert_eq!(items, ["objects.case_clash fail"]);
        assert!(found.contains("shop.orders") && found.contains("shop.Orders"), "{found}");
        assert_eq!(wrong("map = { table = \"all\" }").0, ["objects.case_clash fail"]);
        assert_eq!(wrong("case_policy = \"lower\"\ntables = [\"shop.orders\", \"shop.items\"]").0, [] as [&str; 0]);
    }

    #[test]
    fn columns_that_clash_and_keys_left_out_fail() {
        let (items, found) = wrong("map = { columns = { v = \"id\" } }");
        assert_eq!(items, ["objects.case_clash fail"]);
        assert!(found.contains("both be named id"), "{found}");
        let (items, found) = wrong("map = { drop_columns = [\"id\"] }");
        assert_eq!(items, ["objects.map fail"]);
        assert!(found.contains("column id is in the key"), "{found}");
    }

    #[test]
    fn rules_and_columns_that_nothing_follows_warn() {
        let (items, found) = wrong("[[delivery.table]]\nmatch = \"shop.gone\"\n");
        assert_eq!(items, ["objects.map warn"]);
        assert!(found.contains("shop.gone"), "{found}");
        let (items, found) = wrong("map = { columns = { vv = \"x\" } }");
        assert_eq!(items, ["objects.map warn"]);
        assert!(found.contains("the column vv"), "{found}");
    }

    #[test]
    fn conditions_and_scripts_that_a_table_does_not_take_fail_by_its_name() {
        let (items, found) = wrong("filter = \"v > 1 AND w = 2\"\ntables = [\"shop.items\"]");
        assert_eq!(items, ["filter.syntax fail"]);
        assert!(found.contains("shop.items") && found.contains('w') && found.contains("column 11"), "{found}");
        assert_eq!(wrong("filter = \"v > 1\"").0, [] as [&str; 0]);
        let rule = "filter = \"w = 2\"\ntables = [\"shop.items\"]\n[[delivery.table]]\nmatch = \"shop.items\"\nfilter = \"v = 1\"";
        assert_eq!(wrong(rule).0, [] as [&str; 0], "the rule's stands for it");
        let (items, found) = wrong("etl = \"e_drop_fields(`id`)\"\ntables = [\"shop.items\"]");
        assert_eq!(items, ["etl.syntax fail"]);
        assert!(found.contains("shop.items") && found.contains("id"), "{found}");
    }

    #[test]
    fn conditions_are_judged_in_the_zone_that_they_will_be_asked_in() {
        let condition = "filter = \"UNIX_TIMESTAMP('2026-01-01') < v\"\ntables = [\"shop.items\"]";
        assert_eq!(wrong(condition).0, [] as [&str; 0]);
        let (items, found) = wrong_in(TimeZone::get("Europe/Berlin").expect("a zone"), condition);
        assert_eq!(items, ["filter.syntax fail"]);
        assert!(found.contains("zone"), "{found}");
    }

    #[test]
    fn keys_of_columns_that_are_not_there_fail() {
        let (items, found) = wrong("[[delivery.table]]\nmatch = \"shop.items\"\npartition_key = [\"w\"]\n");
        assert_eq!(items, ["kafka.settings fail"]);
        assert!(found.contains("shop.items") && found.contains(" w "), "{found}");
        let mapped =
            "map = { columns = { v = \"w\" } }\n[[delivery.table]]\nmatch = \"shop.items\"\npartition_key = [\"w\"]\n";
        assert_eq!(wrong(mapped).0, [] as [&str; 0], "by the name that is delivered");
    }
}
