"""The whole relay's CPU per row into Kafka, against a bare producer that sends the same bytes."""

import statistics

import topics
import workload
from processes import build, cargo_bench
from relay import Relay

TURNS = 3


def run(bench, arguments):
    build()
    env = workload.servers("mysql97", "kafka")
    place = workload.generate(env, arguments.rows)
    # In turns: the machine's speed changes from minute to minute.
    ours, theirs, what = zip(*(turn(env, place, arguments.rows) for _ in range(TURNS)))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    bench.figure("CPU per row, MySQL to Kafka", ours, "us", theirs, ours / theirs, at_most=1.5,
                 note=f"capture, log, deliver, lz4, acks=all; medians of {TURNS} alternating runs; {what[0]}")


def turn(env, place, rows):
    """CPU microseconds per row of the relay, and per record of the bare producer; what was sent."""
    topic, again = topics.create(env, 4), topics.create(env, 4)
    relay = Relay("end-to-end", env, f"file:{place['file']}:4", delivery(env, topic))
    child = relay.start()
    topics.wait_until(env, topic, rows, relay)
    cpu = child.stop().cpu
    relay.remove()
    bare = {f["name"]: f["measured"] for f in cargo_bench(
        "bare_producer", args=["--brokers", env["KAFKA_BROKERS"], "--from", topic, "--to", again])}
    topics.delete(env, topic, again)
    records = bare["records"]
    what = f"{records:.0f} records, {bare['value bytes'] / records:.0f} B a value"
    return cpu / rows * 1e6, bare["cpu"] / records * 1e6, what


def delivery(env, topic, name="kafka", more=""):
    return f"""
[[delivery]]
name = "{name}"
start = "earliest"
{more}
[delivery.kafka]
brokers = "{env['KAFKA_BROKERS']}"
topic = "{topic}"
ddl_topic = "off"
"""
