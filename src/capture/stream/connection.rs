//! A connection to the source: TCP, TLS, login, and statements in the text protocol.

use std::fmt;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::auth::{Plugin, encrypt_password};
use super::error::{ServerError, StreamError, TlsError};
use super::packet::Packets;
use super::reply::{Cursor, RowSet, server_error};
use super::tls::{connector, encrypt};
use crate::config::{Secret, Source, Tls, TlsMode};

/// How long a message of the login may be on its way, and one of ours to the server.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long the server may think about a statement. information_schema of 100,000 tables takes minutes on 5.6.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(600);

/// The capability flags we know (dev.mysql.com/doc/dev/mysql-server, "Capabilities Flags").
mod capability {
    pub const LONG_PASSWORD: u32 = 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const PLUGIN_AUTH_LENENC_DATA: u32 = 1 << 21;
}

/// utf8mb4_general_ci: every server from 5.6 on has it, and it makes every answer UTF-8.
const COLLATION: u8 = 45;
const COM_QUERY: u8 = 0x03;

/// Where and as whom to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account name.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Protection of the connection.
    pub tls: Tls,
    /// How long it may take until the login is done.
    pub timeout: Duration,
}

impl ConnectOptions {
    /// One for each host of the source, in the order in which they are tried.
    pub fn each_host(source: &Source) -> impl Iterator<Item = Self> + '_ {
        source.hosts.iter().map(|(host, port)| Self {
            host: host.clone(),
            port: *port,
            user: source.user.clone(),
            password: source.password.clone(),
            tls: source.tls.clone(),
            timeout: source.connect_timeout.0,
        })
    }

    /// Host and port as one text.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// What the server says of itself before the login.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Greeting {
    version: String,
    connection_id: u32,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Vec<u8>,
}

