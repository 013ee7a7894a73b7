"""Row decode, against mysql_common's decoder on the same bytes, values compared."""

from processes import cargo_bench


def run(bench, arguments):
    for row in cargo_bench("decode"):
        if row.get("yardstick"):
            bench.figure(row["name"], row["measured"], row["unit"], row["yardstick"],
                         row["measured"] / row["yardstick"], at_least=10)
        else:
            bench.figure(row["name"], row["measured"], row["unit"])
