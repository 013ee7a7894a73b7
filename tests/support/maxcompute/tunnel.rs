//! Bulk data: batch upload sessions, stream upload, downloads.

use std::time::{Duration, Instant};

use relay::format::maxcompute::block::{BlockReader, Row};
use relay::format::maxcompute::data_type::DataType;
use relay::format::maxcompute::datum::Datum;
use relay::format::maxcompute::layout::TableColumn;
use relay::format::maxcompute::record::{RecordWriter, Tally};
use relay::sink::maxcompute::compression::{COMPRESSIONS, Compression, Compressor};
use serde_json::{Value, json};

use super::state::{Download, Partition, State, Table, Upload};
use super::{Answer, PROJECT, Refusal, Request, refuse, upsert};

const BLOCKS: u32 = 20_000;
const CELL_MAX: usize = 8 << 20;
/// Most bytes of a decompressed body.
const BODY_MAX: usize = 512 << 20;
/// Sessions that a table may open in so many minutes.
const SESSIONS: usize = 500;
const SESSIONS_IN: Duration = Duration::from_secs(300);
/// Slots of a stream.
const SLOTS: usize = 2;
pub const SERVER: &str = "127.0.0.1:9";

pub fn answer(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let (project, schema, table, kind) = match parts[..] {
        ["projects", project, "tables", table] => (project, None, table, ""),
        ["projects", project, "tables", table, kind] => (project, None, table, kind),
        ["projects", project, "schemas", schema, "tables", table] => (project, Some(schema), table, ""),
        ["projects", project, "schemas", schema, "tables", table, kind] => (project, Some(schema), table, kind),
        _ => return refuse(400, "InvalidURI", "the path is none"),
    };
    if request.header("x-odps-tunnel-version").is_none() {
        return refuse(400, "InvalidArgument", "the version of the interface is missing");
    }
    if project != PROJECT {
        return refuse(404, "NoSuchProject", format!("there is no project {project}"));
    }
    let key = State::key(schema, table);
    if !state.tables.contains_key(&key) {
        return refuse(404, "NoSuchTable", format!("there is no table {table}"));
    }
    match (request.method.as_str(), kind) {
        ("POST", "") if request.has("uploads") => open_upload(state, key, request),
        ("POST", "") if request.has("downloads") => open_download(state, key, request),
        ("POST", "") if request.has("uploadid") => commit(state, request),
        ("PUT", "") if request.has("uploadid") => write_block(state, request),
        ("GET", "") if request.has("uploadid") => {
            let id = request.parameter("uploadid").unwrap_or_default();
            upload(state, id).map(|upload| upload_answer(id, upload))
        }
        ("GET", "") if request.has("downloadid") => download(state, request),
        ("POST", "streams") if !request.has("uploadid") => open_stream(state, key, request),
        ("POST", "streams") => Ok(Answer::new(200, "")),
        ("GET", "streams") => stream_answer(state, request.parameter("uploadid").unwrap_or_default(), 200),
        ("PUT", "streams") => write_stream(state, request),
        (_, "upserts") => upsert::answer(state, key, request),
        _ => refuse(405, "MethodNotAllowed", "nothing is done so"),
    }
}

/// The partition that a request names; made when it may be and is not there.
pub fn partition(table: &mut Table, request: &Request) -> Result<Partition, Refusal> {
    let spec = request.parameter("partition");
    let Some(partition) = State::partition(table, spec) else {
        let code = if spec.is_some() { "InvalidPartitionSpec" } else { "MissingPartitionSpec" };
        return refuse(400, code, "the partition is not one of the table's columns");
    };
    if !table.partitions.contains_key(&partition) {
        if !request.is_set("create_partition") {
            return refuse(404, "NoSuchPartition", format!("there is no partition {}", spec.unwrap_or_default()));
        }
        table.partitions.insert(partition.clone(), Vec::new());
    }
    Ok(partition)
}

pub fn schema_json(columns: &[TableColumn], partitions: &[TableColumn]) -> Value {
    let column = |column: &TableColumn| json!({ "column_id": "", "comment": "", "name": column.name, "nullable": true, "type": column.kind.to_string() });
    let list = |columns: &[TableColumn]| columns.iter().map(column).collect::<Value>();
    json!({ "IsVirtualView": false, "columns": list(columns), "partitionKeys": list(partitions) })
}

