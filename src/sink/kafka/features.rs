//! What a broker can do, and which features the cluster has settled on. The client library knows but does not tell, so
//! that one request is made by hand: ApiVersions, which a broker answers before any login (KIP-35, KIP-584).

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::KafkaConfig;
use super::wire::{Bytes, Request, Wire, connect, exchange};
use crate::sink::Progress;

/// How long one broker may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer has some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// `transaction.version` from which on a broker keeps late writes out of later transactions (KIP-890).
const VERSION_GOOD: u16 = 2;

const API_VERSIONS: u16 = 18;
const REQUEST_VERSION: u16 = 3;
/// What brokers older than 2.4 are asked with, once they have refused the other.
const OLD_REQUEST_VERSION: u16 = 0;
const UNSUPPORTED_VERSION: u16 = 35;
/// Tag of the finalized features in the answer.
const FINALIZED: u32 = 2;

/// Says once, in log and status, what an older version means for the promise.
pub(super) async fn say_version(config: &KafkaConfig, cursor: &str, progress: &Progress) {
    match transaction_version(config).await {
        Ok(version) => match caveat(version) {
            None => tracing::debug!(cursor, version, "version of the cluster's transactions"),
            Some(notice) => {
                tracing::warn!(cursor, version, "{notice}");
                progress.set_notice(notice);
            }
        },
        Err(reason) => tracing::info!(cursor, reason, "the version of the cluster's transactions was not found out"),
    }
}

/// What this version of transactions means for the promise, when it means anything.
pub fn caveat(version: u16) -> Option<String> {
    let text = format!(
        "the cluster's transactions are of version {version}: a write that a broker delays beyond its transaction can \
         hold up readers of committed records; set the feature transaction.version to {VERSION_GOOD} (Kafka 4.0)"
    );
    (version < VERSION_GOOD).then_some(text)
}

/// What a broker says of itself and of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    /// Greatest version of each request that it takes, by the request's number.
    pub requests: BTreeMap<u16, u16>,
    /// Features that the whole cluster has, with the greatest level that is in force.
    pub features: BTreeMap<String, u16>,
}

impl Versions {
    /// `transaction.version`; 0 when there is none.
    pub fn transactions(&self) -> u16 {
        self.features.get("transaction.version").copied().unwrap_or(0)
    }
}

/// The cluster's finalized `transaction.version`; 0 when it has none.
///
/// # Errors
/// Why no broker told.
pub async fn transaction_version(config: &KafkaConfig) -> Result<u16, String> {
    versions(config).await.map(|versions| versions.transactions())
}

/// What the first broker that answers says. Asks one after the other.
///
/// # Errors
/// Why no broker told.
pub async fn versions(config: &KafkaConfig) -> Result<Versions, String> {
    let mut reason = "there is no broker".to_owned();
    for broker in config.brokers.split(',').map(str::trim) {
        match tokio::time::timeout(TIMEOUT, ask(config, broker)).await {
            Ok(Ok(versions)) => return Ok(versions),
            Ok(Err(error)) => reason = format!("{broker}: {error}"),
            Err(_) => reason = format!("{broker}: no answer within {} s", TIMEOUT.as_secs()),
        }
    }
    Err(reason)
}

async fn ask(config: &KafkaConfig, broker: &str) -> Result<Versions, String> {
    ask_over(&mut *connect(config, broker).await?).await
}

async fn ask_over<W: Wire + ?Sized>(stream: &mut W) -> Result<Versions, String> {
    const NO_ANSWER: &str = "its answer does not decode";
    let answer = exchange(stream, &request(REQUEST_VERSION), ANSWER_BYTES_MAX).await?;
    if answer.get(4..6) == Some(&UNSUPPORTED_VERSION.to_be_bytes()) {
        let answer = exchange(stream, &request(OLD_REQUEST_VERSION), ANSWER_BYTES_MAX).await?;
        return parse_old(&answer).ok_or_else(|| NO_ANSWER.to_owned());
    }
    parse(&answer).ok_or_else(|| NO_ANSWER.to_owned())
}

fn request(version: u16) -> Request {
    let mut request = Request::new(API_VERSIONS, version);
    if version != OLD_REQUEST_VERSION {
        // No tagged fields; the software's name and version as compact text, whose length is one more; no tagged fields.
        request.raw(b"\x00\x06relay\x04000\x00");
    }
    request
}

