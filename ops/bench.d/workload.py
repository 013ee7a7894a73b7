"""The workload: 2,000,000 row changes, about 541 MB of binlog, on a MySQL 9.7 of our own.

One table of ten columns; each transaction inserts 75 rows and updates 25 of them: three inserts to one update.
"""

import json
import os
import shlex
import subprocess

import figures
from processes import ROOT, output

ROWS_PER_TRANSACTION = 100

SCHEMA = """
DROP DATABASE IF EXISTS bench; CREATE DATABASE bench; USE bench;
CREATE TABLE digits (n INT PRIMARY KEY);
INSERT INTO digits WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 74) SELECT n FROM d;
CREATE TABLE sbtest1 (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT UNSIGNED NOT NULL, c CHAR(120) NOT NULL,
  pad VARCHAR(60) NOT NULL, amt DECIMAL(12,2) NOT NULL, ts TIMESTAMP(3) NOT NULL, dt DATETIME(6) NOT NULL,
  st ENUM('new','paid','sent','closed') NOT NULL, fl DOUBLE NOT NULL, note VARCHAR(50) NULL);
DELIMITER $$
CREATE PROCEDURE generate(IN transactions INT)
BEGIN
  DECLARE t INT DEFAULT 0;
  WHILE t < transactions DO
    START TRANSACTION;
    INSERT INTO sbtest1 (k, c, pad, amt, ts, dt, st, fl, note)
      SELECT t * 75 + n, CONCAT(SHA2(CONCAT(t, '-', n), 256), LEFT(SHA2(CONCAT(n, '-', t), 256), 55)),
             LEFT(SHA2(CONCAT('p', t, n), 256), 58), (t * 75 + n) / 100, FROM_UNIXTIME(1767225600 + t + n / 1000),
             TIMESTAMPADD(MICROSECOND, t * 75 + n, '2026-01-01 00:00:00'), 1 + (n % 4), (t + 1) / (n + 1),
             IF(n % 3 = 0, NULL, CONCAT('note ', n)) FROM digits;
    UPDATE sbtest1 SET k = k + 1, st = 'closed', dt = TIMESTAMPADD(SECOND, 1, dt)
      WHERE id BETWEEN LAST_INSERT_ID() AND LAST_INSERT_ID() + 24;
    COMMIT;
    SET t = t + 1;
  END WHILE;
END$$
DELIMITER ;
"""


def servers(*names):
    """Starts the servers and gives their addresses as a dict."""
    subprocess.run([os.path.join(ROOT, "ops/services"), "up", *names], check=True)
    pairs = (line.removeprefix("export ").split("=", 1) for line in output(["ops/services", "env"]).splitlines())
    return {key: shlex.split(value)[0] if value else "" for key, value in pairs}


def sql(env, text, database="", url="MYSQL97_PORT"):
    """Runs statements through the mariadb client and returns rows as lists of text."""
    argv = ["mariadb", "--protocol=tcp", "--host=127.0.0.1", f"--port={env[url]}", "--user=root", "--batch",
            "--skip-column-names", "--skip-ssl", "--default-character-set=utf8mb4", database]
    done = subprocess.run([a for a in argv if a], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"SQL failed: {done.stderr.strip()}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def generate(env, rows):
    """Makes the workload unless the server already holds just this one; returns its place in the binlog."""
    note = os.path.join(ROOT, "target", "bench", "workload.json")
    identity = {"rows": rows, "server": sql(env, "SELECT @@server_uuid")[0][0]}
    if os.path.exists(note):
        place = json.load(open(note))
        if {k: place[k] for k in identity} == identity and file_exists(env, place["file"]):
            return place
    figures.say(f"generating {rows} row changes")
    sql(env, SCHEMA)
    sql(env, "FLUSH BINARY LOGS; SET GLOBAL max_binlog_size = 1073741824; FLUSH BINARY LOGS")
    sql(env, "SET GLOBAL sync_binlog = 0; SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    gtids = sql(env, "SELECT @@gtid_executed")[0][0].replace("\\n", "")
    file = sql(env, "SHOW BINARY LOG STATUS")[0][0]
    sql(env, f"CALL generate({rows // ROWS_PER_TRANSACTION})", "bench")
    end = sql(env, "SHOW BINARY LOG STATUS")[0]
    if end[0] != file:
        raise RuntimeError("the workload does not fit one binlog file; use fewer rows")
    sql(env, "FLUSH BINARY LOGS")
    place = {**identity, "file": file, "bytes": int(end[1]), "gtids_before": gtids}
    os.makedirs(os.path.dirname(note), exist_ok=True)
    json.dump(place, open(note, "w"))
    figures.say(f"{file}: {place['bytes'] / 1e6:.0f} MB")
    return place


def file_exists(env, file):
    return any(row[0] == file for row in sql(env, "SHOW BINARY LOGS"))


def forget(env):
    """Empties the binlog: what a bench wrote behind the workload would be captured with it the next time."""
    sql(env, "DROP DATABASE IF EXISTS bench; DROP DATABASE IF EXISTS big; RESET BINARY LOGS AND GTIDS")
    note = os.path.join(ROOT, "target", "bench", "workload.json")
    if os.path.exists(note):
        os.remove(note)
