//! What the tools share: how they print, and how they end. Each tool is one file in `src/bin` with its arguments;
//! what it does is a module here.

pub mod admin;
pub mod cursor;
pub mod dump;
pub mod end;
pub mod print;
pub mod render;
