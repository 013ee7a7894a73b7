"""Exactly once against at least once: CPU per row and rows a second, with source transactions of 1,000 rows."""

import statistics
import time

import end_to_end
import topics
import workload
from processes import build
from relay import PAUSED, Relay

ROWS_PER_TRANSACTION = 1000
TURNS = 3


def run(bench, arguments):
    build()
    env = workload.servers("mysql97", "kafka")
    transactions = max(arguments.rows // 2 // ROWS_PER_TRANSACTION, 100)
    rows = transactions * ROWS_PER_TRANSACTION
    place = generate(env, transactions)
    relay = Relay("exactly-once", env, f"gtid:{place['before']}", PAUSED, tables='["once.*"]')
    relay.start()
    relay.wait_for("capture", lambda status: status["capture"]["state"] == "running")
    relay.wait_for("the end of the workload", lambda status: entries_at_rest(relay))
    relay.child.stop()
    figures = {"at_least_once": [], "exactly_once": []}
    for _ in range(TURNS):
        for guarantee in figures:
            figures[guarantee].append(replay(relay, env, guarantee, rows))
    relay.remove()
    workload.sql(env, "DROP DATABASE once")
    least, once = (
        {key: statistics.median(turn[key] for turn in figures[guarantee]) for key in ("cpu", "wall")}
        for guarantee in ("at_least_once", "exactly_once"))
    cpu = {name: value["cpu"] / rows * 1e6 for name, value in (("least", least), ("once", once))}
    rate = {name: rows / value["wall"] for name, value in (("least", least), ("once", once))}
    note = f"{rows} rows in transactions of {ROWS_PER_TRANSACTION}, 4 partitions, medians of {TURNS} alternating runs"
    bench.figure("CPU per row, exactly once", cpu["once"], "us", cpu["least"], cpu["once"] / cpu["least"], at_most=1.25,
                 note=note + "; delivery alone, the log was filled before")
    bench.figure("rows a second, exactly once", rate["once"], "/s", rate["least"], rate["once"] / rate["least"],
                 at_least=0.7, note=note)


def generate(env, transactions):
    """A table filled by transactions of 1,000 rows; the GTIDs before them."""
    workload.sql(env, "DROP DATABASE IF EXISTS once; CREATE DATABASE once; CREATE TABLE once.t "
                      "(id BIGINT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL, c CHAR(128) NOT NULL, pad CHAR(60) NOT NULL);"
                      "CREATE TABLE once.numbers (n INT PRIMARY KEY);"
                      "SET SESSION cte_max_recursion_depth = 10000;"
                      "INSERT INTO once.numbers WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r "
                      f"WHERE n < {ROWS_PER_TRANSACTION}) SELECT n FROM r")
    before = workload.sql(env, "SELECT @@gtid_executed")[0][0].replace("\\n", "")
    insert = ("INSERT INTO once.t (k, c, pad) SELECT n, SHA2(CONCAT({0}, n), 512), SHA2(CONCAT(n, {0}), 224) "
              "FROM once.numbers;")
    workload.sql(env, "".join(insert.format(number) for number in range(transactions)))
    return {"before": before}


def entries_at_rest(relay):
    """Whether capture has everything that the source has."""
    status = relay.get("/api/v1/status")
    seen = relay.get("/api/v1/log")["visible_seq"]
    time.sleep(1)
    return status["capture"]["state"] == "running" and seen > 0 and relay.get("/api/v1/log")["visible_seq"] == seen


def replay(relay, env, guarantee, rows):
    """CPU and wall seconds of one delivery of the whole log, from its running to its last ack."""
    topic = topics.create(env, 4)
    # A position of an earlier run, in another log, would park it.
    name = f"{guarantee}-{topic}"
    text = open(relay.config).read().split("[[delivery]]")[0]
    with open(relay.config, "w") as file:
        file.write(text + end_to_end.delivery(env, topic, name) + f'delivery = "{guarantee}"\n')
    child = relay.start()
    mine = lambda status: next((d for d in status["cursors"] if d["name"] == name), {})  # noqa: E731
    relay.wait_for("the delivery", lambda status: mine(status).get("state") == "running", pause=0.01)
    cpu, started = child.cpu_so_far(), time.monotonic()
    relay.wait_for("its end", lambda status: mine(status).get("lag_entries") == 0, pause=0.02)
    wall, cpu = time.monotonic() - started, child.cpu_so_far() - cpu
    relay.child.stop()
    topics.delete(env, topic, *([f"__relay_cursors.bench-exactly-once.{name}"] if guarantee == "exactly_once" else []))
    return {"cpu": cpu, "wall": wall}
