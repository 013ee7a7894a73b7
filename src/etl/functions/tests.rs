//! One test for each row of the function tables: what it gives, what it makes of null, what it refuses.

mod dates;
mod json;
mod logic;
mod numbers;
mod strings;

use super::super::ScriptOptions;
use super::super::tests::{set_to, value};

#[track_caller]
fn gives(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(value(expression), *expected, "{expression}");
    }
}

#[track_caller]
fn types(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(set_to(expression, &ScriptOptions::default()), *expected, "{expression}");
    }
}

#[test]
fn every_function_has_a_test_of_its_own() {
    let tests = [
        include_str!("tests/numbers.rs"),
        include_str!("tests/logic.rs"),
        include_str!("tests/strings.rs"),
        include_str!("tests/dates.rs"),
        include_str!("tests/json.rs"),
    ]
    .concat();
    for entry in super::all() {
        assert!(tests.contains(&format!("\"{}(", entry.name)), "{}", entry.name);
        assert!(entry.signature.starts_with(entry.name), "{}", entry.name);
        assert_eq!(super::all().filter(|other| other.name == entry.name).count(), 1, "{}", entry.name);
    }
}
