//! The zone in which TIMESTAMP columns are rendered. `source` means the server's own, which only a reached server can
//! tell; so it is kept beside the log, and deliveries go on with it while the server is away.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::config::parse_zone;
use crate::failure::{Class, Failure};
use crate::status::Status;

/// File in the log's folder that keeps the server's zone.
const FILE: &str = "source-zone";
/// How long a server is waited for before the kept zone is taken.
const SERVER_WAIT: Duration = Duration::from_secs(5);
/// How often its arrival is looked for.
const SERVER_POLL: Duration = Duration::from_millis(50);

/// The zone cannot be had.
#[derive(Debug, Error)]
pub(super) enum ZoneError {
    /// The server's name for its zone means nothing here, or several things.
    #[error("the source calls its time zone {0:?}, which names none for certain")]
    Unknown(String),
    /// Told to stop before a server was reached.
    #[error("stopped before the source was reached")]
    Stopped,
}

impl Failure for ZoneError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown(_) => Class::Definite,
            Self::Stopped => Class::Transient,
        }
    }

    fn next_step(&self) -> Option<String> {
        let step = "set source.timestamp_zone to an offset such as \"+08:00\" or a name such as \"Asia/Shanghai\", and restart";
        matches!(self, Self::Unknown(_)).then(|| step.to_owned())
    }
}

/// Where the zone comes from.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    configured: String,
    status: Arc<Status>,
    kept: PathBuf,
    /// Held while the file is written: several deliveries may learn the zone at once.
    keeping: Arc<Mutex<()>>,
}

impl Zone {
    pub(super) fn new(configured: &str, log_dir: &Path, status: Arc<Status>) -> Self {
        Self { configured: configured.to_owned(), status, kept: log_dir.join(FILE), keeping: Arc::default() }
    }

    /// The zone: as configured, or the server's as soon as it is reached, or the one kept from an earlier run.
    pub(super) async fn get(&self, shutdown: &CancellationToken) -> Result<TimeZone, ZoneError> {
        if let Some(zone) = parse_zone(&self.configured) {
            return Ok(zone);
        }
        let wait = tokio::time::timeout(SERVER_WAIT, self.servers());
        let first = tokio::select! {
            named = wait => named.ok(),
            () = shutdown.cancelled() => return Err(ZoneError::Stopped),
        };
        let named = match first.or_else(|| std::fs::read_to_string(&self.kept).ok()) {
            Some(named) => named,
            None => tokio::select! {
                named = self.servers() => named,
                () = shutdown.cancelled() => return Err(ZoneError::Stopped),
            },
        };
        let named = named.trim().to_owned();
        let zone = parse_zone(&named).ok_or_else(|| ZoneError::Unknown(named.clone()))?;
        self.keep(&named);
        Ok(zone)
    }

    /// The server's name for its zone, once it is reached.
    async fn servers(&self) -> String {
        loop {
            if let Some(server) = self.status.capture().server() {
                return server.timestamp_zone;
            }
            tokio::time::sleep(SERVER_POLL).await;
        }
    }

    /// Keeps the name for runs in which the server is away; without it they wait.
    fn keep(&self, named: &str) {
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if std::fs::read_to_string(&self.kept).is_ok_and(|kept| kept == named) {
            return;
        }
        let new = self.kept.with_extension(format!("new-{}", std::process::id()));
        let written = std::fs::write(&new, named).and_then(|()| std::fs::rename(&new, &self.kept));
        if let Err(e) = written {
            tracing::warn!(error = %e, "keep the source's time zone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Server;

    fn zone(dir: &Path, configured: &str) -> (Zone, Arc<Status>) {
        let status = Arc::new(Status::new());
        (Zone::new(configured, dir, Arc::clone(&status)), status)
    }

    fn server(name: &str) -> Server {
        Server { timestamp_zone: name.to_owned(), ..Server::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_zone_outlives_its_absence() {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (first, status) = zone(dir.path(), "source");
        status.capture().set_server(server("+08:00"));
        let east = first.get(&stop).await.unwrap();
        let (later, _no_server) = zone(dir.path(), "source");
        assert_eq!(later.get(&stop).await.unwrap(), east);
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_zone_asks_nobody_and_an_unknown_one_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (fixed, _status) = zone(dir.path(), "Asia/Shanghai");
        assert_eq!(fixed.get(&stop).await.unwrap(), TimeZone::get("Asia/Shanghai").unwrap());
        let (odd, status) = zone(dir.path(), "source");
        status.capture().set_server(server("XYZ"));
        let e = odd.get(&stop).await.unwrap_err();
        assert!(e.next_step().unwrap().contains("timestamp_zone"));
        stop.cancel();
        let (none, _status) = zone(dir.path(), "source");
        assert!(matches!(none.get(&stop).await, Err(ZoneError::Stopped)));
    }
}
