//! Drives the recorder from an open dump: takes events as they come, hands full blocks to the log's writer, and waits
//! for room when that is slower. What waits is bounded by the store's queue; while it is full nothing is read, and when
//! that lasts until the server gives up, the stream is taken up again at the checkpoint.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relay_store::{Block, Gap, GapReason, PreparedRange, Read, ReadError, Reader, Seq, Store, Submit};
use tokio_util::sync::CancellationToken;

use super::chunks::{Chunks, Request};
use super::error::CaptureError;
use super::recorder::{Recorder, Taken};
use super::stream::{BinlogStream, Packet, StreamError};
use crate::log::Context;
use crate::metrics::CaptureMetrics;
use crate::status::{self, CaptureHandle};

/// Sealed blocks are handed over after this many bytes, also while more is at hand: a few blocks, so that the writer
/// works beside us.
const SUBMIT_BYTES: usize = 256 << 10;

/// How often the first checkpoint of a new log is looked for; a group without entries wakes nobody.
const BEGIN_POLL: Duration = Duration::from_millis(5);

/// Where events come from: a dump, or a script in tests.
pub(super) trait EventStream {
    /// The next event as it was received. Ends by an error only.
    fn next(&mut self) -> impl Future<Output = Result<Packet<'_>, StreamError>> + Send;
}

impl EventStream for BinlogStream {
    fn next(&mut self) -> impl Future<Output = Result<Packet<'_>, StreamError>> + Send {
        BinlogStream::next(self)
    }
}

/// What is said when the log has become durable up to here.
struct Awaited {
    seq: Seq,
    /// When the commit was received whose way to the disk is measured.
    since: Option<Instant>,
    /// All that the source had at this moment is in the log then; by our clock, microseconds since 1970.
    all_until_us: i64,
}

/// What the loop works with.
pub(super) struct Follow<'a> {
    pub(super) store: &'a Store,
    pub(super) status: &'a CaptureHandle,
    pub(super) metrics: &'a CaptureMetrics,
    pub(super) chunks: &'a Chunks,
    pub(super) shutdown: &'a CancellationToken,
}

