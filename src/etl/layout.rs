//! The columns that a table's rows have after a script, and where each comes from.

use std::sync::{Arc, Mutex};

use super::action::Step;
use super::bind::{Binder, Bound, Slot};
use super::fault::{EtlError, Position, Reason};
use super::shape;
use crate::change::plan::TablePlan;

impl Binder<'_> {
    /// What the walk through the script found, as a binding.
    pub(super) fn finish(self, step: Step, plan: &Arc<TablePlan>, at: Position) -> Result<Bound, EtlError> {
        let mut slots: Vec<Slot> = Vec::with_capacity(self.slots.len());
        for known in &self.slots {
            let (mut column, mut def) = match (known.source, known.alias, known.like) {
                (Some(place), ..) => (plan.columns[place].clone(), plan.defs[place].clone()),
                (None, Some(alias), _) => (slots[alias].column.clone(), slots[alias].def.clone()),
                (None, None, Some(place)) => (plan.columns[place].clone(), plan.defs[place].clone()),
                (None, None, None) => shape::new_column(&known.name, known.kind),
            };
            let mut transcoded = known.alias.is_some_and(|alias| slots[alias].transcoded);
            let key = known.source.is_some_and(|place| plan.key.contains(&place))
                || known.alias.is_some_and(|_| !column.nullable);
            column.name = known.name.clone();
            def.name = Some(known.name.clone());
            if known.source.is_none() && known.alias.is_none() {
                (column.hidden, column.generated, column.dropped, def.key) = (false, false, false, None);
            }
            if (known.assigned || known.removed || known.source.is_none()) && !key {
                column.nullable = true;
                def.nullable = true;
            }
            let is_own_text = column.kind.is_text() && column.labels.is_empty();
            if known.assigned && is_own_text && !column.charset.is_utf8() {
                shape::make_utf8(&mut column, &mut def);
                transcoded = known.source.is_some() || known.alias.is_some();
            }
            slots.push(Slot { column, def, source: known.source, alias: known.alias, transcoded });
        }
        let mut outputs = Vec::new();
        let mut columns = Vec::new();
        for place in 0..plan.columns.len() {
            // A new name takes the place of the old one.
            let named = |slot: usize| (0..slots.len()).find(|&s| slots[s].alias == Some(slot));
            let mut slot = place;
            while let Some(next) = named(slot) {
                slot = next;
            }
            let mut column = slots[slot].column.clone();
            if !self.possible[slot] {
                if plan.key.contains(&place) {
                    let (table, name) = (plan.source.to_string(), plan.columns[place].name.to_string());
                    return Err(EtlError { at, reason: Reason::KeyColumn { table, name } });
                }
                column.dropped = true;
            }
            outputs.push(slot);
            columns.push(column);
        }
        for (slot, known) in slots.iter().enumerate().skip(plan.columns.len()) {
            if self.possible[slot] && !outputs.contains(&slot) {
                outputs.push(slot);
                columns.push(known.column.clone());
            }
        }
        let same_places = outputs.len() == plan.columns.len();
        let rewrites = !same_places || slots.iter().any(|slot| slot.transcoded);
        let same = !rewrites && columns == plan.columns;
        let derived = if same {
            Arc::clone(plan)
        } else {
            let defs = outputs.iter().map(|&slot| slots[slot].def.clone()).collect();
            plan.derive(|plan| {
                plan.columns = columns;
                plan.defs = defs;
            })
        };
        Ok(Bound {
            source: Arc::clone(plan),
            plan: derived,
            rewrites,
            step,
            slots,
            outputs,
            zone: self.options.zone.clone(),
            on_error: self.options.on_error,
            named: Mutex::default(),
        })
    }
}
