//! Places in the binlog as one number, for formats that name transactions and changes by numbers.

/// The number at the end of a binlog file's name: 17 for `binlog.000017`; 0 when there is none.
pub(super) fn file_number(file: &str) -> u64 {
    let digits = file.len() - file.bytes().rev().take_while(u8::is_ascii_digit).count();
    file[digits..].parse().unwrap_or(0)
}

/// File and offset as one number that rises along the binlog: `file number << 40 | offset`. Files end below 2^40 bytes.
pub(super) fn number(file: &str, offset: u64) -> u64 {
    (file_number(file) << 40).wrapping_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_offsets_make_rising_numbers() {
        assert_eq!(file_number("mysql-bin.000017"), 17);
        assert_eq!(file_number("host.42-bin.1000000"), 1_000_000);
        assert_eq!(file_number("binlog"), 0);
        assert_eq!(file_number(""), 0);
        assert_eq!(number("binlog.000017", 4_700), 18_691_697_676_892);
        assert!(number("binlog.000018", 4) > number("binlog.000017", (1 << 40) - 1));
    }
}
