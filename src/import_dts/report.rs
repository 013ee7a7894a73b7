//! What became of each setting.

use std::fmt;

use serde::Serialize;

/// What became of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It has no equal in what was written, or not all of it: somebody must look.
    ByHand,
    /// It stands in the config.
    Taken,
    /// A relay needs nothing like it.
    NotNeeded,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::Taken => "taken",
            Self::NotNeeded => "not needed",
        }
    }
}

/// One setting of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Where it stands: `Reserve.destTopic`, `DbList.shop.orders.filter`.
    pub setting: String,
    /// Its value; of a secret only that there is one.
    pub value: String,
    /// What became of it.
    pub fate: Fate,
    /// The setting that was written, or what is to be done, or why nothing is.
    pub outcome: String,
}

/// Every setting of the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they were found.
    pub items: Vec<Item>,
}

impl Report {
    /// Adds one.
    pub(super) fn add(&mut self, setting: &str, value: &str, (fate, outcome): (Fate, String)) {
        self.items.push(Item { setting: setting.to_owned(), value: shown(setting, value), fate, outcome });
    }

    /// Whether a setting of that name was found, whatever became of it.
    pub(super) fn names(&self, name: &str) -> bool {
        self.items.iter().any(|item| item.setting.rsplit('.').next() == Some(name))
    }

    /// How many met that fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.items.iter().filter(|item| item.fate == fate).count()
    }
}

/// Values of these names are never repeated.
const SECRETS: [&str; 6] = ["password", "secret", "accesskey", "cert", "clientkey", "token"];
const VALUE_CHARS_MAX: usize = 60;

fn shown(setting: &str, value: &str) -> String {
    let name = setting.to_ascii_lowercase();
    if SECRETS.iter().any(|part| name.contains(part)) {
        return "***".to_owned();
    }
    let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(VALUE_CHARS_MAX).collect();
    if value.chars().count() > VALUE_CHARS_MAX { format!("{line}...") } else { line }
}

impl fmt::Display for Report {
    /// A line each, what needs a hand first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fate in [Fate::ByHand, Fate::Taken, Fate::NotNeeded] {
            for item in self.items.iter().filter(|item| item.fate == fate) {
                write!(f, "{:<10}  {}", fate.word(), item.setting)?;
                if !item.value.is_empty() {
                    write!(f, " = {}", item.value)?;
                }
                writeln!(f, "\n            -> {}", item.outcome)?;
            }
        }
        let (by_hand, taken) = (self.count(Fate::ByHand), self.count(Fate::Taken));
        writeln!(f, "{taken} taken over, {by_hand} to do by hand, {} not needed", self.count(Fate::NotNeeded))
    }
}
