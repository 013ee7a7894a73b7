//! The second phase of an XA transaction: rows that were prepared are copied into the transaction that commits them.

use relay_store::{Entry, PreparedRange};
use tokio::time::Instant;

use super::{ENTRIES_BEFORE_XA_PREPARE, Recorder, STATEMENT_END, Taken, append};
use crate::binlog::event::{Checksum, Event, EventHeader, EventType};
use crate::capture::error::{CaptureError, EventError};
use crate::capture::executed::Executed;
use crate::capture::scene::MapHead;
use crate::capture::statement::Xid;
use crate::capture::transaction::Received;
use crate::log::{flag, kind};

impl Recorder {
    /// XA COMMIT: rows that were prepared come now; without them, what is missing is named.
    pub(super) fn commit_prepared(
        &mut self,
        xid: &Xid,
        event: &Event<'_>,
        received: Received,
        time_us: u64,
    ) -> Result<Taken, EventError> {
        if matches!(self.executed, Executed::MariaDb(_)) {
            self.committing.note(xid, Instant::now());
        }
        let key = xid.key();
        if let Some(range) = self.appender.prepared().into_iter().find(|range| range.xid == key) {
            if range.last.0 - range.first.0 < ENTRIES_BEFORE_XA_PREPARE {
                self.commit(time_us, Some(&key));
                return Ok(Taken::Done);
            }
            self.log_held()?;
            // The copies come before this event and take their indexes first.
            self.transaction.next_index = received.tx_index;
            return Ok(Taken::Prepared(range));
        }
        let note = format!("rows of XA transaction {xid} were prepared before the log begins");
        self.log_held()?;
        let received = Received { flags: 0, ..received };
        append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::GAP_NOTE, received, &[note.as_bytes()])?;
        let tx_index = self.transaction.take_index();
        let flags = if self.checksum == Checksum::None { flag::NO_CHECKSUM } else { 0 };
        self.keep(event.raw, Received { flags, tx_index, ..received })?;
        // They may be rows of any table, and in none of its chunks: what is being copied begins anew.
        self.windows.note_statement(|_| true);
        self.without_rows += 1;
        self.commit(time_us, None);
        Ok(Taken::Done)
    }

    /// Copies entries of a prepared range into the transaction that commits it. `context` is the one of their block.
    ///
    /// # Errors
    /// The log refuses an entry, or one does not decode.
    pub(in crate::capture) fn copy_prepared(
        &mut self,
        context: &crate::log::Context<'_>,
        entries: &mut (dyn Iterator<Item = Entry<'_>> + Send),
    ) -> Result<(), CaptureError> {
        let (_, format) = context.format_description.unwrap_or((0, &self.format_raw));
        // A block holds entries of one file only, and these come from the file that they were prepared in.
        let format = format.to_vec();
        if self.scene.set_file(context.file, &format) {
            self.appender.seal();
        }
        for entry in entries {
            self.copy_entry(&entry).map_err(|source| self.locate(source, entry.body))?;
        }
        Ok(())
    }

    pub(super) fn copy_entry(&mut self, entry: &Entry<'_>) -> Result<(), EventError> {
        if entry.header.kind != kind::EVENT {
            return Ok(());
        }
        let event_type = EventType(entry.body.get(4).copied().unwrap_or(0));
        let received = Received {
            flags: entry.header.flags | flag::COPIED,
            tx_index: self.transaction.next_index,
            source_pos: entry.header.source_pos,
            received_us: entry.header.received_us,
        };
        match event_type {
            EventType::TABLE_MAP => {
                let (raw, schema) = crate::log::split_event(entry.header.flags, entry.body)
                    .map_err(|_| crate::binlog::DecodeError::Short { what: "table map entry", needed: 8, left: 0 })?;
                let event = self.logged_event(entry, raw)?;
                let body = event.body;
                let head = MapHead::read(body, false)?;
                self.transaction.take_index();
                self.scene.learn(head.table_id, body, true, schema);
                let received = Received { flags: received.flags & !flag::SCHEMA_ID, ..received };
                self.log_map(head.table_id, schema, raw, received)
            }
            EventType::ROWS_QUERY | EventType::ANNOTATE_ROWS => {
                self.transaction.take_index();
                self.keep(entry.body, received)
            }
            kind if kind.is_rows() => {
                self.transaction.take_index();
                self.keep(entry.body, received)?;
                if !self.windows.is_empty() {
                    self.note_copied_keys(entry)?;
                }
                if entry.body.get(EventHeader::LEN + 6).is_some_and(|flags| flags & STATEMENT_END != 0) {
                    self.scene.end_statement();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An event of the log as it was received.
    fn logged_event<'e>(&self, entry: &Entry<'_>, raw: &'e [u8]) -> Result<Event<'e>, EventError> {
        let bare = entry.header.flags & flag::NO_CHECKSUM != 0;
        Ok(Event::parse(raw, if bare { Checksum::None } else { Checksum::Crc32 })?)
    }

    /// Notes the keys of rows that were prepared: they change with the commit at hand.
    fn note_copied_keys(&mut self, entry: &Entry<'_>) -> Result<(), EventError> {
        let event = self.logged_event(entry, entry.body)?;
        self.note_keys(&event, crate::capture::scene::table_id(event.body, false)?);
        Ok(())
    }

    /// Ends the commit of prepared rows with the event that asked for it.
    ///
    /// # Errors
    /// The log refuses the entry.
    pub(in crate::capture) fn finish_prepared(
        &mut self,
        range: &PreparedRange,
        raw: &[u8],
        received_us: u64,
    ) -> Result<(), CaptureError> {
        let finish = |this: &mut Self| {
            this.scene.forget_tables();
            let format = std::mem::take(&mut this.format_raw);
            if this.scene.set_file(this.place.file(), &format) {
                this.appender.seal();
            }
            this.format_raw = format;
            let event = Event::parse(raw, this.checksum)?;
            let flags = if this.checksum == Checksum::None { flag::NO_CHECKSUM } else { 0 };
            let tx_index = this.transaction.take_index();
            let received = Received { flags, tx_index, source_pos: this.place.position(), received_us };
            let time_us = this.commit_time(&event.header, received_us);
            this.keep(raw, received)?;
            this.commit(time_us, Some(&range.xid));
            Ok(())
        };
        finish(self).map_err(|source| self.locate(source, raw))
    }
}
