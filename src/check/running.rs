//! Asks the relay that has the log open whether its source can continue it: only that process knows where the log ends
//! at this moment.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Item, Level, binlog};
use crate::failure::Exit;

/// The other relay asks its source and its brokers before it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Its answer is some kilobytes.
const ANSWER_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
struct Checks {
    items: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    level: Level,
    finding: String,
    #[serde(default)]
    remedy: String,
    exit: Option<u8>,
}

/// The item `binlog.files` as the relay says that listens there; a warning when it does not.
pub(super) async fn files(listen: SocketAddr) -> Item {
    let answer = timeout(PATIENCE, ask(listen)).await;
    let told = answer.ok().and_then(Result::ok).and_then(|body| serde_json::from_str::<Checks>(&body).ok());
    match told.and_then(|checks| checks.items.into_iter().find(|item| item.id == binlog::FILES)) {
        Some(Told { level, finding, remedy, exit, .. }) => {
            let finding = format!("as the running relay says: {finding}");
            let exit = exit.and_then(Exit::of_code).unwrap_or(Exit::Precheck);
            Item { level, remedy, exit, ..Item::pass(binlog::FILES, finding) }
        }
        None => Item::warn(
            binlog::FILES,
            format!("a process has the log open and does not say at http://{listen} whether the source continues it"),
            "ask the running relay: GET /api/v1/checks at its admin.listen",
        ),
    }
}

async fn ask(listen: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(listen).await?;
    // HTTP 1.0: the answer comes in one piece and ends with the connection.
    let request = format!("GET /api/v1/checks HTTP/1.0\r\nHost: {listen}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn served(body: &'static str) -> Item {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /api/v1/checks HTTP/1.0\r\nHost: 127.0.0.1:"));
            stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes()).await.unwrap();
        });
        files(address).await
    }

    #[tokio::test]
    async fn the_running_relay_has_the_say_and_silence_is_a_warning() {
        let item = served(
            r#"{"ready":false,"items":[{"id":"binlog.format","level":"pass","finding":"ROW"},
            {"id":"binlog.files","level":"fail","finding":"purged","remedy":"a new log","exit":5}]}"#,
        )
        .await;
        assert_eq!((item.level, item.remedy.as_str(), item.exit), (Level::Fail, "a new log", Exit::Source));
        assert!(item.finding.contains("purged"), "{item:?}");
        let told = serde_json::to_string(&serde_json::json!({ "items": [item] })).unwrap();
        let again = served(told.leak()).await;
        assert_eq!((again.level, again.exit), (Level::Fail, Exit::Source), "an item is read as it is told");
        assert_eq!(served("not JSON").await.level, Level::Warn);
        let nobody = "127.0.0.1:1".parse().unwrap();
        let item = files(nobody).await;
        assert!(item.level == Level::Warn && item.finding.contains("127.0.0.1:1"), "{item:?}");
    }
}
