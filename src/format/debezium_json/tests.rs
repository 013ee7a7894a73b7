//! Records against what Debezium's documentation says of them, from rows as a server writes them.

mod records;
mod schemas;
mod values;

use super::*;
use crate::change::binlog_rows::*;
use crate::format::scene::*;

const NOW_MS: u64 = 1_767_225_930_500;

fn write(scene: &Scene, options: &DebeziumOptions) -> Result<Vec<String>, FormatError> {
    let mut debezium = DebeziumJson::new(options, "shop-to-kafka");
    let mut row_of_tx = 0;
    scene.written(|change, row, out| {
        row_of_tx += 1;
        let place = TxPlace { row: row_of_tx, table_row: 1, size: None, last: false };
        debezium.write(change, row, &place, NOW_MS, out)
    })
}

fn one(scene: &Scene, options: &DebeziumOptions) -> String {
    write(scene, options).expect("a row").remove(0)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

/// `after` of an insert of one row of these columns and values.
fn after(types: Vec<(Col, Bytes)>, options: &DebeziumOptions) -> serde_json::Value {
    let (columns, values): (Vec<_>, Vec<_>) = types.into_iter().unzip();
    json(&one(&Scene::new(30, &columns, &[image(&values)]), options))["after"].clone()
}
