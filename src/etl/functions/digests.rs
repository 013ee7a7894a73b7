//! Digests of text and bytes. Text counts as UTF-8. Keys come from named secrets, never from the script.

use md5::{Digest, Md5};
use ring::{digest, hmac};

use super::super::expr::Prepared;
use super::super::fault::Fault;
use super::super::value::Datum;
use super::{Args, Entry, Prepare, Stop, of_text};

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new("str_md5", "str_md5(s)", 1, 1, of_text, |a| {
        let sum = over(a, |bytes| Md5::digest(bytes).to_vec())?;
        a.made(hex(&sum))
    }),
    Entry::new("str_sha1", "str_sha1(s)", 1, 1, of_text, |a| {
        let sum = over(a, |bytes| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec())?;
        a.made(hex(&sum))
    }),
    Entry::new("str_sha256", "str_sha256(s)", 1, 1, of_text, |a| {
        let sum = over(a, |bytes| digest::digest(&digest::SHA256, bytes).as_ref().to_vec())?;
        a.made(hex(&sum))
    }),
    Entry::new("str_base64", "str_base64(s)", 1, 1, of_text, |a| {
        let text = over(a, base64)?;
        a.made(String::from_utf8(text).unwrap_or_default())
    }),
    Entry::new("str_hmac_sha256", "str_hmac_sha256(s, secret_name)", 2, 2, of_text, |a| {
        let Prepared::Secret(secret) = a.prepared else { return Err(Fault::Parse("the name of a secret").into()) };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let sum = over(a, |bytes| hmac::sign(&key, bytes).as_ref().to_vec())?;
        a.made(hex(&sum))
    })
    .preparing(Prepare::Secret(1)),
];

fn over(a: &mut Args<'_, '_>, f: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, Stop> {
    Ok(match a.some(0)? {
        Datum::Bytes(bytes) => f(&bytes),
        other => f(other.into_text()?.as_bytes()),
    })
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// RFC 4648 with padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0u8; 3];
        three[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4usize {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    out
}
