//! Projects, tables, partitions and jobs, in XML.

use std::net::SocketAddr;

use relay::sink::maxcompute::client::xml::Element;
use serde_json::json;

use super::state::{DEFAULT_SCHEMA, Job, MADE, State, Table};
use super::{Answer, PROJECT, Refusal, Request, refuse, sql};

const HEAD: &str = "<?xml version=\"1.0\"?>";
const TIME: &str = "Fri, 01 Mar 2024 08:00:00 GMT";
/// Partitions of one page.
const PAGE: usize = 1000;

pub fn escape(text: &str, out: &mut String) {
    relay::sink::maxcompute::client::xml::write_escaped(text, out);
}

pub fn answer(state: &mut State, address: SocketAddr, request: &Request) -> Result<Answer, Refusal> {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let ["projects", project, rest @ ..] = &parts[..] else {
        return refuse(404, "NoSuchObject", "there is nothing");
    };
    if *project != PROJECT {
        return refuse(404, "NoSuchProject", format!("ODPS-0420111: Project not found - {project}"));
    }
    let schema = request.parameter("curr_schema");
    match (request.method.as_str(), rest) {
        ("GET", []) => Ok(project_answer(state)),
        ("GET", ["tunnel"]) if request.has("service") => Ok(Answer::new(200, address.to_string())),
        ("GET", ["tables"]) => Ok(tables_answer(state, schema, request.parameter("name"))),
        ("GET", ["tables", name]) => table_answer(state, request, schema, name),
        ("POST", ["instances"]) => submit(state, address, request, schema),
        ("GET", ["instances", id]) => job_answer(state, request, id),
        _ => refuse(404, "NoSuchObject", "there is nothing"),
    }
}

fn project_answer(state: &State) -> Answer {
    let schemas = state.has_schemas;
    let property = |name: &str, value: &str| format!("<Property><Name>{name}</Name><Value>{value}</Value></Property>");
    let properties = property("odps.schema.model.enabled", &schemas.to_string())
        + &property("odps.sql.timezone", "Asia/Shanghai")
        + &property("odps.sql.type.system.odps2", "true");
    let body = format!(
        "{HEAD}<Project><Name>{PROJECT}</Name><Type>managed</Type><Comment/><State>AVAILABLE</State>\
         <ProjectGroupName/><Properties>{properties}</Properties></Project>"
    );
    Answer::xml(200, body)
        .with("x-odps-owner", "ALIYUN$relay")
        .with("x-odps-creation-time", TIME)
        .with("Last-Modified", TIME)
}

fn tables_answer(state: &State, schema: Option<&str>, prefix: Option<&str>) -> Answer {
    let mut body = format!("{HEAD}<Tables><Marker/><MaxItems>1000</MaxItems>");
    let of_schema = format!("{}.", schema.unwrap_or(DEFAULT_SCHEMA)).to_lowercase();
    for (key, table) in &state.tables {
        if key.starts_with(&of_schema) && table.name.starts_with(prefix.unwrap_or_default()) {
            body.push_str("<Table><Name>");
            escape(&table.name, &mut body);
            body.push_str("</Name><Owner>ALIYUN$relay</Owner><Type>MANAGED_TABLE</Type></Table>");
        }
    }
    body.push_str("</Tables>");
    Answer::xml(200, body)
}

fn table_answer(state: &State, request: &Request, schema: Option<&str>, name: &str) -> Result<Answer, Refusal> {
    let Some(table) = state.tables.get(&State::key(schema, name)) else {
        let words = format!("ODPS-0130131:Table not found - table {PROJECT}.{name} cannot be resolved");
        return refuse(404, "NoSuchObject", words);
    };
    if request.has("partitions") {
        return Ok(partitions_answer(table, request.parameter("marker")));
    }
    if let Some(spec) = request.parameter("partition") {
        let partition =
            State::partition(table, Some(spec)).filter(|partition| table.partitions.contains_key(partition));
        let Some(partition) = partition else {
            return refuse(404, "NoSuchPartition", format!("there is no partition {spec}"));
        };
        let rows = table.partitions[&partition].len();
        let schema = json!({ "createTime": MADE, "lastDDLTime": MADE, "lastModifiedTime": MADE,
            "partitionSize": 0, "partitionRecordNum": rows });
        let body = format!("{HEAD}<Partition><Schema><![CDATA[{schema}]]></Schema></Partition>");
        return Ok(Answer::xml(200, body));
    }
    let mut schema = json!({
        "comment": "", "owner": "ALIYUN$relay",
        "createTime": MADE, "lastModifiedTime": MADE, "lastDDLTime": MADE,
        "isVirtualView": false, "lifecycle": table.lifecycle.map_or(-1, i64::from), "size": 0, "shardExist": false,
        "hubLifecycle": -1, "tableLabel": "0", "recordNum": table.rows().count(),
        "columns": columns(&table.columns), "partitionKeys": columns(&table.partition_columns),
    });
    if request.has("extended") {
        schema["Reserved"] = json!({ "schema_version": table.schema_version.to_string() }).to_string().into();
    }
    let name = &table.name;
    let body = format!(
        "{HEAD}<Table><Name>{name}</Name><TableId>t1</TableId><Comment/><Owner>ALIYUN$relay</Owner>\
         <CreationTime>{TIME}</CreationTime><LastModifiedTime>{TIME}</LastModifiedTime><Type>MANAGED_TABLE</Type>\
         <Schema format=\"Json\"><![CDATA[{schema}]]></Schema></Table>"
    );
    Ok(Answer::xml(200, body))
}

