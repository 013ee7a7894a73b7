//! A record and what a script makes of it as lines of aligned text, safe for a terminal.

use crate::change::Op;

/// A row's columns in order: names and texts, none for NULL.
pub(super) type Cells = Vec<(String, Option<String>)>;

/// A record as it is shown.
pub(super) struct Shown {
    pub(super) op: Op,
    pub(super) table: String,
    pub(super) before: Option<Cells>,
    pub(super) after: Option<Cells>,
}

/// Longest value that is shown whole.
const CHARS_MAX: usize = 60;

/// Lines of a table: a column of names, and one for each image before and after the script.
pub(super) fn table(source: &Shown, made: Option<&Shown>) -> Vec<String> {
    let mut images: Vec<(&str, &Cells)> = Vec::new();
    for (name, cells) in [("before", &source.before), ("after", &source.after)] {
        images.extend(cells.as_ref().map(|cells| (name, cells)));
    }
    let made = made.into_iter().flat_map(|made| [("new before", &made.before), ("new after", &made.after)]);
    images.extend(made.filter_map(|(name, cells)| cells.as_ref().map(|cells| (name, cells))));
    let mut names: Vec<&String> = Vec::new();
    for (_, cells) in &images {
        for (name, _) in *cells {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(images.iter().map(|(name, _)| (*name).to_owned()));
    for name in names {
        let mut row = vec![short(name)];
        for (_, cells) in &images {
            row.push(match cells.iter().find(|(column, _)| column == name) {
                None => "-".to_owned(),
                Some((_, None)) => "NULL".to_owned(),
                Some((_, Some(text))) => short(&format!("\"{text}\"")),
            });
        }
        rows.push(row);
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let parts = row.iter().zip(&widths).map(|(text, &width)| format!("{text:width$}"));
        parts.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn short(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Text in which nothing acts on a terminal: control characters, and marks that change the direction of text.
pub(super) fn plain(text: &str) -> String {
    let active = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if active(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