/// An answer to the request: correlation id, error, ranges of versions by request, throttle time, tagged fields.
fn parse(answer: &[u8]) -> Option<Versions> {
    let mut rest = Bytes(answer);
    rest.take(4)?;
    if rest.u16()? != 0 {
        return None;
    }
    let mut versions = Versions::default();
    for _ in 1..rest.varint()? {
        versions.request(&mut rest)?;
        rest.skip_tags()?;
    }
    rest.take(4)?;
    for _ in 0..rest.varint()? {
        let (tag, length) = (rest.varint()?, rest.varint()?);
        let mut field = Bytes(rest.take(length as usize)?);
        if tag != FINALIZED {
            continue;
        }
        for _ in 1..field.varint()? {
            let length = field.varint()?.checked_sub(1)?;
            let name = field.take(length as usize)?;
            let highest = field.u16()?;
            field.take(2)?;
            field.skip_tags()?;
            versions.features.insert(String::from_utf8_lossy(name).into_owned(), highest);
        }
    }
    Some(versions)
}

/// An answer in the oldest form: correlation id, error, ranges of versions by request.
fn parse_old(answer: &[u8]) -> Option<Versions> {
    let mut rest = Bytes(answer);
    rest.take(4)?;
    if rest.u16()? != 0 {
        return None;
    }
    let mut versions = Versions::default();
    for _ in 0..rest.u32()? {
        versions.request(&mut rest)?;
    }
    Some(versions)
}

impl Versions {
    /// Reads the range of one request.
    fn request(&mut self, rest: &mut Bytes<'_>) -> Option<()> {
        let number = rest.u16()?;
        rest.take(2)?;
        self.requests.insert(number, rest.u16()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// An answer with one request's range and these tagged fields.
    fn answer(tagged: &[u8]) -> Vec<u8> {
        [&b"\0\0\0\x01\0\0\x02\0\x12\0\0\0\x04\0\0\0\0\0"[..], tagged].concat()
    }

    fn finalized(name: &[u8], highest: u8) -> Vec<u8> {
        let feature = [&[name.len() as u8 + 1][..], name, &[0, highest, 0, 0, 0]].concat();
        // The features' epoch before it, as brokers send it.
        let epoch = b"\x01\x08\0\0\0\0\0\0\0\x09";
        let field = [&[2, feature.len() as u8 + 1, 2][..], &feature].concat();
        [&b"\x02"[..], epoch, &field].concat()
    }

    #[test]
    fn the_version_is_found_among_the_features() {
        let version = |answer: &[u8]| parse(answer).map(|versions| versions.transactions());
        assert_eq!(version(&answer(&finalized(b"transaction.version", 2))), Some(2));
        assert_eq!(version(&answer(&finalized(b"transaction.version", 1))), Some(1));
        assert_eq!(version(&answer(&finalized(b"metadata.version", 27))), Some(0));
        assert_eq!(version(&answer(b"\0")), Some(0), "no features at all");
        let versions = parse(&answer(&finalized(b"metadata.version", 27))).expect("an answer");
        assert_eq!(versions.features["metadata.version"], 27);
        assert_eq!(versions.requests, BTreeMap::from([(18, 4)]));
    }

    #[test]
    fn what_is_cut_off_or_no_answer_is_refused() {
        let whole = answer(&finalized(b"transaction.version", 2));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(parse(b"\0\0\0\x01\0\0\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(parse(b"HTTP/1.1 400 Bad Request"), None);
        assert_eq!(parse_old(b"\0\0\0\x01\0\0\xff\xff\xff\xff\0\x12"), None);
    }

    #[tokio::test]
    async fn an_old_broker_is_asked_again_in_its_own_words() {
        let (mut ours, mut broker) = tokio::io::duplex(1024);
        let answering = tokio::spawn(async move {
            for (version, answer) in [
                (3u8, &b"\0\0\0\x0a\0\0\0\x01\0\x23\0\0\0\0"[..]),
                (0, b"\0\0\0\x10\0\0\0\x01\0\0\0\0\0\x01\0\0\0\0\0\x07"),
            ] {
                let length = broker.read_u32().await.unwrap() as usize;
                let mut asked = vec![0; length];
                broker.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked[..4], [0, 18, 0, version]);
                broker.write_all(answer).await.unwrap();
            }
        });
        let versions = ask_over(&mut ours).await.expect("an answer");
        answering.await.unwrap();
        assert_eq!(versions, Versions { requests: BTreeMap::from([(0, 7)]), features: BTreeMap::new() });
    }
}
