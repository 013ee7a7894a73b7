//! `relay-cursor`: shows and moves the cursors of a running or a stopped relay.

use std::process::ExitCode;

use clap::Parser;
use relay_tools::{cursor, ended};

fn main() -> ExitCode {
    ended::finish("relay-cursor", cursor::run(&cursor::Arguments::parse()))
}
