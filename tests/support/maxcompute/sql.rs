//! As much SQL as the relay and its readers' tests need: CREATE, DROP and ALTER TABLE, partitions, and the count of rows
//! under simple conditions. A statement that is not understood whole fails; none is answered that was not run.

use relay::format::maxcompute::data_type::DataType;
use relay::format::maxcompute::datum::Datum;
use relay::format::maxcompute::layout::TableColumn;

use super::PROJECT;
use super::state::{State, Table};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// Between backquotes.
    Name(String),
    Text(String),
    Mark(char),
}

/// Runs a statement: what it prints, or why it failed.
pub fn run(state: &mut State, schema: Option<&str>, statement: &str) -> Result<String, String> {
    let tokens = tokens(statement).ok_or_else(|| syntax("a character or a quote", 0))?;
    let mut sql = Sql { tokens, at: 0, schema: schema.map(str::to_owned) };
    let result = sql.statement(state)?;
    state.statements.push(statement.to_owned());
    Ok(result)
}

fn syntax(what: &str, at: usize) -> String {
    format!("ODPS-0130161:[1,{at}] Parse exception - {what}")
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => {}
            '`' | '\'' | '"' => {
                let mut inner = String::new();
                loop {
                    match rest.next()? {
                        '\\' if c != '`' => inner.push(rest.next()?),
                        end if end == c => break,
                        other => inner.push(other),
                    }
                }
                tokens.push(if c == '`' { Token::Name(inner) } else { Token::Text(inner) });
            }
            c if c.is_alphanumeric() || c == '_' || c == '-' => {
                let mut word = c.to_string();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            '(' | ')' | ',' | '.' | '=' | ';' | '<' | '>' | ':' | '*' => tokens.push(Token::Mark(c)),
            _ => return None,
        }
    }
    Some(tokens)
}

struct Sql {
    tokens: Vec<Token>,
    at: usize,
    schema: Option<String>,
}

type Done<T = String> = Result<T, String>;

impl Sql {
    fn wrong<T>(&self) -> Done<T> {
        Err(syntax(&format!("at {:?}", self.tokens.get(self.at)), self.at))
    }

