//! The daemon's command line: read the arguments, load the config, run, and turn the end into an exit code.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use relay::check::{self, Level, Verdict};
use relay::config::{Config, LogFormat, Logging};
use relay::etl::Secrets;
use relay::etl_try::Trial;
use relay::failure::Exit;
use relay::import_dts::{self, FILE_BYTES_MAX, Input};
use relay::log::address::Address;
use relay::remote::snapshot::Act;
use relay::remote::{Remote, RemoteError};
use relay::run;
use relay::selection::TablePatterns;
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
    /// Make a config of a DTS task: of its request or its answer, or of its object list and its reserve parameter
    ImportDts {
        /// JSON files of one task
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the config goes, which must not be there yet; standard output without it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print the report, on standard error, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show rows of the log before and after an ETL script; reads the log's files only
    EtlTry(EtlTry),
    /// Start, stop, pause, resume or show the copy of tables of a relay that runs
    Snapshot {
        #[command(flatten)]
        api: Api,
        #[command(subcommand)]
        act: SnapshotAct,
    },
}

#[derive(Args)]
struct Api {
    /// The config file, for where the relay's API listens
    #[arg(long, short = 'c', global = true, default_value = "relay.toml", value_name = "FILE")]
    config: PathBuf,
    /// The relay's API; without it admin.listen of the config
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<String>,
}

#[derive(Subcommand)]
enum SnapshotAct {
    /// Copy tables, again if they were copied before; the others go on
    Start {
        /// The table; may be given more than once
        #[arg(long = "table", value_name = "DB.TABLE", required = true)]
        tables: Vec<String>,
    },
    /// End the copies of tables where they are
    Stop {
        /// The table; may be given more than once
        #[arg(long = "table", value_name = "DB.TABLE", required = true)]
        tables: Vec<String>,
    },
    /// End reading, of all tables, until it is resumed
    Pause,
    /// Go on after a pause
    Resume,
    /// Say how far every table is
    Status {
        /// Show it again and again until nothing is left to do
        #[arg(long)]
        watch: bool,
        /// Print what the API says, one JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct EtlTry {
    /// The script's file
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
    /// The log's folder; without it that of the config
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// Where to begin: earliest, latest, seq:N, time:2026-01-31T08:00:00Z, gtid:SET, file:mysql-bin.000003:4
    #[arg(long, value_name = "ADDR", default_value = "earliest")]
    from: Address,
    /// Most rows to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
    /// Only these tables; may be given more than once; * and % stand for any text
    #[arg(long = "table", value_name = "DB.TABLE")]
    tables: Vec<String>,
    /// The task's time zone: of TIMESTAMP columns and of dates without one
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timestamp_zone: String,
    /// A key for str_hmac_sha256 by its name; may be given more than once
    #[arg(long = "secret", value_name = "NAME=FILE")]
    secrets: Vec<String>,
    /// What happens to a row on which the script fails: fail, null, keep, drop or dead_letter
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    on_error: String,
    /// Print one JSON object a row
    #[arg(long)]
    json: bool,
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
        Command::EtlTry(arguments) => etl_try(arguments),
        Command::Snapshot { api, act } => snapshot(&api, act),
        Command::ImportDts { files, out, json } => import_dts(&files, out.as_deref(), json),
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

fn load(path: &Path) -> Result<Config, (Exit, String)> {
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

fn check(path: &Path, accept_warnings: bool, json: bool, print_config: bool) -> Ended {
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

fn etl_try(arguments: EtlTry) -> Ended {
    let usage = |message: String| (Exit::Config, message);
    let read = |path: &Path| std::fs::read(path).map_err(|e| usage(format!("read {}: {e}", path.display())));
    let script = String::from_utf8(read(&arguments.script)?)
        .map_err(|_| usage(format!("{} is not UTF-8", arguments.script.display())))?;
    let dir = match arguments.store {
        Some(dir) => dir,
        None => load(&arguments.config.path)?.log.dir,
    };
    let mut secrets = Secrets::default();
    for secret in &arguments.secrets {
        let (name, file) = secret.split_once('=').ok_or_else(|| usage("--secret takes NAME=FILE".to_owned()))?;
        let bytes = read(Path::new(file))?;
        secrets.insert(name, bytes.trim_ascii_end());
    }
    let on_error = serde_json::Value::from(arguments.on_error.as_str());
    let zone = &arguments.timestamp_zone;
    let trial = Trial {
        dir,
        file: arguments.script,
        script,
        from: arguments.from,
        limit: arguments.limit,
        tables: TablePatterns::parse(&arguments.tables).map_err(|e| usage(e.to_string()))?,
        zone: jiff::tz::TimeZone::get(zone)
            .map_err(|_| usage(format!("no time zone is called {zone:?}: write UTC or Europe/Berlin")))?,
        secrets,
        on_error: serde_json::from_value(on_error)
            .map_err(|_| usage("--on-error takes fail, null, keep, drop or dead_letter".to_owned()))?,
        json: arguments.json,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    relay::etl_try::run(&trial, &mut out).map_err(|e| (e.exit(), e.to_string()))
}

fn import_dts(files: &[PathBuf], out: Option<&Path>, json: bool) -> Ended {
    let texts = files.iter().map(|file| read_limited(file)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let inputs: Vec<Input<'_>> = names.iter().zip(&texts).map(|(name, bytes)| Input { name, bytes }).collect();
    let imported = import_dts::import(&inputs).map_err(|e| (Exit::Config, e.to_string()))?;
    match out {
        None => print(&imported.toml)?,
        Some(path) => {
            let file = std::fs::File::create_new(path).and_then(|mut file| file.write_all(imported.toml.as_bytes()));
            file.map_err(|e| (Exit::Failed, format!("write {}: {e}; name a new file with --out", path.display())))?;
        }
    }
    if json {
        eprintln!("{}", serde_json::json!({ "items": imported.report.items }));
    } else {
        eprint!("{}", imported.report);
    }
    Ok(())
}

fn snapshot(api: &Api, act: SnapshotAct) -> Ended {
    let ended = |e: RemoteError| (e.exit(), e.to_string());
    let remote = match &api.admin {
        Some(url) => Remote::at(url),
        None => Remote::of(&load(&api.config)?.admin),
    };
    let act = match act {
        SnapshotAct::Start { tables } => Act::Start(tables),
        SnapshotAct::Stop { tables } => Act::Stop(tables),
        SnapshotAct::Pause => Act::Pause,
        SnapshotAct::Resume => Act::Resume,
        SnapshotAct::Status { watch, json } => Act::Status { watch, json },
    };
    relay::remote::snapshot::run(&remote.map_err(ended)?, &act, &mut std::io::stdout().lock()).map_err(ended)
}

fn read_limited(path: &Path) -> Result<Vec<u8>, (Exit, String)> {
    let fail = |reason: String| (Exit::Config, format!("{}: {reason}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| fail(e.to_string()))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| fail(e.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("it is longer than {} MiB: no object list is", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
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
