//! Tables of weights, inflated and read when a collation is first asked for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

static FILE: &[u8] = include_bytes!("tables.bin");

static KNOWN: LazyLock<Mutex<HashMap<&'static str, Arc<Table>>>> = LazyLock::new(Mutex::default);

/// Levels of weights that a table may have.
const LEVELS: usize = 3;

/// Weights and cases of the characters of a family of collations.
#[derive(Debug)]
pub(super) struct Table {
    /// In order, without overlap.
    runs: Vec<Run>,
    /// The run of each character below 0x100.
    first: Vec<u32>,
    weights: Vec<u16>,
    /// Sequences that weigh other than their parts, by their first character; longer ones first.
    sequences: HashMap<char, Vec<(Box<str>, Spans)>>,
    lower: HashMap<char, char>,
    upper: HashMap<char, char>,
}

/// Where the weights of each level lie.
type Spans = [(u32, u32); LEVELS];

#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    end: u32,
    /// [`OWN`], [`ITSELF`], or the base of characters whose weights are computed.
    rule: u16,
    spans: Spans,
}

/// All characters of a run have the same weights.
const OWN: u16 = 0;
/// Each weighs as much as its code.
const ITSELF: u16 = 1;

/// The weights of one character or sequence on one level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighed<'t> {
    /// Computed from the character, the last `computed_len` of them; they come first.
    pub(super) computed: [u16; 2],
    pub(super) computed_len: usize,
    pub(super) own: &'t [u16],
}

impl<'t> Weighed<'t> {
    fn all(self) -> impl Iterator<Item = u16> + use<'t> {
        self.computed.into_iter().skip(2 - self.computed_len).chain(self.own.iter().copied())
    }
}

impl Table {
    /// Names of all tables.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        parts().map(|(name, _)| name)
    }

    pub(super) fn of_name(name: &str) -> Option<Arc<Self>> {
        let (name, packed) = parts().find(|(known, _)| *known == name)?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let table = known.entry(name).or_insert_with(|| {
            let mut plain = Vec::new();
            flate2::read::ZlibDecoder::new(packed).read_to_end(&mut plain).expect("the file is part of the program");
            Arc::new(Self::read(&plain))
        });
        Some(Arc::clone(table))
    }

    fn read(plain: &[u8]) -> Self {
        let mut reader = Reader { rest: plain };
        let mut table = Self {
            runs: Vec::new(),
            first: Vec::new(),
            weights: Vec::new(),
            sequences: HashMap::new(),
            lower: HashMap::new(),
            upper: HashMap::new(),
        };
        let mut after = 0;
        loop {
            let length = reader.number();
            if length == 0 {
                break;
            }
            let start = after + reader.number();
            let rule = reader.number() as u16;
            let spans = reader.levels(&mut table.weights);
            after = start + length;
            table.runs.push(Run { start, end: after, rule, spans });
        }
        loop {
            let length = reader.number();
            if length == 0 {
                break;
            }
            let mut characters = (0..length).map(|_| reader.character());
            let head = characters.next().unwrap_or_default();
            let tail: String = characters.collect();
            let spans = reader.levels(&mut table.weights);
            table.sequences.entry(head).or_default().push((tail.into(), spans));
        }
        for tails in table.sequences.values_mut() {
            tails.sort_by_key(|(tail, _)| std::cmp::Reverse(tail.chars().count()));
        }
        table.lower = reader.pairs();
        table.upper = reader.pairs();
        table.first = (0..0x100).map(|c| table.place(c).map_or(u32::MAX, |at| at as u32)).collect();
        table
    }

    /// Whether the character is in the table.
    pub(super) fn has(&self, c: char) -> bool {
        self.place(c.into()).is_some()
    }

    fn place(&self, c: u32) -> Option<usize> {
        let at = self.runs.partition_point(|run| run.end <= c);
        self.runs.get(at).filter(|run| run.start <= c).map(|_| at)
    }

    /// The weights of a character; none at all of one that the table lacks.
    pub(super) fn weigh(&self, c: char, level: usize) -> Weighed<'_> {
        let c = u32::from(c);
        let place = match self.first.get(c as usize) {
            Some(&at) => Some(at as usize),
            None => self.place(c),
        };
        let Some(run) = place.and_then(|at| self.runs.get(at)) else {
            return Weighed { computed: [0; 2], computed_len: 0, own: &[] };
        };
        let (computed, computed_len) = match run.rule {
            OWN => ([0; 2], 0),
            _ if level > 0 => ([0; 2], 0),
            ITSELF => ([0, c as u16], 1),
            base => ([base.wrapping_add((c >> 15) as u16), (c & 0x7fff) as u16 | 0x8000], 2),
        };
        Weighed { computed, computed_len, own: self.span(run.spans[level]) }
    }

    /// The longest sequence that `head` and what follows it begin with: its bytes behind the head, and its weights.
    pub(super) fn sequence(&self, head: char, following: &str, level: usize) -> Option<(usize, &[u16])> {
        if self.sequences.is_empty() {
            return None;
        }
        let tails = self.sequences.get(&head)?;
        let (tail, spans) = tails.iter().find(|(tail, _)| following.starts_with(&**tail))?;
        Some((tail.len(), self.span(spans[level])))
    }

    fn span(&self, (start, end): (u32, u32)) -> &[u16] {
        &self.weights[start as usize..end as usize]
    }

    pub(super) fn same(&self, a: char, b: char, level: usize) -> bool {
        self.weigh(a, level).all().eq(self.weigh(b, level).all())
    }

    /// The weight of a space.
    pub(super) fn space(&self, level: usize) -> u16 {
        let space = self.weigh(' ', level);
        if space.computed_len > 0 { space.computed[1] } else { space.own.first().copied().unwrap_or_default() }
    }

    pub(super) fn with_case<'s>(&self, text: Cow<'s, str>, upper: bool, in_place: bool) -> Cow<'s, str> {
        let pairs = if upper { &self.upper } else { &self.lower };
        let (mut any, mut grows) = (false, false);
        for c in text.chars() {
            if let Some(other) = pairs.get(&c) {
                any = true;
                grows |= other.len_utf8() > c.len_utf8();
            }
        }
        match (any, grows && in_place) {
            (false, _) => text,
            (true, false) => Cow::Owned(text.chars().map(|c| pairs.get(&c).copied().unwrap_or(c)).collect()),
            (true, true) => Cow::Owned(change_in_place(&text, pairs)),
        }
    }
}

