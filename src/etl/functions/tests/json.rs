//! JSON documents.

use super::{gives, types};

#[test]
fn json_get() {
    types(&[
        ("json_get(`doc`, '$.a.b')", r#"json: [1, 2.5, "x"]"#),
        ("json_get(`doc`, '$.a.b[2]')", "json: \"x\""),
        ("json_get(`doc`, '$.z')", "json: NULL"),
        ("json_get(`n`, '$.z')", "json: NULL"),
        ("json_get('{\"k\": [1]}', '$.k[0]')", "json: 1"),
    ]);
    gives(&[
        ("json_get(`name`, '$.a')", "failed: json_get: the text is not a json document"),
        ("json_get(`id`, '$.a')", "failed: json_get: expected a json document, found a number"),
        ("json_get(`doc`, 'a')", "compile: the path is wrong: a path begins with $ at byte 0"),
    ]);
}

#[test]
fn json_get_string_json_get_long_and_json_get_double() {
    types(&[
        ("json_get_string(`doc`, '$.a.b[2]')", "longtext: x"),
        ("json_get_string(`doc`, '$.a.b[1]')", "longtext: 2.5"),
        ("json_get_long(`doc`, '$.a.b[0]')", "bigint: 1"),
        ("json_get_double(`doc`, '$.a.b[1]')", "double: 2.5"),
        ("json_get_string(`doc`, '$.n')", "longtext: NULL"),
        ("json_get_long(`doc`, '$.z')", "bigint: NULL"),
    ]);
    gives(&[
        ("json_get_long(`doc`, '$.a.b[2]')", "failed: json_get_long: the text is not a number"),
        ("json_get_double(`doc`, '$.a')", "failed: json_get_double: expected a number, found a json document"),
    ]);
}

#[test]
fn json_exists() {
    gives(&[
        ("json_exists(`doc`, '$.n')", "1"),
        ("json_exists(`doc`, '$.a.b[3]')", "0"),
        ("json_exists(`n`, '$.n')", "NULL"),
    ]);
}

#[test]
fn json_set_and_json_remove() {
    gives(&[
        ("json_set('{\"a\": 1}', '$.b', `price`)", r#"{"a": 1, "b": -12.5}"#),
        ("json_set('{\"a\": 1}', '$.a', json_array('[true]'))", r#"{"a": [true]}"#),
        ("json_set('{\"a\": 1}', '$.a', `n`)", r#"{"a": null}"#),
        ("json_remove(`doc`, '$.a')", r#"{"n": null, "t": true}"#),
        ("json_remove(`doc`, '$.z.z')", r#"{"a": {"b": [1, 2.5, "x"]}, "n": null, "t": true}"#),
        ("json_set(`n`, '$.a', 1)", "NULL"),
    ]);
}

#[test]
fn json_array_and_json_object() {
    gives(&[
        ("json_array('[1, \"a\", null]')", r#"[1, "a", null]"#),
        ("json_array('{}')", "compile: json_array: the text is not a json array"),
        ("json_array('[')", "compile: json_array: the text is not a json document"),
        ("json_array(`n`)", "NULL"),
        ("json_object('b', `id`, 'a', `word`)", r#"{"a": "abcabc", "b": 7}"#),
        ("json_object()", "{}"),
        ("json_object('a')", "compile: json_object: expected a value for each key, found a key without one"),
        ("json_object('a', `n`)", r#"{"a": null}"#),
        ("json_object(`n`, 1)", "NULL"),
    ]);
}
