//! Records that are too large, under each policy and in each format; dead letters.

use super::*;
use crate::sink::{Note, Operation};
use crate::status::exceptions::Fate;

const FORMATS: [&str; 5] = ["canal-json", "shareplex-json", "debezium-json", "maxwell-json", "dts-avro"];

fn notes() -> Vec<Col> {
    vec![
        int("id", 3, false).key(),
        varchar("label", 50, 255, 4).not_null(),
        blob("body", 3, 255).not_null(),
        blob("raw", 3, 63),
        int("amount", 3, false),
    ]
}

fn note(id: i64, body: Bytes, raw: Bytes) -> Image {
    image(&[le(id, 4), text("kept"), body, raw, le(77, 4)])
}

/// Bytes of which every format makes as many: letters.
fn large(bytes: usize) -> Bytes {
    Some((0..bytes).map(|at| b'a' + (at % 23) as u8).collect())
}

fn events_of(kind: u8, images: &[Image]) -> Vec<Vec<u8>> {
    let map = table_map(9, "shop", "notes", &notes(), true);
    transaction([map, rows(kind, 9, &notes(), images, 1_767_225_930)])
}

/// A record with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    topic: String,
    row: u32,
    operation: Operation,
    value: Option<Vec<u8>>,
    key: Option<String>,
    note: Option<String>,
    ends_entry: bool,
}

fn seen(encoded: &Encoded) -> Vec<Seen> {
    encoded.outcome.as_ref().expect("encoded");
    let mut all = Vec::new();
    for batch in &encoded.batches {
        for record in &batch.records {
            let text = |span: Span| String::from_utf8(batch.get(span).to_vec()).expect("UTF-8");
            all.push(Seen {
                topic: batch.event_of(record).origin.destination.clone(),
                row: record.row,
                operation: record.operation,
                value: record.value.map(|value| batch.get(value).to_vec()),
                key: record.key.map(text),
                note: batch.note_of(record).map(|note| match note {
                    Note::Truncated(columns) => format!("truncated {}", text(*columns)),
                    Note::KeyOnly => "key only".to_owned(),
                    Note::DeadLetter { reason, chunk } => format!("dead {chunk:?} {}", text(*reason)),
                    Note::TooLarge(why) => format!("too large: {}", text(*why)),
                }),
                ends_entry: record.ends_entry,
            });
        }
    }
    all
}

fn told_as(encoded: &Encoded) -> Vec<(Fate, u64, String, String)> {
    let exceptions = encoded.status.exceptions().into_iter();
    exceptions.map(|e| (e.fate, e.records, format!("{} {}", e.table, e.last), e.key)).collect()
}

