//! From `[delivery.kafka]` to the client library's settings, and which of those may be passed through.

use std::collections::BTreeMap;

use crate::config::{FieldError, Size};

use super::config::{Acks, Compression, Guarantee, KafkaConfig, SaslMechanism, Security};

/// What a record costs on the wire beside key, value and headers, at most: lengths, timestamp and offset deltas of
/// the record, and the batch header that it may have alone (Kafka protocol, "Record Batch": 61 bytes).
pub(super) const RECORD_OVERHEAD_BYTES: usize = 96;
/// `message.max.bytes` of the client library ends here (CONFIGURATION.md).
const CLIENT_RECORD_BYTES_MAX: u64 = 1_000_000_000;
/// Below the brokers' default limit of 1,048,588 for a batch as it arrives.
pub(super) const BATCH_BYTES: usize = 1_000_000;
/// Milliseconds a record waits for others in its batch; the latency target allows it, half the requests are saved.
pub const LINGER_MS: u32 = 5;
/// The same inside a transaction, whose end waits for the last batch: long enough for a batch to fill at speed.
const TRANSACTION_LINGER_MS: u32 = 1;
/// May be passed through with `delivery = "exactly_once"`: the broker bounds it by its `transaction.max.timeout.ms`.
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
const TRANSACTION_TIMEOUT_MS: u64 = 60_000;
/// The client's own bound on queued bytes. The in-flight window stays below it; this one is the second lock.
const QUEUE_KBYTES: usize = 96 << 10;

/// Settings that keep a promise of ours, or that have a field of their own; each with what to do instead.
const REFUSED: [(&str, &str); 14] = [
    ("acks", "set `acks`"),
    ("request.required.acks", "set `acks`"),
    ("enable.idempotence", "it is on with acks = \"all\"; without it a retry could reorder records"),
    ("enable.gapless.guarantee", "it is on with acks = \"all\"; without it a refused record would be overtaken"),
    ("message.timeout.ms", "a finite timeout would drop records and let later ones pass"),
    ("delivery.timeout.ms", "a finite timeout would drop records and let later ones pass"),
    ("retries", "giving up would drop records and let later ones pass"),
    ("message.send.max.retries", "giving up would drop records and let later ones pass"),
    ("max.in.flight", "more requests in flight could reorder records"),
    ("max.in.flight.requests.per.connection", "more requests in flight could reorder records"),
    ("delivery.report.only.error", "acks move the cursor"),
    ("transactional.id", "set `delivery = \"exactly_once\"`; the id is made of the relay's and the delivery's names"),
    ("allow.auto.create.topics", "a topic created by accident has the wrong partitions; create it"),
    ("message.max.bytes", "set `max_record_bytes`"),
];

/// Families of settings that have fields of their own, or that would undo security.
const REFUSED_FAMILIES: [(&str, &str); 11] = [
    ("bootstrap.", "set `brokers`"),
    ("metadata.broker.", "set `brokers`"),
    ("security.", "set `security`"),
    ("sasl.", "set `sasl_mechanism`, `username` and `password_file`"),
    ("ssl.", "set `ca_file`, `cert_file` and `key_file`; names are always verified"),
    ("enable.ssl.", "certificates are always verified"),
    ("compression.codec", "set `compression`"),
    ("compression.type", "set `compression`"),
    ("partitioner", "set `partition`"),
    ("queue.buffering.max.messages", "the memory budget is shared between deliveries"),
    ("queue.buffering.max.kbytes", "the memory budget is shared between deliveries"),
];

/// Refuses what would break a promise, and code from elsewhere.
pub(super) fn check_passthrough(settings: &BTreeMap<String, String>) -> Result<(), FieldError> {
    for key in settings.keys() {
        let why = REFUSED
            .iter()
            .find(|(name, _)| name == key)
            .or_else(|| REFUSED_FAMILIES.iter().find(|(family, _)| key.starts_with(family)))
            .map(|(_, why)| *why)
            .or_else(|| (key == "plugin.library.paths").then_some("foreign code is not loaded"));
        if let Some(why) = why {
            return Err(FieldError::new(format!("librdkafka.{key:?}"), format!("it cannot be passed through: {why}")));
        }
    }
    Ok(())
}

