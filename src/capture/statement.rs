//! What the text of a QUERY event is to the transaction that it stands in: a boundary, a savepoint, rows in
//! statement format, or something else, which is DDL or administration. Reads the first words only; pure.

/// Longest global identifier and longest branch qualifier of an XA transaction (MySQL manual, "XA Transaction SQL Statements").
const XID_PART_MAX: usize = 64;

/// Identity of an XA transaction; the same whether it was read from an event or from the text of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xid {
    /// Format id, 1 unless the client chose another.
    pub format_id: i64,
    /// Global transaction identifier, at most 64 bytes.
    pub gtrid: Vec<u8>,
    /// Branch qualifier, at most 64 bytes.
    pub bqual: Vec<u8>,
}

impl Xid {
    /// The name of its prepared range in the store: format id `i64` and length of the gtrid `u8`, big-endian, then both parts.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(9 + self.gtrid.len() + self.bqual.len());
        key.extend_from_slice(&self.format_id.to_be_bytes());
        key.push(u8::try_from(self.gtrid.len()).unwrap_or(u8::MAX));
        key.extend_from_slice(&self.gtrid);
        key.extend_from_slice(&self.bqual);
        key
    }
}

impl std::fmt::Display for Xid {
    /// As the server prints it: `X'7831',X'',1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = |f: &mut std::fmt::Formatter<'_>, part: &[u8]| {
            f.write_str("X'")?;
            part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("'")
        };
        hex(f, &self.gtrid)?;
        f.write_str(",")?;
        hex(f, &self.bqual)?;
        write!(f, ",{}", self.format_id)
    }
}

/// The part that a statement plays in its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `BEGIN`.
    Begin,
    /// `COMMIT`, which ends a transaction of non-transactional tables.
    Commit,
    /// `ROLLBACK` of the whole transaction.
    Rollback,
    /// `SAVEPOINT name`.
    Savepoint(Vec<u8>),
    /// `ROLLBACK TO name`.
    RollbackTo(Vec<u8>),
    /// `RELEASE SAVEPOINT name`.
    Release,
    /// `XA START xid`.
    XaStart(Xid),
    /// `XA END xid`.
    XaEnd,
    /// `XA COMMIT xid`.
    XaCommit(Xid),
    /// `XA ROLLBACK xid`.
    XaRollback(Xid),
    /// Rows changed by a statement in text: nothing in the log can stand for it. The word it begins with.
    Dml(&'static str),
    /// DDL or administration. Also `DELETE FROM t` and nothing more, which empties a table as TRUNCATE does: servers
    /// before 8.0.22, and MariaDB, write it in every binlog format when a MEMORY table is first used after a restart
    /// (MySQL manual, "Replication and MEMORY Tables").
    Other,
}

/// Words that begin a statement which changes rows and which row format never writes as text.
const DML: [&str; 10] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "SELECT", "DO", "WITH", "VALUES"];

impl Statement {
    /// Reads the part from the statement's text. Text that does not follow its own form (an XA statement without
    /// an xid) is [`Statement::Other`].
    pub fn read(sql: &[u8]) -> Self {
        if sql == b"BEGIN" {
            return Self::Begin; // once per transaction: the one text worth a shortcut
        }
        let mut words = Words { rest: sql };
        let Some(first) = words.next() else { return Self::Other };
        let is = |word: &[u8], text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        if is(first, "BEGIN") {
            return Self::Begin;
        }
        if is(first, "START") && words.next().is_some_and(|w| is(w, "TRANSACTION")) {
            return Self::Begin;
        }
        if is(first, "COMMIT") {
            return Self::Commit;
        }
        if is(first, "SAVEPOINT") {
            return words.name().map_or(Self::Other, Self::Savepoint);
        }
        if is(first, "RELEASE") {
            return Self::Release;
        }
        if is(first, "ROLLBACK") {
            return Self::rollback(words);
        }
        if is(first, "XA") {
            return Self::xa(words).unwrap_or(Self::Other);
        }
        if is(first, "DELETE") && words.empties_a_table() {
            return Self::Other;
        }
        DML.into_iter().find(|word| is(first, word)).map_or(Self::Other, Self::Dml)
    }

    fn rollback(mut words: Words<'_>) -> Self {
        let mut next = words.next();
        if next.is_some_and(|w| w.eq_ignore_ascii_case(b"WORK")) {
            next = words.next();
        }
        if !next.is_some_and(|w| w.eq_ignore_ascii_case(b"TO")) {
            return Self::Rollback;
        }
        let before = words.rest;
        if !words.next().is_some_and(|w| w.eq_ignore_ascii_case(b"SAVEPOINT")) {
            words.rest = before;
        }
        words.name().map_or(Self::Other, Self::RollbackTo)
    }

