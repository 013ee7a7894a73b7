"""The Canal JSON writer, against serde_json streaming into the same bytes."""

from processes import cargo_bench


def run(bench, arguments):
    for row in cargo_bench("canal_json"):
        if row.get("yardstick"):
            bench.figure(row["name"], row["measured"], row["unit"], row["yardstick"],
                         row["measured"] / row["yardstick"], at_least=3)
        else:
            bench.figure(row["name"], row["measured"], row["unit"])