/// Whether two values differ at most in the moment that they were made.
#[track_caller]
fn assert_same(what: &str, one: &[u8], other: &[u8]) {
    assert_eq!(one.len(), other.len(), "{what}:\n{}\n{}", String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    let differing = one.iter().zip(other).filter(|(one, other)| one != other).count();
    assert!(differing <= 60, "{what}: {differing} bytes differ");
}

fn settings(format: &str, more: &str) -> String {
    format!("format = {format:?}\ntombstones = false\nmax_record_bytes = \"7KiB\"\n{more}")
}

fn encode_notes(format: &str, more: &str, kind: u8, images: &[Image]) -> Encoded {
    encode(&settings(format, more), &events_of(kind, images))
}

#[test]
fn the_largest_columns_become_null_until_the_record_fits_in_every_format() {
    let changes = [
        // Of an insert one column is enough, of an update both are too large.
        (INSERT, vec![note(1, large(3000), large(5000))], vec![note(1, large(3000), None)], "raw"),
        (
            UPDATE,
            vec![note(1, large(3300), large(5000)), note(1, large(3301), large(5000))],
            vec![note(1, None, None), note(1, None, None)],
            "raw,body",
        ),
        (DELETE, vec![note(1, large(3000), large(5000))], vec![note(1, large(3000), None)], "raw"),
    ];
    for format in FORMATS {
        for (kind, images, smaller, columns) in &changes {
            let what = format!("{format} {kind}");
            let encoded = encode_notes(format, "on_too_large = \"truncate_columns\"", *kind, images);
            let records = seen(&encoded);
            let [record] = &records[..] else { panic!("{what}: {records:?}") };
            // Some formats write an image once, and then one column is enough.
            let wanted = record.note.as_deref().expect(&what).strip_prefix("truncated ").expect(&what);
            assert!(*columns == wanted || *kind == UPDATE && wanted == "raw", "{what}: {wanted}");
            let smaller: Vec<Image> = match wanted == *columns {
                true => smaller.clone(),
                false => vec![note(1, large(3300), None), note(1, large(3301), None)],
            };
            let plain = seen(&encode_notes(format, "", *kind, &smaller));
            assert_same(&what, record.value.as_ref().expect("a value"), plain[0].value.as_ref().expect("a value"));
            // Entries end with their transaction where records say their place in it.
            let counted = matches!(format, "shareplex-json" | "maxwell-json");
            assert!(record.ends_entry != counted && record.topic == "shop.notes", "{what}");
            let key = "{\"id\":\"1\"}".to_owned();
            assert_eq!(told_as(&encoded), [(Fate::Truncated, 1, "shop.notes 4:0".to_owned(), key)], "{what}");
            assert_eq!(encoded.metrics.exceptions[Fate::Truncated as usize].get(), 1);
        }
    }
}

#[test]
fn no_more_columns_become_null_than_must() {
    let row = note(1, large(2500), large(6000));
    let encoded =
        encode_notes("canal-json", "on_too_large = \"truncate_columns\"", INSERT, &[row, note(2, large(9), None)]);
    let records = seen(&encoded);
    assert_eq!(records[0].note.as_deref(), Some("truncated raw"));
    let value: serde_json::Value = serde_json::from_slice(records[0].value.as_ref().expect("a value")).expect("JSON");
    let data = &value["data"][0];
    assert_eq!(
        (&data["raw"], &data["label"], &data["amount"]),
        (&serde_json::Value::Null, &"kept".into(), &"77".into())
    );
    assert_eq!(data["body"].as_str().map(str::len), Some(2500));
    assert_eq!((records[1].note.as_deref(), records.len()), (None, 2), "the next row is as it is");
}

#[test]
fn a_schema_says_that_a_column_may_be_null_which_is() {
    let more = "schema = true\non_too_large = \"truncate_columns\"";
    let records = seen(&encode_notes("debezium-json", more, INSERT, &[note(1, large(6500), None)]));
    let value: serde_json::Value = serde_json::from_slice(records[0].value.as_ref().expect("a value")).expect("JSON");
    assert_eq!(records[0].note.as_deref(), Some("truncated body"));
    let after = value["schema"]["fields"].as_array().expect("fields").iter().find(|f| f["field"] == "after");
    let fields = after.expect("after")["fields"].as_array().expect("fields");
    let optional = |name: &str| fields.iter().find(|f| f["field"] == name).expect(name)["optional"].clone();
    assert_eq!((optional("body"), optional("label"), optional("id")), (true.into(), true.into(), false.into()));
    assert_eq!(value["payload"]["after"]["body"], serde_json::Value::Null);
}

#[test]
fn the_key_alone_is_left_in_every_format() {
    let dropped =
        "[[delivery.table]]\nmatch = \"*.*\"\nmap = { drop_columns = [\"label\", \"body\", \"raw\", \"amount\"] }\n";
    for format in FORMATS {
        for (kind, images) in [
            (INSERT, vec![note(1, large(9000), None)]),
            (UPDATE, vec![note(1, large(9000), None), note(1, None, None)]),
            (DELETE, vec![note(1, None, large(9000))]),
        ] {
            let what = format!("{format} {kind}");
            let encoded = encode_notes(format, "on_too_large = \"key_only\"", kind, &images);
            let records = seen(&encoded);
            assert_eq!((records.len(), records[0].note.as_deref()), (1, Some("key only")), "{what}");
            let plain = seen(&encode(&settings(format, dropped), &events_of(kind, &images)));
            assert_same(&what, records[0].value.as_ref().expect("a value"), plain[0].value.as_ref().expect("a value"));
            assert_eq!(told_as(&encoded)[0].0, Fate::KeyOnly);
        }
    }
}

#[test]
fn a_skipped_row_is_a_gap_that_is_counted_and_the_others_go_in_every_format() {
    let images =
        [note(1, large(9), None), note(2, large(9000), None), note(3, large(9), None), note(4, large(8000), None)];
    for format in FORMATS {
        let encoded = encode_notes(format, "on_too_large = \"skip\"", INSERT, &images);
        let records = seen(&encoded);
        assert_eq!(records.iter().map(|r| r.row).collect::<Vec<_>>(), [0, 2], "{format}");
        assert!(records.iter().all(|record| record.note.is_none()));
        let key = "{\"id\":\"4\"}".to_owned();
        assert_eq!(told_as(&encoded), [(Fate::Skipped, 2, "shop.notes 4:3".to_owned(), key)], "{format}");
        assert_eq!(encoded.metrics.exceptions[Fate::Skipped as usize].get(), 2);
        let last = encoded.batches.last().expect("batches");
        assert_eq!((last.last, last.rows), (Seq(5), 4), "it covers what it left out");
    }
}

#[test]
fn a_dead_letter_is_the_whole_record_in_numbered_parts_in_every_format() {
    // What does not compress takes several parts.
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    use rand::{Rng, SeedableRng};
    let noise: Vec<u8> = (0..20_000).map(|_| random.random_range(b'!'..b'~')).collect();
    let images = [note(1, Some(noise), None), note(2, large(9), None)];
    for format in FORMATS {
        let more = "on_too_large = \"dead_letter\"\ndead_letter_topic = \"dead\"\nmessage_key = \"primary_key\"";
        let encoded = encode_notes(format, more, INSERT, &images);
        let records = seen(&encoded);
        let (dead, others): (Vec<&Seen>, Vec<&Seen>) = records.iter().partition(|record| record.topic == "dead");
        assert_eq!((others.len(), others[0].row), (1, 1), "{format}");
        assert!(dead.len() > 1, "{format}: {} parts", dead.len());
        let mut value = Vec::new();
        for (number, part) in (1..).zip(&dead) {
            let note = part.note.as_deref().expect("a note");
            assert!(note.starts_with(&format!("dead Some(({number}, {})) ", dead.len())), "{format}: {note}");
            assert!(note.contains("7168 are allowed"), "{note}");
            assert_eq!((part.row, &part.key), (0, &dead[0].key));
            assert!(part.key.as_deref().is_some_and(|key| key.contains("\"id\":")), "{format}: {:?}", part.key);
            let bytes = part.value.as_ref().expect("a value");
            assert!(bytes.len() < 7168);
            value.extend_from_slice(bytes);
        }
        let whole = zstd::bulk::decompress(&value, 1 << 20).expect("whole");
        let plain = format!("format = {format:?}\ntombstones = false\nmessage_key = \"primary_key\"");
        let plain = seen(&encode(&plain, &events_of(INSERT, &images)));
        assert_same(format, &whole, plain[0].value.as_ref().expect("a value"));
        assert_eq!(told_as(&encoded)[0].0, Fate::DeadLetter);
    }
}

#[test]
fn what_cannot_be_made_to_fit_stops_the_delivery_at_its_place() {
    let keyless = vec![int("a", 3, false), blob("body", 3, 255)];
    let events = transaction([
        table_map(5, "shop", "heap", &keyless, true),
        rows(INSERT, 5, &keyless, &[image(&[le(1, 4), large(9000)])], 0),
    ]);
    let stopped = |settings: &str, events: &[Vec<u8>]| {
        let records = seen(&encode(settings, events));
        assert_eq!((records.len(), &records[0].value), (1, &None), "{settings}");
        records[0].note.clone().expect("a note")
    };
    let limit = "max_record_bytes = \"7KiB\"\n";
    let said = stopped(limit, &events_of(INSERT, &[note(5, large(9000), None)]));
    assert!(said.contains("7168 are allowed") && said.contains("its key is {\"id\":\"5\"}"), "{said}");
    let said = stopped(&format!("{limit}on_too_large = \"key_only\""), &events);
    assert!(said.contains("no key that could go alone"), "{said}");
    // A message key of the large column itself: nothing in the value helps.
    let keyed = format!("{limit}on_too_large = \"truncate_columns\"\nmessage_key = [\"body\"]");
    let said = stopped(&keyed, &events);
    assert!(said.contains("without its large columns"), "{said}");
    let keyed =
        format!("{limit}on_too_large = \"dead_letter\"\ndead_letter_topic = \"dead\"\nmessage_key = [\"body\"]");
    let said = stopped(&keyed, &events);
    assert!(said.contains("message key alone"), "{said}");
}

#[test]
fn a_topic_that_takes_less_than_we_allow_lowers_the_limit_unless_the_broker_shall_decide() {
    let images = [note(1, large(3000), None)];
    let with = |policy: &str, limits: &[(&str, usize)]| {
        let events = events_of(INSERT, &images);
        seen(&encode_limited("", policy, everything(), &events, usize::MAX, limits))[0].note.clone()
    };
    assert_eq!(with("on_too_large = \"truncate_columns\"", &[]), None);
    assert_eq!(with("on_too_large = \"truncate_columns\"", &[("shop.other", 2000)]), None);
    let truncated = Some("truncated body".to_owned());
    assert_eq!(with("on_too_large = \"truncate_columns\"", &[("shop.notes", 2000)]), truncated);
    assert_eq!(with("", &[("shop.notes", 2000)]), None, "compressed it may fit");
}

#[test]
fn a_table_has_a_policy_of_its_own() {
    let items = table_map(5, "shop", "items", &notes(), true);
    let map = table_map(9, "shop", "notes", &notes(), true);
    let large = [note(1, large(9000), None)];
    let events = transaction([map, items, rows(INSERT, 9, &notes(), &large, 0), rows(INSERT, 5, &notes(), &large, 0)]);
    let rule = "on_too_large = \"skip\"\n[[delivery.table]]\nmatch = \"shop.items\"\non_too_large = \"key_only\"\n";
    let records = seen(&encode(&settings("canal-json", rule), &events));
    assert_eq!((records.len(), &*records[0].topic, records[0].note.as_deref()), (1, "shop.items", Some("key only")));
}

#[test]
fn rows_that_are_too_large_together_go_one_by_one() {
    let images: Vec<Image> = (0..8).map(|id| note(id, large(2000), None)).collect();
    let encoded = encode_notes("canal-json", "canal_rows_per_message = 100\npartition = \"zero\"", INSERT, &images);
    let records = seen(&encoded);
    assert_eq!(records.iter().map(|record| record.row).collect::<Vec<_>>(), [0, 2, 4, 6], "two of them fit");
    assert!(records.iter().all(|record| record.note.is_none()) && encoded.status.exceptions().is_empty());
}

#[test]
fn a_tombstone_stays_whatever_became_of_the_row() {
    let images = [note(1, large(9000), None), note(2, large(9), None)];
    for (policy, topics) in [
        ("skip", &["shop.notes"; 3][..]),
        ("dead_letter\"\ndead_letter_topic = \"dead", &["dead", "shop.notes", "shop.notes", "shop.notes"]),
        ("key_only", &["shop.notes"; 4]),
    ] {
        let settings = format!("format = \"debezium-json\"\nmax_record_bytes = \"7KiB\"\non_too_large = \"{policy}\"");
        let records = seen(&encode(&settings, &events_of(DELETE, &images)));
        assert_eq!(records.iter().map(|record| &*record.topic).collect::<Vec<_>>(), topics, "{policy}");
        let nulls: Vec<_> = records.iter().filter(|record| record.value.is_none()).map(|r| r.key.clone()).collect();
        assert_eq!(nulls.len(), 2, "{policy}");
        assert!(nulls[0].as_deref().is_some_and(|key| key.contains("\"id\":1")), "{nulls:?}");
        assert!(records.iter().filter(|record| record.value.is_none()).all(|record| record.note.is_none()));
    }
}

#[test]
fn a_row_on_which_the_script_fails_is_a_dead_letter_as_it_came() {
    let events = events_of(INSERT, &[note(1, text("12"), None), note(2, text("no number"), None)]);
    let delivery = "etl = \"e_set(`amount`, cast_string_to_long(`body`))\"\netl_on_error = \"dead_letter\"";
    for format in FORMATS {
        let more = format!("format = {format:?}\ntombstones = false\ndead_letter_topic = \"dead\"");
        let encoded = encode_objects(delivery, &more, everything(), &events);
        let records = seen(&encoded);
        assert_eq!(records.iter().map(|r| &*r.topic).collect::<Vec<_>>(), ["shop.notes", "dead"], "{format}");
        let said = records[1].note.as_deref().expect("a note");
        assert!(said.starts_with("dead None etl script, line 1"), "{said}");
        assert_eq!(
            told_as(&encoded),
            [(Fate::DeadLetter, 1, "shop.notes 4:1".to_owned(), "{\"id\":\"2\"}".to_owned())]
        );
        if format == "canal-json" {
            let value: serde_json::Value =
                serde_json::from_slice(records[1].value.as_ref().expect("it")).expect("JSON");
            assert_eq!((&value["data"][0]["body"], &value["data"][0]["amount"]), (&"no number".into(), &"77".into()));
        }
    }
}

#[test]
fn a_statement_that_is_too_large_is_skipped_or_a_dead_letter_and_stops_the_delivery_else() {
    let sql = format!("ALTER TABLE orders COMMENT = '{}'", "x".repeat(8000));
    let events = [gtid(UUID, 30, 1), query(7, "shop", &sql)];
    let with = |policy: &str| {
        let settings = format!("max_record_bytes = \"7KiB\"\ndead_letter_topic = \"dead\"\non_too_large = {policy:?}");
        seen(&encode(&settings, &events))
    };
    assert!(with("skip").is_empty());
    let dead = with("dead_letter");
    assert_eq!((dead.len(), &*dead[0].topic), (1, "dead"));
    assert!(with("truncate_columns")[0].note.as_deref().is_some_and(|note| note.starts_with("too large")));
    let delivery = "etl = \"e_set(`x`, 1)\"\netl_ddl = true\netl_on_error = \"dead_letter\"";
    let events = [gtid(UUID, 30, 1), query(7, "shop", "ALTER TABLE orders ADD COLUMN x INT")];
    let records = seen(&encode_objects(delivery, "dead_letter_topic = \"dead\"", everything(), &events));
    assert_eq!((records.len(), &*records[0].topic, records[0].operation), (1, "dead", Operation::Ddl));
}
