//! Text, its digests, its numbers.

use super::super::super::tests::{set_to, value};
use super::super::super::{ScriptOptions, Secrets};
use super::{gives, types};

#[test]
fn op_add() {
    types(&[
        ("op_add(`word`, '-', `id`)", "longtext: abcabc-7"),
        ("op_add(1, `id`)", "bigint: 8"),
        ("`word` + 'x'", "longtext: abcabcx"),
        ("op_add(`word`, `n`)", "longtext: NULL"),
        ("op_add(`price`, '')", "longtext: -12.50"),
    ]);
}

#[test]
fn str_format() {
    gives(&[
        ("str_format('{}-{}', `id`, `word`)", "7-abcabc"),
        ("str_format('{{}} {}', 1)", "{} 1"),
        ("str_format('{}', `n`)", "NULL"),
        ("str_format('{} {}', 1)", "compile: str_format: 1 values for 2 placeholders"),
        ("str_format('x', `id`)", "failed: str_format: 1 values for 0 placeholders"),
    ]);
}

#[test]
fn str_replace() {
    gives(&[
        ("str_replace(`word`, 'a', 'X')", "XbcXbc"),
        ("str_replace(`word`, 'a', 'X', 1)", "Xbcabc"),
        ("str_replace(`word`, 'a', '', -1)", "bcbc"),
        ("str_replace(`word`, 'z', 'X')", "abcabc"),
        ("str_replace(`word`, '', 'X')", "abcabc"),
        ("str_replace(`word`, `n`, 'X')", "NULL"),
        ("str_replace(`word`, 'a', 'X', 'many')", "failed: str_replace: the text is not a number"),
    ]);
}

#[test]
fn str_strip() {
    gives(&[
        ("str_strip(`blank`)", "x y"),
        ("str_strip(`word`, 'ca')", "bcab"),
        ("str_strip('aaa', 'a')", ""),
        ("str_strip(null)", "NULL"),
    ]);
}

#[test]
fn str_lstrip_and_str_rstrip() {
    gives(&[
        ("str_lstrip(`blank`)", "x y "),
        ("str_rstrip(`blank`)", "  x y"),
        ("str_lstrip(`word`, 'ab')", "cabc"),
        ("str_rstrip(`word`, 'bc')", "abca"),
        ("str_rstrip(`n`)", "NULL"),
    ]);
}

#[test]
fn str_lower_and_str_upper() {
    gives(&[
        ("str_lower(`name`)", "hangzhou 杭州"),
        ("str_upper('straße é')", "STRASSE É"),
        ("str_upper(`n`)", "NULL"),
    ]);
}

#[test]
fn str_count() {
    gives(&[
        ("str_count(`word`, 'bc')", "2"),
        ("str_count(`word`, 'x')", "0"),
        ("str_count('aaaa', 'aa')", "2"),
        ("str_count(`word`, '')", "0"),
        ("str_count(`n`, 'x')", "NULL"),
    ]);
}

#[test]
fn str_find() {
    gives(&[
        ("str_find(`word`, 'c')", "2"),
        ("str_find(`name`, '州')", "10"),
        ("str_find(`word`, 'x')", "-1"),
        ("str_find(`word`, `n`)", "NULL"),
    ]);
}

#[test]
fn str_contains() {
    gives(&[
        ("str_contains(`name`, 'zhou')", "1"),
        ("str_contains(`name`, 'hang')", "0"),
        ("str_contains(`n`, 'x')", "NULL"),
    ]);
}

#[test]
fn str_startswith_and_str_endswith() {
    gives(&[
        ("str_startswith(`word`, 'ab')", "1"),
        ("str_startswith(`word`, 'b')", "0"),
        ("str_endswith(`word`, 'bc')", "1"),
        ("str_endswith(`word`, 'ab')", "0"),
        ("str_endswith(`word`, null)", "NULL"),
    ]);
}

#[test]
fn str_isalpha_and_str_isdigit() {
    gives(&[
        ("str_isalpha(`word`)", "1"),
        ("str_isalpha('杭é')", "1"),
        ("str_isalpha('')", "0"),
        ("str_isalpha(`name`)", "0"),
        ("str_isdigit(`phone`)", "1"),
        ("str_isdigit('1.5')", "0"),
        ("str_isdigit('')", "0"),
        ("str_isdigit(`n`)", "NULL"),
    ]);
}

#[test]
fn regex_match() {
    gives(&[
        (r"regex_match(`phone`, '1\\d{10}')", "1"),
        (r"regex_match(`phone`, '\\d{10}')", "0"),
        ("regex_match(`word`, 'abc|abcabc')", "1"),
        ("regex_match(`n`, 'x')", "NULL"),
        ("regex_match(`word`, `name`)", "compile: expected a regular expression as text in regex_match(s, regex)"),
    ]);
    assert!(value("regex_match(`word`, '(')").starts_with("compile: the regular expression is wrong: "));
    assert!(value(r"regex_match(`word`, '(a)\\1')").starts_with("compile: the regular expression is wrong: "));
}

