//! Bytes of a binlog to rows and values: borrowing and pure, no I/O, no client crate in its types.
