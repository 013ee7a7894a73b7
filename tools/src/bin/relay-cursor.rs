//! relay-cursor.
fn main() {}
