"""Peak memory at full rate with two deliveries, with the broker stopped, and with one 1 GB transaction."""

import os
import time

import capture
import end_to_end
import topics
import workload
from processes import ROOT, build, output
from relay import PAUSED, Relay

# How long the broker is away; the claim is for ten minutes.
OUTAGE_S = int(os.environ.get("RELAY_BENCH_OUTAGE_S", "600"))


def run(bench, arguments):
    build()
    env = workload.servers("mysql97", "kafka")
    place = workload.generate(env, arguments.rows)
    full_rate(bench, env, place, arguments.rows)
    for compressed in (False, True):
        one_transaction(bench, env, compressed)
    workload.forget(env)


def full_rate(bench, env, place, rows):
    first, second = topics.create(env, 4), topics.create(env, 4)
    both = end_to_end.delivery(env, first, "first") + end_to_end.delivery(env, second, "second")
    relay = Relay("memory", env, f"file:{place['file']}:4", both)
    relay.start()
    topics.wait_until(env, first, rows, relay)
    topics.wait_until(env, second, rows, relay)
    peak = relay.child.stop().peak_mb
    bench.figure("full rate, two deliveries", peak, "MB", at_most=150)
    relay.remove()
    topics.delete(env, first, second)
    outage(bench, env, place)


def outage(bench, env, place):
    """The broker goes away in the middle; capture goes on, the deliveries wait."""
    first, second = topics.create(env, 4), topics.create(env, 4)
    both = end_to_end.delivery(env, first, "first") + end_to_end.delivery(env, second, "second")
    relay = Relay("outage", env, f"file:{place['file']}:4", both)
    relay.start()
    relay.wait_for("the first deliveries", lambda _: topics.count(env, first) > 10_000)
    output(["ops/services", "stop", "kafka"])
    until = time.monotonic() + OUTAGE_S
    peak = 0.0
    while time.monotonic() < until:
        peak = max(peak, relay.child.rss_mb())
        time.sleep(1)
    bench.figure(f"broker stopped for {OUTAGE_S} s", peak, "MB", at_most=150)
    output(["ops/services", "start", "kafka"])
    relay.child.stop(9)
    relay.remove()
    topics.delete(env, first, second)


def one_transaction(bench, env, compressed):
    """One transaction of 1 GB of ordinary events, plain or as one compressed payload."""
    workload.sql(env, "CREATE DATABASE IF NOT EXISTS big; DROP TABLE IF EXISTS big.t;"
                      "CREATE TABLE big.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(1000), b VARCHAR(1000))")
    relay = Relay("transaction", env, "latest", PAUSED, tables='["big.*"]')
    relay.start()
    relay.wait_for("capture", lambda status: status["capture"]["state"] == "running")
    doubling = "INSERT INTO t (a, b) SELECT a, b FROM t LIMIT 250000;" * 2
    fill = "INSERT INTO t (a, b) VALUES (RPAD(SHA2(RAND(), 512), 1000, SHA2(RAND(), 512)), RPAD('', 1000, SHA2(RAND(), 512)));"
    grow = "INSERT INTO t (a, b) SELECT a, b FROM t;" * 17
    workload.sql(env, f"SET SESSION binlog_transaction_compression = {'ON' if compressed else 'OFF'}; SET sql_log_bin = 1;"
                      f"BEGIN; {fill} {grow} {doubling} {doubling} COMMIT", "big")
    rows = int(workload.sql(env, "SELECT COUNT(*) FROM big.t")[0][0])
    end = workload.sql(env, "SHOW BINARY LOG STATUS")[0]
    relay.wait_for("the transaction", lambda status: capture.past(status["capture"], {"file": end[0], "bytes": int(end[1])}))
    peak = relay.child.stop().peak_mb
    size = sum(os.path.getsize(os.path.join(path, f)) for path, _, files in os.walk(relay.store) for f in files)
    bench.figure(f"one transaction of {rows} rows, {'one compressed payload' if compressed else 'plain'}", peak, "MB",
                 at_most=256, note=f"{rows * 2050 / 1e9:.2f} GB of events, {size / 1e9:.2f} GB in the log")
    relay.remove()
