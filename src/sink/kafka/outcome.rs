//! What the client library's errors mean for the delivery: one place that sorts them into classes, with advice.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::sink::{Refusal, SinkError};

/// A record was not taken: by the client at once, or by the broker later.
pub(super) fn record_error(code: Code, topic: &str, partition: i32, bytes: usize) -> SinkError {
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            SinkError::definite(format!("topic {topic} refuses a record of {bytes} bytes, or the batch it was in"))
                .advise(
                    "raise the topic's max.message.bytes, or choose on_too_large = \"skip\", \"truncate_columns\", \
                     \"key_only\" or \"dead_letter\" for the table, then resume",
                )
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => missing_topic(topic),
        Code::UnknownPartition => SinkError::definite(format!(
            "topic {topic} has no partition {partition}: it has fewer than when it was first used"
        ))
        .advise("give the topic its partitions back, or set accept_partition_change = true and resume"),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => not_allowed(topic),
        Code::InvalidRecord | Code::InvalidTimestamp | Code::PolicyViolation | Code::InvalidTopic => {
            SinkError::definite(format!("topic {topic} refuses a record: {code}"))
                .advise("look at the topic's settings (cleanup.policy, message.timestamp limits), then resume")
        }
        _ => SinkError::transient(format!("record for topic {topic} was not delivered: {code}")),
    }
}

/// The topic does not exist, and nobody creates it by accident.
pub(super) fn missing_topic(topic: &str) -> SinkError {
    SinkError::definite(format!("topic {topic} does not exist"))
        .advise(format!("create topic {topic} with the partitions it shall have, then resume"))
}

/// The account may not write the topic.
pub(super) fn not_allowed(topic: &str) -> SinkError {
    SinkError::definite(format!("the account may not write topic {topic}"))
        .advise(format!("allow WRITE and DESCRIBE on topic {topic}, then resume"))
        .refused(Refusal::Access)
}

/// A transaction, or the producer that made it, came to its end. What is not definite is begun again from the position
/// in Kafka, with a new producer.
pub(super) fn transaction_error(code: Code, reason: String) -> SinkError {
    match code {
        Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed => SinkError::definite(format!(
            "the account may not use transactions: {reason}"
        ))
        .advise("allow WRITE and DESCRIBE on transactional ids with the prefix relay-, then resume")
        .refused(Refusal::Access),
        Code::TopicAuthorizationFailed => SinkError::definite(format!("the account may not write a topic: {reason}"))
            .advise("allow WRITE and DESCRIBE on the delivery's topics and on __relay_cursors.*, then resume")
            .refused(Refusal::Access),
        Code::InvalidTransactionTimeout => SinkError::definite(reason).advise(
            "raise the brokers' transaction.max.timeout.ms, or lower librdkafka.\"transaction.timeout.ms\", then resume",
        ),
        Code::UnsupportedFeature | Code::UnsupportedVersion => {
            SinkError::definite(format!("the cluster has no transactions: {reason}"))
                .advise("set delivery = \"at_least_once\", or use brokers that have them")
        }
        // Another relay, or the broker itself after the transaction's time was over: the position tells which.
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            SinkError::transient(format!("the producer was fenced: {reason}"))
        }
        _ => SinkError::transient(reason),
    }
}

/// What an error that belongs to no record means.
#[derive(Debug)]
pub(super) enum Global {
    /// The delivery cannot go on.
    Fails(SinkError),
    /// It waits; the text says for what.
    Waits(String),
    /// The producer stopped; the records in flight say why.
    Stopped,
}

/// Sorts an error of the connection or of the producer as a whole.
pub(super) fn global_error(code: Code, reason: &str) -> Global {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => Global::Fails(
            SinkError::definite(format!("the broker refuses the login: {reason}"))
                .advise("correct username, password or sasl_mechanism, then resume")
                .refused(Refusal::Login),
        ),
        // Said after the handshake: with TLS 1.3 the broker looks at ours last, and the connection is what fails.
        Code::SSL | Code::BrokerTransportFailure if is_ours(reason) => Global::Fails(
            SinkError::definite(format!("the broker does not accept our certificate: {reason}"))
                .advise("set cert_file and key_file to a certificate that the broker trusts and whose time is not over")
                .refused(Refusal::Certificate),
        ),
        Code::SSL if is_certificate(reason) => Global::Fails(
            SinkError::definite(format!("the broker's certificate is not accepted: {reason}"))
                .advise(
                    "set ca_file to the authority that signed it, use the name it was issued for, and see that its time is \
                     not over",
                )
                .refused(Refusal::Certificate),
        ),
        Code::Fatal | Code::GaplessGuarantee => Global::Stopped,
        _ => Global::Waits(reason.to_owned()),
    }
}

/// OpenSSL's words for an alert of the broker about a certificate: about ours.
fn is_ours(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("alert")
        && ["certificate expired", "bad certificate", "unknown ca", "certificate unknown", "certificate required"]
            .iter()
            .any(|words| reason.contains(words))
}

/// OpenSSL's words for a certificate that will not become better by waiting.
fn is_certificate(reason: &str) -> bool {
    ["certificate verify failed", "unknown ca", "bad certificate", "certificate unknown", "hostname mismatch"]
        .iter()
        .any(|words| reason.to_ascii_lowercase().contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    #[test]
    fn what_waiting_cannot_cure_is_definite_and_says_what_to_do() {
        for code in [
            Code::MessageSizeTooLarge,
            Code::UnknownTopic,
            Code::UnknownTopicOrPartition,
            Code::UnknownPartition,
            Code::TopicAuthorizationFailed,
            Code::InvalidRecord,
        ] {
            let error = record_error(code, "shop.orders", 3, 10);
            assert_eq!(error.class, Class::Definite, "{code:?}");
            assert!(error.reason.contains("shop.orders") && error.next_step.is_some(), "{error:?}");
        }
        assert_eq!(record_error(Code::PurgeQueue, "t", 0, 1).class, Class::Transient);
    }

    #[test]
    fn a_transaction_begins_again_unless_only_an_operator_can_help() {
        for code in [
            Code::TransactionalIdAuthorizationFailed,
            Code::TopicAuthorizationFailed,
            Code::InvalidTransactionTimeout,
            Code::UnsupportedFeature,
        ] {
            let error = transaction_error(code, "why".to_owned());
            assert!(error.class == Class::Definite && error.next_step.is_some(), "{code:?}");
        }
        for code in [Code::Fenced, Code::InvalidProducerIdMapping, Code::OperationTimedOut, Code::State] {
            assert_eq!(transaction_error(code, "why".to_owned()).class, Class::Transient, "{code:?}");
        }
    }

    #[test]
    fn a_refused_login_fails_and_a_missing_broker_waits() {
        assert!(matches!(global_error(Code::Authentication, "no"), Global::Fails(_)));
        assert!(matches!(global_error(Code::SSL, "ssl: certificate verify failed: x"), Global::Fails(_)));
        assert!(matches!(global_error(Code::SSL, "SSL handshake failed: connection reset"), Global::Waits(_)));
        let alert = "Receive failed: error:0A000416:SSL routines::sslv3 alert certificate unknown: SSL alert number 46";
        match global_error(Code::BrokerTransportFailure, alert) {
            Global::Fails(error) => assert!(error.next_step.is_some_and(|step| step.contains("cert_file"))),
            other => panic!("{other:?}"),
        }
        assert!(matches!(global_error(Code::AllBrokersDown, "1/1 brokers are down"), Global::Waits(_)));
        assert!(matches!(global_error(Code::Fatal, "gap"), Global::Stopped));
    }
}
