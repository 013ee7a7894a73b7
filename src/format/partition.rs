//! Which partition a record goes to: DTS's policies, by Java's `String.hashCode` and Canal's fold. Pure.
//!
//! | policy | hash of |
//! |---|---|
//! | zero | nothing: partition 0 |
//! | table | `database.table`, source names |
//! | key | the key columns in key order, each as its rendered text; NULL is "" |
//! | murmur2 | the message key's bytes, as Kafka's own clients do |

/// Java's `String.hashCode`: over UTF-16 units, 32-bit wrapping.
pub fn java_hash(text: &str) -> i32 {
    let mut hash = JavaHash::default();
    hash.add(text);
    hash.0
}

/// Java's `String.hashCode` of text that comes in pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JavaHash(i32);

impl JavaHash {
    /// Adds a piece.
    pub fn add(&mut self, piece: &str) {
        let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
        if piece.is_ascii() {
            self.0 = piece.bytes().fold(self.0, |hash, byte| step(hash, u16::from(byte)));
        } else {
            self.0 = piece.encode_utf16().fold(self.0, step);
        }
    }

    /// The hash of all pieces so far.
    pub fn value(self) -> i32 {
        self.0
    }
}

/// Hash of the table policy: of `database.table`.
pub fn table_hash(database: &str, table: &str) -> i32 {
    let mut hash = JavaHash::default();
    hash.add(database);
    hash.add(".");
    hash.add(table);
    hash.value()
}

/// Hash of the key policy, fed column by column in key order. One column gives exactly its own hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyHash(i32);

impl KeyHash {
    /// Adds the next key column by its rendered text; none is NULL.
    pub fn add(&mut self, text: Option<&str>) {
        self.0 = self.0.wrapping_mul(31).wrapping_add(java_hash(text.unwrap_or("")));
    }

    /// The hash of the columns so far.
    pub fn value(self) -> i32 {
        self.0
    }
}

/// The partition of a hash of any policy: `abs(abs(h) % n)` with Java's 32-bit `abs`, whose result for the least integer
/// is itself.
///
/// `partitions` of 0 gives partition 0.
pub fn fold(hash: i32, partitions: u32) -> i32 {
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    hash.wrapping_abs().checked_rem(partitions).unwrap_or(0).wrapping_abs()
}

/// Hash of the murmur2 policy: of a message key as Kafka's default partitioner takes it (`Utils.murmur2` behind
/// `Utils.toPositive`, which drops the sign bit), so that its fold is the partitioner's remainder.
pub fn murmur2_hash(key: &[u8]) -> i32 {
    (murmur2(key) & 0x7fff_ffff) as i32
}

/// The 32-bit MurmurHash2 of Kafka's Java client.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Java's length is 32 bits; a message key never comes near that.
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Input {
        Table(String),
        Key(Vec<Option<String>>),
    }

    #[derive(Deserialize)]
    struct Vector {
        kind: String,
        input: Input,
        hash: i32,
        partition: BTreeMap<String, i32>,
    }

    #[test]
    fn hashes_and_partitions_follow_the_published_vectors() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/fixtures/partition-hash-vectors.json"))
                .expect("the fixture is JSON");
        assert!(vectors.len() >= 12);
        for vector in vectors {
            let hash = match (&vector.kind[..], &vector.input) {
                ("database_table", Input::Table(name)) => {
                    let (database, table) = name.split_once('.').expect("a qualified name");
                    table_hash(database, table)
                }
                ("primary_key", Input::Key(columns)) => {
                    let mut hash = KeyHash::default();
                    columns.iter().for_each(|column| hash.add(column.as_deref()));
                    hash.value()
                }
                (kind, _) => panic!("a vector of unknown kind {kind}"),
            };
            assert_eq!(hash, vector.hash);
            for (count, partition) in vector.partition {
                assert_eq!(fold(hash, count.parse().expect("a number")), partition, "{hash} % {count}");
            }
        }
    }

    #[test]
    fn the_least_integer_stays_in_range() {
        assert_eq!(fold(i32::MIN, 1), 0);
        for count in 1..200 {
            assert!((0..count as i32).contains(&fold(i32::MIN, count)), "{count}");
        }
        assert_eq!(fold(12345, 0), 0);
    }

    #[test]
    fn pieces_hash_like_the_whole_and_surrogates_count_as_two_units() {
        let mut hash = JavaHash::default();
        hash.add("ab");
        hash.add("😀");
        assert_eq!(hash.value(), java_hash("ab😀"));
        // "\uD83D\uDE00".hashCode() in Java: 0xD83D * 31 + 0xDE00.
        assert_eq!(java_hash("😀"), 0xD83D * 31 + 0xDE00);
    }

    #[test]
    fn murmur2_agrees_with_kafkas_own_test_vectors() {
        // org.apache.kafka.common.utils.UtilsTest.testMurmur2.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
            // Utils.toPositive(hash) % 7.
            assert_eq!(fold(murmur2_hash(text.as_bytes()), 7), (hash & 0x7fff_ffff) % 7, "{text}");
        }
    }
}