/// A logged-in connection.
pub struct Connection {
    pub(super) packets: Packets,
    address: String,
    version: String,
    connection_id: u32,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("version", &self.version)
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, protects the connection as `options.tls` demands, and logs in.
    ///
    /// # Errors
    /// Unreachable, TLS not as demanded, login refused, or not done in time.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, StreamError> {
        timeout(options.timeout, Self::open(options)).await.map_err(|_| StreamError::Silent(options.timeout))?
    }

    async fn open(options: &ConnectOptions) -> Result<Self, StreamError> {
        let unreachable = |source| StreamError::Connect { address: options.address(), source };
        let tcp = TcpStream::connect((options.host.as_str(), options.port)).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        // The protocol's own heartbeat notices a dead server sooner; this is for connections that wait for an answer.
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        SockRef::from(&tcp).set_tcp_keepalive(&keepalive).map_err(unreachable)?;
        Self::log_in(Packets::new(Box::new(tcp)), options).await
    }

    pub(super) async fn log_in(mut packets: Packets, options: &ConnectOptions) -> Result<Self, StreamError> {
        let message = packets.receive(CONNECT_PATIENCE).await?;
        let bytes = packets.bytes(&message);
        if bytes.first() == Some(&0xFF) {
            return Err(login_refused(options, server_error(bytes)));
        }
        let greeting = Greeting::parse(bytes).ok_or(StreamError::Protocol("no greeting of protocol version 10"))?;
        let capabilities = greeting.usable_capabilities(options.tls.mode)?;
        let encrypted = options.tls.mode != TlsMode::Disabled;
        if encrypted {
            packets = Self::start_tls(packets, &greeting, capabilities, options).await?;
        }
        // The account's plugin is not known yet: answer in the server's default, and be asked to switch if need be.
        let plugin = Plugin::from_name(&greeting.plugin).unwrap_or(Plugin::Native);
        let answer = plugin.answer(options.password.expose().as_bytes(), &greeting.nonce);
        packets.send(&login_request(capabilities, options, plugin, &answer), CONNECT_PATIENCE).await?;
        authenticate(&mut packets, options, plugin, greeting.nonce, encrypted).await?;
        Ok(Self {
            packets,
            address: options.address(),
            version: greeting.version,
            connection_id: greeting.connection_id,
        })
    }

    async fn start_tls(
        mut packets: Packets,
        greeting: &Greeting,
        capabilities: u32,
        options: &ConnectOptions,
    ) -> Result<Packets, StreamError> {
        let failed = |source| StreamError::Tls { address: options.address(), source };
        if greeting.capabilities & capability::SSL == 0 {
            return Err(failed(TlsError::NotOffered));
        }
        let connector = connector(&options.tls).map_err(failed)?;
        packets.send(&request_head(capabilities), CONNECT_PATIENCE).await?;
        let (wire, sequence) = packets.into_wire()?;
        let wire = encrypt(wire, &connector, &options.host).await.map_err(failed)?;
        Ok(Packets::new(wire).with_sequence(sequence))
    }

    /// The server's version text, without the `5.5.5-` that MariaDB puts in front for old replicas.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's number for this connection, as `SHOW PROCESSLIST` lists it.
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// Host and port that this connection leads to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs a statement that answers no rows.
    ///
    /// # Errors
    /// The server's refusal, or a broken connection.
    pub async fn execute(&mut self, sql: &str) -> Result<(), StreamError> {
        self.query(sql).await.map(drop)
    }

    /// Runs a statement and collects its rows; empty for one that answers none.
    ///
    /// # Errors
    /// The server's refusal, or a broken connection.
    pub async fn query(&mut self, sql: &str) -> Result<RowSet, StreamError> {
        self.packets.begin();
        self.packets.send(&[&[COM_QUERY], sql.as_bytes()].concat(), CONNECT_PATIENCE).await?;
        let failed = |source| StreamError::Statement { statement: shorten(sql), source };
        let columns = match self.reply().await? {
            [0x00, ..] => return Ok(RowSet::default()),
            bytes @ [0xFF, ..] => return Err(failed(server_error(bytes))),
            [0xFB, ..] => return Err(StreamError::Protocol("a request for a local file")),
            bytes => Cursor(bytes).lenenc_int().ok_or(StreamError::Protocol("no column count"))?,
        };
        let mut rows = RowSet::default();
        for _ in 0..columns {
            rows.push_column(self.reply().await?)?;
        }
        if !is_eof(self.reply().await?) {
            return Err(StreamError::Protocol("no end of the columns"));
        }
        loop {
            match self.reply().await? {
                bytes if is_eof(bytes) => return Ok(rows),
                bytes @ [0xFF, ..] => return Err(failed(server_error(bytes))),
                bytes => rows.push_row(bytes)?,
            }
        }
    }

    pub(super) async fn reply(&mut self) -> Result<&[u8], StreamError> {
        let message = self.packets.receive(STATEMENT_PATIENCE).await?;
        Ok(self.packets.bytes(&message))
    }

    /// Sends a command that is answered with OK or an error.
    pub(super) async fn command(&mut self, name: &str, payload: &[u8]) -> Result<(), StreamError> {
        self.packets.begin();
        self.packets.send(payload, CONNECT_PATIENCE).await?;
        match self.reply().await? {
            [0x00, ..] => Ok(()),
            bytes @ [0xFF, ..] => {
                Err(StreamError::Statement { statement: name.to_owned(), source: server_error(bytes) })
            }
            _ => Err(StreamError::Protocol("neither OK nor an error")),
        }
    }

    /// Sends a dump request, after which the connection is a stream of events.
    pub(super) async fn into_dump(mut self, request: &[u8]) -> Result<Packets, StreamError> {
        self.packets.widen();
        self.packets.begin();
        self.packets.send(request, CONNECT_PATIENCE).await?;
        Ok(self.packets)
    }
}

/// Whether it ends columns or rows. A row can begin with 0xFE too, but is then longer.
pub(super) fn is_eof(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0xFE) && bytes.len() < 9
}

pub(super) fn shorten(sql: &str) -> String {
    let text: String = sql.chars().take(120).collect();
    if text.len() < sql.len() { text + "..." } else { text }
}

fn login_refused(options: &ConnectOptions, source: ServerError) -> StreamError {
    StreamError::Login { address: options.address(), user: options.user.clone(), source }
}

