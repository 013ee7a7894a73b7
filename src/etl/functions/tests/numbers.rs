//! Numbers.

use super::{gives, types};

const ZERO: &str = "division by zero";

#[test]
fn op_sum() {
    types(&[
        ("op_sum(`id`, 1)", "bigint: 8"),
        ("op_sum(`id`, 1, 2, 3)", "bigint: 13"),
        ("op_sum(`price`, `id`)", "decimal(65,2): -5.50"),
        ("op_sum(`ratio`, 1)", "double: 3.5"),
        ("`id` + 1", "bigint: 8"),
    ]);
    gives(&[
        ("op_sum(`id`, `n`)", "NULL"),
        ("op_sum(`weight`, 1)", "2.1"),
        ("cast_to_string(op_sum(9223372036854775807, 1))", "9223372036854775808"),
        ("cast_to_string(op_sum(`big`, 1))", "18446744073709551616"),
        ("op_sum(`name`, 1)", "failed: op_sum: the text is not a number"),
        ("op_sum(1)", "compile: wrong number of arguments: expected op_sum(a, b[, ...])"),
        ("op_sum(`born`, 1)", "failed: op_sum: expected a number, found a date"),
    ]);
}

#[test]
fn op_sub_and_op_mul() {
    gives(&[
        ("op_sub(`id`, 10)", "-3"),
        ("`id` - 10", "-3"),
        ("op_sub(`n`, 1)", "NULL"),
        ("op_mul(`price`, `price`)", "156.2500"),
        ("op_mul(`id`, null)", "NULL"),
        ("`id` * 3", "21"),
        ("cast_to_string(op_mul(9223372036854775807, 2))", "18446744073709551614"),
        ("op_mul(1e300, 1e300)", "compile: op_mul: a number is out of range"),
    ]);
}

#[test]
fn op_div_true() {
    types(&[
        ("op_div_true(15, 2.0)", "double: 7.5"),
        ("op_div_true(`id`, 2)", "double: 3.5"),
        ("op_div_true(`price`, 3)", "decimal(65,6): -4.166667"),
        ("`id` / 2", "double: 3.5"),
    ]);
    gives(&[
        ("op_div_true(`n`, 2)", "NULL"),
        ("op_div_true(1, 0)", &format!("compile: op_div_true: {ZERO}")),
        ("op_div_true(`id`, op_sub(`id`, 7))", &format!("failed: op_div_true: {ZERO}")),
    ]);
}

#[test]
fn op_div_floor() {
    gives(&[
        ("op_div_floor(`id`, 2)", "3"),
        ("op_div_floor(-7, 2)", "-3"),
        ("op_div_floor(`price`, 2)", "-6"),
        ("op_div_floor(7.9, 2)", "3"),
        ("op_div_floor(`n`, 2)", "NULL"),
        ("op_div_floor(`id`, `id` - 7)", &format!("failed: op_div_floor: {ZERO}")),
    ]);
}

#[test]
fn op_mod() {
    gives(&[
        ("op_mod(`id`, 4)", "3"),
        ("op_mod(-7, 4)", "-3"),
        ("`id` % 4", "3"),
        ("op_mod(`price`, 5)", "-2.50"),
        ("op_mod(7.5, 2)", "1.5"),
        ("op_mod(`id`, `n`)", "NULL"),
        ("op_mod(-9223372036854775808, -1)", "0"),
        ("op_mod(`id`, 0)", &format!("failed: op_mod: {ZERO}")),
    ]);
}

#[test]
fn op_neg_op_abs_op_pow_and_op_round() {
    gives(&[
        ("op_neg(`id`)", "-7"),
        ("op_neg(`price`)", "12.50"),
        ("op_neg(`n`)", "NULL"),
        ("op_neg(-9223372036854775807 - 1) == 9223372036854775808", "1"),
        ("op_abs(`price`)", "12.50"),
        ("op_abs(-1.5)", "1.5"),
        ("op_abs(`n`)", "NULL"),
        ("op_pow(`id`, 2)", "49"),
        ("op_pow(2, -1)", "0.5"),
        ("op_pow(2.5, 2)", "6.25"),
        ("op_pow(`n`, 2)", "NULL"),
        ("op_pow(-8, 0.5)", "compile: op_pow: a number is out of range"),
        ("cast_to_string(op_pow(10, 30))", "1000000000000000000000000000000"),
        ("op_pow(10, 99)", "compile: op_pow: a number is out of range"),
        ("op_round(2.5)", "3.0"),
        ("op_round(-2.5, 0)", "-3.0"),
        ("op_round(1.005, 2)", "1.01"),
        ("op_round(`price`, 1)", "-12.5"),
        ("op_round(1250, -2)", "1300"),
        ("op_round(`id`, 3)", "7"),
        ("op_round(`n`, 2)", "NULL"),
    ]);
}

#[test]
fn mat_ceil_and_mat_floor() {
    gives(&[
        ("mat_ceil(`price`)", "-12"),
        ("mat_floor(`price`)", "-13"),
        ("mat_ceil(2.1)", "3"),
        ("mat_floor(-2.1)", "-3"),
        ("mat_ceil(`id`)", "7"),
        ("mat_floor(`n`)", "NULL"),
        ("mat_floor(`name`)", "failed: mat_floor: the text is not a number"),
    ]);
}
