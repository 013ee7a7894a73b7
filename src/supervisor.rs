//! The one place that decides retry, park or stop for a failed task.
