//! The answers to the server's authentication requests, one plugin each (pure).
//!
//! The password crosses the wire in clear inside TLS only; outside it is hashed with the server's nonce or, for
//! caching_sha2_password's full exchange, encrypted with the server's RSA key.

use mysql_common::crypto::der::parse_pub_key_pkcs8;
use mysql_common::crypto::rsa::{GetRandom, Pkcs1OaepPadding, PublicKey};
use mysql_common::scramble::{create_response_for_ed25519, scramble_native, scramble_sha256};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use super::error::StreamError;

/// Authentication plugins that the relay speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    /// `mysql_native_password`: SHA-1 with nonce.
    Native,
    /// `caching_sha2_password`: SHA-256 with nonce; the whole password when the server has not cached it.
    CachingSha2,
    /// `client_ed25519` of MariaDB: a signature.
    Ed25519,
}

impl Plugin {
    /// The plugin of that name, if the relay speaks it.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            b"client_ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// The name as it crosses the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Ed25519 => "client_ed25519",
        }
    }

    /// The first answer to the server's nonce. An empty password is an empty answer but for ed25519.
    pub(super) fn answer(self, password: &[u8], nonce: &[u8]) -> Vec<u8> {
        match self {
            Self::Native => scramble_native(nonce, password).map(Vec::from).unwrap_or_default(),
            Self::CachingSha2 => scramble_sha256(nonce, password).map(Vec::from).unwrap_or_default(),
            Self::Ed25519 => create_response_for_ed25519(password, nonce).to_vec(),
        }
    }
}

/// The whole password for `caching_sha2_password` over plain TCP: ended by a zero, masked with the nonce, encrypted
/// with RSA-OAEP by the server's public key in PEM.
///
/// # Errors
/// A key that is not an RSA key of 1024 to 16384 bits, or too small for the password.
pub(super) fn encrypt_password(password: &[u8], nonce: &[u8], pem: &[u8]) -> Result<Vec<u8>, StreamError> {
    const BAD_KEY: StreamError = StreamError::Protocol("a public key that is not an RSA key in PEM");
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| BAD_KEY)?;
    // The library's parser and padding panic on what they do not expect, so the shape is checked first.
    let modulus_bytes = rsa_modulus_bytes(&der).ok_or(BAD_KEY)?;
    let mut masked = [password, &[0]].concat();
    if nonce.is_empty() || masked.len() + 2 * OAEP_HASH_BYTES + 3 > modulus_bytes {
        return Err(StreamError::Protocol("a public key too small for the password"));
    }
    for (byte, mask) in masked.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    let (modulus, exponent) = parse_pub_key_pkcs8(&der);
    Ok(PublicKey::new(modulus, exponent).encrypt_block(masked, Pkcs1OaepPadding::new(GetRandom)))
}

const OAEP_HASH_BYTES: usize = 20;

/// Size of the modulus when `der` is exactly a SubjectPublicKeyInfo of an RSA key (RFC 3279, 2.3.1).
fn rsa_modulus_bytes(der: &[u8]) -> Option<usize> {
    const RSA_ENCRYPTION: [u8; 11] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
    let (info, rest) = der_element(der, 0x30)?;
    let (algorithm, info) = der_element(info, 0x30)?;
    let (bits, info_rest) = der_element(info, 0x03)?;
    let (&unused_bits, key) = bits.split_first()?;
    let (key, key_rest) = der_element(key, 0x30)?;
    let (modulus, key) = der_element(key, 0x02)?;
    let (exponent, end) = der_element(key, 0x02)?;
    let whole = rest.is_empty() && info_rest.is_empty() && key_rest.is_empty() && end.is_empty();
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let odd = modulus.last()? & 1 == 1 && exponent.last()? & 1 == 1;
    let sized = (128..=2048).contains(&modulus.len()) && modulus[0] != 0 && exponent.len() <= 8;
    (whole && odd && sized && unused_bits == 0 && algorithm.starts_with(&RSA_ENCRYPTION)).then_some(modulus.len())
}

/// Contents of the DER element with that tag at the front, and what follows it. Lengths up to 64 KiB.
fn der_element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (head, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*head)), rest)
        }
        _ => return None,
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDEIEXlAFsVSTVoAXwHKG3dqUOO
EVqYgNE7qXNDKwV3dA9cwNCLYrP2nlYrG5yJEF3fHNTTbLbkI6V4ktVH0ZJ5ZyR/
-----END PUBLIC KEY-----
";

    fn der(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], body].concat()
    }

    fn rsa_info(modulus: &[u8]) -> Vec<u8> {
        let algorithm = der(0x30, &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00]);
        let key = der(0x30, &[der(0x02, modulus), der(0x02, &[1, 0, 1])].concat());
        der(0x30, &[algorithm, der(0x03, &[&[0], &key[..]].concat())].concat())
    }

    #[test]
    fn every_cut_and_every_flip_of_a_key_is_refused_or_read_without_panic() {
        let good = rsa_info(&[0xA5; 128]);
        assert_eq!(rsa_modulus_bytes(&good), Some(128));
        for cut in 0..good.len() {
            assert_eq!(rsa_modulus_bytes(&good[..cut]), None, "cut at {cut}");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if rsa_modulus_bytes(&bad).is_some() {
                    let _ = parse_pub_key_pkcs8(&bad); // what passes must not panic the library
                }
            }
        }
        assert_eq!(rsa_modulus_bytes(&rsa_info(&[0xA5; 64])), None, "512 bits are too few");
    }

    #[test]
    fn a_damaged_pem_is_an_error() {
        for pem in
            [KEY, "", "-----BEGIN PUBLIC KEY-----\n", "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n"]
        {
            assert!(encrypt_password(b"secret", &[7; 20], pem.as_bytes()).is_err(), "{pem:?}");
        }
    }

    #[test]
    fn an_empty_password_answers_nothing() {
        assert!(Plugin::Native.answer(b"", &[1; 20]).is_empty());
        assert!(Plugin::CachingSha2.answer(b"", &[1; 20]).is_empty());
        assert_eq!(Plugin::Ed25519.answer(b"", &[1; 32]).len(), 64);
    }
}
