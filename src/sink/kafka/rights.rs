//! What the account may do, asked without doing it: Metadata tells the operations that it has on topics (KIP-430),
//! FindCoordinator whether it may see its transactional id. Nothing tells whether it may write under that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::KafkaConfig;
use super::login::log_in;
use super::wire::{Bytes, Request, Wire, connect, exchange};

/// How long one broker may take for all of it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Metadata of some hundred topics with all their partitions.
const ANSWER_BYTES_MAX: usize = 32 << 20;

const METADATA: u16 = 3;
/// The first that tells operations: Kafka 2.3.
const METADATA_VERSION: u16 = 8;
const FIND_COORDINATOR: u16 = 10;
const FIND_COORDINATOR_VERSION: u16 = 1;
const TRANSACTION: u8 = 1;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: u16 = 53;
/// What stands for operations that are not told.
const UNTOLD: u32 = 1 << 31;

/// An operation, by its number in the protocol (`AclOperation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To take records out.
    Read = 3,
    /// To put records in.
    Write = 4,
}

/// What was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Operations on topics that are there and that it may see, a bit each.
    pub operations: BTreeMap<String, u32>,
    /// Whether the transactional id may not even be seen.
    pub id_is_denied: bool,
}

impl Rights {
    /// Whether an operation on a topic is allowed; none where that is not told.
    pub fn allows(&self, topic: &str, operation: Operation) -> Option<bool> {
        self.operations.get(topic).map(|operations| operations >> operation as u32 & 1 == 1)
    }
}

/// Asks the first broker that answers about these topics and this transactional id.
///
/// # Errors
/// Why no broker told.
pub async fn rights(config: &KafkaConfig, topics: &[String], transactional_id: Option<&str>) -> Result<Rights, String> {
    if topics.is_empty() && transactional_id.is_none() {
        return Ok(Rights::default());
    }
    let mut reason = "there is no broker".to_owned();
    for broker in config.brokers.split(',').map(str::trim) {
        let asking = async {
            let mut stream = connect(config, broker).await?;
            log_in(&mut *stream, config).await?;
            ask(&mut *stream, topics, transactional_id).await
        };
        match tokio::time::timeout(TIMEOUT, asking).await {
            Ok(Ok(rights)) => return Ok(rights),
            Ok(Err(error)) => reason = format!("{broker}: {error}"),
            Err(_) => reason = format!("{broker}: no answer within {} s", TIMEOUT.as_secs()),
        }
    }
    Err(reason)
}

async fn ask<W: Wire + ?Sized>(
    stream: &mut W,
    topics: &[String],
    transactional_id: Option<&str>,
) -> Result<Rights, String> {
    const NO_ANSWER: &str = "its answer does not decode";
    let mut rights = Rights::default();
    if !topics.is_empty() {
        let answer = exchange(stream, &metadata(topics), ANSWER_BYTES_MAX).await?;
        rights.operations = operations(&answer).ok_or(NO_ANSWER)?;
    }
    if let Some(id) = transactional_id {
        let mut request = Request::new(FIND_COORDINATOR, FIND_COORDINATOR_VERSION);
        request.text(id);
        request.raw(&[TRANSACTION]);
        let answer = exchange(stream, &request, ANSWER_BYTES_MAX).await?;
        // Behind the correlation id and the throttle time.
        let error = answer.get(8..10).ok_or(NO_ANSWER)?;
        rights.id_is_denied = error == TRANSACTIONAL_ID_AUTHORIZATION_FAILED.to_be_bytes();
    }
    Ok(rights)
}

fn metadata(topics: &[String]) -> Request {
    let mut request = Request::new(METADATA, METADATA_VERSION);
    request.count(topics.len());
    topics.iter().for_each(|topic| request.text(topic));
    // None is created; the cluster's operations are not wanted, the topics' are.
    request.raw(&[0, 0, 1]);
    request
}

/// The topics' operations in an answer, where they are told.
fn operations(answer: &[u8]) -> Option<BTreeMap<String, u32>> {
    let mut rest = Bytes(answer);
    // Correlation id and throttle time.
    rest.take(8)?;
    for _ in 0..rest.u32()? {
        rest.take(4)?;
        rest.text()?;
        rest.take(4)?;
        rest.text()?;
    }
    // The cluster's id and its controller.
    rest.text()?;
    rest.take(4)?;
    let mut told = BTreeMap::new();
    for _ in 0..rest.u32()? {
        let error = rest.u16()?;
        let name = String::from_utf8(rest.text()?.to_vec()).ok()?;
        rest.take(1)?;
        for _ in 0..rest.u32()? {
            // Error, number, leader and its epoch; replicas, those in sync, those offline.
            rest.take(14)?;
            for _ in 0..3 {
                let count = rest.u32()? as usize;
                rest.take(count.checked_mul(4)?)?;
            }
        }
        let operations = rest.u32()?;
        if error == 0 && operations != UNTOLD {
            told.insert(name, operations);
        }
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// One broker, and topics: error, name, operations.
    fn answer(topics: &[(u16, &str, u32)]) -> Vec<u8> {
        let mut bytes = b"\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\x04host\0\0\x23\x84\xff\xff".to_vec();
        bytes.extend_from_slice(b"\0\x02id\0\0\0\x01");
        bytes.extend_from_slice(&(topics.len() as u32).to_be_bytes());
        for (error, name, operations) in topics {
            bytes.extend_from_slice(&error.to_be_bytes());
            bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b"\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\x01\0\0\0\0");
            bytes.extend_from_slice(b"\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\0");
            bytes.extend_from_slice(&operations.to_be_bytes());
        }
        bytes.extend_from_slice(&UNTOLD.to_be_bytes());
        bytes
    }

    #[test]
    fn operations_are_read_topic_by_topic() {
        let whole = answer(&[(0, "both", 0b11000), (0, "read", 0b1000), (0, "untold", UNTOLD), (29, "hidden", 0)]);
        let rights = Rights { operations: operations(&whole).expect("an answer"), id_is_denied: false };
        let told = |topic| (rights.allows(topic, Operation::Read), rights.allows(topic, Operation::Write));
        assert_eq!(told("both"), (Some(true), Some(true)));
        assert_eq!(told("read"), (Some(true), Some(false)));
        for topic in ["untold", "hidden", "other"] {
            assert_eq!(told(topic), (None, None), "{topic}");
        }
        for length in 0..whole.len() - 4 {
            assert_eq!(operations(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(operations(b"HTTP/1.1 400 Bad Request, and then some"), None);
    }

    #[tokio::test]
    async fn a_transactional_id_that_may_not_be_seen_is_denied() {
        for (error, denied) in [(0u16, false), (15, false), (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, true)] {
            let (mut ours, mut broker) = tokio::io::duplex(1024);
            let answering = tokio::spawn(async move {
                let length = broker.read_u32().await.unwrap() as usize;
                let mut asked = vec![0; length];
                broker.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, b"\0\x0a\0\x01\0\0\0\x01\0\x05relay\0\x09relay-a/b\x01");
                broker.write_all(b"\0\0\0\x0a\0\0\0\x01\0\0\0\0").await.unwrap();
                broker.write_all(&error.to_be_bytes()).await.unwrap();
            });
            let rights = ask(&mut ours, &[], Some("relay-a/b")).await.expect("an answer");
            answering.await.unwrap();
            assert_eq!(rights.id_is_denied, denied, "error {error}");
        }
    }
}
