//! Reads DTS Avro messages with `apache-avro` and the published schema, writes the values that it read again, and asks
//! that they are the same bytes; or measures how fast it writes them.
//!
//! ```text
//! apache-avro-reader read SCHEMA < MESSAGES     each message as a line of JSON
//! apache-avro-reader measure SCHEMA < MESSAGES  microseconds of CPU to write a message, checked and unchecked
//! ```
//!
//! A message is a line of hex. In JSON, a value of a union is an object of one member, named by the branch's number;
//! bytes are `{"bytes_hex": "..."}`, doubles `{"double_bits": "..."}`. Exits 1 at the first message that is not one
//! record and nothing behind it, or that is written otherwise, naming its line.

use std::hint::black_box;
use std::io::{BufRead, Write};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value as Json, json};

type Failure = Box<dyn std::error::Error>;

/// Rounds of measuring, of which the middle one counts; and how often each writes every message.
const ROUNDS: usize = 7;
const PASSES: usize = 20;

fn main() {
    if let Err(failure) = run() {
        eprintln!("{failure}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, schema] = arguments.as_slice() else {
        return Err("usage: apache-avro-reader read|measure SCHEMA".into());
    };
    let schema = Schema::parse_str(&std::fs::read_to_string(schema)?)?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let writer = GenericDatumWriter::builder(&schema).build()?;
    let mut values = Vec::new();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
        let value =
            read(&reader, &writer, &unhex(&line?)?).map_err(|failure| format!("message {number}: {failure}"))?;
        match mode.as_str() {
            "read" => writeln!(out, "{}", plain(&value))?,
            "measure" => values.push(value),
            other => return Err(format!("{other} is neither read nor measure").into()),
        }
    }
    if mode == "measure" {
        let unchecked = GenericDatumWriter::builder(&schema).validate(false).build()?;
        let figures = json!({
            "checked_us": measure(&values, &writer)?,
            "unchecked_us": measure(&values, &unchecked)?,
            "messages": values.len(),
        });
        writeln!(out, "{figures}")?;
    }
    out.flush()?;
    Ok(())
}

fn unhex(line: &str) -> Result<Vec<u8>, Failure> {
    let digits = line.trim().as_bytes().chunks(2);
    digits.map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?)).collect()
}

/// The record in `bytes`, which must be all of it and what its values are written as. Maps have no order here: the tags
/// are left out of the comparison.
fn read(reader: &GenericDatumReader<'_>, writer: &GenericDatumWriter<'_>, mut bytes: &[u8]) -> Result<Value, Failure> {
    let whole = bytes;
    let value = reader.read_value(&mut bytes)?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes behind the record", bytes.len()).into());
    }
    let (none, one) = (write_with(writer, &value, &[])?, write_with(writer, &value, &["k"])?);
    let tags = none.iter().zip(&one).position(|(a, b)| a != b).ok_or("a map is written as an empty one")?;
    if !whole.starts_with(&none[..tags]) || !whole.ends_with(&none[tags + 1..]) {
        return Err("its values are written as other bytes".into());
    }
    Ok(value)
}

/// The record with these tags in place of its own.
fn write_with(writer: &GenericDatumWriter<'_>, value: &Value, tags: &[&str]) -> Result<Vec<u8>, Failure> {
    let Value::Record(fields) = value else { return Err("it is no record".into()) };
    let tags = Value::Map(tags.iter().map(|key| ((*key).to_owned(), Value::String(String::new()))).collect());
    let fields = fields.iter().map(|(name, value)| {
        let value = if name == "tags" { &tags } else { value };
        (name.clone(), value.clone())
    });
    Ok(writer.write_value_to_vec(Value::Record(fields.collect()))?)
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(number) => json!(number),
        Value::Long(number) => json!(number),
        Value::Double(number) => json!({ "double_bits": format!("{:016x}", number.to_bits()) }),
        Value::String(text) | Value::Enum(_, text) => json!(text),
        Value::Bytes(bytes) => {
            json!({ "bytes_hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
        Value::Union(branch, value) => json!({ branch.to_string(): plain(value) }),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        Value::Record(fields) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        other => panic!("the schema has no {other:?}"),
    }
}

/// Microseconds of CPU for one message. The values stand ready and the buffer is reused: the encoding alone is timed.
fn measure(values: &[Value], writer: &GenericDatumWriter<'_>) -> Result<f64, Failure> {
    let mut out = Vec::new();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu_us()?;
        for value in std::iter::repeat_n(values, PASSES).flatten() {
            out.clear();
            writer.write_value_ref(&mut out, black_box(value))?;
            black_box(&out);
        }
        rounds.push((cpu_us()? - before) / (values.len() * PASSES).max(1) as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

/// CPU time of this thread until now, microseconds.
fn cpu_us() -> Result<f64, Failure> {
    // proc(5): the first number of schedstat is nanoseconds on the CPU.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let on_cpu: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(on_cpu / 1e3)
}
