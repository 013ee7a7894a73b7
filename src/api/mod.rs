//! The HTTP API: routes, authorisation, JSON shapes; it asks the other tasks and decides nothing.
