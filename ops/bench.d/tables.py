"""Start with 10,000 selected tables: time until capture runs, and peak memory with a row of each delivered."""

import json
import os
import time

import workload
from processes import build
from relay import Relay

TABLES = 10_000
SCHEMA = "bench_tables"


def run(bench, arguments):
    build()
    env = workload.servers("mysql97")
    prepare(env)
    names = [f"{SCHEMA}.t{n}" for n in range(TABLES)]
    for what, tables, rules in (
        ("by one pattern", [f"{SCHEMA}.*"], []),
        ("each by name", names, []),
        ("each by name, with a rule of its own", names, names),
    ):
        first_start, second_start, peak = measure(env, tables, rules)
        bench.figure(f"start, {TABLES} tables {what}", first_start, "s", at_most=5)
        bench.figure(f"start again, {TABLES} tables {what}", second_start, "s", at_most=5)
        bench.figure(f"peak memory, {TABLES} tables {what}", peak, "MB", at_most=250,
                     note="a row of each table captured and delivered into a file")
    workload.sql(env, f"DROP DATABASE {SCHEMA}")


def prepare(env):
    """The tables, twelve columns and two keys each; in MyISAM, because InnoDB takes 130 KB for an empty one."""
    columns = ", ".join(f"c{n} VARCHAR(40)" for n in range(10))
    workload.sql(env, f"DROP DATABASE IF EXISTS {SCHEMA}; CREATE DATABASE {SCHEMA}")
    for first in range(0, TABLES, 500):
        workload.sql(env, "".join(
            f"CREATE TABLE t{n} (id INT PRIMARY KEY, code INT NOT NULL, {columns}, UNIQUE KEY by_code (code)) ENGINE=MyISAM;"
            for n in range(first, first + 500)), SCHEMA)


def measure(env, tables, rules):
    path = os.path.join("target", "bench", "tables.jsonl.out")
    delivery = f'[[delivery]]\nname = "rows"\n[delivery.file]\npath = "{os.path.abspath(path)}"\n'
    delivery += "".join(f'[[delivery.table]]\nmatch = "{name}"\nmap = {{ columns = {{ c1 = "first" }} }}\n' for name in rules)
    if os.path.exists(path):
        os.unlink(path)
    relay = Relay("tables", env, "latest", delivery, tables=json.dumps(tables))
    began = time.monotonic()
    relay.start()
    relay.wait_for("capture", lambda status: status["capture"]["state"] == "running", pause=0.02)
    first_start = time.monotonic() - began
    mark = int(time.time() * 1000) % 1_000_000_000
    for first in range(0, TABLES, 500):
        workload.sql(env, "".join(
            f"REPLACE INTO t{n} VALUES ({mark}, {mark}, {', '.join(['RPAD(1, 40, 2)'] * 10)});" for n in range(first, first + 500)),
            SCHEMA)
    relay.wait_for("the rows", lambda _: lines(path) >= TABLES)
    peak = relay.child.stop().peak_mb
    # Again, with a log that knows all the tables.
    began = time.monotonic()
    relay.start()
    relay.wait_for("capture", lambda status: status["capture"]["state"] == "running", pause=0.02)
    second_start = time.monotonic() - began
    peak = max(peak, relay.child.stop().peak_mb)
    relay.remove()
    os.unlink(path)
    return first_start, second_start, peak


def lines(path):
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
