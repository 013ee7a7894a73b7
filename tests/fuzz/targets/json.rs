//! A binary JSON document and differences for it.

use relay::binlog::json::{self, Json};

use super::{pair, unpair};

pub fn input(document: &[u8], diffs: &[u8]) -> Vec<u8> {
    pair(document, diffs)
}

pub fn run(data: &[u8]) {
    let (document, diffs) = unpair(data);
    let mut out = Vec::new();
    let printed = json::write_text(document, &mut out);
    // Escapes take six bytes for one, an entry of three bytes prints `false, `, a double of nine its 24 digits.
    assert!(out.len() <= 12 * document.len() + 64, "{} bytes of text for {}", out.len(), document.len());
    if printed.is_ok() {
        // A document whose strings are UTF-8 prints as JSON that a parser nobody here wrote reads.
        if std::str::from_utf8(&out).is_ok() {
            serde_json::from_slice::<serde::de::IgnoredAny>(&out).unwrap_or_else(|e| {
                panic!("{e}: {}", String::from_utf8_lossy(&out));
            });
        }
        let mut again = Vec::new();
        json::apply_diff(document, &[], &mut again).unwrap();
        assert_eq!(out, again);
    }
    if let Ok(Json::Object(container) | Json::Array(container)) = Json::parse(document) {
        assert!(container.len() <= document.len());
        let _ = container.members().count();
    }
    out.clear();
    let _ = json::apply_diff(document, diffs, &mut out);
    assert!(out.len() <= 12 * (document.len() + diffs.len()) + 64);
}
