"""From commit to visible in Kafka at 2,000 rows a second, against a bare producer to consumer."""

import os
import time

import end_to_end
import topics
import workload
from processes import ROOT, build, cargo_bench
from relay import Relay


def run(bench, arguments):
    build()
    env = workload.servers("mysql97", "kafka")
    workload.sql(env, "CREATE DATABASE IF NOT EXISTS latency; DROP TABLE IF EXISTS latency.latency;"
                      "CREATE TABLE latency.latency (number BIGINT PRIMARY KEY, fill VARCHAR(200) NOT NULL)")
    topic, bare_topic = topics.create(env, 4), topics.create(env, 4)
    bare = measure(env, "bare", bare_topic)
    relay = Relay("latency", env, "latest", end_to_end.delivery(env, topic), tables='["latency.*"]')
    relay.start()
    relay.wait_for("capture", lambda status: status["capture"]["state"] == "running")
    ours = measure(env, "relay", topic, "--mysql", f"mysql://root@127.0.0.1:{env['MYSQL97_PORT']}/latency")
    relay.child.stop()
    relay.remove()
    sync = fdatasync_p99()
    bench.figure("p50", ours["p50"], "ms", bare["p50"], ours["p50"] - bare["p50"], at_most=15,
                 note="the ratio column holds the difference in ms")
    bench.figure("p99", ours["p99"], "ms", bare["p99"], ours["p99"] - bare["p99"], at_most=15 + 4 * sync,
                 note=f"allowed: 15 ms + four times the disk's fdatasync p99 of {sync:.2f} ms in this run")
    topics.delete(env, topic, bare_topic)


def measure(env, mode, topic, *more):
    rows = cargo_bench("latency", args=["--mode", mode, "--brokers", env["KAFKA_BROKERS"], "--topic", topic, *more])
    return {row["name"]: row["measured"] for row in rows}


def fdatasync_p99():
    """Milliseconds of 4 KiB writes with fdatasync, 1,000 of them."""
    path, times = os.path.join(ROOT, "target/bench/fdatasync"), []
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(1000):
        os.write(file, b"x" * 4096)
        before = time.monotonic()
        os.fdatasync(file)
        times.append((time.monotonic() - before) * 1e3)
    os.close(file)
    os.remove(path)
    return sorted(times)[int(len(times) * 0.99)]
