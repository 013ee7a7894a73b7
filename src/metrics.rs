//! Every metric name, label and unit.
