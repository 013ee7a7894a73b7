//! Upsert sessions: every row must be of its bucket, and what was written is in the table after the commit.

use relay::format::maxcompute::block::Row;
use relay::format::maxcompute::data_type::DataType;
use relay::format::maxcompute::datum::Datum;
use relay::format::maxcompute::hash::{Hasher, bucket};
use relay::sink::maxcompute::client::upsert::tail;
use serde_json::json;

use super::state::{State, Table, Upsert};
use super::tunnel::{SERVER, partition, read_rows, schema_json};
use super::{Answer, Refusal, Request, refuse};

/// Buckets of every table, half of them in each of two slots.
const BUCKETS: u32 = 4;

pub fn answer(state: &mut State, key: String, request: &Request) -> Result<Answer, Refusal> {
    let Some(id) = request.parameter("upsertid").map(str::to_owned) else {
        return open(state, key, request);
    };
    if !state.upserts.contains_key(&id) {
        return refuse(404, "UpsertSessionNotFound", "there is no such session");
    }
    match request.method.as_str() {
        "PUT" => write(state, &id, request),
        "POST" => commit(state, &id),
        "GET" => Ok(session_answer(state, &id)),
        "DELETE" => {
            state.upserts.remove(&id);
            Ok(Answer::new(200, ""))
        }
        _ => refuse(405, "MethodNotAllowed", "nothing is done so"),
    }
}

fn open(state: &mut State, key: String, request: &Request) -> Result<Answer, Refusal> {
    let id = state.next_id("p");
    let table = state.tables.get_mut(&key).expect("it was found");
    if table.primary_key.is_empty() {
        return refuse(400, "InvalidArgument", "the table has no primary key");
    }
    let partition = partition(table, request)?;
    state.upserts.insert(id.clone(), Upsert { table: key, partition, is_committed: false, rows: Vec::new() });
    Ok(session_answer(state, &id))
}

fn session_answer(state: &State, id: &str) -> Answer {
    let session = &state.upserts[id];
    let table = &state.tables[&session.table];
    let slot = |slot: u32| {
        let buckets: Vec<u32> = (0..BUCKETS).filter(|bucket| bucket * 2 / BUCKETS == slot).collect();
        json!({ "slot_id": slot.to_string(), "buckets": buckets, "worker_addr": SERVER })
    };
    let status = if session.is_committed { "committed" } else { "normal" };
    let body = json!({ "id": id, "schema": schema_json(&table.columns, &table.partition_columns),
        "hash_key": table.primary_key, "hasher": "default", "status": status, "quota_name": "default",
        "enable_partial_update": false, "slots": [slot(0), slot(1)] });
    Answer::json(200, &body)
}

fn place(table: &Table, column: &str) -> usize {
    table.columns.iter().position(|other| other.name == column).expect("a column of the key")
}

fn key_of<'r>(table: &Table, row: &'r Row) -> Vec<Option<&'r Datum>> {
    table.primary_key.iter().map(|column| row[place(table, column)].as_ref()).collect()
}

fn write(state: &mut State, id: &str, request: &Request) -> Result<Answer, Refusal> {
    let session = &state.upserts[id];
    let table = &state.tables[&session.table];
    if session.is_committed {
        return refuse(409, "StatusConflict", "the session is committed");
    }
    let number = |name: &str| request.parameter(name).and_then(|number| number.parse::<u32>().ok());
    let Some(stated) = number("bucketid").filter(|&bucket| bucket < BUCKETS) else {
        return refuse(400, "InvalidArgument", "there is no such bucket");
    };
    if number("slotid") != Some(stated * 2 / BUCKETS) {
        return refuse(308, "SlotReassigned", "the bucket is in another slot");
    }
    let columns: Vec<_> = table.columns.iter().cloned().chain(tail()).collect();
    let rows = read_rows(request, &columns)?;
    if number("record_count") != Some(rows.len() as u32) {
        return refuse(400, "InvalidArgument", "the number of records is another");
    }
    let kinds: Vec<&DataType> = table.primary_key.iter().map(|column| &columns[place(table, column)].kind).collect();
    for row in &rows {
        let key = key_of(table, row);
        if key.contains(&None) {
            return refuse(400, "InvalidArgument", "a key is NULL");
        }
        if bucket(Hasher::Default, BUCKETS, kinds.iter().copied().zip(key)) != Some(stated) {
            return refuse(400, "InvalidArgument", "a row is of another bucket");
        }
    }
    state.upserts.get_mut(id).expect("it was found").rows.extend(rows);
    Ok(Answer::new(200, ""))
}

fn commit(state: &mut State, id: &str) -> Result<Answer, Refusal> {
    let session = state.upserts.get_mut(id).expect("it was found");
    let (key, partition, rows) = (session.table.clone(), session.partition.clone(), std::mem::take(&mut session.rows));
    session.is_committed = true;
    let table = state.tables.get_mut(&key).expect("a table with a session");
    let width = table.columns.len();
    let operation = width + 2;
    for mut row in rows {
        let is_upsert = row[operation] == Some(Datum::Integer(i64::from(b'U')));
        row.truncate(width);
        let mut there = table.partitions.get(&partition).cloned().unwrap_or_default();
        there.retain(|other| key_of(table, other) != key_of(table, &row));
        if is_upsert {
            there.push(row);
        }
        table.partitions.insert(partition.clone(), there);
    }
    Ok(session_answer(state, id))
}
