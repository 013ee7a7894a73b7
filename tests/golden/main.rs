//! Binlog files captured from real servers, decoded and compared value by value with what those servers said.
//!
//! `capture` made the files and `README.md` says how. Each `.binlog` is replayed into a table of text; after every
//! transaction the table must be the one that the server itself printed then, and every before image must be the row
//! as it stood.

mod canal;
mod control;
mod file;
mod oracle;
mod render;
mod replay;
mod rewrite;

use replay::replay;

macro_rules! cases {
    ($($name:ident: $path:literal,)*) => {$(
        #[test]
        fn $name() {
            replay($path);
        }
    )*};
}

cases! {
    mysql97_every_type: "mysql97/types",
    mysql97_negative_times: "mysql97/negative_times",
    mysql97_minimal_metadata: "mysql97/types_minimal_metadata",
    mysql97_minimal_images: "mysql97/image_minimal",
    mysql97_noblob_images: "mysql97/image_noblob",
    mysql97_compressed_transactions: "mysql97/compressed",
    mysql97_json: "mysql97/json",
    mysql97_large_json: "mysql97/json_large",
    mysql97_partial_json: "mysql97/json_partial",
    mysql97_partial_json_in_minimal_images: "mysql97/json_partial_minimal",
    mysql97_partial_json_in_noblob_images: "mysql97/json_partial_noblob",
    mysql97_functional_indexes: "mysql97/functional_indexes",
    mysql97_generated_columns: "mysql97/generated",
    mysql97_tagged_gtids_and_xa: "mysql97/control",
    mysql56_every_type: "mysql56/types",
    mysql56_negative_times: "mysql56/negative_times",
    mysql56_minimal_images: "mysql56/image_minimal",
    mariadb_every_type: "mariadb/types",
    mariadb_negative_times: "mariadb/negative_times",
    mariadb_no_metadata: "mariadb/types_no_metadata",
    mariadb_minimal_images: "mariadb/image_minimal",
    mariadb_compressed_events: "mariadb/log_bin_compress",
    mariadb_old_times: "mariadb/old_times",
    mariadb_domains_and_xa: "mariadb/control",
}

macro_rules! consumed {
    ($($name:ident: $path:literal,)*) => {$(
        #[test]
        fn $name() {
            canal::consume($path);
        }
    )*};
}

consumed! {
    canal_json_of_mysql97: "mysql97/types",
    canal_json_of_mysql97_with_minimal_metadata: "mysql97/types_minimal_metadata",
    canal_json_of_mysql97_with_minimal_images: "mysql97/image_minimal",
    canal_json_of_mysql97_with_noblob_images: "mysql97/image_noblob",
    canal_json_of_mysql97_documents: "mysql97/json",
    canal_json_of_mysql97_partial_documents: "mysql97/json_partial",
    canal_json_of_mysql56: "mysql56/types",
    canal_json_of_mysql56_with_minimal_images: "mysql56/image_minimal",
    canal_json_of_mariadb: "mariadb/types",
    canal_json_of_mariadb_without_metadata: "mariadb/types_no_metadata",
    canal_json_of_mariadb_with_minimal_images: "mariadb/image_minimal",
    canal_json_of_mariadb_compressed_events: "mariadb/log_bin_compress",
    canal_json_of_mariadb_old_times: "mariadb/old_times",
}

#[test]
fn types_rebuilt_from_metadata_are_the_declared_ones() {
    canal::rebuilt_types("mysql97/types");
    canal::rebuilt_types("mariadb/types");
}

macro_rules! rewritten {
    ($($name:ident: $path:literal,)*) => {$(
        #[test]
        fn $name() {
            rewrite::rewrite($path);
        }
    )*};
}

rewritten! {
    mysql97_types_written_again: "mysql97/types",
    mysql97_negative_times_written_again: "mysql97/negative_times",
    mysql97_minimal_images_written_again: "mysql97/image_minimal",
    mysql97_json_written_again: "mysql97/json",
    mysql97_large_json_written_again: "mysql97/json_large",
    mysql97_partial_json_written_again: "mysql97/json_partial",
    mysql97_generated_columns_written_again: "mysql97/generated",
    mysql56_types_written_again: "mysql56/types",
    mysql56_negative_times_written_again: "mysql56/negative_times",
    mariadb_types_written_again: "mariadb/types",
    mariadb_negative_times_written_again: "mariadb/negative_times",
}
