//! Which columns a script names, for who wants to know before any table is bound.

use std::collections::BTreeSet;

use super::Script;
use super::action::{Action, Name, Step, Target};
use super::expr::Expr;

impl Script {
    /// Every column that the script reads, sets, renames or takes away, by the name that it uses.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        of_step(&self.step, &mut names);
        names
    }
}

fn of_step<'s>(step: &'s Step, names: &mut BTreeSet<&'s str>) {
    match &step.action {
        Action::Each(branches) => branches.iter().for_each(|branch| of_branch(branch, names)),
        Action::First(branches, default) => {
            branches.iter().for_each(|branch| of_branch(branch, names));
            default.iter().for_each(|step| of_step(step, names));
        }
        Action::Sequence(steps) => steps.iter().for_each(|step| of_step(step, names)),
        Action::Drop(condition) | Action::Keep(condition) => condition.iter().for_each(|c| of_expr(c, names)),
        Action::Set(targets) => {
            for (target, value) in targets {
                if let Target::Column(name) = target {
                    names.insert(&name.text);
                }
                of_expr(value, names);
            }
        }
        Action::Remove(columns) | Action::Retain(columns) => names.extend(columns.iter().map(text)),
        Action::Rename(pairs) => names.extend(pairs.iter().flat_map(|(from, to)| [text(from), text(to)])),
        Action::Replace { search, new, all, .. } => [search, new, all].into_iter().for_each(|e| of_expr(e, names)),
    }
}

fn of_branch<'s>((condition, step): &'s (Expr, Step), names: &mut BTreeSet<&'s str>) {
    of_expr(condition, names);
    of_step(step, names);
}

fn of_expr<'s>(expr: &'s Expr, names: &mut BTreeSet<&'s str>) {
    match expr {
        Expr::Column { name, .. } | Expr::Image { name, .. } => drop(names.insert(name)),
        Expr::Call(call) => {
            call.arguments.iter().chain(call.named.iter().flatten()).for_each(|part| of_expr(part, names));
        }
        Expr::Constant(_) | Expr::Variable(_) => {}
    }
}

fn text(name: &Name) -> &str {
    &name.text
}

#[cfg(test)]
mod tests {
    use crate::etl::{Script, ScriptOptions};

    #[test]
    fn a_script_names_its_columns_wherever_they_stand() {
        let text = "e_compose(e_if(op_gt(`a`, 1), e_set(`b`, str_upper(`c`))), e_rename(`d`, `e`), e_drop_fields(`f`), \
                    e_switch(op_eq(`g`, 'x'), e_drop(), default = e_set(`h`, __BEFORE__(`i`))))";
        match Script::compile(text, &ScriptOptions::default()) {
            Ok(script) => {
                assert_eq!(script.columns().into_iter().collect::<String>(), "abcdefghi");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
