//! Which images of a change a condition is asked of, and what becomes of the change.

use serde::{Deserialize, Serialize};

use crate::change::Op;

/// `filter_images`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterImages {
    /// Rows that enter the condition are inserted, rows that leave it deleted.
    #[default]
    Both,
    /// As DTS does: a row that does not match before its change is left out, even if it matches after.
    Before,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is delivered as it is.
    Keep,
    /// An update is delivered as the delete of its old row.
    AsDelete,
    /// An update is delivered as the insert of its new row.
    AsInsert,
    /// It is left out.
    Drop,
}

impl FilterImages {
    /// What becomes of a change whose old and new row match or not; an image that the change lacks counts for nothing.
    pub fn verdict(self, op: Op, old: bool, new: bool) -> Verdict {
        let kept = |matches| if matches { Verdict::Keep } else { Verdict::Drop };
        match (op, old, new) {
            (Op::Insert, _, new) => kept(new),
            (Op::Delete, old, _) => kept(old),
            (Op::Update, true, true) => Verdict::Keep,
            (Op::Update, true, false) => Verdict::AsDelete,
            (Op::Update, false, true) if self == Self::Both => Verdict::AsInsert,
            (Op::Update, false, _) => Verdict::Drop,
        }
    }

    /// Whether an update whose old row does not match needs its new row looked at.
    pub(super) fn needs_new(self) -> bool {
        self == Self::Both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_across_the_condition_become_inserts_and_deletes() {
        use FilterImages::*;
        for (images, op, old, new, verdict) in [
            (Both, Op::Update, true, true, Verdict::Keep),
            (Both, Op::Update, true, false, Verdict::AsDelete),
            (Both, Op::Update, false, true, Verdict::AsInsert),
            (Both, Op::Update, false, false, Verdict::Drop),
            (Before, Op::Update, true, true, Verdict::Keep),
            (Before, Op::Update, true, false, Verdict::AsDelete),
            (Before, Op::Update, false, true, Verdict::Drop),
            (Before, Op::Update, false, false, Verdict::Drop),
            (Both, Op::Insert, false, true, Verdict::Keep),
            (Both, Op::Insert, true, false, Verdict::Drop),
            (Before, Op::Insert, false, true, Verdict::Keep),
            (Both, Op::Delete, true, false, Verdict::Keep),
            (Before, Op::Delete, false, true, Verdict::Drop),
        ] {
            assert_eq!(images.verdict(op, old, new), verdict, "{images:?} {op:?} {old} {new}");
        }
    }
}
