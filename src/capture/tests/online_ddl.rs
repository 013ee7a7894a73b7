//! Online schema changes: their helper tables stay out of the log, and their end is one ALTER.

use super::*;
use crate::binlog::event::{Checksum, Event, Query};

/// The text of each statement, with the flags of its entry.
fn statements(seen: &[Seen]) -> Vec<(u8, String)> {
    let query = |s: &Seen| {
        let checksum = if s.flags & flag::NO_CHECKSUM == 0 { Checksum::Crc32 } else { Checksum::None };
        let event = Event::parse(&s.body, checksum).expect("an event");
        (event.header.event_type == EventType::QUERY).then(|| {
            let sql = Query::parse(&event).expect("a statement").sql;
            (s.flags, String::from_utf8_lossy(sql).into_owned())
        })
    };
    seen.iter().filter_map(query).filter(|(_, sql)| sql != "BEGIN").collect()
}

fn change() -> Script {
    let mut script = Script::new();
    script.gtid().query("CREATE TABLE `orders` (`id` int)");
    script.transaction(7, "orders", &[&[1]]);
    script.gtid().query("create table `shop`.`_orders_ghc` (`id` int)").transaction(9, "_orders_ghc", &[&[1], &[2]]);
    script.gtid().query("create table `shop`.`_orders_gho` like `shop`.`orders`");
    script.gtid().query("alter /* gh-ost */ table `shop`.`_orders_gho` add key k (`id`)");
    script.transaction(8, "_orders_gho", &[&[1]]).transaction(7, "orders", &[&[2]]);
    script.gtid().begin().map(7, "orders").map(8, "_orders_gho").rows(7, &[3], false).rows(8, &[3], true).xid();
    script.gtid().query(
        "rename /* gh-ost */ table `shop`.`orders` to `shop`.`_orders_del`, `shop`.`_orders_gho` to `shop`.`orders`",
    );
    script.transaction(8, "orders", &[&[4]]);
    script.gtid().query("drop table if exists `shop`.`_orders_del`");
    script.gtid().query("drop table if exists `shop`.`_orders_ghc`");
    script
}

#[tokio::test]
async fn an_online_change_survives_a_cut_at_each_event() {
    let named = || {
        let mut relay = Relay::by_file();
        relay.tables = TablePatterns::parse(&["shop.orders"]).expect("patterns");
        relay
    };
    for make in [&Relay::by_gtid as &dyn Fn() -> Relay, &Relay::by_file, &named] {
        let seen = same_from_every_cut(make, &change()).await;
        let rows = types(&seen).iter().filter(|kind| **kind == "WRITE_ROWS").count();
        assert_eq!(rows, 4, "rows of orders alone");
        let told: Vec<String> = statements(&seen)
            .into_iter()
            .filter_map(|(flags, sql)| (flags & flag::HELPER == 0).then_some(sql))
            .collect();
        assert_eq!(told, ["CREATE TABLE `orders` (`id` int)", "ALTER TABLE `shop`.`orders` add key k (`id`)"]);
        let rewritten = statements(&seen).iter().filter(|(flags, _)| flags & flag::REWRITTEN != 0).count();
        assert_eq!(rewritten, 1);
    }
}

#[tokio::test]
async fn a_helper_that_the_settings_name_is_a_table_like_others() {
    let mut relay = Relay::by_gtid();
    relay.tables = TablePatterns::parse(&["shop.orders", "shop._orders_ghc"]).expect("patterns");
    relay.life(&change(), usize::MAX).await;
    let seen = relay.visible();
    assert_eq!(types(&seen).iter().filter(|kind| **kind == "WRITE_ROWS").count(), 4 + 2);
    assert!(statements(&seen).iter().any(|(flags, sql)| flags & flag::HELPER == 0 && sql.contains("_orders_ghc")));
}

#[tokio::test]
async fn tables_with_such_names_and_no_table_behind_them_are_captured() {
    let relay = Relay::by_gtid();
    let mut script = Script::new();
    script.gtid().query("CREATE TABLE `_x_new` (`id` int)").transaction(7, "_x_new", &[&[1]]);
    relay.life(&script, usize::MAX).await;
    assert_eq!(types(&relay.visible()).iter().filter(|kind| **kind == "WRITE_ROWS").count(), 1);
}

#[tokio::test]
async fn a_renamed_table_is_followed_where_that_is_asked_for() {
    let mut script = Script::new();
    script.gtid().query("CREATE TABLE `orders` (`id` int)").transaction(7, "orders", &[&[1]]);
    script.gtid().query("RENAME TABLE `orders` TO `archive`").transaction(8, "archive", &[&[2]]);
    script.gtid().query("ALTER TABLE `archive` RENAME `attic`, ADD KEY (`id`)").transaction(9, "attic", &[&[3]]);
    script.gtid().query("CREATE TABLE `archive` (`id` int)").transaction(10, "archive", &[&[4]]);
    script.gtid().query("DROP TABLE `attic`");
    script.gtid().query("CREATE TABLE `attic` (`id` int)").transaction(11, "attic", &[&[5]]);
    for (follow_rename, rows, told) in [(false, 1, 2), (true, 3, 4)] {
        let make = || {
            let mut relay = Relay::by_file();
            relay.tables = TablePatterns::parse(&["shop.orders"]).expect("patterns");
            relay.follow_rename = follow_rename;
            relay
        };
        let seen = same_from_every_cut(make, &script).await;
        assert_eq!(types(&seen).iter().filter(|kind| **kind == "WRITE_ROWS").count(), rows, "{follow_rename}");
        assert_eq!(statements(&seen).len(), told, "{follow_rename}: {:?}", statements(&seen));
    }
}
