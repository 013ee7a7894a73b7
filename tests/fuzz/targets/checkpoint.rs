//! What the relay keeps in its log beside raw events: checkpoints, table definitions, the context of a block.

use relay::binlog::event::FormatDescription;
use relay::binlog::gtid::{GtidSet, MariadbPosition};
use relay::log::{Checkpoint, Context, SourcePosition, TableDefinition, split_event};

pub fn run(data: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::decode(data) {
        // A position that is taken is taken for good: it says the same when it is stored again.
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint.clone()));
        let held = checkpoint.file.len() + checkpoint.server.len() + checkpoint.selection.len();
        assert!(held <= data.len(), "more text than bytes");
        match &checkpoint.gtids {
            SourcePosition::MySqlGtid(text) => drop(text.parse::<GtidSet>()),
            SourcePosition::MariaDbGtid(text) => drop(text.parse::<MariadbPosition>()),
            SourcePosition::FileOnly => {}
        }
    }
    if let Ok(table) = TableDefinition::decode(data) {
        assert_eq!(TableDefinition::decode(&table.encode()), Ok(table.clone()));
        assert!(table.columns.len() + table.keys.len() <= data.len(), "more columns than bytes");
        let _ = table.effective_key();
    }
    if let Ok(context) = Context::parse(data) {
        let parts = context.table_maps.iter().map(|(_, map)| map.len() + 6).sum::<usize>();
        assert!(parts + context.file.len() <= data.len(), "more parts than bytes");
        let _ = context.format_description.map(|(_, raw)| FormatDescription::parse(raw));
    }
    for flags in 0..16 {
        let _ = split_event(flags, data)
            .map(|(event, id)| assert_eq!(event.len() + 8 * usize::from(id.is_some()), data.len()));
    }
}