/// As MySQL writes over the text that it reads (`casedn_multiply` is 1): a character that grows runs into the one behind
/// it, and what no longer reads as a character ends the text; as does one that finds no room.
fn change_in_place(text: &str, pairs: &HashMap<char, char>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let (mut read, mut written) = (0, 0);
    while let Some(c) = first_char(&bytes[read..]) {
        let other = pairs.get(&c).copied().unwrap_or(c);
        let Some(place) = bytes.get_mut(written..written + other.len_utf8()) else { break };
        other.encode_utf8(place);
        read += c.len_utf8();
        written += other.len_utf8();
    }
    bytes.truncate(written);
    String::from_utf8(bytes).unwrap_or_default()
}

/// The character that the bytes begin with.
fn first_char(bytes: &[u8]) -> Option<char> {
    let head = &bytes[..bytes.len().min(4)];
    match std::str::from_utf8(head) {
        Ok(text) => text.chars().next(),
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?.chars().next(),
    }
}

/// Name and packed bytes of each table.
fn parts() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let mut rest = FILE;
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let (name, after) = after.split_at_checked(length.into())?;
        let (size, after) = after.split_first_chunk::<4>()?;
        let (packed, after) = after.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        rest = after;
        Some((std::str::from_utf8(name).ok()?, packed))
    })
}

/// Reads what `ops/collations` wrote. It is part of the program, so that nothing in it can be wrong.
struct Reader<'b> {
    rest: &'b [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let (&byte, rest) = self.rest.split_first().expect("the table is whole");
        self.rest = rest;
        byte
    }

    fn number(&mut self) -> u32 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn character(&mut self) -> char {
        char::from_u32(self.number()).expect("the table holds characters")
    }

    fn levels(&mut self, weights: &mut Vec<u16>) -> Spans {
        std::array::from_fn(|_| {
            let start = weights.len();
            for _ in 0..self.number() {
                let weight = [self.byte(), self.byte()];
                weights.push(u16::from_le_bytes(weight));
            }
            (start as u32, weights.len() as u32)
        })
    }

    fn pairs(&mut self) -> HashMap<char, char> {
        let mut last = 0;
        (0..self.number())
            .map(|_| {
                last += self.number();
                (char::from_u32(last).expect("the table holds characters"), self.character())
            })
            .collect()
    }
}
