//! The daemon's command line: read the arguments, load the config, run, and turn the end into an exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use relay::check::{self, Level, Verdict};
use relay::config::{Config, LogFormat, Logging};
use relay::failure::Exit;
use relay::run;
use tracing_subscriber::EnvFilter;

/// Also what librdkafka allocates: a dozen small pieces a record in one thread, freed in another. That pattern costs the
/// C library's allocator a sixth of the daemon's CPU (`ops/bench end_to_end`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Captures the binlog of a MySQL or MariaDB server into a durable log and delivers it from there.
#[derive(Parser)]
#[command(name = "relay", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 precheck failed, \
                          4 store damaged or poisoned, 5 source diverged or purged";

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Start although precheck items warn
        #[arg(long)]
        accept_warnings: bool,
    },
    /// Run every precheck item and say what each found; exits with the code of a start that is refused, mostly 3
    Check {
        #[command(flatten)]
        config: ConfigFile,
        /// Count warnings as accepted
        #[arg(long)]
        accept_warnings: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print the whole effective config, secrets hidden, and check nothing
        #[arg(long)]
        print_config: bool,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The config file
    #[arg(long = "config", short = 'c', default_value = "relay.toml", value_name = "FILE")]
    path: PathBuf,
}

fn main() -> ExitCode {
    let exit = match Arguments::parse().command {
        Command::Run { config, accept_warnings } => run(config.path, accept_warnings),
        Command::Check { config, accept_warnings, json, print_config } => {
            check(&config.path, accept_warnings, json, print_config)
        }
    };
    match exit {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            if !message.is_empty() {
                eprintln!("relay: {message}");
            }
            ExitCode::from(exit as u8)
        }
    }
}

/// How a command ends when it does not end well: its exit code, and what is left to say.
type Ended = Result<(), (Exit, String)>;

fn load(path: &std::path::Path) -> Result<Config, (Exit, String)> {
    Config::load(path).map_err(|e| (Exit::Config, e.to_string()))
}

fn runtime() -> Result<tokio::runtime::Runtime, (Exit, String)> {
    tokio::runtime::Runtime::new().map_err(|e| (Exit::Failed, format!("start the runtime: {e}")))
}

fn run(path: PathBuf, accept_warnings: bool) -> Ended {
    let config = load(&path)?;
    start_logging(&config.logging);
    runtime()?.block_on(run::run(path, config, run::Options { accept_warnings })).map_err(|e| (e.exit(), e.to_string()))
}

fn check(path: &std::path::Path, accept_warnings: bool, json: bool, print_config: bool) -> Ended {
    let config = load(path)?;
    if print_config {
        return print(&config.to_toml());
    }
    let report = runtime()?.block_on(check::run(&config));
    let verdict = report.verdict(&config.source.accept, accept_warnings);
    let text = if json {
        let ready = verdict == Verdict::Ready;
        format!("{}\n", serde_json::json!({ "ready": ready, "items": report.items }))
    } else {
        report.to_string()
    };
    print(&text)?;
    match verdict {
        Verdict::Ready => Ok(()),
        _ if json => Err((report.exit(), String::new())),
        Verdict::Failed => {
            let count = report.count(Level::Fail);
            Err((report.exit(), format!("{count} failed: the relay would not start")))
        }
        Verdict::Unaccepted => Err((
            Exit::Precheck,
            "a warning is not accepted: list its id under source.accept, or give --accept-warnings".to_owned(),
        )),
    }
}

/// Standard output may be a pipe that someone closed; that is no reason for a panic.
fn print(text: &str) -> Ended {
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| (Exit::Failed, format!("write to standard output: {e}")))
}

fn start_logging(logging: &Logging) {
    let level = format!("{:?}", logging.level).to_lowercase();
    let filter = EnvFilter::try_from_env("RELAY_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // The HTTP client would write whole addresses at its lowest level, and those of webhooks may hold secrets.
    let filter = ["ureq=warn", "ureq_proto=warn"]
        .into_iter()
        .fold(filter, |filter, quiet| filter.add_directive(quiet.parse().expect("a directive")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match logging.format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
