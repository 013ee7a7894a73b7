//! Tokens to a tree of calls. Infix operators and the conditional become the calls that they stand for.
//!
//! ```text
//! script   [script :] item { (line break | ;) item }
//! expr     binary [? expr : expr]
//! binary   || or, && and, == != > >= < <= (one of them), + -, * / %: in rising order
//! unary    - ! not
//! primary  literal | column | variable | name ( argument, ... ) | ( expr )
//! argument [name =] expr
//! ```

use super::fault::{EtlError, Position, Reason};
use super::token::{Token, tokens};

/// Most bytes of a script.
pub const SCRIPT_BYTES_MAX: usize = 64 << 10;

/// Most calls, brackets and operators inside each other.
pub const NESTING_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) at: Position,
    pub(super) node: Node,
    depth: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// Digits, with or without a point.
    Number(String),
    Text(String),
    /// A column, in back-quotes or not.
    Column(String),
    /// `__NAME__`.
    Variable(String),
    Call {
        name: String,
        arguments: Vec<Tree>,
        named: Vec<(String, Tree)>,
    },
}

/// Reads a script: its top-level items in order.
pub(super) fn parse(text: &str) -> Result<Vec<Tree>, EtlError> {
    if text.len() > SCRIPT_BYTES_MAX {
        let at = Position { line: 1, column: 1 };
        return Err(EtlError { at, reason: Reason::Size { bytes: text.len() } });
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, brackets: 0 };
    parser.script()
}

struct Parser {
    tokens: Vec<(Token, Position)>,
    next: usize,
    depth: usize,
    /// Open brackets; inside them line breaks are blank.
    brackets: usize,
}

type Parsed = Result<Tree, EtlError>;

/// Operators by rising strength; those of a row are equals.
const BINARY: [&[(&str, &str)]; 5] = [
    &[("||", "op_or"), ("or", "op_or")],
    &[("&&", "op_and"), ("and", "op_and")],
    &[("==", "op_eq"), ("!=", "op_ne"), (">", "op_gt"), (">=", "op_ge"), ("<", "op_lt"), ("<=", "op_le")],
    &[("+", "op_add"), ("-", "op_sub")],
    &[("*", "op_mul"), ("/", "op_div_true"), ("%", "op_mod")],
];

/// Comparisons do not follow each other: `a < b < c` means nothing.
const COMPARISON: usize = 2;

impl Parser {
    fn peek(&mut self) -> &Token {
        while self.brackets > 0 && self.tokens[self.next].0 == Token::Break {
            self.next += 1;
        }
        &self.tokens[self.next].0
    }

