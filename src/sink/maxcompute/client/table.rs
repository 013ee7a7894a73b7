//! Projects, tables and partitions, as the metadata service tells them.

use serde::Deserialize;
use ureq::http::Method;

use super::Client;
use super::error::{ClientError, Reason};
use super::http::{Answer, Content};
use super::xml::Element;
use crate::format::maxcompute::data_type::DataType;
use crate::format::maxcompute::layout::TableColumn;

/// Most pages of partitions that are asked for: a table has 60,000 partitions at most, and a page has many.
const PAGES_MAX: usize = 60_000;

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// `AVAILABLE`, and other words for one that is not.
    pub state: String,
    /// Its settings.
    pub properties: Vec<(String, String)>,
}

impl Project {
    /// A setting.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether its tables lie in schemas.
    pub fn has_schemas(&self) -> bool {
        self.property("odps.schema.model.enabled").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, those of partitions left out.
    pub columns: Vec<TableColumn>,
    /// The columns of its partitions.
    pub partitions: Vec<TableColumn>,
    /// Days that its rows or partitions live; none: for ever.
    pub lifecycle_days: Option<u32>,
    /// It is a view, which takes no rows.
    pub is_view: bool,
}

/// The columns of a table or a session, as JSON has them.
#[derive(Deserialize)]
pub(super) struct JsonSchema {
    #[serde(default)]
    columns: Vec<JsonColumn>,
    #[serde(default, rename = "partitionKeys")]
    partition_keys: Vec<JsonColumn>,
    #[serde(default)]
    lifecycle: Option<i64>,
    #[serde(default, rename = "isVirtualView")]
    is_view: bool,
}

#[derive(Deserialize)]
struct JsonColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl JsonSchema {
    /// The columns that are no partitions.
    pub(super) fn columns(&self, answer: &Answer) -> Result<Vec<TableColumn>, ClientError> {
        read_columns(&self.columns, answer)
    }
}

fn read_columns(columns: &[JsonColumn], answer: &Answer) -> Result<Vec<TableColumn>, ClientError> {
    let column = |column: &JsonColumn| match DataType::parse(&column.kind) {
        Ok(kind) => Ok(TableColumn { name: column.name.clone(), kind }),
        Err(error) => Err(answer.meaningless(format!("column {}: {error}", column.name))),
    };
    columns.iter().map(column).collect()
}

/// A partition: its columns and their values, the widest first.
pub type Partition = Vec<(String, String)>;

impl Client {
    /// The project that this is a client of.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn project(&self) -> Result<Project, ClientError> {
        let answer = self.ask("read the project", Method::GET, "", Vec::new(), Content::None)?;
        let root = answer.xml()?;
        let text = |property: &Element, name| property.text_at(&[name]).unwrap_or_default().to_owned();
        let properties = root.child("Properties").into_iter().flat_map(|properties| properties.children("Property"));
        Ok(Project {
            state: text(&root, "State"),
            properties: properties.map(|property| (text(property, "Name"), text(property, "Value"))).collect(),
        })
    }

    /// A table; none when there is none of this name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn table(&self, name: &str) -> Result<Option<Table>, ClientError> {
        let path = format!("/tables/{name}");
        let Some(answer) = found(self.ask("read a table", Method::GET, &path, Vec::new(), Content::None))? else {
            return Ok(None);
        };
        let root = answer.xml()?;
        let schema = root.text_at(&["Schema"]).ok_or_else(|| answer.meaningless("it has no schema"))?;
        let schema: JsonSchema =
            serde_json::from_str(schema).map_err(|error| answer.meaningless(format!("its schema: {error}")))?;
        Ok(Some(Table {
            name: root.text_at(&["Name"]).unwrap_or(name).to_owned(),
            columns: schema.columns(&answer)?,
            partitions: read_columns(&schema.partition_keys, &answer)?,
            lifecycle_days: schema.lifecycle.and_then(|days| u32::try_from(days).ok()).filter(|&days| days > 0),
            is_view: schema.is_view,
        }))
    }

    /// All partitions of a table; none when there is no such table.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn partitions(&self, table: &str) -> Result<Option<Vec<Partition>>, ClientError> {
        let path = format!("/tables/{table}");
        let (mut partitions, mut marker) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let mut parameters = vec![("partitions", String::new()), ("expectmarker", "true".to_owned())];
            if !marker.is_empty() {
                parameters.push(("marker", marker.clone()));
            }
            let Some(answer) = found(self.ask("list partitions", Method::GET, &path, parameters, Content::None))?
            else {
                return Ok(None);
            };
            let root = answer.xml()?;
            for partition in root.children("Partition") {
                let column = |column: &Element| {
                    Some((column.attribute("Name")?.to_owned(), column.attribute("Value")?.to_owned()))
                };
                let columns: Option<Partition> = partition.children("Column").map(column).collect();
                partitions.push(columns.ok_or_else(|| answer.meaningless("a partition without names or values"))?);
            }
            let next = root.text_at(&["Marker"]).unwrap_or_default();
            if next.is_empty() || next == marker {
                return Ok(Some(partitions));
            }
            marker = next.to_owned();
        }
        Ok(Some(partitions))
    }
}

/// The answer, or none when there is no such thing.
fn found(answer: Result<Answer, ClientError>) -> Result<Option<Answer>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Refused(refusal))
            if refusal.status == 404
                && !matches!(refusal.reason(), Reason::NoSuchProject)
                && matches!(refusal.code.as_str(), "NoSuchObject" | "NoSuchTable") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
