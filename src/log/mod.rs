//! What the relay writes into its log.
