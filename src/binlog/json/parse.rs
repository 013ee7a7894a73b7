//! JSON text to a document, numbers as the server takes them: exact while they fit, correctly rounded doubles beyond.

use std::fmt;

use super::super::column::WireType;
use super::super::decimal::write_digits;
use super::DEPTH_MAX;
use super::document::Document;

/// Text that is not JSON, or JSON that no column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonTextError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for JsonTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for JsonTextError {}

type Parsed<T> = Result<T, JsonTextError>;

impl Document {
    /// Reads JSON text. Of two members with one key the last counts.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Document, JsonTextError> {
        Self::parse_as(text, false)
    }

    /// Reads text that a server printed, to a document that prints the same text: a number that no double prints so is
    /// a decimal. What prints as a string (a date, bytes) is one.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn parse_printed(text: &str) -> Result<Document, JsonTextError> {
        Self::parse_as(text, true)
    }

    fn parse_as(text: &str, printed: bool) -> Result<Document, JsonTextError> {
        let mut parser = Parser { text, at: 0, printed };
        let document = parser.value(0)?;
        parser.space();
        if parser.at < text.len() { Err(parser.fail("expected the end of the document")) } else { Ok(document) }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// A server printed the text: numbers are to print the same again.
    printed: bool,
}

impl Parser<'_> {
    fn fail(&self, reason: &'static str) -> JsonTextError {
        JsonTextError { offset: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> Parsed<Document> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Document::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Parsed<Document> {
        for (word, value) in
            [("null", Document::Null), ("true", Document::Bool(true)), ("false", Document::Bool(false))]
        {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fail("expected a JSON value"))
    }

    fn deeper(&self, depth: usize) -> Parsed<usize> {
        if depth >= DEPTH_MAX { Err(self.fail("nested deeper than 100 levels")) } else { Ok(depth + 1) }
    }

    fn array(&mut self, depth: usize) -> Parsed<Document> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.eat(b']') {
            return Ok(Document::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            if self.eat(b']') {
                return Ok(Document::Array(elements));
            }
            if !self.eat(b',') {
                return Err(self.fail("expected , or ]"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Document> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        let mut members: Vec<(String, Document)> = Vec::new();
        self.space();
        if self.eat(b'}') {
            return Ok(Document::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.fail("expected a key in double quotes"));
            }
            let key = self.string()?;
            self.space();
            if !self.eat(b':') {
                return Err(self.fail("expected :"));
            }
            let value = self.value(depth)?;
            members.push((key, value));
            self.space();
            if self.eat(b'}') {
                break;
            }
            if !self.eat(b',') {
                return Err(self.fail("expected , or }"));
            }
        }
        Ok(Document::object(members))
    }

    fn string(&mut self) -> Parsed<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.fail("a control character in a string")),
                None => return Err(self.fail("the string has no end")),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let c = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match c {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.fail("an unknown escape")),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or the two halves of a character beyond the first plane.
    fn unicode(&mut self) -> Parsed<char> {
        let wrong = self.fail("\\u takes four hexadecimal digits of a character");
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
        };
        let first = unit(self.at).ok_or(wrong)?;
        if let Some(c) = char::from_u32(first.into()) {
            self.at += 6;
            return Ok(c);
        }
        let second = unit(self.at + 6).ok_or(wrong)?;
        match char::decode_utf16([first, second]).next() {
            Some(Ok(c)) => {
                self.at += 12;
                Ok(c)
            }
            _ => Err(wrong),
        }
    }

    fn digits(&mut self) -> Parsed<()> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.fail("expected a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Parsed<Document> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let mut whole = true;
        if self.eat(b'.') {
            whole = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if whole {
            // The server's parser gives signed numbers up to 32 bits and below zero, unsigned ones above.
            match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(v), _) if v <= u32::MAX.into() => return Ok(Document::Int(v)),
                (_, Ok(v)) => return Ok(Document::UInt(v)),
                _ => {}
            }
        }
        match text.parse::<f64>() {
            Ok(v) if self.printed && !prints_as(v, text) => Ok(decimal(text).unwrap_or(Document::Double(v))),
            Ok(v) if v.is_finite() => Ok(Document::Double(v)),
            _ => Err(JsonTextError { offset: start, reason: "a number beyond every double" }),
        }
    }
}

/// Whether a double in a document prints as this text.
fn prints_as(value: f64, text: &str) -> bool {
    let mut out = Vec::new();
    value.is_finite() && Document::Double(value).write_text(&mut out).is_ok() && out == text.as_bytes()
}

/// A decimal of exactly these digits: precision, scale, then the digits as a column holds them.
fn decimal(text: &str) -> Option<Document> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let scale = u8::try_from(digits.split_once('.').map_or(0, |(_, fraction)| fraction.len())).ok()?;
    let count = u8::try_from(digits.bytes().filter(u8::is_ascii_digit).count()).ok()?;
    let precision = count.max(1);
    let mut bytes = vec![precision, scale];
    write_digits(text.as_bytes(), precision, scale, &mut bytes).ok()?;
    Some(Document::Opaque { wire: WireType::NEWDECIMAL.0, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Result<String, usize> {
        let mut out = Vec::new();
        Document::parse(text).map_err(|e| e.offset)?.write_text(&mut out).expect("shallow");
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn documents_print_as_the_server_prints_them() {
        for (text, expected) in [
            (" null ", "null"),
            ("[true,false ,1,-1,18446744073709551615]", "[true, false, 1, -1, 18446744073709551615]"),
            ("[1.0, 1e2, -0, 0.1, 1e300, 18446744073709551616]", "[1.0, 100.0, 0, 0.1, 1e300, 1.8446744073709552e19]"),
            (r#"{"bb":1,"a":2,"a":3,"":[]}"#, r#"{"": [], "a": 3, "bb": 1}"#),
            (r#""\u00e9\ud83d\ude00\/\n\u0001""#, "\"é😀/\\n\\u0001\""),
        ] {
            assert_eq!(printed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn text_that_a_server_printed_prints_the_same_again() {
        for text in [
            "[12.3400, -0.50, 1.5, 1.0, 1e20, 1.7976931348623157e308, 0.1]",
            "[18446744073709551616, -9223372036854775809, 123456789012345678901234567890.123456789]",
            "{\"a\": 0.30000000000000000, \"b\": [0, -1, 18446744073709551615]}",
            "[\"2026-01-31\", \"12:00:00.000000\", \"base64:type15:AQI=\", null, true]",
        ] {
            let mut out = Vec::new();
            let document = Document::parse_printed(text).expect("JSON");
            document.write_binary(&mut out).expect("a binary form");
            let mut back = Vec::new();
            super::super::text::write_text(&out, &mut back).expect("its text");
            assert_eq!(String::from_utf8(back).expect("UTF-8"), text);
        }
    }

    #[test]
    fn what_is_no_document_is_refused_where_it_goes_wrong() {
        for (text, offset) in [
            ("", 0),
            ("nul", 0),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\" 1}", 5),
            ("{a: 1}", 1),
            ("1 2", 2),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("\"a", 2),
            ("\"\n\"", 1),
            ("\"\\x\"", 1),
            ("\"\\ud800\"", 1),
            ("1e999", 0),
        ] {
            assert_eq!(printed(text), Err(offset), "{text:?}");
        }
        assert!(printed(&("[".repeat(100) + &"]".repeat(100))).is_ok());
        assert!(printed(&("[".repeat(101) + &"]".repeat(101))).is_err());
        assert!(printed(&"[".repeat(1_000_000)).is_err());
    }
}
