//! A TCP proxy before a database server that knows packets and binlog events: it cuts or holds a dump behind a chosen
//! event of a chosen transaction, and shuts the server off. For connections without TLS.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::servers::Database;

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
/// A packet of this length goes on in the next one.
const PACKET_BYTES_MAX: usize = 0xff_ffff;
/// GTID, anonymous GTID and tagged GTID of MySQL, GTID of MariaDB: a transaction begins.
const BEGINS: [u8; 4] = [33, 34, 42, 162];
/// Rotate, format description and heartbeats: no part of a transaction.
const APART: [u8; 4] = [4, 15, 27, 41];

/// What happens to the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends behind the event.
    Cut,
    /// The connection ends in the middle of the next event.
    CutInside,
    /// Nothing comes behind the event, until [`Proxy::disarm`].
    Hold,
}

/// A fault that waits for its event.
#[derive(Debug, Clone)]
struct Armed {
    text: Vec<u8>,
    left: usize,
    fault: Fault,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Armed>,
    /// Counts what is armed and disarmed, so that a dump that is held knows when its time is over.
    turn: u64,
    fired: bool,
    shut: bool,
    closed: bool,
    /// Both ends of each connection, by its number.
    open: BTreeMap<u64, [TcpStream; 2]>,
    connections: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the proxy panics with it")
    }
}

/// The proxy; closes with all its connections when dropped.
pub struct Proxy {
    port: u16,
    server: Database,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy on a port of its own that passes everything on.
    pub fn before(server: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let (of_thread, target) = (Arc::clone(&shared), server.port);
        let listening = std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut state = of_thread.state();
                if state.closed {
                    return;
                }
                let Ok(client) = client else { continue };
                if state.shut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                // An answer of several small packets waits for nobody.
                [&client, &server].iter().for_each(|stream| stream.set_nodelay(true).expect("a socket"));
                state.connections += 1;
                let number = state.connections;
                state.open.insert(number, [twice(&client), twice(&server)]);
                drop(state);
                serve(number, client, server, &of_thread);
            }
        });
        Self { port, server: server.clone(), shared, listening: Some(listening) }
    }

    /// The server's address by way of the proxy.
    pub fn database(&self) -> Database {
        Database { port: self.port, ..self.server.clone() }
    }

    /// The fault strikes once, behind `events` events of transactions whose second event (BEGIN, the statement, the first
    /// table map) holds the text; their events are counted together, from the first GTID event on.
    pub fn arm(&self, text: &str, events: usize, fault: Fault) {
        let mut state = self.shared.state();
        state.armed = Some(Armed { text: text.into(), left: events, fault });
        state.turn += 1;
        state.fired = false;
    }

    /// No fault is to come, and what is held goes on.
    pub fn disarm(&self) {
        let mut state = self.shared.state();
        state.armed = None;
        state.turn += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until the fault has struck; whether it has.
    pub fn wait_fired(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.state();
        while !state.fired {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).expect("unpoisoned").0;
        }
        true
    }

    /// The server is gone: connections end, and no new one is answered, until [`Proxy::open`].
    pub fn shut(&self) {
        let mut state = self.shared.state();
        state.shut = true;
        close_all(&mut state);
    }

    /// The server is there again.
    pub fn open(&self) {
        self.shared.state().shut = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.disarm();
        let mut state = self.shared.state();
        state.closed = true;
        close_all(&mut state);
        drop(state);
        // Wakes the listener; when that fails it has ended already.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn close_all(state: &mut State) {
    std::mem::take(&mut state.open).into_values().flatten().for_each(|stream| close(&stream));
}

fn twice(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a second handle")
}

fn close(stream: &TcpStream) {
    // It may be closed already.
    let _ = stream.shutdown(Shutdown::Both);
}

/// Moves the bytes of one connection, each direction on a thread, until either side ends it.
fn serve(number: u64, client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let dumps = Arc::new(AtomicBool::new(false));
    let (from, to, asks, of_commands) = (twice(&client), twice(&server), Arc::clone(&dumps), Arc::clone(shared));
    std::thread::spawn(move || {
        // An end of the connection is no error here.
        let _ = commands(&from, &to, &asks);
        end(number, &of_commands);
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let _ = answers(&server, &client, &dumps, &shared);
        end(number, &shared);
    });
}

/// Both ends of a connection are closed for good: a server that writes to one that is only shut down waits for it, and
/// lets nobody else read under the same server id meanwhile.
fn end(number: u64, shared: &Shared) {
    if let Some(streams) = shared.state().open.remove(&number) {
        streams.iter().for_each(close);
    }
}

/// One packet with its header; none at the end of the stream.
fn packet(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}

fn commands(from: &TcpStream, mut to: &TcpStream, dumps: &AtomicBool) -> io::Result<()> {
    let mut from = io::BufReader::new(from);
    loop {
        let packet = packet(&mut from)?;
        // A command begins a conversation: its packet has number 0.
        if packet[3] == 0 && matches!(packet.get(4), Some(&(COM_BINLOG_DUMP | COM_BINLOG_DUMP_GTID))) {
            dumps.store(true, Ordering::SeqCst);
        }
        to.write_all(&packet)?;
    }
}

fn answers(from: &TcpStream, mut to: &TcpStream, dumps: &AtomicBool, shared: &Shared) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(256 << 10, from);
    let (mut begins, mut chosen, mut goes_on) = (None::<Vec<u8>>, false, false);
    loop {
        let packet = packet(&mut from)?;
        let is_event = !goes_on && dumps.load(Ordering::SeqCst) && packet.get(4) == Some(&0);
        goes_on = packet.len() == 4 + PACKET_BYTES_MAX;
        let Some(&kind) = packet.get(9).filter(|_| is_event) else {
            to.write_all(&packet)?;
            continue;
        };
        if APART.contains(&kind) {
            to.write_all(&packet)?;
        } else if BEGINS.contains(&kind) {
            // The next event tells whose transaction it is.
            begins = Some(packet);
        } else {
            if let Some(first) = begins.take() {
                let armed = shared.state().armed.clone();
                chosen = armed.is_some_and(|armed| packet.windows(armed.text.len()).any(|w| w == armed.text));
                pass(to, &first, chosen, shared)?;
            }
            pass(to, &packet, chosen, shared)?;
        }
    }
}

/// Passes an event on, and does what is armed for its place.
fn pass(mut to: &TcpStream, packet: &[u8], chosen: bool, shared: &Shared) -> io::Result<()> {
    let ended = || io::Error::from(io::ErrorKind::ConnectionAborted);
    if !chosen {
        return to.write_all(packet);
    }
    let mut state = shared.state();
    let Some(armed) = state.armed.as_mut() else {
        drop(state);
        return to.write_all(packet);
    };
    if armed.left == 0 {
        let fault = armed.fault;
        fire(&mut state, shared);
        let turn = state.turn;
        match fault {
            Fault::Cut => return Err(ended()),
            Fault::CutInside => {
                to.write_all(&packet[..packet.len() / 2])?;
                return Err(ended());
            }
            Fault::Hold => {
                while state.turn == turn && !state.closed {
                    state = shared.changed.wait(state).expect("unpoisoned");
                }
            }
        }
        drop(state);
        return to.write_all(packet);
    }
    armed.left -= 1;
    let last = armed.left == 0 && armed.fault == Fault::Cut;
    if last {
        fire(&mut state, shared);
    }
    drop(state);
    to.write_all(packet)?;
    if last { Err(ended()) } else { Ok(()) }
}

fn fire(state: &mut State, shared: &Shared) {
    state.armed = None;
    state.fired = true;
    shared.changed.notify_all();
}
