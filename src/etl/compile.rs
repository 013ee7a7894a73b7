//! The tree of a script to steps: functions found, arguments counted, constants computed.

use jiff::tz::TimeZone;

use super::ScriptOptions;
use super::action::{ACTIONS, Action, Name, Step, Target};
use super::expr::{Call, Expr, Prepared, Scope, Variable};
use super::fault::{EtlError, Position, Reason};
use super::functions::{self, Entry};
use super::number::Number;
use super::parse::{Node, Tree};
use super::temporal;
use super::value::{Datum, Kind};

/// What is known before the script meets a table.
struct Unbound<'o>(&'o ScriptOptions);

impl Scope for Unbound<'_> {
    fn column(&self, _: &str, _: Position) -> Result<usize, EtlError> {
        Ok(0)
    }

    fn source_column(&self, _: &str, _: Position) -> Result<usize, EtlError> {
        Ok(0)
    }

    fn kind(&self, _: usize) -> Kind {
        Kind::Unknown
    }

    fn variable(&self, _: Variable) -> Option<Expr> {
        None
    }

    fn zone(&self) -> &TimeZone {
        &self.0.zone
    }

    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        self.0.secrets.get(name).map(|secret| secret.to_vec())
    }
}

/// Makes one step of the top-level items.
pub(super) fn compile(items: Vec<Tree>, options: &ScriptOptions) -> Result<Step, EtlError> {
    let compiler = Compiler { scope: Unbound(options) };
    let at = items.first().map(|tree| tree.at).unwrap_or_default();
    let steps = items.into_iter().map(|tree| compiler.step(tree)).collect::<Result<Vec<_>, _>>()?;
    Ok(Step { at, name: "e_compose", action: Action::Sequence(steps) })
}

struct Compiler<'o> {
    scope: Unbound<'o>,
}

fn fail<T>(at: Position, reason: Reason) -> Result<T, EtlError> {
    Err(EtlError { at, reason })
}

/// How an error names what stands where something else should.
fn described(tree: &Tree) -> String {
    match &tree.node {
        Node::Null => "null".to_owned(),
        Node::Bool(v) => v.to_string(),
        Node::Number(number) => number.clone(),
        Node::Text(_) => "text".to_owned(),
        Node::Column(name) => format!("`{name}`"),
        Node::Variable(name) => name.clone(),
        Node::Call { name, .. } => format!("{name}(...)"),
    }
}

fn unknown_function(at: Position, name: String) -> EtlError {
    if name.to_ascii_lowercase().contains("bson") {
        return EtlError { at, reason: Reason::DocumentStore(name) };
    }
    let names = functions::all().map(|entry| entry.name).chain(ACTIONS.iter().map(|(name, _)| *name));
    let near = functions::near(&name, names.chain(["DATETIME", "__BEFORE__", "__AFTER__"]));
    EtlError { at, reason: Reason::UnknownFunction { name, near } }
}