    fn is_word(&mut self, word: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn are_words(&mut self, words: &str) -> bool {
        let start = self.at;
        let all = words.split(' ').all(|word| self.is_word(word));
        if !all {
            self.at = start;
        }
        all
    }

    fn is_mark(&mut self, mark: char) -> bool {
        let is = self.tokens.get(self.at) == Some(&Token::Mark(mark));
        self.at += usize::from(is);
        is
    }

    fn mark(&mut self, mark: char) -> Done<()> {
        if self.is_mark(mark) { Ok(()) } else { self.wrong() }
    }

    fn name(&mut self) -> Done {
        match self.tokens.get(self.at) {
            Some(Token::Word(name) | Token::Name(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => self.wrong(),
        }
    }

    fn text(&mut self) -> Done {
        match self.tokens.get(self.at) {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => self.wrong(),
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Done<T> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) if word.parse::<T>().is_ok() => {
                self.at += 1;
                Ok(word.parse().ok().expect("it was parsed"))
            }
            _ => self.wrong(),
        }
    }

    /// `[project.][schema.]table`: its key and its name.
    fn table(&mut self) -> Done<(String, String)> {
        let mut parts = vec![self.name()?];
        while self.is_mark('.') {
            parts.push(self.name()?);
        }
        let name = parts.pop().expect("one at least");
        let schema = match &parts[..] {
            [] => self.schema.clone(),
            [project] if project == PROJECT => self.schema.clone(),
            [project, schema] if project == PROJECT => Some(schema.clone()),
            [schema] => Some(schema.clone()),
            _ => return self.wrong(),
        };
        Ok((State::key(schema.as_deref(), &name), name.to_lowercase()))
    }

    /// A type, in lower case as metadata has it: everything up to the comma, bracket or word that ends it.
    fn data_type(&mut self) -> Done<DataType> {
        let (mut text, mut depth) = (String::new(), 0);
        while let Some(token) = self.tokens.get(self.at) {
            match token {
                Token::Mark(')' | ',') if depth == 0 => break,
                Token::Mark(c) => {
                    depth += i32::from(matches!(c, '(' | '<')) - i32::from(matches!(c, ')' | '>'));
                    text.push(*c);
                }
                Token::Word(word) | Token::Name(word) if depth > 0 || text.is_empty() => text.push_str(word),
                _ => break,
            }
            self.at += 1;
        }
        DataType::parse(&text.to_lowercase()).or_else(|_| self.wrong())
    }

    fn columns(&mut self) -> Done<Vec<TableColumn>> {
        self.columns_and_key().map(|(columns, _)| columns)
    }

    /// `(c type, ..., [primary key (c, ...)])`.
    fn columns_and_key(&mut self) -> Done<(Vec<TableColumn>, Vec<String>)> {
        self.mark('(')?;
        let (mut columns, mut key): (Vec<TableColumn>, Vec<String>) = Default::default();
        loop {
            if self.are_words("primary key") {
                self.mark('(')?;
                key.push(self.name()?.to_lowercase());
                while self.is_mark(',') {
                    key.push(self.name()?.to_lowercase());
                }
                self.mark(')')?;
                self.mark(')')?;
                return Ok((columns, key));
            }
            let column = TableColumn { name: self.name()?.to_lowercase(), kind: self.data_type()? };
            if columns.iter().any(|other| other.name == column.name) {
                return Err(format!("ODPS-0130071:[1,1] Semantic analysis exception - column {} twice", column.name));
            }
            columns.push(column);
            let _ = self.are_words("not null");
            if self.is_word("comment") {
                self.text()?;
            }
            if !self.is_mark(',') {
                self.mark(')')?;
                return Ok((columns, key));
            }
        }
    }

    fn end(&mut self) -> Done<()> {
        let _ = self.is_mark(';');
        if self.at == self.tokens.len() { Ok(()) } else { self.wrong() }
    }

    fn statement(&mut self, state: &mut State) -> Done {
        if self.are_words("create table") {
            self.create(state)
        } else if self.are_words("drop table") {
            let if_exists = self.are_words("if exists");
            let (key, name) = self.table()?;
            self.end()?;
            match state.tables.remove(&key) {
                None if !if_exists => Err(missing(&name)),
                _ => Ok(String::new()),
            }
        } else if self.are_words("alter table") {
            self.alter(state)
        } else if self.are_words("select count") {
            self.count(state)
        } else {
            self.wrong()
        }
    }

    fn create(&mut self, state: &mut State) -> Done {
        let if_not_exists = self.are_words("if not exists");
        let (key, name) = self.table()?;
        let (columns, primary_key) = self.columns_and_key()?;
        let mut table = Table { name: name.clone(), columns, primary_key, schema_version: 1, ..Table::default() };
        loop {
            if self.is_word("comment") {
                self.text()?;
            } else if self.are_words("partitioned by") {
                table.partition_columns = self.columns()?;
            } else if self.is_word("lifecycle") {
                table.lifecycle = Some(self.number()?);
            } else if self.is_word("tblproperties") {
                self.mark('(')?;
                loop {
                    self.text()?;
                    self.mark('=')?;
                    self.text()?;
                    if !self.is_mark(',') {
                        break self.mark(')')?;
                    }
                }
            } else {
                break;
            }
        }
        self.end()?;
        if state.tables.contains_key(&key) {
            return match if_not_exists {
                true => Ok(String::new()),
                false => Err(format!("ODPS-0130211:[1,1] Table or view already exists - {PROJECT}.{name}")),
            };
        }
        if table.partition_columns.is_empty() {
            table.partitions.insert(Vec::new(), Vec::new());
        }
        state.tables.insert(key, table);
        Ok(String::new())
    }

    fn alter(&mut self, state: &mut State) -> Done {
        let (key, name) = self.table()?;
        if self.are_words("add columns") {
            let if_not_exists = self.are_words("if not exists");
            let columns = self.columns()?;
            self.end()?;
            let table = state.tables.get_mut(&key).ok_or_else(|| missing(&name))?;
            let is_there = |name: &str, table: &Table| table.names().contains(&name);
            if let Some(twice) = columns.iter().find(|column| is_there(&column.name, table))
                && !if_not_exists
            {
                return Err(format!("ODPS-0130071:[1,1] Semantic analysis exception - column {} exists", twice.name));
            }
            for column in columns {
                if !is_there(&column.name, table) {
                    table.columns.push(column);
                    table.schema_version += 1;
                }
            }
            return Ok(String::new());
        }
        let adds = self.is_word("add");
        if !adds && !self.is_word("drop") {
            return self.wrong();
        }
        let lenient = if adds { self.are_words("if not exists") } else { self.are_words("if exists") };
        if !self.is_word("partition") {
            return self.wrong();
        }
        self.mark('(')?;
        let mut pairs = Vec::new();
        loop {
            let name = self.name()?;
            self.mark('=')?;
            pairs.push(format!("{name}={}", self.text()?));
            if !self.is_mark(',') {
                self.mark(')')?;
                break;
            }
        }
        self.end()?;
        let table = state.tables.get_mut(&key).ok_or_else(|| missing(&name))?;
        let Some(partition) = State::partition(table, Some(&pairs.join(","))) else {
            return Err("ODPS-0130071:[1,1] Semantic analysis exception - not the table's partition columns".into());
        };
        let is_there = table.partitions.contains_key(&partition);
        if is_there == adds && !lenient {
            return Err(format!("ODPS-0420061: Invalid parameter in HTTP request - partition there: {is_there}"));
        }
        match adds {
            true => drop(table.partitions.entry(partition).or_default()),
            false => drop(table.partitions.remove(&partition)),
        }
        Ok(String::new())
    }

    /// `(*) from t [where c = 'v' and c between 1 and 2 ...]`.
    fn count(&mut self, state: &State) -> Done {
        self.mark('(')?;
        self.mark('*')?;
        self.mark(')')?;
        if !self.is_word("from") {
            return self.wrong();
        }
        let (key, name) = self.table()?;
        let table = state.tables.get(&key).ok_or_else(|| missing(&name))?;
        let names = table.names();
        let mut conditions: Vec<(usize, Condition)> = Vec::new();
        let mut more = self.is_word("where");
        while more {
            let column = self.name()?;
            let at = names.iter().position(|name| name.eq_ignore_ascii_case(&column));
            let at = at.ok_or_else(|| format!("ODPS-0130071:[1,1] column {column} cannot be resolved"))?;
            conditions.push((at, self.condition()?));
            more = self.is_word("and");
        }
        self.end()?;
        let holds = |row: &[Option<Datum>]| conditions.iter().all(|(at, condition)| condition.holds(row[*at].as_ref()));
        let count = table.rows().filter(|row| holds(row)).count();
        Ok(format!("\"_c0\"\n{count}\n"))
    }

    fn condition(&mut self) -> Done<Condition> {
        if self.is_word("between") {
            let low = self.number()?;
            return if self.is_word("and") { Ok(Condition::Between(low, self.number()?)) } else { self.wrong() };
        }
        self.mark('=')?;
        match self.tokens.get(self.at) {
            Some(Token::Text(_)) => self.text().map(Condition::Text),
            _ => self.number().map(|number| Condition::Between(number, number)),
        }
    }
}

enum Condition {
    Between(i64, i64),
    Text(String),
}

impl Condition {
    fn holds(&self, value: Option<&Datum>) -> bool {
        match (self, value) {
            (Self::Between(low, high), Some(Datum::Integer(value))) => (low..=high).contains(&value),
            (Self::Text(text), Some(Datum::Bytes(value))) => text.as_bytes() == value,
            _ => false,
        }
    }
}

fn missing(name: &str) -> String {
    format!("ODPS-0130131:[1,1] Table not found - table {PROJECT}.{name} cannot be resolved")
}
