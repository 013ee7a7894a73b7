//! Secrets: from the environment or from a file that others cannot read; never printed.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Serialize, Serializer};

/// The longest secret file that is read; a key or a password is far below.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Text that must not be seen: prints as `***` wherever it is formatted or serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the place that hands it to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a secret from `path`, without the line end.
    ///
    /// # Errors
    /// A file that is missing, unreadable, not a regular file, longer than 64 KiB, not UTF-8, or open to others.
    pub fn read_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let facts = std::fs::metadata(path).map_err(|e| format!("secrets file {shown}: {e}"))?;
        if !facts.is_file() {
            return Err(format!("secrets file {shown} is not a regular file"));
        }
        let mode = facts.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(format!("secrets file {shown} is open to every user (mode {mode:04o}): chmod o= {shown}"));
        }
        if facts.len() > SECRET_BYTES_MAX {
            return Err(format!("secrets file {shown} is longer than {SECRET_BYTES_MAX} bytes"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| format!("secrets file {shown}: {e}"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** *** \"***\"");
    }

    #[test]
    fn a_file_open_to_others_is_refused_and_a_private_one_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "canary\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let e = Secret::read_file(&path).unwrap_err();
        assert!(e.contains("0644") && e.contains("chmod o=") && !e.contains("canary"), "{e}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Secret::read_file(&path).unwrap().expose(), "canary");
        assert!(Secret::read_file(&dir.path().join("none")).is_err());
        assert!(Secret::read_file(dir.path()).is_err());
    }
}
