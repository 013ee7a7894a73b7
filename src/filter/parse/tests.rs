use super::*;

/// The tree with a bracket around every node.
fn shown(expr: &Expr) -> String {
    let all = |exprs: &[Expr], between: &str| exprs.iter().map(shown).collect::<Vec<_>>().join(between);
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match &expr.kind {
        ExprKind::Column(name) => name.clone(),
        ExprKind::Literal(literal) => match literal {
            Literal::Int(number) => number.to_string(),
            Literal::Text(text) => format!("'{text}'"),
            other => format!("{other:?}"),
        },
        ExprKind::And(parts) => format!("({})", all(parts, " AND ")),
        ExprKind::Or(parts) => format!("({})", all(parts, " OR ")),
        ExprKind::Not(inner) => format!("(NOT {})", shown(inner)),
        ExprKind::IsNull { value, negated } => format!("({} IS {}NULL)", shown(value), not(negated)),
        ExprKind::Compare { op, left, right } => format!("({} {} {})", shown(left), op.name(), shown(right)),
        ExprKind::Between { value, low, high, negated } => {
            format!("({} {}BETWEEN {} AND {})", shown(value), not(negated), shown(low), shown(high))
        }
        ExprKind::In { value, list, negated } => format!("({} {}IN ({}))", shown(value), not(negated), all(list, ", ")),
        ExprKind::Like { value, pattern, escape, negated } => {
            format!("({} {}LIKE {} {escape})", shown(value), not(negated), shown(pattern))
        }
        ExprKind::Negate(inner) => format!("(-{})", shown(inner)),
        ExprKind::Arithmetic { op, left, right } => format!("({} {} {})", shown(left), op.name(), shown(right)),
        ExprKind::Call { function, arguments } => format!("{}({})", function.name(), all(arguments, ", ")),
    }
}

#[test]
fn operators_bind_as_on_the_server() {
    for (text, tree) in [
        ("a = 1 or b = 2 and not c = 3", "((a = 1) OR ((b = 2) AND (NOT (c = 3))))"),
        ("a + b * c % 2 - -d < 5", "(((a + ((b * c) % 2)) - (-d)) < 5)"),
        ("a = b = c", "((a = b) = c)"),
        ("a = b is null", "((a = b) IS NULL)"),
        ("a is not null = 1", "((a IS NOT NULL) = 1)"),
        ("a = b like 'x'", "(a = (b LIKE 'x' \\))"),
        ("a like 'x' = 1", "((a LIKE 'x' \\) = 1)"),
        ("a not in (1, b + 1)", "(a NOT IN (1, (b + 1)))"),
        ("a between 1 and 2 and b", "((a BETWEEN 1 AND 2) AND b)"),
        ("not a not between b and c", "(NOT (a NOT BETWEEN b AND c))"),
        ("a not like 'x|%' escape '|'", "(a NOT LIKE 'x|%' |)"),
        ("(a or b) and `or`", "((a OR b) AND or)"),
        ("mod(a, 2) <=> lower(b)", "(MOD(a, 2) <=> LOWER(b))"),
        ("date = date '2020-01-02'", "(date = Date(\"2020-01-02\"))"),
        ("a <> null or b != true", "((a <> Null) OR (b <> Bool(true)))"),
        ("((((a))))", "a"),
    ] {
        assert_eq!(shown(&parse(text).expect(text)), tree, "{text}");
    }
}

#[test]
fn errors_say_where_what_was_found_and_what_was_expected() {
    for (text, message) in [
        ("", "line 1, column 1: found the end of the condition, expected a column, a literal, a function or a bracket"),
        (
            "a = ",
            "line 1, column 5: found the end of the condition, expected a column, a literal, a function or a bracket",
        ),
        ("a = 1 b", "line 1, column 7: found \"b\", expected an operator or the end of the condition"),
        ("a = 'x' 'y'", "line 1, column 9: found 'y', expected an operator or the end of the condition"),
        ("a in 1", "line 1, column 6: found 1, expected a list in brackets after IN"),
        ("a in (1 2)", "line 1, column 9: found 2, expected a comma or a closing bracket"),
        (
            "a between 1",
            "line 1, column 12: found the end of the condition, expected AND and the upper bound of BETWEEN",
        ),
        ("a is true", "line 1, column 6: found \"true\", expected NULL"),
        ("(a = 1", "line 1, column 7: found the end of the condition, expected an operator or a closing bracket"),
        (
            "a in (select 1)",
            "line 1, column 7: a subquery cannot be used in a filter: conditions use the columns of their own table, no subqueries",
        ),
        ("a regexp 'x'", "line 1, column 3: REGEXP cannot be used in a filter: write LIKE"),
        ("a div 2", "line 1, column 3: DIV cannot be used in a filter: write / or compare without division"),
        ("cast(a as char)", "line 1, column 1: CAST cannot be used in a filter: compare with a literal of the type"),
        ("t.a = 1", "line 1, column 2: a qualified name cannot be used in a filter: write the column alone"),
        (
            "order = 1",
            "line 1, column 1: found \"order\", expected a column, a literal, a function or a bracket (a column of that name needs backquotes)",
        ),
        (
            "a like 'x' escape '%'",
            "line 1, column 19: found '%', expected one ASCII character in quotes, and not % or _",
        ),
        (
            "substring (a, 1) = 'x'",
            "line 1, column 11: found \"(\", expected the bracket right behind the function's name",
        ),
        ("ifnull(a)", "line 1, column 1: IFNULL takes two arguments, found 1"),
        (
            "now() > a",
            "line 1, column 1: no function NOW in filters; there are LOWER, UPPER, LENGTH, CHAR_LENGTH, SUBSTRING, CONCAT, COALESCE, IFNULL, ABS, MOD, DATE, YEAR, MONTH, DAY, UNIX_TIMESTAMP, FROM_UNIXTIME",
        ),
        ("unix_timestamp() > a", "line 1, column 1: UNIX_TIMESTAMP takes one argument, found 0"),
    ] {
        assert_eq!(parse(text).expect_err(text).to_string(), message, "{text}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    for text in [
        format!("{}a{}", "(".repeat(1000), ")".repeat(1000)),
        format!("{}a", "not ".repeat(1000)),
        format!("{}a", "- ".repeat(1000)),
        format!("a{}", " + a".repeat(1000)),
        format!("a{}", " = a".repeat(1000)),
    ] {
        let error = parse(&text).expect_err("too deep");
        assert!(error.to_string().ends_with("the condition has more than 100 levels"), "{error}");
    }
    assert!(parse(&format!("a = 0{}", " or a = 1".repeat(5000))).is_ok());
    assert!(parse(&"a".repeat(100_000)).is_err());
}
