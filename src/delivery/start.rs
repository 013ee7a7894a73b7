//! Where a cursor begins that does not exist yet.

use relay_store::{CursorError, CursorOptions, CursorState, Lagging, Seq};

use super::{DeliveryContext, DeliveryError};
use crate::config::LaggingCursor;

/// The delivery's cursor; created at its `start` when there is none.
pub(super) async fn cursor(context: &DeliveryContext) -> Result<CursorState, DeliveryError> {
    let cursors = context.store.cursors();
    let config = &context.config;
    if let Some(cursor) = cursors.get(&config.name) {
        return Ok(cursor);
    }
    let acked = acked_before(context).await?;
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
async fn acked_before(context: &DeliveryContext) -> Result<Seq, DeliveryError> {
    let (store, start) = (context.store.clone(), context.config.start.clone());
    // Looking an address up reads the catalogue and a few block headers.
    let resolved = tokio::task::spawn_blocking(move || start.resolve(&store)).await;
    match resolved {
        Ok(Ok(first)) => Ok(first.prev()),
        Ok(Err(error)) => {
            Err(DeliveryError::Start { cursor: context.config.name.clone(), reason: crate::failure::chain(&error) })
        }
        Err(error) => Err(DeliveryError::Interrupted(error.to_string())),
    }
}
