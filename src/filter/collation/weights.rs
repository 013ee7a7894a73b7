//! Text as a row of weights.

use super::table::Table;

/// The weights of a text on one level. Characters without any are passed by.
#[derive(Debug)]
pub(super) struct Weights<'t, 's> {
    table: &'t Table,
    text: &'s str,
    level: usize,
    computed: [u16; 2],
    computed_left: usize,
    own: &'t [u16],
}

impl<'t, 's> Weights<'t, 's> {
    pub(super) fn new(table: &'t Table, text: &'s str, level: usize) -> Self {
        Self { table, text, level, computed: [0; 2], computed_left: 0, own: &[] }
    }
}

impl Iterator for Weights<'_, '_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        loop {
            if self.computed_left > 0 {
                self.computed_left -= 1;
                return Some(self.computed[1 - self.computed_left]);
            }
            if let Some((&weight, rest)) = self.own.split_first() {
                self.own = rest;
                return Some(weight);
            }
            let mut chars = self.text.chars();
            let head = chars.next()?;
            self.text = chars.as_str();
            if let Some((bytes, own)) = self.table.sequence(head, self.text, self.level) {
                self.text = &self.text[bytes..];
                self.own = own;
                continue;
            }
            let weighed = self.table.weigh(head, self.level);
            (self.computed, self.computed_left, self.own) = (weighed.computed, weighed.computed_len, weighed.own);
        }
    }
}