/// A Kafka transaction needs an idempotent producer, and that one needs every replica.
pub(super) fn check_guarantee(config: &KafkaConfig) -> Result<(), FieldError> {
    if config.delivery == Guarantee::AtLeastOnce {
        return match config.librdkafka.contains_key(TRANSACTION_TIMEOUT) {
            true => Err(FieldError::new(
                format!("librdkafka.{TRANSACTION_TIMEOUT:?}"),
                "there are no transactions with delivery = \"at_least_once\"",
            )),
            false => Ok(()),
        };
    }
    if config.acks != Acks::All {
        let reason = "delivery = \"exactly_once\" needs acks = \"all\": less can lose what was committed";
        return Err(FieldError::new("acks", reason));
    }
    if config.max_records == 0 {
        return Err(FieldError::new("max_records", "it is 0; a transaction holds one record at least"));
    }
    if transaction_timeout_ms(config).is_none() {
        let reason = "it is not a number of milliseconds from 1000 to 2147483647";
        return Err(FieldError::new(format!("librdkafka.{TRANSACTION_TIMEOUT:?}"), reason));
    }
    Ok(())
}

/// How long a transaction may stay open before the broker aborts it, milliseconds. None when it is set to nonsense.
pub(super) fn transaction_timeout_ms(config: &KafkaConfig) -> Option<u64> {
    let Some(text) = config.librdkafka.get(TRANSACTION_TIMEOUT) else { return Some(TRANSACTION_TIMEOUT_MS) };
    text.parse().ok().filter(|ms| (1000..=i32::MAX as u64).contains(ms))
}

/// The limit must leave room for what the client adds.
pub(super) fn check_record_limit(limit: Size) -> Result<(), FieldError> {
    let most = CLIENT_RECORD_BYTES_MAX - RECORD_OVERHEAD_BYTES as u64;
    if limit.0 < 1024 || limit.0 > most {
        return Err(FieldError::new("max_record_bytes", format!("{limit} is outside 1KiB to {most}B")));
    }
    Ok(())
}

/// The client library's settings for this sink, by name. Holds the password: never printed.
/// `batch_bytes` is the most that its topics take in one batch.
pub(super) fn client_settings(config: &KafkaConfig, cursor: &str, batch_bytes: usize) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut set = |key: &str, value: &str| {
        settings.insert(key.to_owned(), value.to_owned());
    };
    set("bootstrap.servers", &config.brokers);
    set("client.id", &format!("relay-{cursor}"));
    set("acks", config.acks.as_str());
    let transactional = config.delivery == Guarantee::ExactlyOnce;
    match config.acks {
        Acks::All => {
            set("enable.idempotence", "true");
            // A record that the broker refuses makes the producer stop instead of letting later ones pass. In a
            // transaction the abort does that.
            set("enable.gapless.guarantee", if transactional { "false" } else { "true" });
        }
        // Without sequence numbers only one request at a time keeps the order over a retry.
        Acks::Leader | Acks::None => {
            set("enable.idempotence", "false");
            set("max.in.flight.requests.per.connection", "1");
        }
    }
    set(
        "compression.type",
        match config.compression {
            Compression::Lz4 => "lz4",
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        },
    );
    set("linger.ms", &(if transactional { TRANSACTION_LINGER_MS } else { LINGER_MS }).to_string());
    set("batch.size", &batch_bytes.to_string());
    set("batch.num.messages", &config.max_records.to_string());
    set("message.max.bytes", &(config.max_record_bytes.0 + RECORD_OVERHEAD_BYTES as u64).max(1000).to_string());
    if transactional {
        // A record that times out makes its transaction one that can only be aborted: nothing passes it.
        let timeout = transaction_timeout_ms(config).unwrap_or(TRANSACTION_TIMEOUT_MS).to_string();
        set(TRANSACTION_TIMEOUT, &timeout);
        set("message.timeout.ms", &timeout);
    } else {
        // 0 is for ever: a record that timed out would be skipped while later ones pass (librdkafka #2188, #4134).
        set("message.timeout.ms", "0");
    }
    set("queue.buffering.max.messages", &(2 * super::window::PLACES).to_string());
    set("queue.buffering.max.kbytes", &QUEUE_KBYTES.max(config.max_record_bytes.0 as usize / 512).to_string());
    set("socket.keepalive.enable", "true");
    set("reconnect.backoff.max.ms", "10000");
    set("statistics.interval.ms", "0");
    set("allow.auto.create.topics", "false");
    set("enable.metrics.push", "false");
    security_settings(config, &mut set);
    settings.extend(config.librdkafka.iter().map(|(k, v)| (k.clone(), v.clone())));
    settings
}

/// Those of them that every kind of client knows: where the cluster is and how to log in.
#[cfg(feature = "kafka")]
pub(super) fn connection_settings(config: &KafkaConfig, cursor: &str) -> BTreeMap<String, String> {
    let asked = ["bootstrap.servers", "client.id", "socket.keepalive.enable", "reconnect.backoff.max.ms"];
    let mut settings = client_settings(config, cursor, BATCH_BYTES);
    settings.retain(|key, _| {
        asked.contains(&key.as_str()) || ["security.", "sasl.", "ssl."].iter().any(|p| key.starts_with(p))
    });
    settings
}