impl Compiler<'_> {
    fn step(&self, tree: Tree) -> Result<Step, EtlError> {
        const EXPECTED: &str = "an action: a function that begins with e_";
        let at = tree.at;
        let found = described(&tree);
        let Node::Call { name, arguments, named } = tree.node else {
            return fail(at, Reason::Role { expected: EXPECTED, name: found });
        };
        let Some(&(name, signature)) = ACTIONS.iter().find(|(action, _)| *action == name) else {
            if functions::find(&name).is_some() || name == "DATETIME" || name.starts_with("__") {
                return fail(at, Reason::Role { expected: EXPECTED, name: found });
            }
            return Err(unknown_function(at, name));
        };
        let count = arguments.len();
        let counted = match name {
            "e_if" | "e_set" | "e_rename" => count >= 2 && count.is_multiple_of(2),
            "e_switch" => count >= 2 && count.is_multiple_of(2),
            "e_if_else" | "tail_replace_string_field" => {
                if name == "e_if_else" {
                    count == 3
                } else {
                    (2..=3).contains(&count)
                }
            }
            "e_drop" | "e_keep" => count <= 1,
            _ => count >= 1,
        };
        if !counted {
            return fail(at, Reason::Arguments { signature });
        }
        let mut default = None;
        for (argument, tree) in named {
            if name != "e_switch" || argument != "default" || default.is_some() {
                return fail(tree.at, Reason::ArgumentName { signature, name: argument });
            }
            default = Some(Box::new(self.step(tree)?));
        }
        let mut arguments = arguments.into_iter();
        let action = match name {
            "e_if" => Action::Each(self.pairs(arguments)?),
            "e_switch" => Action::First(self.pairs(arguments)?, default),
            "e_if_else" => {
                let mut next = || arguments.next().ok_or(EtlError { at, reason: Reason::Arguments { signature } });
                let (condition, yes, no) = (self.condition(next()?)?, self.step(next()?)?, self.step(next()?)?);
                Action::First(vec![(condition, yes)], Some(Box::new(no)))
            }
            "e_compose" => Action::Sequence(arguments.map(|tree| self.step(tree)).collect::<Result<_, _>>()?),
            "e_drop" => Action::Drop(arguments.next().map(|tree| self.condition(tree)).transpose()?),
            "e_keep" => Action::Keep(arguments.next().map(|tree| self.condition(tree)).transpose()?),
            "e_set" => {
                let mut set = Vec::new();
                while let (Some(target), Some(value)) = (arguments.next(), arguments.next()) {
                    set.push((self.target(target)?, self.expr(value)?));
                }
                Action::Set(set)
            }
            "e_drop_fields" => Action::Remove(arguments.map(|tree| self.name(tree)).collect::<Result<_, _>>()?),
            "e_keep_fields" => Action::Retain(arguments.map(|tree| self.name(tree)).collect::<Result<_, _>>()?),
            "e_rename" => {
                let mut renamed = Vec::new();
                while let (Some(old), Some(new)) = (arguments.next(), arguments.next()) {
                    renamed.push((self.name(old)?, self.name(new)?));
                }
                Action::Rename(renamed)
            }
            _ => {
                let mut next = || arguments.next().map(|tree| self.expr(tree)).transpose();
                let missing = || EtlError { at, reason: Reason::Arguments { signature } };
                let (search, new) = (next()?.ok_or_else(missing)?, next()?.ok_or_else(missing)?);
                let all = next()?.unwrap_or(Expr::Constant(Datum::Bool(true)));
                Action::Replace { search, new, all, slots: Vec::new() }
            }
        };
        Ok(Step { at, name, action })
    }

    fn pairs(&self, mut arguments: impl Iterator<Item = Tree>) -> Result<Vec<(Expr, Step)>, EtlError> {
        let mut pairs = Vec::new();
        while let (Some(condition), Some(action)) = (arguments.next(), arguments.next()) {
            pairs.push((self.condition(condition)?, self.step(action)?));
        }
        Ok(pairs)
    }

    fn name(&self, tree: Tree) -> Result<Name, EtlError> {
        let at = tree.at;
        match tree.node {
            Node::Column(name) => Ok(Name { text: name.into(), at, slot: 0 }),
            _ => fail(at, Reason::Role { expected: "a column such as `name`", name: described(&tree) }),
        }
    }

    fn target(&self, tree: Tree) -> Result<Target, EtlError> {
        match &tree.node {
            Node::Variable(name) if name == "__OPERATION__" => Ok(Target::Operation),
            Node::Variable(name) if name == "__TB__" => Ok(Target::Table),
            Node::Variable(name) if name == "__DB__" => Ok(Target::Database),
            Node::Column(_) => self.name(tree).map(Target::Column),
            _ => {
                let expected = "a column, __OPERATION__, __TB__ or __DB__";
                fail(tree.at, Reason::Role { expected, name: described(&tree) })
            }
        }
    }

    /// A condition: nothing that can never be one.
    fn condition(&self, tree: Tree) -> Result<Expr, EtlError> {
        let (at, name) = (tree.at, described(&tree));
        let expr = self.expr(tree)?;
        let never = match expr.kind(&self.scope) {
            // What it is may depend on the row.
            Kind::Text => expr.constant().is_some() || matches!(expr, Expr::Call(_)),
            Kind::Bytes | Kind::Date | Kind::Time(_) | Kind::DateTime(_) => true,
            _ => false,
        };
        if never { fail(at, Reason::Role { expected: "a condition", name }) } else { Ok(expr) }
    }

    fn expr(&self, tree: Tree) -> Result<Expr, EtlError> {
        let at = tree.at;
        Ok(match tree.node {
            Node::Null => Expr::Constant(Datum::Null),
            Node::Bool(v) => Expr::Constant(Datum::Bool(v)),
            Node::Text(text) => Expr::Constant(Datum::text(text)),
            Node::Number(number) => Expr::Constant(self.number(at, number)?),
            Node::Column(name) => Expr::Column { name: name.into(), slot: 0, at },
            Node::Variable(name) => match Expr::variable(&name) {
                Some(expr) => expr,
                None if matches!(name.as_str(), "__BEFORE__" | "__AFTER__") => {
                    return fail(
                        at,
                        Reason::Expected { expected: "a column behind it: __BEFORE__(`name`)", found: name },
                    );
                }
                None => {
                    let near = functions::near(&name, Expr::VARIABLES.into_iter());
                    return fail(at, Reason::UnknownVariable { name, near });
                }
            },
            Node::Call { name, arguments, named } => return self.call(at, name, arguments, named),
        })
    }

    fn number(&self, at: Position, number: String) -> Result<Datum<'static>, EtlError> {
        if let Ok(v) = number.parse::<i64>() {
            return Ok(Datum::Int(v));
        }
        if number.bytes().all(|b| b.is_ascii_digit()) {
            // Whole numbers beyond 64 bits stay exact.
            return match Number::parse(&number) {
                Some(Ok(v)) => Ok(Datum::Decimal(v)),
                _ => fail(at, Reason::Number(number)),
            };
        }
        match number.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(Datum::Float(v)),
            _ => fail(at, Reason::Number(number)),
        }
    }

    fn call(
        &self,
        at: Position,
        name: String,
        arguments: Vec<Tree>,
        named: Vec<(String, Tree)>,
    ) -> Result<Expr, EtlError> {
        match name.as_str() {
            "DATETIME" => return self.datetime(at, arguments, named),
            "__BEFORE__" | "__AFTER__" => {
                let signature = "__BEFORE__(`column`) or __AFTER__(`column`)";
                let mut arguments = arguments.into_iter();
                let (Some(column), None, true) = (arguments.next(), arguments.next(), named.is_empty()) else {
                    return fail(at, Reason::Arguments { signature });
                };
                let column = self.name(column)?;
                return Ok(Expr::Image { before: name == "__BEFORE__", name: column.text, index: 0, at: column.at });
            }
            _ => {}
        }
        let Some(entry) = functions::find(&name) else {
            if ACTIONS.iter().any(|(action, _)| *action == name) {
                return fail(at, Reason::Role { expected: "a value", name: format!("the action {name}") });
            }
            return Err(unknown_function(at, name));
        };
        let signature = entry.signature;
        if !(entry.min..=entry.max).contains(&arguments.len()) {
            return fail(at, Reason::Arguments { signature });
        }
        let named = self.named(entry, named)?;
        let arguments = arguments.into_iter().map(|tree| self.expr(tree)).collect::<Result<_, _>>()?;
        Expr::Call(Box::new(Call { entry, at, arguments, named, prepared: Prepared::None })).resolve(&self.scope)
    }

    fn named(&self, entry: &'static Entry, given: Vec<(String, Tree)>) -> Result<Vec<Option<Expr>>, EtlError> {
        let mut named = vec![None; entry.named.len()];
        for (name, tree) in given {
            let at = tree.at;
            let place = entry.named.iter().position(|known| *known == name).filter(|&place| named[place].is_none());
            match place {
                Some(place) => named[place] = Some(self.expr(tree)?),
                None => return fail(at, Reason::ArgumentName { signature: entry.signature, name }),
            }
        }
        Ok(named)
    }

    fn datetime(&self, at: Position, arguments: Vec<Tree>, named: Vec<(String, Tree)>) -> Result<Expr, EtlError> {
        let signature = "DATETIME('2021-01-01 10:10:01')";
        match (arguments.as_slice(), named.is_empty()) {
            ([Tree { node: Node::Text(text), at, .. }], true) => match temporal::parse_datetime(text) {
                Some(v) => Ok(Expr::Constant(Datum::DateTime(v))),
                None => fail(*at, Reason::Argument { signature, expected: "a date and time of the calendar" }),
            },
            _ => fail(at, Reason::Arguments { signature }),
        }
    }
}
