"""Append with group commit, against a plain file with fdatasync at the same cadence."""

import statistics

from processes import cargo_bench


def run(bench, arguments):
    ratios, ours, theirs = [], [], []
    for _ in range(3):
        figures = {f["name"]: f for f in cargo_bench("append")}
        row = figures["append 64 KiB blocks, groups of 10 ms"]
        ours.append(row["measured"])
        theirs.append(row["yardstick"])
        ratios.append(row["measured"] / row["yardstick"])
    bench.figure("append 64 KiB blocks, groups of 10 ms", statistics.median(ours), "MB/s", statistics.median(theirs),
                 statistics.median(ratios), at_least=0.9, note="median of three runs, alternating inside each; a queue of 64 MiB")