fn security_settings(config: &KafkaConfig, set: &mut impl FnMut(&str, &str)) {
    let (protocol, sasl) = match config.security {
        Security::Plaintext => ("plaintext", false),
        Security::SaslPlaintext => ("sasl_plaintext", true),
        Security::Ssl => ("ssl", false),
        Security::SaslSsl => ("sasl_ssl", true),
    };
    set("security.protocol", protocol);
    if sasl {
        set(
            "sasl.mechanism",
            match config.sasl_mechanism {
                SaslMechanism::Plain => "PLAIN",
                SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            },
        );
        set("sasl.username", config.username.as_deref().unwrap_or_default());
        set("sasl.password", config.password.as_ref().map_or("", |secret| secret.expose()));
    }
    let files = [
        ("ssl.ca.location", &config.ca_file),
        ("ssl.certificate.location", &config.cert_file),
        ("ssl.key.location", &config.key_file),
    ];
    for (key, file) in files {
        if let Some(file) = file {
            set(key, &file.display().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> KafkaConfig {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn the_default_never_gives_up_and_never_reorders() {
        let settings = client_settings(&config("brokers = \"k:9092\""), "orders", BATCH_BYTES);
        for (key, value) in [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("enable.gapless.guarantee", "true"),
            ("message.timeout.ms", "0"),
            ("compression.type", "lz4"),
            ("client.id", "relay-orders"),
        ] {
            assert_eq!(settings.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(!settings.contains_key("max.in.flight.requests.per.connection"));
    }

    #[test]
    fn weaker_acks_keep_the_order_by_one_request_at_a_time() {
        for acks in ["1", "0", "\"1\"", "\"0\""] {
            let settings = client_settings(&config(&format!("brokers = \"k:9092\"\nacks = {acks}")), "c", BATCH_BYTES);
            assert_eq!(settings["enable.idempotence"], "false");
            assert_eq!(settings["max.in.flight.requests.per.connection"], "1");
        }
    }

    #[test]
    fn a_transaction_needs_every_replica_and_bounds_its_records_by_its_own_time() {
        let once = |more: &str| config(&format!("brokers = \"k:9092\"\ndelivery = \"exactly_once\"\n{more}"));
        let settings = client_settings(&once(""), "c", BATCH_BYTES);
        assert_eq!(settings["enable.idempotence"], "true");
        assert_eq!(settings["enable.gapless.guarantee"], "false");
        assert_eq!((&*settings["message.timeout.ms"], &*settings[TRANSACTION_TIMEOUT]), ("60000", "60000"));
        let longer = once("librdkafka = { \"transaction.timeout.ms\" = \"300000\" }");
        assert_eq!(check_guarantee(&longer), Ok(()));
        assert_eq!(client_settings(&longer, "c", BATCH_BYTES)["message.timeout.ms"], "300000");
        for (more, field) in [
            ("acks = 1", "acks"),
            ("max_records = 0", "max_records"),
            ("librdkafka = { \"transaction.timeout.ms\" = \"soon\" }", "transaction.timeout.ms"),
        ] {
            let error = check_guarantee(&once(more)).unwrap_err();
            assert!(error.field.contains(field), "{error:?}");
        }
        let text = "brokers = \"k:9092\"\nlibrdkafka = { \"transaction.timeout.ms\" = \"300000\" }";
        assert!(check_guarantee(&config(text)).is_err(), "there is no transaction");
    }

    #[test]
    fn what_breaks_a_promise_is_not_passed_through() {
        for key in REFUSED.iter().map(|(k, _)| *k).chain([
            "ssl.endpoint.identification.algorithm",
            "enable.ssl.certificate.verification",
            "sasl.password",
            "plugin.library.paths",
            "bootstrap.servers",
        ]) {
            let error = check_passthrough(&BTreeMap::from([(key.to_owned(), "1".to_owned())])).unwrap_err();
            assert!(error.field.contains(key), "{error:?}");
        }
        let good = BTreeMap::from([("socket.timeout.ms".to_owned(), "30000".to_owned())]);
        assert_eq!(check_passthrough(&good), Ok(()));
    }

    #[test]
    fn scram_over_tls_names_the_account_and_the_authority() {
        let mut config = config(
            "brokers = \"k:9092\"\nsecurity = \"sasl_ssl\"\nsasl_mechanism = \"scram-sha-512\"\nusername = \"relay\"\nca_file = \"/ca.pem\"",
        );
        config.password = Some(crate::config::Secret::new("canary"));
        let settings = client_settings(&config, "c", BATCH_BYTES);
        assert_eq!(settings["security.protocol"], "sasl_ssl");
        assert_eq!(settings["sasl.mechanism"], "SCRAM-SHA-512");
        assert_eq!(settings["sasl.password"], "canary");
        assert_eq!(settings["ssl.ca.location"], "/ca.pem");
    }
}
