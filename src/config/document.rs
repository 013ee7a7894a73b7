//! The text of a config file with the line of every field, so that an error can name where it comes from.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A parsed file that still knows where each value stands.
pub struct Document<'a> {
    text: &'a str,
    root: toml::Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Parses TOML.
    ///
    /// # Errors
    /// The parser's error, with the span it points at.
    pub fn parse(text: &'a str) -> Result<Self, toml::de::Error> {
        Ok(Self { text, root: DeTable::parse(text)? })
    }

    /// The line of a field such as `delivery[1].kafka.topic`, from 1; of its nearest parent when it is absent.
    pub fn line_of(&self, field: &str) -> Option<usize> {
        let mut table = Some(self.root.get_ref());
        let mut found = None;
        for part in field.split('.') {
            let (name, index) = match part.strip_suffix(']').and_then(|p| p.split_once('[')) {
                Some((name, index)) => (name, index.parse::<usize>().ok()),
                None => (part, None),
            };
            let Some((key, value)) = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref() == name)) else { break };
            let (span, inner) = match (index, value.get_ref()) {
                (Some(i), DeValue::Array(list)) => match list.get(i) {
                    Some(item) => (item.span(), item.get_ref()),
                    None => break,
                },
                (_, inner) => (key.span(), inner),
            };
            found = Some(span.start);
            table = inner.as_table();
        }
        found.map(|at| line_at(self.text, at))
    }

    /// The field whose value holds `span`, such as `source.retry.connection`.
    pub fn field_at(&self, span: &Range<usize>) -> Option<String> {
        let mut path = String::new();
        descend(self.root.get_ref(), span, &mut path);
        (!path.is_empty()).then_some(path)
    }
}

/// The line, from 1, of a byte offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    text.as_bytes()[..end].iter().filter(|b| **b == b'\n').count() + 1
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn descend(table: &DeTable<'_>, span: &Range<usize>, path: &mut String) {
    for (key, value) in table {
        let here = holds(&value.span(), span) || holds(&key.span(), span);
        // The span of a `[table]` is its header; its fields lie behind it.
        let mut inner = String::new();
        match value.get_ref() {
            DeValue::Table(t) => descend(t, span, &mut inner),
            DeValue::Array(list) => {
                for (i, item) in list.iter().enumerate() {
                    let mut deeper = String::new();
                    if let Some(t) = item.get_ref().as_table() {
                        descend(t, span, &mut deeper);
                    }
                    if !deeper.is_empty() {
                        inner = format!("[{i}].{deeper}");
                    } else if holds(&item.span(), span) {
                        inner = format!("[{i}]");
                    }
                }
            }
            _ => {}
        }
        if here || !inner.is_empty() {
            path.push_str(key.get_ref());
            if !inner.is_empty() && !inner.starts_with('[') {
                path.push('.');
            }
            path.push_str(&inner);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"a\"\n[source]\nurl = \"x\"\nretry = { connection = \"5\" }\n[[delivery]]\nname = \"b\"\n[[delivery]]\nname = \"c\"\n[delivery.kafka]\nbrokers = \"k\"\n";

    #[test]
    fn a_field_has_its_line_and_a_span_its_field() {
        let doc = Document::parse(TEXT).unwrap();
        for (field, line) in [
            ("name", 1),
            ("source.url", 3),
            ("source.retry.connection", 4),
            ("delivery[0].name", 6),
            ("delivery[1].name", 8),
            ("delivery[1].kafka.brokers", 10),
            ("delivery[1].kafka.topic", 9),
        ] {
            assert_eq!(doc.line_of(field), Some(line), "{field}");
        }
        let at = TEXT.find("\"5\"").unwrap();
        assert_eq!(doc.field_at(&(at..at + 3)).as_deref(), Some("source.retry.connection"));
        let at = TEXT.find("\"c\"").unwrap();
        assert_eq!(doc.field_at(&(at..at + 3)).as_deref(), Some("delivery[1].name"));
        assert_eq!(doc.line_of("nothing"), None);
    }
}
