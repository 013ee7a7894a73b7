//! Packets of the client/server protocol over any byte stream: framing, the receive buffer, sequence numbers.
//!
//! A packet is length `u24` little-endian, sequence `u8`, payload; a payload of 2^24-1 bytes goes on in the next
//! packet (dev.mysql.com/doc/dev/mysql-server, "MySQL Packets"). A message that lies whole in the receive buffer is
//! handed out where it lies; a larger one is joined in a buffer of its own, which grows only as bytes arrive.

use std::io;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::error::StreamError;

/// Any stream that a connection may run over: TCP, TLS, a script in tests.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Largest message of a server: an event of 1 GiB and its status byte.
pub(super) const MESSAGE_MAX: usize = (1 << 30) + 64;
/// Payload length that says that the message goes on.
const CONTINUED: usize = 0xFF_FFFF;
/// Receive buffer of a connection that asks and answers.
const QUERY_BUFFER: usize = 16 << 10;
/// Receive buffer of a dump: one read fills it, so a full-rate stream costs two system calls a megabyte.
const DUMP_BUFFER: usize = 512 << 10;
/// A join buffer above this is given back after its message.
const JOINED_KEPT: usize = 4 << 20;

/// Where the bytes of a message lie.
#[derive(Debug)]
pub(super) enum Message {
    /// Whole in the receive buffer.
    Buffered(Range<usize>),
    /// In the join buffer.
    Joined,
}

/// A message that is being joined; kept across cancelled waits.
#[derive(Debug)]
struct Joining {
    /// Bytes of the current packet still to come.
    left: usize,
    /// Whether another packet follows the current one.
    continued: bool,
}

/// Reads and writes messages. Dropping a wait in its middle loses nothing.
pub(super) struct Packets {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    joined: Vec<u8>,
    joining: Option<Joining>,
    sequence: u8,
    /// How long this side has waited since bytes last came. Time in which nobody waited does not count:
    /// a slow disk here is no silence of the server.
    waited: Duration,
}

