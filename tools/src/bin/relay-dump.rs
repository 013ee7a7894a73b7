//! relay-dump.
fn main() {}
