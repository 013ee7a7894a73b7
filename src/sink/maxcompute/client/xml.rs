//! The XML of metadata answers, as a tree: they are small, and what is asked of them is a few elements' text.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use thiserror::Error;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 32;

/// An answer that is no XML.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not xml: {0}")]
pub struct XmlError(String);

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes, in order.
    pub attributes: Vec<(String, String)>,
    /// Its own text, CDATA included.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document: its root.
    ///
    /// # Errors
    /// Anything but one well-formed element.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let document = std::str::from_utf8(document).map_err(|error| XmlError(error.to_string()))?;
        let wrong = |reason: &dyn std::fmt::Display| XmlError(reason.to_string());
        let mut reader = Reader::from_str(document);
        let mut open: Vec<Element> = Vec::new();
        let mut root = None;
        loop {
            let event = reader.read_event().map_err(|error| wrong(&error))?;
            match event {
                Event::Start(start) if open.len() < DEPTH_MAX => open.push(Self::of(&start)?),
                Event::Start(_) => return Err(wrong(&"too deep")),
                Event::Empty(start) => Self::close(Self::of(&start)?, &mut open, &mut root),
                Event::End(_) => {
                    let element = open.pop().ok_or_else(|| wrong(&"an end without a start"))?;
                    Self::close(element, &mut open, &mut root);
                }
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                }
                Event::CData(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::GeneralRef(entity) => {
                    let character = entity.resolve_char_ref().map_err(|error| wrong(&error))?;
                    let named = resolve_xml_entity(&entity);
                    let Some(element) = open.last_mut() else { continue };
                    match (character, named) {
                        (Some(character), _) => element.text.push(character),
                        (None, Some(text)) => element.text.push_str(text),
                        (None, None) => return Err(wrong(&"an unknown entity")),
                    }
                }
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        match root {
            Some(root) if open.is_empty() => Ok(root),
            _ => Err(wrong(&"no whole element")),
        }
    }

    fn of(start: &BytesStart<'_>) -> Result<Self, XmlError> {
        let mut element = Self { name: start.name().0.to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| XmlError(error.to_string()))?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| XmlError(error.to_string()))?;
            element.attributes.push((attribute.key.0.to_owned(), value.into_owned()));
        }
        Ok(element)
    }

    fn close(element: Self, open: &mut [Self], root: &mut Option<Self>) {
        match open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => *root = Some(element),
        }
    }

    /// The first element of this name in it.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Every element of this name in it.
    pub fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text at the end of a path of names, without blanks around it.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        let found = path.iter().try_fold(self, |element, name| element.child(name))?;
        Some(found.text.trim())
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Appends text with the characters escaped that XML gives a meaning.
pub fn write_escaped(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

/// Appends text as CDATA, split where it would end early.
pub fn write_cdata(text: &str, out: &mut String) {
    out.push_str("<![CDATA[");
    out.push_str(&text.replace("]]>", "]]]]><![CDATA[>"));
    out.push_str("]]>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_the_texts_and_attributes_of_its_document() {
        let document = br#"<?xml version="1.0"?><!-- x --><Table><Name>a &lt;&#65;&gt; b</Name><Empty/>
            <Schema format="Json&amp;"><![CDATA[{"a": "<b>"}]]></Schema><C n="1"/><C n="2"></C></Table>"#;
        let root = Element::parse(document).expect("a document");
        assert_eq!(root.name, "Table");
        assert_eq!(root.text_at(&["Name"]), Some("a <A> b"));
        assert_eq!(root.text_at(&["Empty"]), Some(""));
        assert_eq!(root.text_at(&["Nothing"]), None);
        let schema = root.child("Schema").expect("an element");
        assert_eq!((schema.text.as_str(), schema.attribute("format")), (r#"{"a": "<b>"}"#, Some("Json&")));
        let numbers: Vec<_> = root.children("C").filter_map(|c| c.attribute("n")).collect();
        assert_eq!(numbers, ["1", "2"]);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(100_000);
        for document in ["", "text", "<a>", "<a></b>", "</a>", "<a>&nothing;</a>", "<a b=></a>", "\u{0}", &deep] {
            assert!(Element::parse(document.as_bytes()).is_err(), "{document:.20}");
        }
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }

    #[test]
    fn written_text_reads_back() {
        for text in ["a < b & c > \"d\"", "]]>", "x ]]>]]> y", "select '<&>' as `é`"] {
            let mut document = "<a>".to_owned();
            write_cdata(text, &mut document);
            document.push_str("<b>");
            write_escaped(text, &mut document);
            document.push_str("</b></a>");
            let root = Element::parse(document.as_bytes()).expect("a document");
            assert_eq!((root.text.as_str(), root.text_at(&["b"])), (text, Some(text)));
        }
    }
}