impl Packets {
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            buffer: vec![0; QUERY_BUFFER],
            start: 0,
            end: 0,
            joined: Vec::new(),
            joining: None,
            sequence: 0,
            waited: Duration::ZERO,
        }
    }

    /// Takes the stream out, to wrap it in TLS. Bytes that came ahead of the TLS handshake are refused: they
    /// were sent by someone who is not part of it.
    pub(super) fn into_wire(self) -> Result<(Box<dyn Wire>, u8), StreamError> {
        if self.start == self.end {
            Ok((self.wire, self.sequence))
        } else {
            Err(StreamError::Protocol("bytes ahead of TLS"))
        }
    }

    /// Goes on with a sequence number after TLS was put between.
    pub(super) fn with_sequence(mut self, sequence: u8) -> Self {
        self.sequence = sequence;
        self
    }

    /// Enlarges the receive buffer for a dump.
    pub(super) fn widen(&mut self) {
        self.buffer.resize(DUMP_BUFFER, 0);
    }

    /// Begins a new exchange: the next packet, of either side, has sequence 0.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Sends one message. Ours are small; one of 16 MiB is a bug of the caller.
    pub(super) async fn send(&mut self, payload: &[u8], patience: Duration) -> Result<(), StreamError> {
        assert!(payload.len() < CONTINUED, "a command fits one packet");
        let length = (payload.len() as u32).to_le_bytes();
        let mut packet = Vec::with_capacity(payload.len() + 4);
        packet.extend_from_slice(&[length[0], length[1], length[2], self.sequence]);
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        let write = async {
            self.wire.write_all(&packet).await?;
            self.wire.flush().await
        };
        timeout(patience, write).await.map_err(|_| StreamError::Silent(patience))?.map_err(broken)
    }

    /// The next message. The place stays valid until the next call that takes `&mut self`.
    ///
    /// # Errors
    /// Closed, broken, out of sequence, too large, or no byte for `patience`.
    pub(super) async fn receive(&mut self, patience: Duration) -> Result<Message, StreamError> {
        if self.joining.is_none() && self.joined.capacity() > JOINED_KEPT {
            self.joined = Vec::new();
        }
        loop {
            if self.joining.is_some() {
                if self.join()? {
                    return Ok(Message::Joined);
                }
            } else if let Some(length) = self.announced() {
                if length < CONTINUED && length + 4 <= self.buffer.len() {
                    if self.end - self.start >= length + 4 {
                        self.take_header()?;
                        let place = self.start..self.start + length;
                        self.start += length;
                        return Ok(Message::Buffered(place));
                    }
                } else {
                    self.joined.clear();
                    self.begin_packet()?;
                    continue;
                }
            }
            self.fill(patience).await?;
        }
    }

    /// The bytes of a message.
    pub(super) fn bytes(&self, message: &Message) -> &[u8] {
        match message {
            Message::Buffered(place) => &self.buffer[place.clone()],
            Message::Joined => &self.joined,
        }
    }

    /// Whether another whole message is in the receive buffer, so that the next wait will not wait.
    pub(super) fn has_more(&self) -> bool {
        self.announced().is_some_and(|length| length < CONTINUED && self.end - self.start >= length + 4)
    }

    /// The announced length of the packet whose header is at hand.
    fn announced(&self) -> Option<usize> {
        let head = self.buffer[self.start..self.end].first_chunk::<4>()?;
        Some(u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize)
    }

    fn take_header(&mut self) -> Result<(), StreamError> {
        if self.buffer[self.start + 3] != self.sequence {
            return Err(StreamError::Protocol("a packet out of sequence"));
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.start += 4;
        Ok(())
    }

    /// Takes the header of a packet whose payload goes to the join buffer.
    fn begin_packet(&mut self) -> Result<(), StreamError> {
        let left = self.announced().expect("called when a header is at hand");
        if self.joined.len() + left > MESSAGE_MAX {
            return Err(StreamError::TooLarge(MESSAGE_MAX));
        }
        self.take_header()?;
        self.joining = Some(Joining { left, continued: left == CONTINUED });
        Ok(())
    }

    /// Moves what has come into the join buffer; true when the message is whole.
    fn join(&mut self) -> Result<bool, StreamError> {
        while let Some(joining) = &mut self.joining {
            let take = joining.left.min(self.end - self.start);
            reserve(&mut self.joined, take);
            self.joined.extend_from_slice(&self.buffer[self.start..self.start + take]);
            self.start += take;
            joining.left -= take;
            if joining.left > 0 {
                return Ok(false);
            }
            if !joining.continued {
                self.joining = None;
                return Ok(true);
            }
            if self.announced().is_none() {
                return Ok(false);
            }
            self.begin_packet()?;
        }
        Ok(false)
    }

    /// Waits for bytes. Cancelling it loses none and keeps count of the wait.
    async fn fill(&mut self, patience: Duration) -> Result<(), StreamError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let waiting = Waiting { since: Instant::now(), waited: &mut self.waited };
        let left = patience.saturating_sub(*waiting.waited);
        let read = timeout(left, self.wire.read(&mut self.buffer[self.end..])).await;
        drop(waiting);
        match read {
            Err(_) => Err(StreamError::Silent(patience)),
            Ok(Err(e)) => Err(broken(e)),
            Ok(Ok(0)) => Err(StreamError::Closed),
            Ok(Ok(count)) => {
                self.waited = Duration::ZERO;
                self.end += count;
                Ok(())
            }
        }
    }
}

/// Grows by half as bytes arrive, never by what a header claims; so the buffer of the largest event holds at
/// most half of it unused.
fn reserve(joined: &mut Vec<u8>, more: usize) {
    if joined.capacity() - joined.len() < more {
        joined.reserve_exact(more.max(joined.len() / 2));
    }
}

/// Adds the time of a wait also when the wait is cancelled.
struct Waiting<'a> {
    since: Instant,
    waited: &'a mut Duration,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.waited += self.since.elapsed();
    }
}

