//! What each task last said of itself; written by the tasks, read by the API.
