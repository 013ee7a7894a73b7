//! Names of collations by their ids in table maps and column definitions.
//!
//! The list beside this file is `information_schema` of MySQL 5.6.24 and 9.7.4 (COLLATIONS) and MariaDB 10.11.19
//! (COLLATION_CHARACTER_SET_APPLICABILITY), one `id name` a line; `utf8` is written `utf8mb3` throughout. Where an id
//! has two names, it is MySQL's: MariaDB keeps the same collation as `*_croatian_mysql561_ci`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

static NAMES: LazyLock<HashMap<u16, &'static str>> = LazyLock::new(|| {
    let pair = |line: &'static str| {
        let (id, name) = line.split_once(' ')?;
        Some((id.parse().ok()?, name))
    };
    include_str!("collations.txt").lines().filter_map(pair).collect()
});

/// The collation of this id, as MySQL 8 names it.
pub fn name_of(id: u16) -> Option<&'static str> {
    NAMES.get(&id).copied()
}

/// A collation's name as MySQL 8 prints it: servers before 8.0.30 call `utf8mb3` `utf8`.
pub fn canonical(name: &str) -> Cow<'_, str> {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix("utf8_") {
        Some(rest) => format!("utf8mb3_{rest}").into(),
        None if lower == name => name.into(),
        None => lower.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::charset::Charset;

    #[test]
    fn ids_lead_to_names_whose_character_set_is_that_of_the_id() {
        for (id, name) in [
            (8, "latin1_swedish_ci"),
            (45, "utf8mb4_general_ci"),
            (63, "binary"),
            (255, "utf8mb4_0900_ai_ci"),
            (1069, "utf8mb4_general_nopad_ci"),
            (2304, "utf8mb4_uca1400_ai_ci"),
        ] {
            assert_eq!(name_of(id), Some(name));
        }
        assert!(NAMES.len() > 1300);
        for (&id, name) in NAMES.iter() {
            let charset = Charset::of_collation(id).expect("a known id").name();
            assert!(name.starts_with(charset), "{id} {name}");
        }
        assert_eq!(name_of(0), None);
    }

    #[test]
    fn old_names_become_new_ones() {
        assert_eq!(canonical("utf8_general_ci"), "utf8mb3_general_ci");
        assert_eq!(canonical("UTF8MB4_bin"), "utf8mb4_bin");
        assert_eq!(canonical("latin1_bin"), "latin1_bin");
    }
}
