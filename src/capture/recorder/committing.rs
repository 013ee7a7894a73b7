//! XA transactions that the stream saw commit lately. MariaDB writes an XA COMMIT into its binlog, and counts it in the
//! place of its views, before the engine shows what it commits; until then it still lists the transaction as prepared.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::capture::statement::Xid;

/// How long a commit may take to show: what readers wait for at most.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// So many are remembered; more in a minute than a server prepares at a time.
const KEPT_MAX: usize = 10_000;

/// Their names, oldest first.
#[derive(Debug, Default)]
pub(super) struct Committing(VecDeque<(Instant, String)>);

impl Committing {
    /// One committed.
    pub(super) fn note(&mut self, xid: &Xid, now: Instant) {
        self.forget(now);
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, xid.to_string()));
    }

    /// Those that may not show yet, as the server writes them.
    pub(super) fn names(&mut self, now: Instant) -> Vec<String> {
        self.forget(now);
        self.0.iter().map(|(_, xid)| xid.clone()).collect()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(since, _)| now.duration_since(*since) > KEPT_FOR) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_remembered_for_as_long_as_they_may_take_to_show() {
        let (mut committing, start) = (Committing::default(), Instant::now());
        let xid = |gtrid: &[u8]| Xid { format_id: 1, gtrid: gtrid.to_vec(), bqual: Vec::new() };
        committing.note(&xid(b"a"), start);
        committing.note(&xid(b"b"), start + KEPT_FOR / 2);
        assert_eq!(committing.names(start + KEPT_FOR), ["X'61',X'',1", "X'62',X'',1"]);
        assert_eq!(committing.names(start + KEPT_FOR + Duration::from_secs(1)), ["X'62',X'',1"]);
        for _ in 0..2 * KEPT_MAX {
            committing.note(&xid(b"c"), start + KEPT_FOR);
        }
        assert_eq!(committing.names(start + KEPT_FOR).len(), KEPT_MAX);
    }
}