fn open_upload(state: &mut State, key: String, request: &Request) -> Result<Answer, Refusal> {
    let id = state.next_id("u");
    let table = state.tables.get_mut(&key).expect("it was found");
    table.opened.retain(|opened| opened.elapsed() < SESSIONS_IN);
    if table.opened.len() >= SESSIONS {
        return refuse(429, "FlowExceeded", "too many sessions of the table");
    }
    let partition = partition(table, request)?;
    table.opened.push(Instant::now());
    let upload = Upload {
        partition,
        columns: table.columns.clone(),
        table: key,
        status: "NORMAL",
        overwrite: request.is_set("overwrite"),
        blocks: Default::default(),
        commits: 0,
    };
    let answer = upload_answer(&id, &upload);
    state.uploads.insert(id, upload);
    Ok(answer)
}

fn upload_answer(id: &str, upload: &Upload) -> Answer {
    let block = |(id, rows): (&u32, &Vec<Row>)| json!({ "BlockID": id, "CreateTime": 0, "Date": "", "FileName": "", "RecordCount": rows.len(), "Version": 0 });
    let blocks: Value = upload.blocks.iter().map(block).collect();
    let body = json!({
        "UploadID": id, "Status": upload.status, "Initiated": "Fri, 01 Mar 2024 08:00:00 GMT",
        "IsOverwrite": upload.overwrite, "MaxFieldSize": CELL_MAX, "Owner": "relay", "QuotaName": "default",
        "Schema": schema_json(&upload.columns, &[]), "UploadedBlockList": blocks,
    });
    Answer::json(200, &body)
}

fn upload<'s>(state: &'s mut State, id: &str) -> Result<&'s mut Upload, Refusal> {
    match state.uploads.get_mut(id) {
        Some(upload) => Ok(upload),
        None => refuse(404, "NoSuchUpload", "the specified upload id does not exist"),
    }
}

/// Decompresses and reads a body whole: every checksum, the count, the trailer.
pub fn read_rows(request: &Request, columns: &[TableColumn]) -> Result<Vec<Row>, Refusal> {
    let Some(compression) = Compression::parse(request.header("content-encoding")) else {
        return refuse(400, "InvalidArgument", "the encoding is not known");
    };
    let body = match compression.decompress(&request.body, BODY_MAX) {
        Ok(body) => body,
        Err(error) => return refuse(400, "MalformedDataStream", error.to_string()),
    };
    let kinds: Vec<DataType> = columns.iter().map(|column| column.kind.clone()).collect();
    let (mut reader, mut rows) = (BlockReader::new(&body, &kinds), Vec::new());
    loop {
        match reader.next_row() {
            Ok(Some(row)) => {
                let too_long = |value: &Option<Datum>| matches!(value, Some(Datum::Bytes(b)) if b.len() > CELL_MAX);
                if row.iter().any(too_long) {
                    return refuse(400, "MaxMessageLengthExceeded", "a value is too long");
                }
                rows.push(row);
            }
            Ok(None) => return Ok(rows),
            Err(error) => return refuse(400, "CorruptedDataStream", error.to_string()),
        }
    }
}

fn write_block(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let id = request.parameter("uploadid").unwrap_or_default();
    let upload = upload(state, id)?;
    let block = request.parameter("blockid").and_then(|block| block.parse::<u32>().ok());
    let Some(block) = block.filter(|&block| block < BLOCKS) else {
        return refuse(400, "InvalidBlockID", "block ids are 0 to 19999");
    };
    if upload.status != "NORMAL" {
        return refuse(409, "StatusConflict", format!("the session is {}", upload.status));
    }
    let rows = read_rows(request, &upload.columns)?;
    upload.blocks.insert(block, rows);
    Ok(Answer::new(200, ""))
}

fn commit(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let id = request.parameter("uploadid").unwrap_or_default().to_owned();
    let upload = upload(state, &id)?;
    if upload.status != "NORMAL" {
        return refuse(409, "StatusConflict", format!("the session is {}", upload.status));
    }
    (upload.status, upload.commits) = ("CLOSED", upload.commits + 1);
    let upload = upload.clone();
    let table = state.tables.get_mut(&upload.table);
    let rows = table.and_then(|table| table.partitions.get_mut(&upload.partition));
    let Some(rows) = rows else { return refuse(404, "NoSuchPartition", "the partition is gone") };
    if upload.overwrite {
        rows.clear();
    }
    rows.extend(upload.blocks.values().flatten().cloned());
    Ok(upload_answer(&id, &upload))
}

fn open_download(state: &mut State, key: String, request: &Request) -> Result<Answer, Refusal> {
    let id = state.next_id("d");
    let table = state.tables.get_mut(&key).expect("it was found");
    let partition = partition(table, request)?;
    let columns = table.columns.clone();
    let mut rows = table.partitions[&partition].clone();
    rows.iter_mut().for_each(|row| row.resize(columns.len(), None));
    let body = json!({ "DownloadID": id, "Status": "NORMAL", "RecordCount": rows.len(), "Owner": "relay",
        "Initiated": "Fri, 01 Mar 2024 08:00:00 GMT", "QuotaName": "default",
        "Schema": schema_json(&columns, &table.partition_columns) });
    state.downloads.insert(id, Download { table: key, columns, rows });
    Ok(Answer::json(200, &body))
}

