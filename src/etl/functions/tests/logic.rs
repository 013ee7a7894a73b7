//! Comparison, logic, choice.

use super::super::super::tests::value;
use super::{gives, types};

#[test]
fn op_eq_op_gt_op_lt_op_ge_op_le() {
    gives(&[
        ("op_eq(`id`, 7)", "1"),
        ("op_eq(`id`, '7')", "1"),
        ("op_eq(`price`, -12.5)", "1"),
        ("op_gt(`big`, 9223372036854775807)", "1"),
        ("op_eq(`big`, 18446744073709551615)", "1"),
        ("op_eq(`weight`, 1.1)", "1"),
        ("op_lt(`name`, 'hangzhou')", "1"),
        ("op_ge(`at`, '2024-01-31 10:20:30.456')", "1"),
        ("op_gt(`at`, '2024-01-31 10:20:30.456')", "0"),
        ("op_le(`born`, '2024-02-29')", "1"),
        ("op_lt(`born`, `at`)", "0"),
        ("op_gt(`took`, '01:29:59')", "1"),
        ("op_eq(`size`, 'Large')", "1"),
        ("op_eq(`local`, '你好')", "1"),
        ("op_eq(`flag`, true)", "1"),
        ("op_eq(`n`, 1)", "0"),
        ("op_eq(`n`, null)", "0"),
        ("op_ge(9007199254740993, 9007199254740992.0)", "1"),
        ("op_gt(9007199254740993, 9007199254740992.0)", "1"),
        ("`id` >= 7", "1"),
        ("(`id` > 1000 ? 1 : 0)", "0"),
        ("op_gt(1, '12x')", "compile: op_gt: the text is not a number"),
        ("op_gt(`id` + 1, '12x')", "bind: op_gt: the text is not a number"),
        ("op_gt(`id`, '12x')", "bind: op_gt: the text is not a number"),
        ("op_lt(`at`, 'yesterday')", "bind: op_lt: the text is not a datetime"),
        ("op_lt(__COMMIT_TIMESTAMP__, 'yesterday')", "compile: op_lt: the text is not a datetime"),
        ("op_lt(`took`, '1')", "bind: op_lt: the text is not a time"),
        ("op_eq(`id`, `name`)", "failed: op_eq: the text is not a number"),
        ("op_eq(`born`, 1)", "failed: op_eq: a date and a number cannot be compared"),
    ]);
}

#[test]
fn op_ne() {
    gives(&[
        ("op_ne(`id`, 8)", "1"),
        ("op_ne(`id`, 7)", "0"),
        ("`id` != 8", "1"),
        ("op_ne(`n`, 8)", "0"),
        ("op_ne(`n`, null)", "0"),
    ]);
}

#[test]
fn op_and_and_op_or() {
    gives(&[
        ("op_and(true, `flag`, `id` > 1)", "1"),
        ("op_and(true, false)", "0"),
        ("op_and(true, `n`)", "0"),
        ("op_or(`n`, false)", "0"),
        ("op_or(false, `n`, true)", "1"),
        ("true and (false or true)", "1"),
        ("`n` == 1 || `id` == 7", "1"),
        // What is not needed is not looked at.
        ("op_or(true, op_eq(`id`, `name`))", "1"),
        ("op_and(false, op_eq(`id`, `name`))", "0"),
        ("op_and(true, `name`)", "failed: op_and: expected a condition, found text"),
    ]);
}

#[test]
fn op_not() {
    gives(&[
        ("op_not(false)", "1"),
        ("!`flag`", "0"),
        ("op_not(`n`)", "1"),
        ("not `n` == 1", "1"),
        ("op_not(`name`)", "failed: op_not: expected a condition, found text"),
    ]);
}

#[test]
fn op_in() {
    gives(&[
        (r#"op_in(`flag`, json_array('["0","1","2"]'))"#, "1"),
        (r#"op_in(`id`, json_array('[1, 2]'))"#, "0"),
        (r#"op_in(`name`, json_array('["x", "Hangzhou 杭州"]'))"#, "1"),
        ("op_in(`id`, 5, 6, 7)", "1"),
        ("op_in(`id`, '5', '7')", "1"),
        ("op_in(`n`, 1, null)", "0"),
        ("op_in(`id`, `n`, 7)", "1"),
        ("op_in(`id`, 'x')", "bind: op_in: the text is not a number"),
    ]);
}

#[test]
fn op_is_null_and_op_is_not_null() {
    gives(&[
        ("op_is_null(`n`)", "1"),
        ("op_is_null(`id`)", "0"),
        ("op_is_not_null(`n`)", "0"),
        ("op_is_not_null('')", "1"),
        ("op_is_null(op_sum(`n`, 1))", "1"),
    ]);
}

#[test]
fn op_if_op_ifnull_op_coalesce_and_op_nullif() {
    types(&[
        ("op_if(`id` > 1, 'A', 'B')", "longtext: A"),
        ("op_if(`n`, 1, 2)", "bigint: 2"),
        ("op_if(true, 1, 'x')", "bigint: 1"),
        ("op_if(`flag`, 1, 'x')", "longtext: 1"),
        ("op_ifnull(`n`, 5)", "bigint: 5"),
        ("op_coalesce(`n`, null, `price`, 1)", "decimal(65,2): -12.50"),
        ("op_coalesce(`n`)", "bigint: NULL"),
        ("op_nullif(`id`, 7)", "bigint: NULL"),
        ("op_nullif(`id`, 8)", "bigint: 7"),
        ("op_nullif(`id`, `n`)", "bigint: 7"),
        ("op_if(`flag`, 1, op_div_true(1, `id` - 7))", "double: 1.0"),
    ]);
    assert_eq!(value("op_if('x', 1, 2)"), "compile: op_if: expected a condition, found text");
}

#[test]
fn op_max_op_min_and_op_len() {
    gives(&[
        ("op_max(`id`, 3, 9.5)", "9.5"),
        ("op_min(`id`, 3)", "3"),
        ("op_max('a', 'b')", "b"),
        ("op_max(`at`, '2030-01-01 00:00:00')", "2030-01-01 00:00:00.000"),
        ("op_max(`id`, `n`)", "NULL"),
        ("op_len(`name`)", "11"),
        ("op_len(`data`)", "3"),
        ("op_len(`id`)", "1"),
        ("op_len(`n`)", "NULL"),
        ("op_max(`id`, `name`)", "failed: op_max: the text is not a number"),
    ]);
}