    fn xa(mut words: Words<'_>) -> Option<Self> {
        let verb = words.next()?.to_ascii_uppercase();
        match verb.as_slice() {
            b"START" | b"BEGIN" => Some(Self::XaStart(words.xid()?)),
            b"END" => Some(Self::XaEnd),
            b"COMMIT" => Some(Self::XaCommit(words.xid()?)),
            b"ROLLBACK" => Some(Self::XaRollback(words.xid()?)),
            _ => None,
        }
    }
}

/// Reads a statement word by word, past blanks and comments.
pub(crate) struct Words<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Words<'a> {
    /// Skips blanks and comments. Of `/*! ... */` and `/*M! ... */` only the opening and the version number are
    /// skipped: the server executes what they hold.
    fn skip(&mut self) {
        loop {
            let blank = self.rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.rest = &self.rest[blank..];
            if let Some(inner) = self.rest.strip_prefix(b"/*!").or_else(|| self.rest.strip_prefix(b"/*M!")) {
                let digits = inner.iter().take_while(|b| b.is_ascii_digit()).count();
                self.rest = &inner[digits..];
            } else if let Some(inner) = self.rest.strip_prefix(b"/*") {
                let end = inner.windows(2).position(|w| w == b"*/").map_or(inner.len(), |at| at + 2);
                self.rest = &inner[end..];
            } else if let Some(inner) = self.rest.strip_prefix(b"*/") {
                self.rest = inner; // the end of an executed comment
            } else if self.rest.starts_with(b"#") || is_dash_comment(self.rest) {
                let end = self.rest.iter().position(|&b| b == b'\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
            } else {
                return;
            }
        }
    }

    /// The next word of letters, digits and underscores; none at another character or at the end.
    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        self.skip();
        let length = self.rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then_some(word)
    }

    /// A name, quoted or not, in lower case: savepoint names compare without case.
    pub(crate) fn name(&mut self) -> Option<Vec<u8>> {
        self.skip();
        let name = match self.rest.first()? {
            quote @ (b'`' | b'"') => self.quoted(*quote)?,
            _ => {
                let length = self.rest.iter().take_while(|b| !b.is_ascii_whitespace() && **b != b';').count();
                let (name, rest) = self.rest.split_at(length);
                self.rest = rest;
                name.to_vec()
            }
        };
        (!name.is_empty()).then(|| name.to_ascii_lowercase())
    }

    /// The name of a table or of another object, in lower case, past its schema's if that is written.
    pub(crate) fn object(&mut self) -> Option<Vec<u8>> {
        let name = self.part_of_name()?;
        self.skip();
        let Some(rest) = self.rest.strip_prefix(b".") else { return Some(name) };
        self.rest = rest;
        self.part_of_name()
    }

    /// Like [`Words::name`]; without quotes it ends where names end.
    fn part_of_name(&mut self) -> Option<Vec<u8>> {
        self.skip();
        if matches!(self.rest.first()?, b'`' | b'"') {
            return self.name();
        }
        // Letters beyond ASCII may stand in names without quotes.
        let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || !b.is_ascii();
        let (name, rest) = self.rest.split_at(self.rest.iter().take_while(|b| fine(b)).count());
        self.rest = rest;
        (!name.is_empty()).then(|| name.to_ascii_lowercase())
    }

    /// Whether `FROM name` or `FROM schema.name` is all that follows.
    fn empties_a_table(&mut self) -> bool {
        if !self.next().is_some_and(|word| word.eq_ignore_ascii_case(b"FROM")) || self.object().is_none() {
            return false;
        }
        self.skip();
        self.rest.iter().all(|byte| *byte == b';')
    }

    /// The text between two quotes; a doubled quote stands for one.
    fn quoted(&mut self, quote: u8) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut rest = self.rest.strip_prefix(&[quote])?;
        loop {
            let end = rest.iter().position(|&b| b == quote)?;
            text.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix(&[quote]) {
                Some(after) => {
                    text.push(quote);
                    rest = after;
                }
                None => {
                    self.rest = rest;
                    return Some(text);
                }
            }
        }
    }

    /// `gtrid [, bqual [, format id]]`, each part as `X'..'`, `0x..` or `'..'`.
    fn xid(&mut self) -> Option<Xid> {
        let gtrid = self.xid_part()?;
        let mut xid = Xid { format_id: 1, gtrid, bqual: Vec::new() };
        if self.comma() {
            xid.bqual = self.xid_part()?;
            if self.comma() {
                let digits = std::str::from_utf8(self.next()?).ok()?;
                xid.format_id = digits.parse().ok()?;
            }
        }
        Some(xid)
    }

    fn comma(&mut self) -> bool {
        self.skip();
        let Some(rest) = self.rest.strip_prefix(b",") else { return false };
        self.rest = rest;
        true
    }

    fn xid_part(&mut self) -> Option<Vec<u8>> {
        self.skip();
        let part = match self.rest {
            [b'X' | b'x', b'\'', ..] => {
                self.rest = &self.rest[1..];
                unhex(&self.quoted(b'\'')?)?
            }
            [b'0', b'x' | b'X', ..] => unhex(self.next()?.get(2..)?)?,
            [quote @ (b'\'' | b'"'), ..] => self.quoted(*quote)?,
            _ => return None,
        };
        (part.len() <= XID_PART_MAX).then_some(part)
    }
}

