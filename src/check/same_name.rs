//! `objects.same_name`: whether topics of single tables hold records before their delivery begins.

use std::collections::BTreeSet;

use super::Item;
use super::table::list;
use crate::config::{Delivery, OnConflict};
use crate::failure::{Class, Failure};
use crate::sink::SinkError;

const ID: &str = "objects.same_name";

/// Cursors that exist: their deliveries know what is in their topics. None: nobody can tell now.
pub(super) type Cursors = Option<BTreeSet<String>>;

/// Why a delivery's topics need no look, where they need none.
pub(super) fn settled(delivery: &Delivery, cursors: &Cursors) -> Option<Item> {
    let Some(cursors) = cursors else {
        return Some(Item::pass(ID, "a process has the log open, and with it the delivery's cursor"));
    };
    cursors.contains(&delivery.name).then(|| Item::pass(ID, "the delivery goes on where its cursor stands"))
}

/// The item of a delivery that is yet to begin; `full` are those of its topics that hold records.
pub(super) fn item(delivery: &Delivery, topics: usize, full: Result<Vec<String>, SinkError>) -> Item {
    match full {
        Ok(full) if full.is_empty() && topics == 0 => Item::pass(ID, "no topic is of one table alone"),
        Ok(full) if full.is_empty() => {
            Item::pass(ID, format!("{topics} topics of tables are empty, or still to be made"))
        }
        Ok(full) if delivery.on_conflict == OnConflict::Proceed => {
            let finding = format!(
                "topics hold records already, and are added to: {}; Kafka has no rows, so that equal keys neither stay \
                 nor are overwritten",
                list(&full)
            );
            // The choice is the consent.
            let mut item = Item::warn(ID, finding, "nothing, if that is wanted: on_conflict is \"proceed\"");
            item.soften();
            item
        }
        Ok(full) => Item::fail(
            ID,
            format!("topics hold records already: {}", list(&full)),
            "map the tables to other topics, empty these, or set on_conflict = \"proceed\" to add to them",
        ),
        Err(error) => {
            let remedy =
                error.next_step().unwrap_or_else(|| "see that the brokers answer, then check again".to_owned());
            let item = Item::fail(ID, error.to_string(), remedy);
            if error.class() == Class::Transient { item.unreachable() } else { item }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::{Level, Report, Verdict};
    use crate::config::Config;

    fn delivery(lines: &str) -> Delivery {
        let text =
            format!("[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"orders\"\n{lines}\nfile.path = \"-\"\n");
        Config::parse(&text, Path::new("t"), &|_| None).expect("valid").deliveries.remove(0)
    }

    #[test]
    fn records_of_somebody_else_fail_unless_they_are_to_be_added_to() {
        let full = || Ok(vec!["shop.orders".to_owned()]);
        let report = delivery("");
        assert_eq!(item(&report, 2, Ok(Vec::new())).level, Level::Pass);
        let failed = item(&report, 2, full());
        assert!(failed.level == Level::Fail && failed.finding.contains("shop.orders") && !failed.remedy.is_empty());
        let warned = item(&delivery("on_conflict = \"proceed\""), 2, full());
        assert!(warned.level == Level::Warn && warned.finding.contains("equal keys"), "{warned:?}");
        assert_eq!(Report { items: vec![warned] }.verdict(&[], false), Verdict::Ready, "the setting is the consent");
        assert!(item(&report, 1, Err(SinkError::transient("away"))).unreachable);
    }

    #[test]
    fn a_delivery_with_a_cursor_has_no_conflict_with_its_own() {
        let orders = delivery("");
        assert!(settled(&orders, &None).is_some_and(|item| item.level == Level::Pass));
        assert!(settled(&orders, &Some(["orders".to_owned()].into())).is_some_and(|item| item.level == Level::Pass));
        assert!(settled(&orders, &Some(["others".to_owned()].into())).is_none());
    }
}