    fn at(&mut self) -> Position {
        self.peek();
        self.tokens[self.next].1
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.next += 1;
        }
        token
    }

    fn is(&mut self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let there = self.is(sign);
        self.next += usize::from(there);
        there
    }

    fn expected<T>(&mut self, expected: &'static str) -> Result<T, EtlError> {
        let found = self.peek().describe();
        Err(EtlError { at: self.at(), reason: Reason::Expected { expected, found } })
    }

    fn separators(&mut self) -> bool {
        let start = self.next;
        while matches!(self.peek(), Token::Break) || self.is(";") {
            self.next += 1;
        }
        self.next > start
    }

    fn script(&mut self) -> Result<Vec<Tree>, EtlError> {
        self.separators();
        if let (Token::Name(name), Some((Token::Sign(":"), _))) = (self.peek().clone(), self.tokens.get(self.next + 1))
            && name == "script"
        {
            self.next += 2;
            self.separators();
        }
        let mut items = Vec::new();
        while *self.peek() != Token::End {
            items.push(self.expr()?);
            if !self.separators() && *self.peek() != Token::End {
                return self.expected("a line break or ; before the next action");
            }
        }
        if items.is_empty() {
            return Err(EtlError { at: self.at(), reason: Reason::Empty });
        }
        Ok(items)
    }

    fn tree(&self, at: Position, node: Node) -> Parsed {
        let depth = match &node {
            Node::Call { arguments, named, .. } => {
                let inner = arguments.iter().chain(named.iter().map(|(_, tree)| tree)).map(|tree| tree.depth).max();
                1 + inner.unwrap_or(0)
            }
            _ => 1,
        };
        if depth > NESTING_MAX { Err(EtlError { at, reason: Reason::Nesting }) } else { Ok(Tree { at, node, depth }) }
    }

    fn call(&self, at: Position, name: &str, arguments: Vec<Tree>) -> Parsed {
        self.tree(at, Node::Call { name: name.to_owned(), arguments, named: Vec::new() })
    }

    /// Everything that recurses passes here.
    fn deeper(&mut self, inner: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= NESTING_MAX {
            return Err(EtlError { at: self.at(), reason: Reason::Nesting });
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn expr(&mut self) -> Parsed {
        self.deeper(|parser| {
            let condition = parser.binary(0)?;
            let at = parser.at();
            if !parser.eat("?") {
                return Ok(condition);
            }
            let yes = parser.expr()?;
            if !parser.eat(":") {
                return parser.expected("\":\" of the conditional");
            }
            let no = parser.expr()?;
            parser.call(at, "op_if", vec![condition, yes, no])
        })
    }

    /// The operator that stands here: its strength, its function.
    fn operator(&mut self) -> Option<(usize, &'static str)> {
        let spelled = match self.peek() {
            Token::Sign(sign) => *sign,
            Token::Name(name) if name == "or" => "or",
            Token::Name(name) if name == "and" => "and",
            _ => return None,
        };
        let found = |(level, row): (usize, &&'static [(&'static str, &'static str)])| {
            row.iter().find(|(sign, _)| *sign == spelled).map(|(_, name)| (level, *name))
        };
        BINARY.iter().enumerate().find_map(found)
    }

    /// Operators of at least this strength, by precedence climbing: few frames for each level of nesting.
    fn binary(&mut self, weakest: usize) -> Parsed {
        let mut left = self.unary()?;
        let mut compared = false;
        while let Some((level, name)) = self.operator().filter(|(level, _)| *level >= weakest) {
            if level == COMPARISON && compared {
                return self.expected("one comparison: two are joined by and");
            }
            compared = level == COMPARISON;
            let at = self.at();
            self.next += 1;
            let right = self.binary(level + 1)?;
            left = self.joined(at, name, left, right)?;
        }
        Ok(left)
    }

    fn joined(&self, at: Position, name: &'static str, left: Tree, right: Tree) -> Parsed {
        let flat = matches!(name, "op_or" | "op_and");
        match left.node {
            // Chains of operators that take any number of arguments stay flat.
            Node::Call { name: same, mut arguments, named } if flat && same == name && left.at == at_of(&arguments) => {
                arguments.push(right);
                self.tree(left.at, Node::Call { name: same, arguments, named })
            }
            node => {
                let left = Tree { at: left.at, node, depth: left.depth };
                let at = if flat { left.at } else { at };
                self.call(at, name, vec![left, right])
            }
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        let name = match self.peek() {
            Token::Sign("-") => "op_neg",
            Token::Sign("!") => "op_not",
            Token::Name(name) if name == "not" => "op_not",
            _ => return self.primary(),
        };
        self.next += 1;
        let inner = self.deeper(Self::unary)?;
        self.call(at, name, vec![inner])
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let node = match self.take() {
            Token::Text(text) => Node::Text(text),
            Token::Number(number) => Node::Number(number),
            Token::Column(name) => Node::Column(name),
            Token::Name(name) if self.is("(") => return self.arguments(at, name),
            Token::Name(name) => match name.as_str() {
                "null" => Node::Null,
                "true" | "True" => Node::Bool(true),
                "false" | "False" => Node::Bool(false),
                word if word.len() > 4 && word.starts_with("__") && word.ends_with("__") => Node::Variable(name),
                _ => Node::Column(name),
            },
            Token::Sign("(") => {
                self.brackets += 1;
                let inner = self.expr()?;
                if !self.is(")") {
                    return self.expected("\")\"");
                }
                self.brackets -= 1;
                self.next += 1;
                return Ok(inner);
            }
            found => {
                let reason = Reason::Expected { expected: "a value or a call", found: found.describe() };
                return Err(EtlError { at, reason });
            }
        };
        self.tree(at, node)
    }

    fn arguments(&mut self, at: Position, name: String) -> Parsed {
        self.brackets += 1;
        self.next += 1;
        let (mut arguments, mut named) = (Vec::new(), Vec::new());
        if !self.is(")") {
            loop {
                match self.argument_name() {
                    Some(argument) => named.push((argument, self.expr()?)),
                    None if named.is_empty() => arguments.push(self.expr()?),
                    None => return self.expected("a named argument: those without a name come first"),
                }
                if self.is(")") {
                    break;
                }
                if !self.eat(",") {
                    return self.expected("\",\" or \")\"");
                }
            }
        }
        // The bracket is closed before what follows it is looked at: a line break there counts again.
        self.brackets -= 1;
        self.next += 1;
        self.tree(at, Node::Call { name, arguments, named })
    }

    fn argument_name(&mut self) -> Option<String> {
        let Token::Name(name) = self.peek().clone() else { return None };
        let mut behind = self.next + 1;
        while matches!(self.tokens.get(behind), Some((Token::Break, _))) {
            behind += 1;
        }
        if !matches!(self.tokens.get(behind), Some((Token::Sign("="), _))) {
            return None;
        }
        self.next = behind + 1;
        Some(name)
    }
}

/// A flat chain of `or` or `and` has the place of its first argument, which tells it from a call of that name.
fn at_of(arguments: &[Tree]) -> Position {
    arguments.first().map(|first| first.at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tree: &Tree) -> String {
        match &tree.node {
            Node::Null => "null".into(),
            Node::Bool(v) => v.to_string(),
            Node::Number(n) => n.clone(),
            Node::Text(t) => format!("{t:?}"),
            Node::Column(c) => format!("`{c}`"),
            Node::Variable(v) => v.clone(),
            Node::Call { name, arguments, named } => {
                let named = named.iter().map(|(name, tree)| format!("{name}={}", shown(tree)));
                format!("{name}({})", arguments.iter().map(shown).chain(named).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn parsed(text: &str) -> String {
        let items = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        items.iter().map(shown).collect::<Vec<_>>().join(";")
    }

    fn refused(text: &str) -> (u32, u32, String) {
        let error = parse(text).expect_err(text);
        (error.at.line, error.at.column, error.reason.to_string())
    }

    #[test]
    fn operators_bind_as_the_grammar_says() {
        assert_eq!(parsed("(id > 1000 ? 1 : 0)"), "op_if(op_gt(`id`,1000),1,0)");
        assert_eq!(parsed("1 + 2 * -3 - 4 % 5"), "op_sub(op_add(1,op_mul(2,op_neg(3))),op_mod(4,5))");
        assert_eq!(parsed("!a && b == 1 or c"), "op_or(op_and(op_not(`a`),op_eq(`b`,1)),`c`)");
        assert_eq!(parsed("a || b or c"), "op_or(`a`,`b`,`c`)");
        assert_eq!(parsed("not not a"), "op_not(op_not(`a`))");
        assert_eq!(parsed("a ? b ? 1 : 2 : c ? 3 : 4"), "op_if(`a`,op_if(`b`,1,2),op_if(`c`,3,4))");
        assert_eq!(parsed("op_or(a, b) || c"), "op_or(op_or(`a`,`b`),`c`)");
    }

    #[test]
    fn scripts_have_a_prefix_comments_line_breaks_and_named_arguments() {
        assert_eq!(parsed("script:e_drop()"), "e_drop()");
        assert_eq!(parsed("\n# note\nscript: e_drop() # all\n"), "e_drop()");
        assert_eq!(parsed("e_drop(); e_drop()\n\n e_set(`a`,\n 1)"), "e_drop();e_drop();e_set(`a`,1)");
        assert_eq!(parsed("f(a,\n default = g(),\n x=-1)"), "f(`a`,default=g(),x=op_neg(1))");
        assert_eq!(parsed("f(True, false, null, __DB__, __x, 'a')"), "f(true,false,null,__DB__,`__x`,\"a\")");
        assert_eq!(parsed("f(\n(a\n+\nb)\n)"), "f(op_add(`a`,`b`))");
    }

    #[test]
    fn errors_say_where_and_what_was_expected() {
        assert_eq!(refused(""), (1, 1, "the script is empty: expected an action such as e_drop()".into()));
        assert_eq!(refused("e_drop("), (1, 8, "expected a value or a call, found the end of the script".into()));
        assert_eq!(refused("e_drop(1 2)"), (1, 10, "expected \",\" or \")\", found 2".into()));
        assert_eq!(
            refused("e_drop() e_drop()"),
            (1, 10, "expected a line break or ; before the next action, found e_drop".into())
        );
        assert_eq!(refused("a ? 1"), (1, 6, "expected \":\" of the conditional, found the end of the script".into()));
        assert_eq!(refused("a < b < c").2, "expected one comparison: two are joined by and, found \"<\"");
        assert_eq!(refused("f(x=1, 2)").2, "expected a named argument: those without a name come first, found 2");
        assert_eq!(refused("(a").2, "expected \")\", found the end of the script");
        assert_eq!(refused("e_if(\n  `a` >,\n 1)").0, 2);
    }

    #[test]
    fn size_and_nesting_are_limited() {
        let spaces = " ".repeat(SCRIPT_BYTES_MAX - 8);
        assert_eq!(parsed(&format!("e_drop(){spaces}")), "e_drop()");
        assert_eq!(refused(&format!("e_drop() {spaces}")).2, "the script has 65537 bytes, more than 65,536");
        let nested = |n: usize| format!("{}1{}", "f(".repeat(n), ")".repeat(n));
        assert!(parse(&nested(NESTING_MAX - 1)).is_ok());
        assert_eq!(refused(&nested(NESTING_MAX)).2, "nested deeper than 200 levels");
        for deep in ["(", "!", "-", "a?", "f(x=", "not "] {
            let text = deep.repeat(SCRIPT_BYTES_MAX / deep.len());
            assert_eq!(refused(&text).2, "nested deeper than 200 levels", "{deep}");
        }
        assert_eq!(refused(&format!("1{}", "-1".repeat(30_000))).2, "nested deeper than 200 levels");
        assert!(parse(&format!("a{}", "||a".repeat(15_000))).is_ok());
    }
}
