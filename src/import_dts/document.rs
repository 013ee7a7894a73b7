//! Which kind of file it is, and its settings as one flat list. A task comes as the request of `ConfigureDtsJob` (what the
//! console shows under "Preview OpenAPI parameters"), as the answer of `DescribeDtsJobDetail`, or in parts: the object
//! list, the reserve parameter. Parts inside a request are JSON, or text that holds JSON.

use serde_json::{Map, Value};

use super::{ImportError, Input, settings};

/// Names under which a task holds its object list.
const OBJECTS: [&str; 2] = ["DbList", "DbObject"];
/// Names under which it holds the reserve parameter.
const RESERVE: [&str; 2] = ["Reserve", "Reserved"];
/// Groups of an answer whose members have names of their own.
const GROUPS: [&str; 2] = ["MigrationMode", "SynchronizationMode"];
/// Groups of an answer whose members the request calls by the group's name and theirs.
const ENDPOINTS: [&str; 2] = ["SourceEndpoint", "DestinationEndpoint"];
/// Groups inside the reserve parameter: limits of the phases.
const LIMITS: [&str; 3] = ["fullDynamicConfig", "incDynamicConfig", "ConfigList"];

/// One setting as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    /// Where it stands: `Reserve.destTopic`.
    pub(super) path: String,
    /// Its own name: `destTopic`.
    pub(super) name: String,
    /// Its value as text, whatever its type.
    pub(super) value: String,
}

/// All that the files say.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) settings: Vec<Given>,
    pub(super) objects: Option<Map<String, Value>>,
    has_task: bool,
    pub(super) has_reserve: bool,
}

impl Document {
    pub(super) fn read(&mut self, input: &Input<'_>) -> Result<(), ImportError> {
        let file = input.name;
        let bytes = input.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input.bytes);
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|e| ImportError::NotJson { file: file.to_owned(), reason: e.to_string() })?;
        let Value::Object(members) = value else {
            return Err(not_dts(file, "it is no JSON object"));
        };
        if members.is_empty() {
            return Err(not_dts(file, "it is an empty object"));
        }
        if is_task(&members) {
            once(&mut self.has_task, file, "a task")?;
            return self.task(file, members);
        }
        if members.keys().any(|name| settings::is_reserve(name)) && !is_object_list(&members) {
            return self.reserve(file, "Reserve", members);
        }
        if is_object_list(&members) {
            return self.object_list(file, members);
        }
        let names: Vec<&str> = members.keys().take(3).map(String::as_str).collect();
        let reason = format!(
            "its members ({}, ...) are neither databases of an object list ({{\"db\": {{\"name\": ..., \"all\": ...}}}}) nor settings of a task",
            names.join(", ")
        );
        Err(not_dts(file, &reason))
    }

    fn task(&mut self, file: &str, members: Map<String, Value>) -> Result<(), ImportError> {
        for (name, value) in members {
            if OBJECTS.contains(&name.as_str()) {
                let list = inner(file, &name, value)?;
                if !is_object_list(&list) {
                    return Err(not_dts(file, &format!("its {name} is no object list")));
                }
                self.object_list(file, list)?;
            } else if RESERVE.contains(&name.as_str()) {
                let members = inner(file, &name, value)?;
                self.reserve(file, &name, members)?;
            } else {
                match value {
                    Value::Object(group) if ENDPOINTS.contains(&name.as_str()) => {
                        group
                            .into_iter()
                            .for_each(|(member, value)| self.add(&name, &format!("{name}{member}"), &value));
                    }
                    Value::Object(group) if GROUPS.contains(&name.as_str()) => {
                        group.into_iter().for_each(|(member, value)| self.add(&name, &member, &value));
                    }
                    value => self.add("", &name, &value),
                }
            }
        }
        Ok(())
    }

    fn reserve(&mut self, file: &str, at: &str, members: Map<String, Value>) -> Result<(), ImportError> {
        once(&mut self.has_reserve, file, "a reserve parameter")?;
        for (name, value) in members {
            if LIMITS.contains(&name.as_str()) {
                for (member, value) in inner(file, &name, value)? {
                    self.add(&format!("{at}.{name}"), &member, &value);
                }
            } else {
                self.add(at, &name, &value);
            }
        }
        Ok(())
    }

    fn object_list(&mut self, file: &str, list: Map<String, Value>) -> Result<(), ImportError> {
        once(&mut self.objects.is_some(), file, "an object list")?;
        self.objects = Some(list);
        Ok(())
    }

    /// A setting; one that is null or empty says nothing.
    fn add(&mut self, at: &str, name: &str, value: &Value) {
        let value = match value {
            Value::Null => return,
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        if value.is_empty() {
            return;
        }
        let path =
            if at.is_empty() { name.to_owned() } else { format!("{at}.{}", name.strip_prefix(at).unwrap_or(name)) };
        self.settings.push(Given { path, name: name.to_owned(), value });
    }
}

fn once(seen: &mut bool, file: &str, part: &'static str) -> Result<(), ImportError> {
    if std::mem::replace(seen, true) {
        return Err(ImportError::Twice { file: file.to_owned(), part });
    }
    Ok(())
}

fn not_dts(file: &str, reason: &str) -> ImportError {
    ImportError::NotDts { file: file.to_owned(), reason: reason.to_owned() }
}

/// A part that is an object, or text that holds one.
fn inner(file: &str, name: &str, value: Value) -> Result<Map<String, Value>, ImportError> {
    let value = match value {
        Value::String(text) if text.trim().is_empty() => return Ok(Map::new()),
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|e| ImportError::NotJson { file: format!("{file}: {name}"), reason: e.to_string() })?,
        Value::Null => return Ok(Map::new()),
        value => value,
    };
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(not_dts(file, &format!("its {name} is no JSON object"))),
    }
}

fn is_task(members: &Map<String, Value>) -> bool {
    let parts = OBJECTS.iter().chain(&RESERVE).any(|part| members.contains_key(*part));
    let endpoints = ENDPOINTS.iter().any(|side| members.keys().any(|name| name.starts_with(side)));
    parts || endpoints || members.contains_key("DtsJobName")
}

/// Databases by name, each an object that is named, whole, or has tables.
fn is_object_list(members: &Map<String, Value>) -> bool {
    members.values().all(|value| {
        let Value::Object(database) = value else { return false };
        database.get("name").is_some_and(Value::is_string)
            || database.get("all").is_some_and(Value::is_boolean)
            || database.get("Table").is_some_and(Value::is_object)
    })
}
