//! `relay-dump`: prints, counts, checks and follows the log of a live or stopped store.

use std::process::ExitCode;

use clap::Parser;
use relay_tools::{dump, ended};

fn main() -> ExitCode {
    ended::finish("relay-dump", dump::run(&dump::Arguments::parse()))
}
