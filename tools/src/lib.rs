//! The tools: `relay-dump` prints and checks the log, `relay-cursor` shows and moves cursors. Neither needs the
//! daemon to be well: the log is read from its files.
//!
//! | look in | for |
//! |---|---|
//! | [`dump`] | `relay-dump`, one file a format |
//! | [`cursor`] | `relay-cursor`: the running relay's API, the stopped one's store |
//! | [`place`] | opening a log to read, what an address means there |
//! | [`ended`] | exit codes and the sentence that goes with them |
//! | [`escape`] | why a name in the log cannot drive the terminal |
//! | [`units`], [`table`], [`progress`] | how numbers, tables and long work look |

pub mod cursor;
pub mod dump;
pub mod ended;
pub mod escape;
pub mod place;
pub mod progress;
pub mod table;
pub mod units;
