//! From the log to a sink: read, decode, encode, deliver, move the cursor on the sink's ack.
