//! What every destination implements.
