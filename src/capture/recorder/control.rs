//! Events that have no part in a transaction: heads of files, rotations, heartbeats, and what may be passed over.

use super::{Recorder, Taken};
use crate::binlog::event::{
    Checksum, Event, EventHeader, EventType, FormatDescription, Heartbeat, MariadbGtidList, Rotate,
};
use crate::binlog::gtid::{DomainGtid, GtidSet, MariadbPosition};
use crate::capture::continuity::HeartbeatPosition;
use crate::capture::error::EventError;
use crate::capture::executed::Executed;
use crate::capture::group::{Action, Signal};
use crate::capture::position::Skip;

impl Recorder {
    /// An event that has no part in any transaction. Between groups the checkpoint follows it.
    pub(super) fn apart(&mut self, event: &Event<'_>) -> Result<Taken, EventError> {
        let kind = event.header.event_type;
        let harmless = matches!(kind, EventType::STOP | EventType::PREVIOUS_GTIDS | EventType::MARIADB_GTID_LIST);
        if !harmless && !event.header.is_ignorable() {
            return Err(EventError::Unknown);
        }
        if self.awaits_head {
            match kind {
                EventType::PREVIOUS_GTIDS => self.begin_with(Executed::MySql(GtidSet::from_previous_gtids(event)?)),
                EventType::MARIADB_GTID_LIST => {
                    let mut position = MariadbPosition::new();
                    let list = MariadbGtidList::parse(event)?;
                    // Of a domain the newest comes last.
                    list.iter()
                        .for_each(|(domain, server_id, seq)| position.add(DomainGtid { domain, server_id, seq }));
                    self.begin_with(Executed::MariaDb(position));
                }
                _ => {}
            }
        }
        self.advance_when_idle();
        Ok(Taken::Done)
    }

    /// What is executed where the stream begins.
    pub(super) fn begin_with(&mut self, executed: Executed) {
        (self.executed, self.awaits_head) = (executed, false);
        self.scene.set_executed(&self.executed.position());
    }

    pub(super) fn format_description(&mut self, raw: &[u8], header: &EventHeader) -> Result<Taken, EventError> {
        let format = FormatDescription::parse(raw)?;
        Event::verify(raw, format.checksum)?;
        if !header.is_artificial() {
            let idle = self.group.is_idle();
            // The file of a server that crashed may end inside a transaction; this begins the next one.
            if self.group.step(Signal::FileBegins)? == Action::Cut {
                self.discard();
            }
            self.place.event(header.event_len, header.log_pos, idle)?;
        }
        self.point.confirm_file(self.place.file(), header.timestamp)?;
        self.checksum = format.checksum;
        self.format = Some(format);
        self.file_created = header.timestamp;
        self.format_raw.clear();
        self.format_raw.extend_from_slice(raw);
        if self.scene.set_file(self.place.file(), raw) {
            self.appender.seal();
        }
        self.scene.forget_tables();
        if !header.is_artificial() {
            self.advance_when_idle();
        }
        Ok(Taken::Done)
    }

    pub(super) fn rotate(&mut self, raw: &[u8], header: &EventHeader) -> Result<Taken, EventError> {
        let checksum = match header.is_artificial() {
            // Made up for the dump, it carries a checksum or not whatever the file has: its own four bytes tell.
            true if Event::verify(raw, Checksum::Crc32).is_ok() => Checksum::Crc32,
            true => Checksum::None,
            false => self.checksum,
        };
        Event::verify(raw, checksum)?;
        let event = Event::parse(raw, checksum)?;
        let rotate = Rotate::parse(&event)?;
        let name = crate::binlog::DecodeError::NotUtf8 { what: "binlog file name" };
        let file = std::str::from_utf8(rotate.file).map_err(|_| name)?;
        if !header.is_artificial() {
            self.place.event(header.event_len, header.log_pos, self.group.is_idle())?;
        }
        // A dump from beyond 4 GiB begins at the file's start; what lies before the place is left out by the stream.
        let left_out =
            self.place.file() == file && self.place.position() > u64::from(u32::MAX) && header.is_artificial();
        if !left_out {
            if self.place.file() != file && matches!(self.point.skip, Some(Skip::UpTo(_))) && self.format.is_some() {
                self.point.skip = None;
            }
            self.place.rotate(file, rotate.position);
        }
        if self.appender.checkpoint().is_none() {
            // A new log: where it begins, so that a crash before its first commit does not begin it later.
            self.advance_when_idle();
        }
        Ok(Taken::Done)
    }

    pub(super) fn heartbeat(&mut self, event: &Event<'_>) -> Result<Taken, EventError> {
        let heartbeat = Heartbeat::parse(event)?;
        if !self.group.is_idle() {
            return Ok(Taken::Done);
        }
        let file = String::from_utf8_lossy(heartbeat.file);
        if self.place.heartbeat(&file, HeartbeatPosition::of(&heartbeat)) {
            self.advance_when_idle();
        }
        Ok(Taken::Heartbeat)
    }
}
