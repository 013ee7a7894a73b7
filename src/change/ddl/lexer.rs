//! SQL text to tokens, as far as DDL needs it: names, texts, numbers and signs, past blanks and comments. What an
//! executed comment (`/*!50100 ... */`) holds counts as written, because the server executed it.

/// One token; texts and names without their quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word: a keyword, or a name without quotes.
    Word(String),
    /// A name in backticks.
    Name(String),
    /// A text in single or double quotes.
    Text(String),
    /// A number, as it is written.
    Number(String),
    /// Any other character.
    Sign(char),
}

impl Token {
    /// Whether it is this keyword; a quoted name never is.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Splits a statement; the reason when it ends inside a quote.
pub(super) fn tokens(sql: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() || c == '\0' {
            rest = &rest[c.len_utf8()..];
        } else if let Some(inner) = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!")) {
            rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(inner) = rest.strip_prefix("/*") {
            rest = inner.split_once("*/").map_or("", |(_, after)| after);
        } else if let Some(inner) = rest.strip_prefix("*/") {
            rest = inner;
        } else if c == '#' || is_dash_comment(rest) {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if matches!(c, '`' | '\'' | '"') {
            let (text, after) = quoted(&rest[1..], c)?;
            tokens.push(if c == '`' { Token::Name(text) } else { Token::Text(text) });
            rest = after;
        } else if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let number = word.chars().all(|c| c.is_ascii_digit());
            tokens.push(if number { Token::Number(word.to_owned()) } else { Token::Word(word.to_owned()) });
            rest = after;
        } else {
            tokens.push(Token::Sign(c));
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '@') || !c.is_ascii()
}

fn is_dash_comment(text: &str) -> bool {
    text.strip_prefix("--")
        .is_some_and(|after| after.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
}

/// Reads up to the closing quote. A doubled quote stands for one; outside names a backslash escapes.
fn quoted(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.next_if(|&(_, next)| next == quote).is_none() {
                return Ok((out, &text[at + 1..]));
            }
            out.push(quote);
        } else if c == '\\' && quote != '`' {
            let Some((_, escaped)) = chars.next() else { break };
            match escaped {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '0' => out.push('\0'),
                'b' => out.push('\u{8}'),
                'Z' => out.push('\u{1a}'),
                other => out.push(other),
            }
        } else {
            out.push(c);
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_fall_away_and_executed_ones_count() {
        let sql = "/* a */ alter -- b\n table/**/t # c\n /*!50100 add */ /*M!100 x */ 'it''s\\n' `a``b` 12 = 表";
        let expected = [
            Token::Word("alter".into()),
            Token::Word("table".into()),
            Token::Word("t".into()),
            Token::Word("add".into()),
            Token::Word("x".into()),
            Token::Text("it's\n".into()),
            Token::Name("a`b".into()),
            Token::Number("12".into()),
            Token::Sign('='),
            Token::Word("表".into()),
        ];
        assert_eq!(tokens(sql), Ok(expected.to_vec()));
    }

    #[test]
    fn an_open_quote_is_an_error_and_an_open_comment_ends_the_text() {
        assert!(tokens("alter table `t").is_err());
        assert!(tokens("'\\").is_err());
        assert_eq!(tokens("a /* b"), Ok(vec![Token::Word("a".into())]));
    }
}
