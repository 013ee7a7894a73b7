"""Row decode, against mysql_common's decoder on the same bytes, values compared."""

import os

import workload
from processes import cargo_bench


def run(bench, arguments):
    env = workload.servers("mysql97")
    place = workload.generate(env, arguments.rows)
    for row in cargo_bench("decode", args=["--binlog", os.path.join(env["MYSQL97_DATADIR"], place["file"])]):
        if row.get("yardstick"):
            bench.figure(row["name"], row["measured"], row["unit"], row["yardstick"],
                         row["measured"] / row["yardstick"], at_least=10)
        else:
            bench.figure(row["name"], row["measured"], row["unit"])
