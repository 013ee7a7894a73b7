//! Aligned tables: a header, then rows; numbers to the right.

use std::fmt;

use crate::escape::Plain;

/// Which side a column's cells lean to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table in the making. Cells are shown with nothing in them that a terminal would act on.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self { columns: columns.iter().map(|&(name, align)| (name.to_owned(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.rows.push(cells.into_iter().map(|cell| Plain(&cell).to_string()).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let lines = || std::iter::once(&header).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| lines().map(|cells| cells.get(i).map_or(0, |cell| cell.chars().count())).max().unwrap_or(0))
            .collect();
        for cells in lines() {
            let mut line = String::new();
            for (i, (width, (_, align))) in widths.iter().zip(&self.columns).enumerate() {
                let cell = cells.get(i).map_or("", String::as_str);
                let gap = if i > 0 { "  " } else { "" };
                line.push_str(&match align {
                    Align::Left => format!("{gap}{cell:<width$}"),
                    Align::Right => format!("{gap}{cell:>width$}"),
                });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_escapes_are_shown() {
        let mut table = Table::new(&[("NAME", Align::Left), ("ROWS", Align::Right), ("NOTE", Align::Left)]);
        table.row(["größe", "7", "a"].map(String::from));
        table.row(["x\x1b", "1,000"].map(String::from));
        assert_eq!(table.to_string(), "NAME      ROWS  NOTE\ngröße        7  a\nx\\u{1b}  1,000\n");
    }
}