/// Answers the server until it says yes or no.
async fn authenticate(
    packets: &mut Packets,
    options: &ConnectOptions,
    mut plugin: Plugin,
    mut nonce: Vec<u8>,
    encrypted: bool,
) -> Result<(), StreamError> {
    const FULL_AUTHENTICATION: u8 = 4;
    const FAST_SUCCESS: u8 = 3;
    const REQUEST_PUBLIC_KEY: u8 = 2;
    let password = options.password.expose().as_bytes();
    // A switch, a cache miss and a key: more rounds than that lead nowhere.
    for _ in 0..8 {
        let message = packets.receive(CONNECT_PATIENCE).await?;
        let answer = match packets.bytes(&message) {
            [0x00, ..] => return Ok(()),
            bytes @ [0xFF, ..] => return Err(login_refused(options, server_error(bytes))),
            [0xFE, request @ ..] => {
                let zero = request.iter().position(|&b| b == 0).unwrap_or(request.len());
                let (name, data) = (&request[..zero], request.get(zero + 1..).unwrap_or_default());
                plugin = Plugin::from_name(name).ok_or_else(|| StreamError::AuthPlugin {
                    address: options.address(),
                    user: options.user.clone(),
                    // An empty request is the way servers ask for the hash of MySQL 4.0.
                    plugin: if name.is_empty() { "mysql_old_password".into() } else { text(name) },
                })?;
                nonce = data.strip_suffix(&[0]).unwrap_or(data).to_vec();
                plugin.answer(password, &nonce)
            }
            [0x01, FAST_SUCCESS] if plugin == Plugin::CachingSha2 => continue,
            [0x01, FULL_AUTHENTICATION] if plugin == Plugin::CachingSha2 => {
                if encrypted {
                    [password, &[0]].concat()
                } else {
                    vec![REQUEST_PUBLIC_KEY]
                }
            }
            [0x01, key @ ..] if plugin == Plugin::CachingSha2 && !encrypted => encrypt_password(password, &nonce, key)?,
            _ => return Err(StreamError::Protocol("an unexpected packet during login")),
        };
        packets.send(&answer, CONNECT_PATIENCE).await?;
    }
    Err(StreamError::Protocol("a login that does not end"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Greeting {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        (cursor.take(1)? == [10]).then_some(())?;
        let version = text(cursor.until_zero()?);
        let connection_id = cursor.u32()?;
        let mut nonce = cursor.take(8)?.to_vec();
        cursor.take(1)?;
        let low = u32::from(cursor.u16()?);
        cursor.take(3)?; // collation, status
        let capabilities = low | u32::from(cursor.u16()?) << 16;
        let nonce_length = usize::from(cursor.take(1)?[0]);
        cursor.take(10)?;
        if capabilities & capability::SECURE_CONNECTION != 0 {
            let rest = cursor.take(nonce_length.saturating_sub(8).max(13).min(cursor.0.len()))?;
            nonce.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(rest));
        }
        let plugin = cursor.0.split(|&b| b == 0).next().unwrap_or_default().to_vec();
        let version = version.strip_prefix("5.5.5-").map(str::to_owned).unwrap_or(version);
        Some(Self { version, connection_id, capabilities, nonce, plugin })
    }

    /// What both sides can do; an error when the server cannot do what every server from 5.6 on can.
    fn usable_capabilities(&self, tls: TlsMode) -> Result<u32, StreamError> {
        use capability::*;
        let needed = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
        if self.capabilities & needed != needed {
            return Err(StreamError::Protocol("a greeting of a server older than 5.6"));
        }
        let wanted = needed | LONG_PASSWORD | LONG_FLAG | TRANSACTIONS | PLUGIN_AUTH_LENENC_DATA;
        Ok(wanted & self.capabilities | if tls == TlsMode::Disabled { 0 } else { SSL })
    }
}

/// The fixed front of a login request; alone it asks for TLS.
fn request_head(capabilities: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(128);
    request.extend_from_slice(&capabilities.to_le_bytes());
    request.extend_from_slice(&(1_u32 << 30).to_le_bytes());
    request.push(COLLATION);
    request.extend_from_slice(&[0; 23]);
    request
}

fn login_request(capabilities: u32, options: &ConnectOptions, plugin: Plugin, answer: &[u8]) -> Vec<u8> {
    let mut request = request_head(capabilities);
    // A zero byte ends the name for the server, so nothing may hide behind one.
    request.extend(options.user.bytes().take_while(|&b| b != 0));
    request.push(0);
    // The longest answer is ed25519's 64 bytes, so the length is one byte in both encodings of it.
    request.push(u8::try_from(answer.len()).expect("answers are at most 64 bytes"));
    request.extend_from_slice(answer);
    request.extend_from_slice(plugin.name().as_bytes());
    request.push(0);
    request
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn options(mode: TlsMode) -> ConnectOptions {
        ConnectOptions {
            host: "db1".into(),
            port: 3306,
            user: "relay".into(),
            password: Secret::new("secret"),
            tls: Tls { mode, ca_file: None, cert_file: None, key_file: None },
            timeout: Duration::from_secs(10),
        }
    }

    fn greeting(capabilities: u32) -> Vec<u8> {
        let low = (capabilities as u16).to_le_bytes();
        let high = ((capabilities >> 16) as u16).to_le_bytes();
        let mut bytes = b"\x0a5.5.5-10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0".to_vec();
        bytes.extend_from_slice(&[low[0], low[1], 45, 2, 0, high[0], high[1], 21]);
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        bytes
    }

    fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
        [&[payload.len() as u8, 0, 0, sequence], payload].concat()
    }

    /// Lets a scripted server send `replies`, one for each message of ours after the greeting.
    async fn login(mode: TlsMode, capabilities: u32, replies: Vec<Vec<u8>>) -> Result<Connection, StreamError> {
        let (ours, mut theirs) = duplex(4096);
        tokio::spawn(async move {
            theirs.write_all(&framed(0, &greeting(capabilities))).await?;
            let mut buffer = vec![0; 4096];
            for (i, reply) in replies.into_iter().enumerate() {
                if theirs.read(&mut buffer).await? == 0 {
                    break;
                }
                theirs.write_all(&framed(2 + 2 * i as u8, &reply)).await?;
            }
            let _ = theirs.read(&mut buffer).await;
            Ok::<_, std::io::Error>(())
        });
        Connection::log_in(Packets::new(Box::new(ours)), &options(mode)).await
    }

    const ALL: u32 = capability::PROTOCOL_41 | capability::SECURE_CONNECTION | capability::PLUGIN_AUTH;

    #[test]
    fn every_cut_of_a_greeting_is_an_error_or_a_shorter_greeting() {
        let whole = greeting(ALL);
        let parsed = Greeting::parse(&whole).unwrap();
        assert_eq!(parsed.version, "10.11.6-MariaDB");
        assert_eq!(parsed.nonce, b"abcdefghijklmnopqrst");
        assert_eq!(parsed.plugin, b"mysql_native_password");
        for cut in 0..whole.len() {
            let _ = Greeting::parse(&whole[..cut]);
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_is_refused_in_every_mode_that_wants_it() {
        for mode in [TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
            let error = login(mode, ALL, vec![]).await.unwrap_err();
            assert!(matches!(error, StreamError::Tls { source: TlsError::NotOffered, .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_switch_to_an_unknown_plugin_names_it() {
        let error =
            login(TlsMode::Disabled, ALL, vec![b"\xfeauth_gssapi_client\0principal".to_vec()]).await.unwrap_err();
        assert!(matches!(&error, StreamError::AuthPlugin { plugin, .. } if plugin == "auth_gssapi_client"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_login_keeps_the_servers_words() {
        let error = login(TlsMode::Disabled, ALL, vec![b"\xff\x15\x04#28000Access denied".to_vec()]).await.unwrap_err();
        let StreamError::Login { source, .. } = &error else { panic!("{error}") };
        assert_eq!((source.code, source.state.as_str(), source.message.as_str()), (1045, "28000", "Access denied"));
        assert!(!format!("{error:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_login_that_never_ends_is_ended() {
        let switch = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0".to_vec();
        let error = login(TlsMode::Disabled, ALL, vec![switch; 20]).await.unwrap_err();
        assert!(matches!(error, StreamError::Protocol(_)), "{error}");
    }
}