/// Two dashes begin a comment when a blank or the end follows.
fn is_dash_comment(text: &[u8]) -> bool {
    text.starts_with(b"--") && text.get(2).is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_control())
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Statement {
        Statement::read(sql.as_bytes())
    }

    fn xid(gtrid: &str, bqual: &str, format_id: i64) -> Xid {
        Xid { format_id, gtrid: gtrid.into(), bqual: bqual.into() }
    }

    #[test]
    fn boundaries_are_read_in_every_spelling_of_the_servers() {
        assert_eq!(read("BEGIN"), Statement::Begin);
        assert_eq!(read("/* who */ begin"), Statement::Begin);
        assert_eq!(read("COMMIT"), Statement::Commit);
        assert_eq!(read("COMMIT /* xid=8 */"), Statement::Commit);
        assert_eq!(read("ROLLBACK"), Statement::Rollback);
        assert_eq!(read("START TRANSACTION"), Statement::Begin);
        assert_eq!(read("START SLAVE"), Statement::Other);
    }

    #[test]
    fn savepoints_are_known_by_name_without_case() {
        assert_eq!(read("SAVEPOINT `s1`"), Statement::Savepoint(b"s1".to_vec()));
        assert_eq!(read("ROLLBACK TO `S1`"), Statement::RollbackTo(b"s1".to_vec()));
        assert_eq!(read("rollback work to savepoint s`1"), Statement::RollbackTo(b"s`1".to_vec()));
        assert_eq!(read("ROLLBACK TO `a``b`"), Statement::RollbackTo(b"a`b".to_vec()));
        assert_eq!(read("SAVEPOINT `unended"), Statement::Other);
    }

    #[test]
    fn an_xid_reads_the_same_from_each_of_its_forms() {
        assert_eq!(read("XA START X'7831',X'',1"), Statement::XaStart(xid("x1", "", 1)));
        assert_eq!(read("XA COMMIT 'x1'"), Statement::XaCommit(xid("x1", "", 1)));
        assert_eq!(read("xa rollback 0x7831 , 'b', 77"), Statement::XaRollback(xid("x1", "b", 77)));
        assert_eq!(read("XA END X'7831',X'',1"), Statement::XaEnd);
        assert_eq!(read("XA COMMIT X'783'"), Statement::Other);
        assert_eq!(read(&format!("XA COMMIT '{}'", "x".repeat(65))), Statement::Other);
        assert_eq!(xid("x1", "b", 1).to_string(), "X'7831',X'62',1");
    }

    #[test]
    fn keys_of_xids_that_differ_only_in_where_the_parts_meet_differ() {
        assert_ne!(xid("ab", "c", 1).key(), xid("a", "bc", 1).key());
        assert_ne!(xid("a", "", 1).key(), xid("a", "", 2).key());
    }

    #[test]
    fn a_statement_that_empties_a_table_is_no_change_of_rows_in_text() {
        assert_eq!(read("DELETE FROM `shop`.`m`"), Statement::Other);
        let by_server = " /* generated by server, implicitly emptying in-memory table */";
        assert_eq!(read(&format!("DELETE FROM `shop`.`m``x`{by_server}")), Statement::Other);
        assert_eq!(read("delete from m;"), Statement::Other);
        assert_eq!(read("DELETE FROM `shop`.`m` WHERE id = 1"), Statement::Dml("DELETE"));
        assert_eq!(read("DELETE FROM m LIMIT 1"), Statement::Dml("DELETE"));
        assert_eq!(read("DELETE FROM a, b USING a JOIN b"), Statement::Dml("DELETE"));
        assert_eq!(read("DELETE a FROM a"), Statement::Dml("DELETE"));
        assert_eq!(read("DELETE FROM"), Statement::Dml("DELETE"));
    }

    #[test]
    fn rows_in_statement_format_are_told_from_ddl() {
        assert_eq!(read("insert into t values (1)"), Statement::Dml("INSERT"));
        assert_eq!(read("/*!50000 DELETE */ FROM t WHERE a"), Statement::Dml("DELETE"));
        assert_eq!(read("-- hint\nUPDATE t SET a=1"), Statement::Dml("UPDATE"));
        assert_eq!(read("#x\r\nwith c as (select 1) delete from t"), Statement::Dml("WITH"));
        assert_eq!(read("CREATE TABLE t (id int)"), Statement::Other);
        assert_eq!(read("inserted"), Statement::Other);
        assert_eq!(read(""), Statement::Other);
        assert_eq!(read("/* never ends"), Statement::Other);
    }
}
