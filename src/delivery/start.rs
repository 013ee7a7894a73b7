//! Where a cursor begins that does not exist yet, or that its destination knows better.

use relay_store::{CursorEpoch, CursorError, CursorOptions, CursorState, Lagging, Seq};

use super::session::blocking;

use super::{DeliveryContext, DeliveryError};
use crate::config::LaggingCursor;
use crate::sink::SinkError;

/// Resets that a log can have forgotten; more is no memory of ours.
const RESETS_MAX: u32 = 1000;

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

/// Moves the cursor to a place in a later epoch, which its destination knows: a reset that the log has forgotten with
/// its meta.
pub(super) async fn take_up(context: &DeliveryContext, epoch: CursorEpoch, acked: Seq) -> Result<(), DeliveryError> {
    let (cursors, name) = (context.store.cursors(), context.config.name.clone());
    tracing::warn!(
        cursor = %name, %epoch, acked_seq = acked.0,
        "the destination knows the cursor in a later epoch than the log; it is taken up there"
    );
    let unknown = || CursorError::Unknown { name: context.config.name.clone() };
    let mut known = cursors.get(&name).ok_or_else(unknown)?.epoch;
    if epoch.0.saturating_sub(known.0) > RESETS_MAX {
        let reason = format!("the destination says that cursor {name} is in epoch {epoch}, the log says {known}");
        return Err(SinkError::definite(reason).advise("see who else writes the cursor's position there").into());
    }
    while known < epoch {
        let (cursors, name) = (cursors.clone(), name.clone());
        // What was parked before that reset was given up by it.
        blocking(move || cursors.reset(&name, acked).map(drop)).await?;
        known = context.store.cursors().get(&context.config.name).ok_or_else(unknown)?.epoch;
    }
    Ok(())
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