fn columns(columns: &[relay::format::maxcompute::layout::TableColumn]) -> serde_json::Value {
    let column = |column: &relay::format::maxcompute::layout::TableColumn| json!({ "name": column.name, "type": column.kind.to_string(), "comment": "", "label": "", "isNullable": true });
    columns.iter().map(column).collect()
}

fn partitions_answer(table: &Table, marker: Option<&str>) -> Answer {
    let from: usize = marker.and_then(|marker| marker.parse().ok()).unwrap_or(0);
    let next = if from + PAGE < table.partitions.len() { (from + PAGE).to_string() } else { String::new() };
    let mut body = format!("{HEAD}<Partitions><Marker>{next}</Marker><MaxItems>{PAGE}</MaxItems>");
    for (partition, rows) in table.partitions.iter().skip(from).take(PAGE) {
        body.push_str("<Partition>");
        for (column, value) in table.partition_columns.iter().zip(partition) {
            body.push_str("<Column Name=\"");
            escape(&column.name, &mut body);
            body.push_str("\" Value=\"");
            escape(value, &mut body);
            body.push_str("\"/>");
        }
        body.push_str(&format!(
            "<CreationTime>{MADE}</CreationTime><LastDDLTime>{MADE}</LastDDLTime>\
             <LastModifiedTime>{MADE}</LastModifiedTime><PartitionSize>0</PartitionSize>\
             <PartitionRecordCount>{}</PartitionRecordCount></Partition>",
            rows.len()
        ));
    }
    body.push_str("</Partitions>");
    Answer::xml(200, body)
}

fn submit(state: &mut State, address: SocketAddr, request: &Request, schema: Option<&str>) -> Result<Answer, Refusal> {
    let Ok(root) = Element::parse(&request.body) else { return refuse(400, "InvalidArgument", "the job is no xml") };
    let job = root.child("Job");
    let task = job.and_then(|job| job.child("Tasks")?.child("SQL"));
    let (Some(job), Some(task)) = (job, task) else { return refuse(400, "InvalidArgument", "the job has no sql") };
    let guid = job.text_at(&["Guid"]).filter(|guid| !guid.is_empty()).map(str::to_owned);
    let known = guid.as_ref().and_then(|guid| state.submitted.get(guid)).cloned();
    let id = known.unwrap_or_else(|| {
        let id = state.next_id("g");
        let query = task.text_at(&["Query"]).unwrap_or_default().to_owned();
        let settings = task.child("Config").into_iter().flat_map(|config| config.children("Property"));
        let settings = settings.filter(|property| property.text_at(&["Name"]) == Some("settings"));
        let settings = settings.filter_map(|property| property.text_at(&["Value"])).next().unwrap_or("{}");
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap_or_default();
        let schema = settings["odps.default.schema"].as_str().or(schema);
        let result = sql::run(state, schema, &query);
        let task = task.text_at(&["Name"]).unwrap_or_default().to_owned();
        state.jobs.insert(id.clone(), Job { task, result });
        id
    });
    state.submitted.extend(guid.map(|guid| (guid, id.clone())));
    Ok(Answer::xml(201, "").with("Location", format!("http://{address}/api/projects/{PROJECT}/instances/{id}")))
}

fn job_answer(state: &State, request: &Request, id: &str) -> Result<Answer, Refusal> {
    let Some(Job { task, result }) = state.jobs.get(id) else {
        return refuse(404, "NoSuchObject", format!("there is no instance {id}"));
    };
    let mut body = format!("{HEAD}<Instance>");
    if request.has("result") {
        let text = result.as_ref().unwrap_or_else(|error| error);
        body.push_str(&format!("<Tasks><Task Type=\"SQL\"><Name>{task}</Name><Result Format=\"text\">"));
        relay::sink::maxcompute::client::xml::write_cdata(text, &mut body);
        body.push_str("</Result></Task></Tasks>");
    } else {
        body.push_str("<Status>Terminated</Status>");
        if request.has("taskstatus") {
            let status = if result.is_ok() { "Success" } else { "Failed" };
            body.push_str(&format!(
                "<Tasks><Task Type=\"SQL\"><Name>{task}</Name><StartTime>{TIME}</StartTime><EndTime>{TIME}</EndTime>\
                 <Status>{status}</Status><Histories/></Task></Tasks>"
            ));
        }
    }
    body.push_str("</Instance>");
    Ok(Answer::xml(200, body)
        .with("x-odps-owner", "ALIYUN$relay")
        .with("x-odps-start-time", TIME)
        .with("x-odps-end-time", TIME))
}
