//! Topic names from templates, and how many partitions each topic is used with. Pure.
//!
//! The number of partitions is read when a topic is first used and kept with the cursor: a key must not move to
//! another partition because somebody widened the topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kafka's own limit (`Topic.MAX_NAME_LENGTH`).
const NAME_LENGTH_MAX: usize = 249;

/// Whether Kafka accepts the name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err("it is empty; write a name, or {database}.{table}".to_owned());
    }
    if let Some(c) = name.chars().find(|&c| !allowed(c)) {
        return Err(format!("topic {name:?} holds {c:?}; Kafka takes letters, digits, '.', '_' and '-'"));
    }
    if name.len() > NAME_LENGTH_MAX || name == "." || name == ".." {
        return Err(format!("topic {name:?} is not allowed by Kafka; at most {NAME_LENGTH_MAX} characters"));
    }
    Ok(())
}

/// Whether the template can make names: known placeholders only.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn check_template(template: &str) -> Result<(), String> {
    let sample = expand(template, "d", "t");
    if let Some(c) = sample.chars().find(|c| matches!(c, '{' | '}')) {
        return Err(format!("it holds {c:?} outside {{database}} and {{table}}"));
    }
    check_name(&sample)
}

/// The topic of a table.
pub fn expand(template: &str, database: &str, table: &str) -> String {
    template.replace("{database}", database).replace("{table}", table)
}

/// Whether the template gives every table the same topic.
pub(super) fn is_fixed(template: &str) -> bool {
    !template.contains("{database}") && !template.contains("{table}")
}

/// The sink's own state: partitions in use by topic. JSON, so that an operator can read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) partitions: BTreeMap<String, u32>,
    /// A position that was committed to Kafka; what is there now is at or past it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<KnownPosition>,
    /// Least that a topic takes in one batch, when that is less than ours: transactions are begun with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) batch_bytes: Option<usize>,
}

/// Where and how far a cursor's position in Kafka was, in the cursor's epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownPosition {
    pub(super) topic: String,
    pub(super) seq: u64,
}

impl Kept {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(|e| format!("state of the kafka sink does not decode: {e}"))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers always serialise")
    }
}

/// How a topic's kept number meets the number it has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// First use, or unchanged, or the change was accepted.
    Use(u32),
    /// It grew: the kept number stays in use, and somebody is told.
    Grown { kept: u32, now: u32 },
    /// It has fewer partitions than are in use: it was deleted and created again.
    Shrunk { kept: u32, now: u32 },
}

pub(super) fn width(kept: Option<u32>, now: u32, accept_change: bool) -> Width {
    match kept {
        None => Width::Use(now),
        Some(kept) if kept == now || accept_change => Width::Use(now),
        Some(kept) if kept < now => Width::Grown { kept, now },
        Some(kept) => Width::Shrunk { kept, now },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_the_two_names_and_nothing_else() {
        assert_eq!(expand("shop-{table}.{database}", "d", "orders"), "shop-orders.d");
        assert!(check_template("{database}.{table}").is_ok());
        assert!(check_template("all-changes").is_ok() && is_fixed("all-changes"));
        assert!(check_template("{db}.{table}").unwrap_err().contains("{database}"));
        assert!(check_template("").is_err());
        assert!(check_name("a b").unwrap_err().contains("' '"));
        assert!(check_name(&"x".repeat(250)).is_err());
        assert!(check_name("订单").is_err());
    }

    #[test]
    fn a_grown_topic_keeps_its_old_width_until_accepted() {
        assert_eq!(width(None, 6, false), Width::Use(6));
        assert_eq!(width(Some(6), 12, false), Width::Grown { kept: 6, now: 12 });
        assert_eq!(width(Some(6), 12, true), Width::Use(12));
        assert_eq!(width(Some(6), 3, false), Width::Shrunk { kept: 6, now: 3 });
    }

    #[test]
    fn kept_widths_come_back_and_foreign_bytes_are_refused() {
        let known = KnownPosition { topic: "__relay_cursors.shop.orders".to_owned(), seq: 7 };
        let partitions = BTreeMap::from([("a.b".to_owned(), 3)]);
        let kept = Kept { partitions, position: Some(known), batch_bytes: Some(20_000) };
        assert_eq!(
            Kept::decode(br#"{"partitions":{"a.b":3}}"#).map(|kept| kept.partitions),
            Ok(kept.partitions.clone())
        );
        assert_eq!(Kept::decode(&kept.encode()), Ok(kept));
        assert_eq!(Kept::decode(b""), Ok(Kept::default()));
        assert!(Kept::decode(b"\0\0\0\0\0\0\0\x05").is_err());
    }
}