impl Follow<'_> {
    /// Takes the head of a new log's stream and waits until the place where it begins is durable: from here on a crash
    /// resumes there, and not at what is the source's end by then. False at shutdown. A log that has a checkpoint has
    /// begun.
    ///
    /// # Errors
    /// As [`Follow::run`].
    pub(super) async fn begin(
        &self,
        stream: &mut impl EventStream,
        recorder: &mut Recorder,
    ) -> Result<bool, CaptureError> {
        if recorder.has_begun() {
            return Ok(true);
        }
        while !recorder.has_begun() {
            let packet = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(false),
                packet = stream.next() => packet?,
            };
            if self.take(packet.event, recorder).await?.is_none() {
                return Ok(false);
            }
        }
        if !recorder.has_checkpoint() {
            // Without the head that says what came before it; its first commit is the first checkpoint.
            return Ok(true);
        }
        if !self.submit(recorder).await? {
            return Ok(false);
        }
        while self.store.checkpoint().is_none() {
            if let Some(poisoned) = self.store.durable().poisoned() {
                return Err(poisoned.into());
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(false),
                () = tokio::time::sleep(BEGIN_POLL) => {}
            }
        }
        Ok(true)
    }

    /// Follows the stream until shutdown; then what was committed is durable.
    ///
    /// # Errors
    /// What ended the stream. Committed transactions are handed to the writer even then; an open one is not seen.
    pub(super) async fn run(&self, stream: &mut impl EventStream, recorder: &mut Recorder) -> Result<(), CaptureError> {
        let followed = self.events(stream, recorder).await;
        let closed = self.close(recorder).await;
        followed.and(closed)
    }

    async fn events(&self, stream: &mut impl EventStream, recorder: &mut Recorder) -> Result<(), CaptureError> {
        let mut file = String::new();
        let (mut more, mut received) = (false, 0);
        let mut awaited = None;
        loop {
            // While more is at hand the next event comes at once, so a look at the token is enough.
            let packet = if more && !self.shutdown.is_cancelled() {
                stream.next().await?
            } else {
                tokio::select! {
                    biased;
                    () = self.shutdown.cancelled() => return Ok(()),
                    () = self.chunks.called(), if recorder.is_idle() => {
                        if !self.take_chunks(recorder).await? {
                            return Ok(());
                        }
                        continue;
                    }
                    packet = stream.next() => packet?,
                    durable = self.durable(awaited.as_ref()) => {
                        durable?;
                        self.settle(&mut awaited);
                        continue;
                    }
                }
            };
            more = packet.more_buffered;
            received += packet.event.len();
            self.metrics.events.inc();
            self.metrics.bytes.inc_by(packet.event.len() as u64);
            let Some(taken) = self.take(packet.event, recorder).await? else { return Ok(()) };
            let (now_in, position) = recorder.place();
            if now_in == file {
                self.status.set_offset(position);
            } else {
                self.status.set_file(now_in, position);
                file.clear();
                file.push_str(now_in);
            }
            if recorder.is_idle() && !self.take_chunks(recorder).await? {
                return Ok(());
            }
            if !more && recorder.is_idle() {
                recorder.appender().seal();
            }
            // What is not selected counts too: its checkpoint is to follow, also when the stream never pauses.
            if !more || recorder.unsubmitted().max(received) >= SUBMIT_BYTES {
                received = 0;
                let logged = recorder.has_logged();
                if !self.submit(recorder).await? {
                    return Ok(());
                }
                if recorder.is_idle() {
                    self.reach(recorder, logged, taken == Taken::Heartbeat, &mut awaited);
                }
                self.settle(&mut awaited);
            }
        }
    }

    /// Notes what is to be said once all that came is durable. One thing at a time, so that a stream that never pauses
    /// gets there.
    fn reach(&self, recorder: &mut Recorder, logged: bool, heartbeat: bool, awaited: &mut Option<Awaited>) {
        let since = logged.then(Instant::now).or(awaited.as_ref().and_then(|awaited| awaited.since));
        let all_until_us = match recorder.newest_us() {
            // The source has nothing more.
            _ if heartbeat => status::now_us(),
            Some(source_us) if awaited.is_none() => source_us.saturating_sub(self.status.clock_offset_us()),
            _ => return,
        };
        *awaited = Some(Awaited { seq: recorder.appender().last_seq(), since, all_until_us });
    }

    /// Resolves when what is awaited is durable; never when nothing is.
    async fn durable(&self, awaited: Option<&Awaited>) -> Result<(), CaptureError> {
        match awaited {
            Some(awaited) => self.store.durable().wait(awaited.seq).await.map(drop).map_err(Into::into),
            None => std::future::pending().await,
        }
    }

    fn settle(&self, awaited: &mut Option<Awaited>) {
        let durable = self.store.durable();
        let Some(reached) = awaited.take_if(|awaited| durable.seq() >= awaited.seq) else { return };
        if let Some(since) = reached.since {
            self.metrics.commit_latency.observe(since.elapsed().as_secs_f64());
        }
        self.status.confirm_until(reached.all_until_us, durable.visible().0);
    }

    /// Takes one event with all that is in it; none at shutdown.
    async fn take(&self, raw: &[u8], recorder: &mut Recorder) -> Result<Option<Taken>, CaptureError> {
        let received_us = now_us();
        let taken = recorder.take(raw, received_us)?;
        let go_on = match &taken {
            Taken::Done | Taken::Heartbeat => true,
            Taken::Payload => self.unpack(raw, recorder, received_us).await?,
            Taken::Prepared(range) => {
                let go_on = self.copy(range, recorder).await?;
                if go_on {
                    recorder.finish_prepared(range, raw, received_us)?;
                }
                go_on
            }
        };
        Ok(go_on.then_some(taken))
    }

    /// Unpacks a compressed transaction, as fast as the log takes it. False at shutdown.
    async fn unpack(&self, raw: &[u8], recorder: &mut Recorder, received_us: u64) -> Result<bool, CaptureError> {
        let mut payload = recorder.open_payload(raw)?;
        loop {
            let Some(inner) = payload.next_inner().map_err(|source| recorder.locate(source.into(), raw))? else {
                return Ok(true);
            };
            recorder.take_inner(inner.raw, inner.last, received_us)?;
            if recorder.unsubmitted() >= SUBMIT_BYTES && !self.submit(recorder).await? {
                return Ok(false);
            }
        }
    }

    /// Copies prepared rows from the log into the transaction that commits them, block by block. False at shutdown.
    async fn copy(&self, range: &PreparedRange, recorder: &mut Recorder) -> Result<bool, CaptureError> {
        // They may have been prepared a moment ago: what is read must have been written.
        recorder.appender().seal();
        if !self.submit(recorder).await? {
            return Ok(false);
        }
        self.store.durable().wait(range.last).await?;
        let mut reader = self.store.reader().with_hidden();
        let mut from = range.first;
        while from <= range.last {
            let (back, block) = read_block(reader, from).await?;
            reader = back;
            let context = Context::parse(block.context())?;
            let entries = block.all_entries().map(|marked| marked.entry);
            let mut wanted = entries.filter(|entry| (range.first..=range.last).contains(&entry.seq));
            recorder.copy_prepared(&context, &mut wanted)?;
            from = block.last_seq().next();
            if !self.submit(recorder).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Between transactions: does what readers of tables ask for, and appends the chunks whose place is here. False at
    /// shutdown.
    async fn take_chunks(&self, recorder: &mut Recorder) -> Result<bool, CaptureError> {
        if !(self.chunks.is_called() || recorder.has_waiting_chunk()) || !recorder.takes_chunks() {
            return Ok(true);
        }
        for request in self.chunks.take() {
            if let Some(Request::Mark { mark, note, reply }) = recorder.answer(request) {
                recorder.log_mark(&mark, note, now_us())?;
                recorder.appender().seal();
                if !self.submit(recorder).await? {
                    return Ok(false);
                }
                // Who does not wait for it any more finds it in the log.
                let _told = reply.send(());
            }
        }
        while let Some(mut chunk) = recorder.due_chunk(now_us()) {
            recorder.begin_chunk(&mut chunk)?;
            while recorder.append_rows(&mut chunk)? {
                if recorder.unsubmitted() >= SUBMIT_BYTES && !self.submit(recorder).await? {
                    return Ok(false);
                }
            }
            recorder.end_chunk(&chunk)?;
            recorder.appender().seal();
            if !self.submit(recorder).await? {
                return Ok(false);
            }
            recorder.tell(chunk);
        }
        Ok(true)
    }

    /// Hands what is sealed to the writer and waits for room as long as it takes. False at shutdown.
    async fn submit(&self, recorder: &mut Recorder) -> Result<bool, CaptureError> {
        let ended = recorder.take_ended();
        self.metrics.transactions.inc_by(ended.logged);
        self.metrics.unselected.inc_by(ended.unselected);
        while recorder.appender().submit()? == Submit::Full {
            let space = recorder.appender().space();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(false),
                room = space => room?,
            }
        }
        Ok(true)
    }

    /// The stream is over: an open transaction is abandoned, and what was committed is handed over without waiting
    /// long, because what does not fit is captured again from the checkpoint.
    async fn close(&self, recorder: &mut Recorder) -> Result<(), CaptureError> {
        let appender = recorder.appender();
        if appender.abandon().is_some() {
            self.metrics.abandoned.inc();
        }
        appender.seal();
        if appender.submit()? == Submit::Done && self.shutdown.is_cancelled() {
            let last = appender.last_seq();
            self.store.durable().wait(last).await?;
        }
        Ok(())
    }
}

/// Reads the block that holds `from` on a thread that may block; gives the reader back.
async fn read_block(mut reader: Reader, from: Seq) -> Result<(Reader, Block), CaptureError> {
    let read = move || -> Result<(Reader, Block), ReadError> {
        match reader.read(from)? {
            Read::Block(raw) => Ok((reader, raw.decode()?)),
            Read::Gap(gap) => Err(ReadError::Gap(gap)),
            Read::CaughtUp => {
                let what = "prepared rows are durable and not readable".to_owned();
                let reason = GapReason::Damaged { segment: from, offset: 0, what };
                Err(ReadError::Gap(Gap { first: from, last: from, reason }))
            }
        }
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => Ok(read?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Microseconds since the Unix epoch.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
