//! `[alert]`: where states and thresholds are posted, and which thresholds; a delivery can have its own.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use serde::{Deserialize, Serialize, Serializer};

use super::{Environment, FieldError, Span, find_secret};

/// Longest URL that is taken.
const URL_BYTES_MAX: usize = 2048;

/// Where alerts go, and when there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Where they are posted; nowhere when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// File the address was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_file: Option<PathBuf>,
    /// PEM file with the only authorities that may vouch for its certificate; the public ones when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How far behind the source is too far; 0 for never.
    pub latency: Span,
    /// How little time until undelivered data leaves log and source is too little; 0 for never.
    pub headroom: Span,
    /// How often one that lasts is said again; 0 for never.
    pub repeat: Span,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            webhook: None,
            webhook_file: None,
            ca_file: None,
            latency: Span::seconds(60),
            headroom: Span::minutes(24 * 60),
            repeat: Span::minutes(60),
        }
    }
}

/// The address of a webhook, and whom to believe its certificate. Many addresses hold a secret in their path, so it
/// prints as its scheme and host alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Webhook {
    url: String,
    ca_file: Option<PathBuf>,
}

impl Webhook {
    /// Takes an address.
    ///
    /// # Errors
    /// What it is not; the text is never repeated.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORM: &str = "write it as https://host/path";
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| format!("it begins with neither https:// nor http://; {FORM}"))?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err(format!("it names no host; {FORM}"));
        }
        if host.contains('@') {
            return Err(format!("it names a user in front of the host, which is not sent; {FORM}"));
        }
        if url.len() > URL_BYTES_MAX || url.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(format!("it is longer than {URL_BYTES_MAX} bytes or holds blanks or other than ASCII; {FORM}"));
        }
        Ok(Self { url: url.to_owned(), ca_file: None })
    }

    /// The same, whose certificate only the authorities in this PEM file vouch for.
    #[must_use]
    pub fn vouched_by(self, ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, ..self }
    }

    /// The file of the only authorities that are believed; none: the public ones.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The address itself, for the place that connects to it.
    pub fn expose(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.find("://").map_or(0, |at| at + 3);
        let host = self.url[scheme..].find(['/', '?', '#']).map_or(self.url.len(), |at| scheme + at);
        write!(f, "{}/***", &self.url[..host])
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Webhook {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// The section as it stands in the file; also in a delivery, whose settings go before the common ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    webhook: Option<String>,
    webhook_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    latency: Option<Span>,
    headroom: Option<Span>,
    repeat: Option<Span>,
}

impl Raw {
    /// `variable` of the environment may hold the address too; what is not set is as in `common`.
    pub(super) fn resolve(
        self,
        common: &Alert,
        variable: &str,
        environment: Environment<'_>,
    ) -> Result<Alert, FieldError> {
        if self.webhook.is_some() && self.webhook_file.is_some() {
            return Err(FieldError::new("webhook_file", "webhook is set too; name one of them"));
        }
        let secret = find_secret(environment, variable, self.webhook_file.as_deref())
            .map_err(|reason| FieldError::new("webhook_file", reason))?;
        let (field, url) = match secret {
            Some(secret) if self.webhook_file.is_some() => ("webhook_file", Some(secret.expose().to_owned())),
            Some(secret) => ("webhook", Some(secret.expose().to_owned())),
            None => ("webhook", self.webhook),
        };
        let own = url.map(|url| Webhook::parse(&url)).transpose().map_err(|reason| FieldError::new(field, reason))?;
        let (webhook, webhook_file) = match own {
            Some(own) => (Some(own), self.webhook_file),
            None => (common.webhook.clone(), common.webhook_file.clone()),
        };
        let ca_file = self.ca_file.or_else(|| common.ca_file.clone());
        let alert = Alert {
            webhook: webhook.map(|webhook| webhook.vouched_by(ca_file.clone())),
            webhook_file,
            ca_file,
            latency: self.latency.unwrap_or(common.latency),
            headroom: self.headroom.unwrap_or(common.headroom),
            repeat: self.repeat.unwrap_or(common.repeat),
        };
        for (field, span) in [("latency", alert.latency), ("headroom", alert.headroom), ("repeat", alert.repeat)] {
            if !span.0.is_zero() {
                super::within(field, span, Span::seconds(1), Span::minutes(365 * 24 * 60))?;
            }
        }
        Ok(alert)
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: pem::Error| format!("{}: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(wrong)?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_prints_its_path() {
        for (url, shown) in [
            ("https://hooks.example/services/canary", "https://hooks.example/***"),
            ("http://10.0.0.1:8080?token=canary", "http://10.0.0.1:8080/***"),
            ("https://[::1]:8080/canary", "https://[::1]:8080/***"),
        ] {
            let webhook = Webhook::parse(url).expect("an address");
            assert_eq!(webhook.expose(), url);
            let printed = format!("{webhook} {webhook:?} {}", serde_json::to_string(&webhook).expect("JSON"));
            assert_eq!(printed, format!("{shown} {shown} {shown:?}"));
        }
        for url in ["ftp://h/canary", "https:///canary", "https://me:canary@h/", "https://h/a canary", "canary"] {
            let e = Webhook::parse(url).expect_err(url);
            assert!(!e.contains("canary"), "{e}");
        }
    }

    #[test]
    fn a_delivery_overrides_what_it_names_and_its_address_may_come_from_the_environment() {
        let none = |_: &str| None;
        let raw = Raw { webhook: Some("https://all/x".to_owned()), latency: Some(Span::seconds(5)), ..Raw::default() };
        let common = raw.resolve(&Alert::default(), "RELAY_ALERT_WEBHOOK", &none).expect("valid");
        let own = Raw { repeat: Some(Span::seconds(0)), ..Raw::default() };
        let own = own.resolve(&common, "RELAY_DELIVERY_A_WEBHOOK", &none).expect("valid");
        assert_eq!(own, Alert { repeat: Span::seconds(0), ..common.clone() });
        let environment = |name: &str| (name == "RELAY_DELIVERY_A_WEBHOOK").then(|| "https://own/y".to_owned());
        let own = Raw::default().resolve(&common, "RELAY_DELIVERY_A_WEBHOOK", &environment).expect("valid");
        assert_eq!(own.webhook, Some(Webhook::parse("https://own/y").expect("an address")));
        let own = Raw { ca_file: Some("/own.pem".into()), ..Raw::default() };
        let own = own.resolve(&common, "X", &none).expect("valid").webhook.expect("the common one");
        assert_eq!(own.ca_file(), Some(Path::new("/own.pem")));
        let e = Raw { latency: Some(Span::millis(5)), ..Raw::default() };
        assert!(e.resolve(&common, "X", &none).expect_err("too short").reason.contains("outside 1s"));
    }
}
