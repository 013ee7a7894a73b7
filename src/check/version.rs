//! `kafka.version`: whether the brokers are of a version that has what a delivery asks for.

use super::Item;
use crate::sink::kafka::Versions;
use crate::sink::kafka::config::{Compression, Guarantee, KafkaConfig};

const ID: &str = "kafka.version";
/// Newest `metadata.version` that the relay was tried with: that of Kafka 4.3.
const METADATA_TRIED: u16 = 30;
/// Requests by their numbers (Kafka protocol, "Api Keys").
const PRODUCE: u16 = 0;
const INIT_PRODUCER_ID: u16 = 22;
const END_TRANSACTION: u16 = 26;
/// Versions of Produce: the first that takes records with headers, of idempotent producers (0.11); and zstd (2.1).
const PRODUCE_RECORDS: u16 = 3;
const PRODUCE_ZSTD: u16 = 7;

/// The item of a delivery whose broker said this.
pub(super) fn item(kafka: &KafkaConfig, versions: Result<Versions, String>) -> Item {
    let versions = match versions {
        Ok(versions) => versions,
        Err(reason) => return Item::pass(ID, format!("the brokers' version is not known ({reason})")),
    };
    let produce = versions.requests.get(&PRODUCE).copied().unwrap_or(0);
    if produce < PRODUCE_RECORDS || !versions.requests.contains_key(&INIT_PRODUCER_ID) {
        let finding = "the brokers are older than 0.11: they know neither headers nor idempotent producers";
        return Item::fail(ID, finding, "use brokers of 0.11 or later; 2.1 or later is better");
    }
    if kafka.compression == Compression::Zstd && produce < PRODUCE_ZSTD {
        let finding = "the brokers are older than 2.1 and do not know compression = \"zstd\"";
        return Item::fail(ID, finding, "set compression to lz4, or use brokers of 2.1 or later");
    }
    if kafka.delivery == Guarantee::ExactlyOnce && !versions.requests.contains_key(&END_TRANSACTION) {
        let finding = "the brokers have no transactions, which delivery = \"exactly_once\" needs";
        return Item::fail(ID, finding, "set delivery = \"at_least_once\", or use brokers that have them");
    }
    match versions.features.get("metadata.version") {
        Some(&level) if level > METADATA_TRIED => Item::warn(
            ID,
            format!(
                "the cluster's metadata.version is {level}; the relay was tried up to {METADATA_TRIED} (Kafka 4.3)"
            ),
            "try it on a cluster of that version first, then accept this",
        ),
        Some(level) => Item::pass(ID, format!("metadata.version {level}, Produce version {produce}")),
        None => {
            Item::pass(ID, format!("Produce version {produce}, no metadata.version: with ZooKeeper, or older than 3.3"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn level(lines: &str, requests: &[(u16, u16)], metadata: Option<u16>) -> Level {
        let kafka: KafkaConfig = toml::from_str(&format!("brokers = \"k\"\n{lines}")).expect("valid");
        let features = metadata.map(|level| ("metadata.version".to_owned(), level));
        let versions =
            Versions { requests: requests.iter().copied().collect(), features: features.into_iter().collect() };
        let item = item(&kafka, Ok(versions));
        assert_eq!(item.level == Level::Pass, item.remedy.is_empty(), "{item:?}");
        item.level
    }

    #[test]
    fn what_a_delivery_needs_is_compared_with_what_brokers_know() {
        let modern = [(PRODUCE, 13), (INIT_PRODUCER_ID, 5), (END_TRANSACTION, 5)];
        assert_eq!(level("", &modern, Some(METADATA_TRIED)), Level::Pass);
        assert_eq!(level("", &modern, Some(METADATA_TRIED + 1)), Level::Warn);
        assert_eq!(level("", &modern, None), Level::Pass);
        assert_eq!(level("", &[(PRODUCE, 2)], None), Level::Fail);
        assert_eq!(level("", &[(PRODUCE, 5), (INIT_PRODUCER_ID, 0)], None), Level::Pass);
        assert_eq!(level("compression = \"zstd\"", &[(PRODUCE, 5), (INIT_PRODUCER_ID, 0)], None), Level::Fail);
        assert_eq!(level("compression = \"zstd\"", &modern, None), Level::Pass);
        let once = "delivery = \"exactly_once\"";
        assert_eq!(level(once, &[(PRODUCE, 7), (INIT_PRODUCER_ID, 1)], None), Level::Fail);
        assert_eq!(level(once, &modern, None), Level::Pass);
        let unknown = item(&toml::from_str("brokers = \"k\"").expect("valid"), Err("away".to_owned()));
        assert!(unknown.level == Level::Pass && unknown.finding.contains("away"));
    }
}
