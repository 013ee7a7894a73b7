"""A filter on one integer column, as a share of the CPU of delivering the same rows as Canal JSON."""

from processes import cargo_bench


def run(bench, arguments):
    for row in cargo_bench("filter"):
        if row["name"] == "filter on one integer, share of delivery":
            bench.figure(row["name"], row["measured"], row["unit"], at_most=10)
        else:
            bench.figure(row["name"], row["measured"], row["unit"])
