//! `fastavro` with the published schema, which the end-to-end tests read DTS Avro with, reads the published samples as
//! they are meant: what it says of messages can be believed.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::root;

/// What the reader prints of these messages, one a line; or its complaint.
pub fn read(messages: &[Vec<u8>], framed: bool) -> Result<Vec<Value>, String> {
    let mut command = Command::new(root().join("tests/readers/fastavro/read"));
    if framed {
        command.arg("--framed");
    }
    let mut reader = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/readers/fastavro/read runs");
    let lines: String = messages.iter().map(|message| hex(message) + "\n").collect();
    let mut input = reader.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || {
        // A reader that complains leaves before it has read everything.
        let _ = input.write_all(lines.as_bytes());
    });
    let done = reader.wait_with_output().expect("it ends");
    writer.join().expect("it writes or fails");
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    Ok(done
        .stdout
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn samples() -> Vec<(Vec<u8>, Value)> {
    let folder = root().join("tests/fixtures/dts-avro");
    ["begin", "commit", "ddl", "delete", "heartbeat", "init", "insert", "update"]
        .map(|name| {
            let read =
                |extension| std::fs::read_to_string(folder.join(name).with_extension(extension)).expect("a sample");
            let digits = read("hex");
            let bytes = digits.trim().as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("hex"));
            let bytes = bytes.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect();
            (bytes, serde_json::from_str(&read("json")).expect("JSON"))
        })
        .to_vec()
}

#[test]
fn samples_are_read_as_published() {
    let (messages, published): (Vec<_>, Vec<_>) = samples().into_iter().unzip();
    assert_eq!(read(&messages, false), Ok(published.clone()));
    let framed: Vec<_> = messages.iter().map(|message| [&[0, 0, 0, 1, 2][..], message].concat()).collect();
    let read = read(&framed, true).expect("framed records");
    for (mut read, published) in read.into_iter().zip(published) {
        let id = read.as_object_mut().expect("an object").remove("schemaId");
        assert_eq!((id, read), (Some(258.into()), published));
    }
}

#[test]
fn what_is_no_record_is_refused_by_its_number() {
    let (good, _) = samples().remove(0);
    let cut = good[..good.len() - 1].to_vec();
    let long = [&good[..], &[0]].concat();
    for bad in [cut, long, vec![0xff; 20]] {
        let complaint = read(&[good.clone(), bad], false).expect_err("no record");
        assert!(complaint.contains("message 2: "), "{complaint}");
    }
    assert!(read(&[good], true).expect_err("no frame").contains("message 1: "));
    assert_eq!(read(&[Vec::new()], false), Ok(vec![Value::Null]));
}
