//! What every destination implements.

pub mod kafka;
