"""Capture to durable log in CPU seconds, against mysqlbinlog --raw from the same server."""

import json
import os
import statistics
import tempfile

import workload
from processes import build, output, run as run_command
from relay import DUMP, PAUSED, Relay


def run(bench, arguments):
    build()
    env = workload.servers("mysql97")
    place = workload.generate(env, arguments.rows)
    raw, ours = [], {"none": [], "lz4": []}
    for turn in range(5):
        raw.append(mysqlbinlog(env, place))
        for codec in ours:
            ours[codec].append(capture(env, place, codec, arguments.rows if turn == 0 else None))
    yardstick = statistics.median(raw)
    for codec, target in (("none", 1.0), ("lz4", 2.5)):
        cpu = statistics.median(ours[codec])
        bench.figure(f"capture, codec {codec}", cpu, "s", yardstick, cpu / yardstick, at_most=target,
                     note=f"medians of five alternating runs, {place['bytes'] / 1e6:.0f} MB, {arguments.rows} row changes; "
                          f"runs {min(ours[codec]):.2f}-{max(ours[codec]):.2f} s, yardstick {min(raw):.2f}-{max(raw):.2f} s")


def mysqlbinlog(env, place):
    with tempfile.TemporaryDirectory(dir="target/bench") as directory, open(os.devnull, "ab") as log:
        return run_command([env["MYSQLBINLOG"], "--read-from-remote-server", "--raw", "--host=127.0.0.1",
                            f"--port={env['MYSQL97_PORT']}", "--user=root", f"--result-file={directory}/", place["file"]],
                           log).cpu


def capture(env, place, codec, rows):
    relay = Relay(f"capture-{codec}", env, f"file:{place['file']}:4", PAUSED, codec=codec)
    child = relay.start()
    relay.wait_for("the end of the workload", lambda status: past(status["capture"], place))
    cpu = child.stop().cpu
    if rows is not None:
        counted = json.loads(output([DUMP, relay.store, "--stats", "--json"]))["rows"]
        if counted != rows:
            raise RuntimeError(f"the log holds {counted} row changes, the source made {rows}")
    relay.remove()
    return cpu


def past(capture, place):
    """Whether the durable position is at the workload's end or in a later file."""
    durable = capture.get("durable") or {}
    file = durable.get("file", "")
    return file > place["file"] or (file == place["file"] and durable.get("offset", 0) >= place["bytes"])
