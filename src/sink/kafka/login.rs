//! A login over a connection of our own (KIP-43, KIP-84; SCRAM is RFC 5802 and RFC 7677).

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

use super::config::{KafkaConfig, SaslMechanism, Security};
use super::wire::{Bytes, Request, Wire, exchange};
use crate::format::text::{read_base64, write_base64};

const HANDSHAKE: u16 = 17;
const HANDSHAKE_VERSION: u16 = 1;
const AUTHENTICATE: u16 = 36;
const AUTHENTICATE_VERSION: u16 = 0;
/// An answer has some hundred bytes.
const ANSWER_BYTES_MAX: usize = 1 << 16;
/// Most rounds of hashing that a server may ask for: a second's worth.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Proves the account, where the settings have one.
///
/// # Errors
/// Why the broker, or we, did not accept the other.
pub(super) async fn log_in<W: Wire + ?Sized>(stream: &mut W, config: &KafkaConfig) -> Result<(), String> {
    if matches!(config.security, Security::Plaintext | Security::Ssl) {
        return Ok(());
    }
    let (Some(user), Some(password)) = (&config.username, &config.password) else {
        return Err("there is no account".to_owned());
    };
    let (name, kind) = match config.sasl_mechanism {
        SaslMechanism::Plain => ("PLAIN", None),
        SaslMechanism::ScramSha256 => ("SCRAM-SHA-256", Some(Hash::Sha256)),
        SaslMechanism::ScramSha512 => ("SCRAM-SHA-512", Some(Hash::Sha512)),
    };
    let mut handshake = Request::new(HANDSHAKE, HANDSHAKE_VERSION);
    handshake.text(name);
    let answer = exchange(stream, &handshake, ANSWER_BYTES_MAX).await?;
    if answer.get(4..6) != Some(&[0, 0]) {
        return Err(format!("it does not take {name}"));
    }
    let Some(hash) = kind else {
        return say(stream, format!("\0{user}\0{}", password.expose()).as_bytes()).await.map(drop);
    };
    let nonce = format!("{:032x}", rand::random::<u128>());
    let scram = Scram::new(hash, user, &nonce);
    let first = say(stream, scram.first().as_bytes()).await?;
    let (proof, signature) = scram.proof(&first, password.expose()).ok_or("its challenge does not read")?;
    let last = say(stream, proof.as_bytes()).await?;
    if last != signature.as_bytes() {
        return Err("it does not know the password itself".to_owned());
    }
    Ok(())
}

/// Says something of the mechanism's own and takes the answer to it.
async fn say<W: Wire + ?Sized>(stream: &mut W, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut request = Request::new(AUTHENTICATE, AUTHENTICATE_VERSION);
    request.count(bytes.len());
    request.raw(bytes);
    let answer = exchange(stream, &request, ANSWER_BYTES_MAX).await?;
    let read = |mut rest: Bytes<'_>| {
        rest.take(4)?;
        let error = rest.u16()?;
        rest.text()?;
        let length = rest.u32()?;
        Some((error, rest.take(length as usize)?.to_vec()))
    };
    match read(Bytes(&answer)) {
        Some((0, said)) => Ok(said),
        Some((error, _)) => Err(format!("the login is refused (error {error})")),
        None => Err("its answer does not decode".to_owned()),
    }
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha256,
    Sha512,
}

/// One login by SCRAM.
struct Scram {
    hash: Hash,
    /// The first message without what is said of channels.
    bare: String,
    nonce: String,
}

impl Scram {
    fn new(hash: Hash, user: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, bare: format!("n={user},r={nonce}"), nonce: nonce.to_owned() }
    }

    /// What is said first.
    fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What is said to a challenge, and what is to be answered to that; none when it is no challenge to us.
    fn proof(&self, challenge: &[u8], password: &str) -> Option<(String, String)> {
        let challenge = std::str::from_utf8(challenge).ok()?;
        let field = |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len())?;
        let salt = read_base64(field("s=")?.as_bytes())?;
        let iterations =
            field("i=")?.parse().ok().filter(|count| *count <= ITERATIONS_MAX).and_then(NonZeroU32::new)?;
        let (algorithm, mac, digest) = match self.hash {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
        };
        let mut salted = vec![0; digest.output_len()];
        pbkdf2::derive(algorithm, iterations, &salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(mac, key), text);
        let client = sign(&salted, b"Client Key");
        let stored = digest::digest(digest, client.as_ref());
        // The channel's field is `n,,` in base64.
        let last = format!("c=biws,r={nonce}");
        let all = format!("{},{challenge},{last}", self.bare);
        let signature = sign(stored.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server = sign(sign(&salted, b"Server Key").as_ref(), all.as_bytes());
        let with = |mut text: Vec<u8>, bytes: &[u8]| {
            write_base64(bytes, &mut text);
            String::from_utf8(text).ok()
        };
        Some((with(format!("{last},p=").into_bytes(), &proof)?, with(b"v=".to_vec(), server.as_ref())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let scram = Scram::new(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let challenge = format!("{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let (proof, signature) = scram.proof(challenge.as_bytes(), "pencil").expect("a challenge");
        assert_eq!(proof, format!("c=biws,{nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(signature, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn what_is_no_challenge_to_us_is_refused() {
        let scram = Scram::new(Hash::Sha512, "a=b,c", "ours");
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=ours");
        for challenge in [
            "",
            "r=theirs,s=W22ZaJ0S,i=4096",
            "r=ours,s=W22ZaJ0S,i=4096",
            "r=ours1,s=W22ZaJ0S,i=0",
            "r=ours1,s=W22ZaJ0S,i=4294967296",
            "r=ours1,s=W22ZaJ0S,i=1000001",
            "r=ours1,s=?,i=4096",
            "r=ours1,i=4096",
            "e=unknown-user",
        ] {
            assert!(scram.proof(challenge.as_bytes(), "x").is_none(), "{challenge}");
        }
        assert!(scram.proof(b"r=ours1,s=W22ZaJ0S,i=1", "x").is_some());
        assert!(scram.proof(b"\xff", "x").is_none());
    }
}
