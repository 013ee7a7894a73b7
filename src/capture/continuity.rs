//! Where in the source's binlog the stream is, from received events only, and whether it got there without a hole:
//! each event must start where the previous one ended. Pure.
//!
//! A header holds the low 32 bits of its event's end, so that a file beyond 4 GiB makes it wrap; the whole position is
//! counted here and only compared with the header. Events that the server made for the connection (no position, or
//! the artificial flag) and events out of a compressed transaction take no part.

use thiserror::Error;

use crate::binlog::event::Heartbeat;

/// First position in a binlog file: behind its magic number.
const FILE_START: u64 = 4;

/// Events are missing between two that were received, or the stream is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{file}: the stream is at {expected} and the next event says that it ends at {end} (low 32 bits) after {length} bytes"
)]
pub struct HoleError {
    /// The binlog file.
    pub file: String,
    /// Where the previous event ended.
    pub expected: u64,
    /// End of the next event, from its header.
    pub end: u32,
    /// Length of the next event, from its header.
    pub length: u32,
}

/// The place of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuity {
    file: String,
    position: u64,
    /// The server leaves out transactions that we have (resume by GTID), so between groups the place may jump ahead.
    jumps: bool,
}

impl Continuity {
    /// A stream that is to start at a place; with `jumps` the server chooses the place by GTID and may jump ahead
    /// between groups.
    pub fn new(file: String, position: u64, jumps: bool) -> Self {
        Self { file, position, jumps }
    }

    /// Name of the file that the stream is in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// End of the last event.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes an event that stands in the file; returns where it ends. `idle` is whether the stream was between groups.
    ///
    /// # Errors
    /// A hole, or an event that was there already.
    pub fn event(&mut self, length: u32, end: u32, idle: bool) -> Result<u64, HoleError> {
        let next = self.position + u64::from(length);
        if low(next) == end {
            self.position = next;
            return Ok(next);
        }
        let start = ahead(self.position, end.wrapping_sub(length));
        if self.jumps && idle && start > self.position {
            self.position = start + u64::from(length);
            return Ok(self.position);
        }
        Err(HoleError { file: self.file.clone(), expected: self.position, end, length })
    }

    /// The stream goes on in another file, or at another place of this one, as a rotate event says.
    pub fn rotate(&mut self, file: &str, position: u64) {
        if self.file != file {
            self.file.clear();
            self.file.push_str(file);
        }
        self.position = position.max(FILE_START);
    }

    /// A heartbeat between groups: everything before its position was sent, or was left out on purpose. Returns
    /// whether the place moved. `position` is whole when the event carries 64 bits, else the low 32 of it.
    pub fn heartbeat(&mut self, file: &str, position: HeartbeatPosition) -> bool {
        if self.file != file {
            return false;
        }
        let place = match position {
            HeartbeatPosition::Whole(place) => place,
            HeartbeatPosition::Low(0) => return false,
            // Below the present place it is an old heartbeat, not one that wrapped: waits are short, 4 GiB is not.
            HeartbeatPosition::Low(end) if end.wrapping_sub(low(self.position)) > u32::MAX / 2 => return false,
            HeartbeatPosition::Low(end) => ahead(self.position, end),
        };
        let moved = place > self.position;
        if moved {
            self.position = place;
        }
        moved
    }
}

/// What a heartbeat says of the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatPosition {
    /// All of it (HEARTBEAT_LOG_EVENT_V2).
    Whole(u64),
    /// Its low 32 bits, from the header.
    Low(u32),
}

impl HeartbeatPosition {
    /// What a heartbeat event says.
    pub fn of(heartbeat: &Heartbeat<'_>) -> Self {
        if heartbeat.wrapped { Self::Low(low(heartbeat.position)) } else { Self::Whole(heartbeat.position) }
    }
}

fn low(position: u64) -> u32 {
    (position & u64::from(u32::MAX)) as u32
}

/// The first position from `from` on whose low 32 bits are `end`.
fn ahead(from: u64, end: u32) -> u64 {
    from + u64::from(end.wrapping_sub(low(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB4: u64 = 1 << 32;

    fn at(position: u64, jumps: bool) -> Continuity {
        Continuity::new("mysql-bin.000001".into(), position, jumps)
    }

    #[test]
    fn each_event_starts_where_the_previous_ended() {
        let mut place = at(4, false);
        assert_eq!(place.event(123, 127, true), Ok(127));
        assert_eq!(place.event(31, 158, true), Ok(158));
        let hole = place.event(50, 258, true).unwrap_err();
        assert_eq!((hole.expected, hole.end), (158, 258));
        assert!(place.event(31, 158, true).is_err(), "an event that was there already");
    }

    #[test]
    fn positions_beyond_4_gib_do_not_wrap() {
        let mut place = at(GIB4 - 10, false);
        assert_eq!(place.event(30, 20, false), Ok(GIB4 + 20));
        assert_eq!(place.event(30, 50, false), Ok(GIB4 + 50));
        assert!(place.event(30, 81, false).is_err());
    }

    #[test]
    fn a_resume_by_gtid_jumps_over_what_we_have_but_only_between_groups() {
        let mut place = at(158, true);
        assert!(place.event(50, 1050, false).is_err());
        assert_eq!(place.event(50, 1050, true), Ok(1050));
        assert!(place.clone().event(50, 900, true).is_ok(), "below the low bits: one wrap ahead");
        assert_eq!(place.event(50, 1100, false), Ok(1100));
    }

    #[test]
    fn the_end_of_a_rotate_belongs_to_the_file_that_closes() {
        let mut place = at(1000, false);
        assert_eq!(place.event(47, 1047, true), Ok(1047));
        place.rotate("mysql-bin.000002", 4);
        assert_eq!((place.file(), place.position()), ("mysql-bin.000002", 4));
        assert_eq!(place.event(123, 127, true), Ok(127));
    }

    #[test]
    fn a_heartbeat_moves_the_place_ahead_and_never_back() {
        let mut place = at(1000, true);
        assert!(!place.heartbeat("mysql-bin.000001", HeartbeatPosition::Low(1000)));
        assert!(!place.heartbeat("mysql-bin.000001", HeartbeatPosition::Low(900)));
        assert!(!place.heartbeat("mysql-bin.000001", HeartbeatPosition::Low(0)));
        assert!(!place.heartbeat("mysql-bin.000002", HeartbeatPosition::Low(2000)));
        assert!(place.heartbeat("mysql-bin.000001", HeartbeatPosition::Low(2000)));
        assert_eq!(place.position(), 2000);
        assert!(place.heartbeat("mysql-bin.000001", HeartbeatPosition::Whole(GIB4 + 1)));
        assert!(place.heartbeat("mysql-bin.000001", HeartbeatPosition::Low(99)));
        assert_eq!(place.position(), GIB4 + 99);
    }
}