fn download(state: &State, request: &Request) -> Result<Answer, Refusal> {
    let id = request.parameter("downloadid").unwrap_or_default();
    let Some(Download { columns, rows, .. }) = state.downloads.get(id) else {
        return refuse(404, "NoSuchDownload", "the specified download id does not exist");
    };
    if !request.has("data") {
        let body = json!({ "DownloadID": id, "Status": "NORMAL", "RecordCount": rows.len(),
            "Schema": schema_json(columns, &[]) });
        return Ok(Answer::json(200, &body));
    }
    let range = request.parameter("rowrange").and_then(|range| {
        let (start, count) = range.trim_matches(['(', ')']).split_once(',')?;
        Some((start.trim().parse::<usize>().ok()?, count.trim().parse::<usize>().ok()?))
    });
    let Some((start, count)) = range.filter(|(start, count)| start + count <= rows.len()) else {
        return refuse(400, "InvalidRowRange", "the range is none of the session's");
    };
    let named = request.parameter("columns").filter(|names| !names.is_empty());
    let selected: Option<Vec<usize>> = match named {
        None => Some((0..columns.len()).collect()),
        Some(names) => names.split(',').map(|name| columns.iter().position(|column| column.name == name)).collect(),
    };
    let Some(selected) = selected else { return refuse(400, "InvalidArgument", "a column is not known") };
    let (mut block, mut writer, mut tally) = (Vec::new(), RecordWriter::default(), Tally::default());
    for row in &rows[start..start + count] {
        let mut record = writer.begin(&mut block);
        for (at, &column) in selected.iter().enumerate() {
            if let Some(value) = &row[column] {
                record.datum(at, &columns[column].kind, value).expect("a value that was read as this type");
            }
        }
        tally.add(record.end());
    }
    tally.write_trailer(&mut block);
    let accepted = request.header("accept-encoding").unwrap_or_default();
    let compression = COMPRESSIONS
        .into_iter()
        .find(|compression| compression.content_encoding().is_some_and(|name| accepted.contains(name)))
        .unwrap_or(Compression::Raw);
    let mut compressor = Compressor::new(compression).expect("memory");
    compressor.write(&block).expect("memory");
    let mut answer = Answer::new(200, compressor.finish().expect("memory"));
    if let Some(name) = compression.content_encoding() {
        answer = answer.with("Content-Encoding", name);
    }
    Ok(answer)
}

fn open_stream(state: &mut State, key: String, request: &Request) -> Result<Answer, Refusal> {
    let id = state.next_id("s");
    let table = state.tables.get_mut(&key).expect("it was found");
    let partition = partition(table, request)?;
    state.streams.insert(id.clone(), (key, partition));
    stream_answer(state, &id, 201)
}

fn stream_answer(state: &State, id: &str, status: u16) -> Result<Answer, Refusal> {
    let found = state.streams.get(id).and_then(|(key, _)| state.tables.get(key));
    let Some(table) = found else { return refuse(404, "StreamSessionNotFound", "there is no such session") };
    let slots: Vec<(usize, &str)> = (0..SLOTS).map(|slot| (slot, SERVER)).collect();
    let body = json!({ "session_name": id, "schema": schema_json(&table.columns, &table.partition_columns),
        "schema_version": table.schema_version, "status": "normal", "quota_name": "default", "slots": slots });
    Ok(Answer::json(status, &body))
}

fn write_stream(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let id = request.parameter("uploadid").unwrap_or_default();
    let Some((key, partition)) = state.streams.get(id).cloned() else {
        return refuse(404, "StreamSessionNotFound", "there is no such session");
    };
    let Some(table) = state.tables.get_mut(&key) else { return refuse(404, "NoSuchTable", "the table is gone") };
    let version = request.parameter("schema_version").and_then(|version| version.parse::<u64>().ok());
    if version.is_some_and(|version| version != table.schema_version) {
        return refuse(412, "SchemaModified", format!("the table has version {}", table.schema_version));
    }
    let rows = read_rows(request, &table.columns)?;
    if request.parameter("record_count").is_some_and(|count| count != rows.len().to_string()) {
        return refuse(400, "InvalidArgument", "the number of records is another");
    }
    match table.partitions.get_mut(&partition) {
        Some(there) => there.extend(rows),
        None => return refuse(404, "NoSuchPartition", "the partition is gone"),
    }
    Ok(Answer::new(200, "").with("odps-tunnel-slot-num", SLOTS.to_string()).with("odps-tunnel-routed-server", SERVER))
}
