//! Shared printing of the tools.
