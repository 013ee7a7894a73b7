//! The precheck: every item passes, warns or fails, with its finding and its remedy.
