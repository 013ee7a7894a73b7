//! Wiring only: builds the store, capture and the deliveries; ordered start and shutdown.
