//! MaxCompute's client against the stand-in.

#[path = "../support/maxcompute/mod.rs"]
mod stand_in;

mod client;
