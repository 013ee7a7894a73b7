//! MariaDB's INET4, INET6 and UUID. Rows carry them as [`Value::Bytes`](super::Value::Bytes) of a STRING column, most
//! significant byte first and without trailing zero bytes; only a schema tells them from BINARY.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::gtid::Uuid;

/// Gives `bytes` back the zeros that the row left out.
///
/// `None` when there are more than `N`.
pub fn pad<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(padded)
}

/// Appends an INET4 as the server prints it: `192.0.2.1`.
pub fn write_inet4(bytes: [u8; 4], out: &mut Vec<u8>) {
    out.extend_from_slice(Ipv4Addr::from(bytes).to_string().as_bytes());
}

/// Appends a UUID in lower case with dashes.
pub fn write_uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    out.extend_from_slice(Uuid(bytes).to_string().as_bytes());
}

/// Appends an INET6 as the server prints it: the first longest run of zero words shortened, even of one word; the last
/// 32 bits dotted when the address stands for an IPv4 one.
pub fn write_inet6(bytes: [u8; 16], out: &mut Vec<u8>) {
    let words = Ipv6Addr::from(bytes).segments();
    let (mut gap, mut gap_len, mut run) = (0, 0, 0);
    for (i, &word) in words.iter().enumerate() {
        run = if word == 0 { run + 1 } else { 0 };
        if run > gap_len {
            (gap, gap_len) = (i + 1 - run, run);
        }
    }
    let dotted = gap == 0 && (gap_len == 6 || gap_len == 5 && words[5] == 0xFFFF);
    let end = if dotted { 6 } else { 8 };
    let mut i = 0;
    while i < end {
        if i == gap && gap_len > 0 {
            out.extend_from_slice(if i == 0 { b"::" } else { b":" });
            i += gap_len;
            continue;
        }
        out.extend_from_slice(format!("{:x}", words[i]).as_bytes());
        i += 1;
        if i < 8 {
            out.push(b':');
        }
    }
    if dotted {
        let [.., a, b, c, d] = bytes;
        write_inet4([a, b, c, d], out);
    }
}
