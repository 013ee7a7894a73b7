//! The raw entries, byte by byte.

use std::ops::ControlFlow;

use relay::log::walk::{View, Visit, walk};
use relay::selection::TablePatterns;
use relay_store::{Reader, Seq};
use serde_json::json;

use super::{Output, Printer};
use crate::ended::Ended;
use crate::escape::{Plain, plain};

/// Prints entries as hexadecimal.
pub(super) struct Hex {
    tables: Option<TablePatterns>,
}

impl Hex {
    pub(super) fn new(tables: Option<TablePatterns>) -> Self {
        Self { tables }
    }

    fn wants(&self, view: &View<'_>) -> bool {
        let Some(tables) = &self.tables else { return true };
        view.table.is_some_and(|(database, table)| tables.matches(database, table))
    }
}

impl Printer for Hex {
    fn print(&mut self, reader: &mut Reader, from: Seq, to: Seq, out: &mut Output) -> Result<Seq, Ended> {
        walk_fallibly(reader, from, to, &mut |visit| match visit {
            Visit::Entry(view) if view.visible && self.wants(view) => entry(view, out),
            Visit::Gap(gap) => out.gap(gap),
            _ => Ok(()),
        })
    }
}

/// A walk whose visitor may fail.
pub(super) fn walk_fallibly(
    reader: &mut Reader,
    from: Seq,
    to: Seq,
    visit: &mut dyn FnMut(&Visit<'_>) -> Result<(), Ended>,
) -> Result<Seq, Ended> {
    let mut failed = None;
    let next = walk(reader, from, to, &mut |met| match visit(&met) {
        Ok(()) => ControlFlow::Continue(()),
        Err(ended) => {
            failed = Some(ended);
            ControlFlow::Break(())
        }
    })?;
    match failed {
        Some(ended) => Err(ended),
        None => Ok(next),
    }
}

fn entry(view: &View<'_>, out: &mut Output) -> Result<(), Ended> {
    let header = &view.entry.header;
    let table = view.table.map(|(database, table)| format!("{database}.{table}"));
    if out.json {
        let hex: String = view.entry.body.iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = json!({
            "seq": view.entry.seq.0,
            "kind": view.kind_name(),
            "flags": header.flags,
            "file": view.file,
            "position": header.source_pos,
            "received_us": header.received_us,
            "table": table,
            "problem": view.problem,
            "hex": hex,
        });
        return out.json_line(&entry.to_string());
    }
    let (seq, kind, file, bytes) = (view.entry.seq, view.kind_name(), plain(view.file), view.entry.body.len());
    let table = table.map(|table| format!("  {}", Plain(&table))).unwrap_or_default();
    let position = header.source_pos;
    out.line(format_args!("seq {seq}  {kind}  {file}:{position}  flags {:#04x}  {bytes} bytes{table}", header.flags))?;
    if let Some(problem) = &view.problem {
        out.line(format_args!("  does not parse: {}", Plain(problem)))?;
    }
    for (place, bytes) in view.entry.body.chunks(16).enumerate() {
        let hex: String =
            bytes.iter().enumerate().map(|(i, byte)| format!("{}{byte:02x} ", if i == 8 { " " } else { "" })).collect();
        let text: String =
            bytes.iter().map(|&b| if (b' '..=b'~').contains(&b) { char::from(b) } else { '.' }).collect();
        out.line(format_args!("  {:08x}  {hex:<49} |{text}|", place * 16))?;
    }
    Ok(())
}
