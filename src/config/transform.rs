//! Conditions and the script of a delivery: which rows leave, and what becomes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::delivery::variable_part;
use super::{Environment, FieldError, Secret, find_secret};
use crate::etl::{OnError, Script, ScriptOptions, Secrets};
use crate::filter::{FilterImages, Parsed};

/// What a delivery does with rows before they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Transform {
    /// Condition of every table that has none of its own, in the language of WHERE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Which images conditions are asked of.
    pub filter_images: FilterImages,
    /// The script, where it stands in the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etl: Option<String>,
    /// The file that it is read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etl_file: Option<PathBuf>,
    /// What happens to a row on which it fails.
    pub etl_on_error: OnError,
    /// Whether statements pass it too.
    pub etl_ddl: bool,
    /// Files of the secrets that it names, by name.
    pub etl_secrets: BTreeMap<String, PathBuf>,
    /// The script's text, wherever it came from.
    #[serde(skip)]
    script: Option<String>,
    #[serde(skip)]
    secrets: BTreeMap<String, Secret>,
}

/// The settings as they stand in the file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Raw {
    pub(super) filter: Option<String>,
    pub(super) filter_images: FilterImages,
    pub(super) etl: Option<String>,
    pub(super) etl_file: Option<PathBuf>,
    pub(super) etl_on_error: OnError,
    pub(super) etl_ddl: bool,
    pub(super) etl_secrets: BTreeMap<String, PathBuf>,
}

/// The longest script, and some room for what is not one to be told.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

impl Raw {
    pub(super) fn resolve(self, environment: Environment<'_>) -> Result<Transform, FieldError> {
        let Self { filter, filter_images, etl, etl_file, etl_on_error, etl_ddl, etl_secrets } = self;
        if let Some(text) = &filter {
            check_filter(text).map_err(|reason| FieldError::new("filter", reason))?;
        }
        let (field, script) = match (&etl, &etl_file) {
            (Some(_), Some(_)) => return Err(FieldError::new("etl_file", "there is etl too; leave one of them out")),
            (Some(text), None) => ("etl", Some(text.clone())),
            (None, Some(path)) => ("etl_file", Some(read_script(path).map_err(|e| FieldError::new("etl_file", e))?)),
            (None, None) => ("etl", None),
        };
        let mut secrets = BTreeMap::new();
        for (name, path) in &etl_secrets {
            let variable = format!("RELAY_SECRET_{}", variable_part(name));
            let secret =
                find_secret(environment, &variable, Some(path)).map_err(|e| FieldError::new("etl_secrets", e))?;
            secrets.extend(secret.map(|secret| (name.clone(), secret)));
        }
        let transform =
            Transform { filter, filter_images, etl, etl_file, etl_on_error, etl_ddl, etl_secrets, script, secrets };
        // A zone changes no script's meaning as far as it is checked here.
        transform.compile(TimeZone::UTC).map_err(|reason| FieldError::new(field, reason))?;
        Ok(transform)
    }
}

impl Transform {
    /// The script, compiled; `zone` is the one in which TIMESTAMP columns are shown.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn compile(&self, zone: TimeZone) -> Result<Option<Script>, String> {
        let Some(text) = &self.script else { return Ok(None) };
        let mut secrets = Secrets::default();
        for (name, secret) in &self.secrets {
            secrets.insert(name, secret.expose().as_bytes());
        }
        let options = ScriptOptions { zone, secrets, on_error: self.etl_on_error };
        Script::compile(text, &options).map(Some).map_err(|error| error.to_string())
    }
}

/// Whether a condition is one of the language.
pub(super) fn check_filter(text: &str) -> Result<(), String> {
    Parsed::parse(text).map(drop).map_err(|error| error.to_string())
}

fn read_script(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?.len();
    if bytes > SCRIPT_BYTES_MAX {
        return Err(format!("{shown} has {bytes} bytes; no script is as long"));
    }
    std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))
}