fn broken(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            StreamError::Closed
        }
        _ => StreamError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_le_bytes();
        [&length[..3], &[sequence], payload].concat()
    }

    async fn receive(packets: &mut Packets) -> Result<Vec<u8>, StreamError> {
        let message = packets.receive(PATIENCE).await?;
        Ok(packets.bytes(&message).to_vec())
    }

    fn scripted(bytes: Vec<u8>, step: usize) -> Packets {
        let (ours, mut theirs) = duplex(step);
        tokio::spawn(async move { theirs.write_all(&bytes).await });
        Packets::new(Box::new(ours))
    }

    #[tokio::test]
    async fn messages_come_whole_however_the_bytes_arrive() {
        for step in [1, 3, 7, 1 << 20] {
            let script = [packet(0, b"one"), packet(1, b""), packet(2, &[7; 5000])].concat();
            let mut packets = scripted(script, step);
            assert_eq!(receive(&mut packets).await.unwrap(), b"one");
            assert_eq!(receive(&mut packets).await.unwrap(), b"");
            assert_eq!(receive(&mut packets).await.unwrap(), vec![7; 5000]);
            assert!(matches!(receive(&mut packets).await, Err(StreamError::Closed)));
        }
    }

    #[tokio::test]
    async fn a_message_beyond_the_buffer_is_joined_across_packets() {
        let long: Vec<u8> = (0..CONTINUED + 1000).map(|i| (i % 251) as u8).collect();
        for tail in [long.len(), CONTINUED] {
            let script =
                [packet(0, &long[..CONTINUED]), packet(1, &long[CONTINUED..tail]), packet(2, b"next")].concat();
            let mut packets = scripted(script, 100_000);
            assert!(receive(&mut packets).await.unwrap() == long[..tail], "joined in order");
            assert_eq!(receive(&mut packets).await.unwrap(), b"next");
            assert!(packets.joined.capacity() <= JOINED_KEPT, "the join buffer is given back");
        }
    }

    #[tokio::test]
    async fn more_is_announced_only_for_whole_messages() {
        let mut script = [packet(0, b"a"), packet(1, b"bcd")].concat();
        script.extend_from_slice(&packet(2, b"late")[..6]);
        let mut packets = scripted(script, 1 << 20);
        assert_eq!(receive(&mut packets).await.unwrap(), b"a");
        assert!(packets.has_more());
        assert_eq!(receive(&mut packets).await.unwrap(), b"bcd");
        assert!(!packets.has_more());
    }

    #[tokio::test]
    async fn a_sequence_gap_is_an_error() {
        let mut packets = scripted([packet(0, b"a"), packet(2, b"b")].concat(), 100);
        receive(&mut packets).await.unwrap();
        assert!(matches!(receive(&mut packets).await, Err(StreamError::Protocol(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_also_when_the_wait_is_cancelled_again_and_again() {
        let (ours, _theirs) = duplex(64);
        let mut packets = Packets::new(Box::new(ours));
        let begun = Instant::now();
        let error = loop {
            if let Ok(answer) = timeout(Duration::from_secs(1), packets.receive(PATIENCE)).await {
                break answer.unwrap_err();
            }
        };
        assert!(matches!(error, StreamError::Silent(_)), "{error}");
        assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waited_is_not_the_servers_silence() {
        let (ours, mut theirs) = duplex(64);
        let mut packets = Packets::new(Box::new(ours));
        let _ = timeout(Duration::from_secs(1), packets.receive(PATIENCE)).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            theirs.write_all(&packet(0, b"here")).await
        });
        assert_eq!(receive(&mut packets).await.unwrap(), b"here");
    }

    #[tokio::test]
    async fn a_cancelled_wait_loses_no_byte_of_a_joined_message() {
        let long = vec![9_u8; 40_000]; // beyond the receive buffer
        let script = [packet(0, &long), packet(1, b"end")].concat();
        let (ours, mut theirs) = duplex(1000);
        tokio::spawn(async move {
            for part in script.chunks(700) {
                theirs.write_all(part).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, io::Error>(theirs)
        });
        let mut packets = Packets::new(Box::new(ours));
        let got = loop {
            if let Ok(message) = timeout(Duration::from_micros(300), packets.receive(PATIENCE)).await {
                break packets.bytes(&message.unwrap()).to_vec();
            }
        };
        assert!(got == long);
        assert_eq!(receive(&mut packets).await.unwrap(), b"end");
    }
}
