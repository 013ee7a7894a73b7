//! SQL: every statement that makes or changes a table, and the counts that are asked of it.
//!
//! A job is submitted under an id of ours, so that the service runs it once however often it is sent, and asked about
//! until it ends.

use std::time::{Duration, Instant};

use serde_json::json;
use ureq::http::Method;

use super::Client;
use super::error::ClientError;
use super::http::{Answer, Content};
use super::xml::{Element, write_cdata, write_escaped};
use crate::format::text::read_base64;

/// The task's name in every job.
const TASK: &str = "AnonymousSQLTask";
/// Between two questions about a job, at first and at most.
const POLL_FIRST: Duration = Duration::from_millis(100);
const POLL_LAST: Duration = Duration::from_secs(5);
/// Waits for the service to take a job (status 409) add up to this at most, as in the vendor's client.
const SUBMIT_MAX: Duration = Duration::from_secs(180);
/// What it says when it does not say how long.
const SUBMIT_AGAIN: Duration = Duration::from_secs(5);

/// A job that the service took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id at the service.
    pub instance: String,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Not ended.
    Running,
    /// Done; what it printed: CSV for a query, nothing for other statements.
    Done(String),
}

impl Client {
    /// Runs one statement, without its semicolon, and waits for its end; `id` is ours and unique for the statement. What
    /// it printed: CSV with a head for a query.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::JobSlow`] after `patience`.
    pub fn run_sql(&self, statement: &str, id: &str, patience: Duration) -> Result<String, ClientError> {
        let job = self.submit(statement, id)?;
        let (started, mut pause) = (Instant::now(), POLL_FIRST);
        loop {
            let request_id = match self.job(&job)? {
                (JobState::Done(text), _) => return Ok(text),
                (JobState::Running, request_id) => request_id,
            };
            if started.elapsed() >= patience {
                let (instance, waited) = (job.instance, started.elapsed());
                return Err(ClientError::JobSlow { instance, waited, request_id });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL_LAST);
        }
    }

    /// Submits one statement.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn submit(&self, statement: &str, id: &str) -> Result<Job, ClientError> {
        let body = self.job_document(statement, id);
        let mut waited = Duration::ZERO;
        loop {
            let content = Content::Whole(Some("application/xml"), body.as_bytes());
            match self.ask("submit sql", Method::POST, "/instances", Vec::new(), content) {
                Ok(answer) => return instance(&answer),
                Err(ClientError::Refused(refusal)) if refusal.status == 409 && waited < SUBMIT_MAX => {
                    let pause = refusal.retry_after.unwrap_or(SUBMIT_AGAIN).clamp(POLL_FIRST, SUBMIT_MAX);
                    std::thread::sleep(pause);
                    waited += pause;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks where a job stands, and gives the id of the request that told.
    ///
    /// # Errors
    /// [`ClientError::Job`] when it failed, others when it could not be asked.
    pub fn job(&self, job: &Job) -> Result<(JobState, Option<String>), ClientError> {
        let path = format!("/instances/{}", job.instance);
        let get = |what, parameter| self.ask(what, Method::GET, &path, vec![(parameter, String::new())], Content::None);
        let answer = self.ask("ask about a job", Method::GET, &path, Vec::new(), Content::None)?;
        match answer.xml()?.text_at(&["Status"]) {
            Some("Terminated") => {}
            Some("Running" | "Suspended") => return Ok((JobState::Running, answer.request_id)),
            other => return Err(answer.meaningless(format!("the status {:?}", other.unwrap_or_default()))),
        }
        let answer = get("ask about a task", "taskstatus")?;
        let root = answer.xml()?;
        let task = task_of(&root).ok_or_else(|| answer.meaningless("it has no task"))?;
        let status = task.text_at(&["Status"]).unwrap_or_default().to_owned();
        let answer = get("read a job's result", "result")?;
        let root = answer.xml()?;
        let result = task_of(&root).and_then(|task| task.child("Result"));
        let text = result.map_or(Ok(String::new()), |result| result_text(result, &answer))?;
        match status.to_ascii_lowercase().as_str() {
            "success" => Ok((JobState::Done(text), answer.request_id)),
            "failed" | "cancelled" => Err(ClientError::Job {
                instance: job.instance.clone(),
                status,
                message: text,
                request_id: answer.request_id,
            }),
            "waiting" | "running" | "suspended" => Ok((JobState::Running, answer.request_id)),
            _ => Err(answer.meaningless(format!("the task's status {status:?}"))),
        }
    }

    fn job_document(&self, statement: &str, id: &str) -> String {
        let mut settings = json!({
            "odps.sql.type.system.odps2": "true",
            "odps.sql.decimal.odps2": "true",
        });
        if let Some(schema) = self.schema_name() {
            settings["odps.namespace.schema"] = "true".into();
            settings["odps.sql.allow.namespace.schema"] = "true".into();
            settings["odps.default.schema"] = schema.into();
        }
        let mut document =
            r#"<?xml version="1.0" encoding="utf-8"?><Instance><Job><Priority>9</Priority><Guid>"#.to_owned();
        write_escaped(id, &mut document);
        document.push_str("</Guid><Tasks><SQL><Name>");
        document.push_str(TASK);
        document.push_str("</Name><Config><Property><Name>settings</Name><Value>");
        write_escaped(&settings.to_string(), &mut document);
        document.push_str("</Value></Property><Property><Name>uuid</Name><Value>");
        write_escaped(id, &mut document);
        document.push_str("</Value></Property></Config><Query>");
        write_cdata(&format!("{statement};"), &mut document);
        document.push_str("</Query></SQL></Tasks><DAG><RunMode>Sequence</RunMode></DAG></Job></Instance>");
        document
    }
}

fn instance(answer: &Answer) -> Result<Job, ClientError> {
    let location = answer.header("location").ok_or_else(|| answer.meaningless("it names no job"))?;
    let id = location.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match id {
        "" => Err(answer.meaningless("it names no job")),
        id => Ok(Job { instance: id.to_owned() }),
    }
}

fn task_of(root: &Element) -> Option<&Element> {
    root.child("Tasks")?.children("Task").next()
}

fn result_text(result: &Element, answer: &Answer) -> Result<String, ClientError> {
    match result.attribute("Transform") {
        Some("Base64") => {
            let bytes = read_base64(result.text.trim().as_bytes());
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| answer.meaningless("a result that is not base64"))
        }
        _ => Ok(result.text.clone()),
    }
}
