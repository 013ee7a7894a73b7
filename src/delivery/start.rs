//! Where a cursor begins that does not exist yet.

use relay_store::{CursorError, CursorOptions, CursorState, Lagging, Seq};

use super::{DeliveryContext, DeliveryError};
use crate::config::LaggingCursor;
use crate::log::address::Address;

/// The delivery's cursor; created at its `start` when there is none.
pub(super) async fn cursor(context: &DeliveryContext) -> Result<CursorState, DeliveryError> {
    let cursors = context.store.cursors();
    let config = &context.config;
    if let Some(cursor) = cursors.get(&config.name) {
        return Ok(cursor);
    }
    let acked = acked_before(context)?;
    let name = config.name.clone();
    let lagging = match config.lagging_cursor {
        LaggingCursor::Hold => Lagging::Hold,
        LaggingCursor::Expire => Lagging::Expire,
    };
    let created = tokio::task::spawn_blocking(move || cursors.create(&name, acked, CursorOptions { lagging })).await;
    let cursor = created.unwrap_or(Err(CursorError::Closed))?;
    tracing::info!(cursor = %cursor.name, acked_seq = cursor.acked.0, start = %config.start, "cursor created");
    Ok(cursor)
}

/// The seq before the first one that the address names.
fn acked_before(context: &DeliveryContext) -> Result<Seq, DeliveryError> {
    let positions = context.store.positions();
    match &context.config.start {
        Address::Earliest => Ok(positions.first_seq.prev()),
        Address::Latest => Ok(positions.visible_seq),
        Address::Seq(seq) => Ok(Seq(*seq).prev()),
        other => Err(DeliveryError::Start {
            cursor: context.config.name.clone(),
            reason: format!("{other} cannot be resolved"),
        }),
    }
}