#[test]
fn regex_replace_and_regex_select() {
    gives(&[
        (r"regex_replace(`phone`, '\\d{4}$', '****')", "1870000****"),
        ("regex_replace(`word`, 'b.', '$0')", "a$0a$0"),
        ("regex_replace(`word`, 'x', 'y')", "abcabc"),
        ("regex_replace(`n`, 'x', 'y')", "NULL"),
        (r"regex_select(`phone`, '(\\d{3})(\\d{4})', 2)", "0000"),
        (r"regex_select(`phone`, '\\d{3}')", "187"),
        ("regex_select(`word`, 'x')", "NULL"),
        ("regex_select(`word`, 'a', 9)", "NULL"),
        ("regex_select(`word`, 'a', -1)", "failed: regex_select: the group is out of range"),
    ]);
}

#[test]
fn str_mask() {
    gives(&[
        ("str_mask(`phone`, 7, 10, '#')", "1870000####"),
        ("str_mask(`phone`, 9, 99, '*')", "187000011**"),
        ("str_mask(`phone`, -5, 0, '*')", "*8700001111"),
        ("str_mask(`phone`, 5, 4, '*')", "18700001111"),
        ("str_mask(`name`, 9, 9, '·')", "Hangzhou ·州"),
        ("str_mask(`n`, 0, 1, '*')", "NULL"),
        ("str_mask(`phone`, 0, 1, '**')", "failed: str_mask: expected one character, found another text"),
    ]);
}

#[test]
fn substring_after_substring_before_and_substring_between() {
    gives(&[
        ("substring_after(`word`, 'b')", "cabc"),
        ("substring_before(`word`, 'c')", "ab"),
        ("substring_between(`word`, 'a', 'c')", "b"),
        ("substring_after(`word`, 'x')", "NULL"),
        ("substring_before(`word`, 'x')", "NULL"),
        ("substring_between(`word`, 'a', 'x')", "NULL"),
        ("substring_between(`word`, 'x', 'a')", "NULL"),
        ("substring_after(`n`, 'x')", "NULL"),
    ]);
}

#[test]
fn str_substring() {
    gives(&[
        ("str_substring(`name`, 9, 1)", "杭"),
        ("str_substring(`word`, 4, 99)", "bc"),
        ("str_substring(`word`, 99, 1)", ""),
        ("str_substring(`n`, 0, 1)", "NULL"),
        ("str_substring(`word`, -1, 1)", "failed: str_substring: the start is out of range"),
    ]);
}

#[test]
fn cast_string_to_long_and_cast_string_to_double() {
    types(&[
        ("cast_string_to_long(`phone`)", "bigint: 18700001111"),
        ("cast_string_to_long(' -5 ')", "bigint: -5"),
        ("cast_string_to_double('1.5e3')", "double: 1500.0"),
        ("cast_string_to_double(`phone`)", "double: 1.8700001111E10"),
        ("cast_string_to_long(`n`)", "bigint: NULL"),
    ]);
    gives(&[
        ("cast_string_to_long(\"12x\")", "compile: cast_string_to_long: the text is not a whole number"),
        ("cast_string_to_long('1.5')", "compile: cast_string_to_long: the text is not a whole number"),
        ("cast_string_to_long(`name`)", "failed: cast_string_to_long: the text is not a whole number"),
        ("cast_string_to_double(`name`)", "failed: cast_string_to_double: the text is not a number"),
        ("cast_string_to_double('1e999')", "compile: cast_string_to_double: the text is not a number"),
    ]);
}

#[test]
fn cast_to_string() {
    gives(&[
        ("cast_to_string(`id`)", "7"),
        ("cast_to_string(`price`)", "-12.50"),
        ("cast_to_string(`ratio`)", "2.5"),
        ("cast_to_string(`weight`)", "1.1"),
        ("cast_to_string(`born`)", "2024-02-29"),
        ("cast_to_string(`at`)", "2024-01-31 10:20:30.456"),
        ("cast_to_string(`ts`)", "2026-01-01 00:05:30"),
        ("cast_to_string(`took`)", "01:30:00.5"),
        ("cast_to_string(`doc`)", r#"{"a": {"b": [1, 2.5, "x"]}, "n": null, "t": true}"#),
        ("cast_to_string(`data`)", "\u{0}ÿa"),
        ("cast_to_string(`tags`)", "a,c"),
        ("cast_to_string(true)", "true"),
        ("cast_to_string(`n`)", "NULL"),
    ]);
}

#[test]
fn digests() {
    let mut secrets = Secrets::default();
    secrets.insert("pepper", *b"key");
    let options = ScriptOptions { secrets, ..ScriptOptions::default() };
    for (expression, expected) in [
        ("str_md5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
        ("str_sha1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("str_sha256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("str_base64('abcd')", "YWJjZA=="),
        ("str_base64(`data`)", "AP9h"),
        ("str_md5(`n`)", "NULL"),
        (
            "str_hmac_sha256('The quick brown fox jumps over the lazy dog', 'pepper')",
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
        ),
    ] {
        assert_eq!(set_to(expression, &options), format!("longtext: {expected}"), "{expression}");
    }
    assert_eq!(set_to("str_hmac_sha256(`word`, 'salt')", &options), "compile: no secret is called \"salt\"");
    assert!(set_to("str_hmac_sha256(`word`, `name`)", &options).starts_with("compile: expected the name of a secret"));
    assert!(!format!("{options:?}").contains("key"));
}
