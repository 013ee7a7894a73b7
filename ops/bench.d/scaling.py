"""One delivery with two workers against one, into a sink that discards."""

import statistics

import workload
from processes import build
from relay import PAUSED, Relay

DISCARD = '[[delivery]]\nname = "discard"\nstart = "earliest"\npaused = true\nworkers = {workers}\n[delivery.file]\npath = "/dev/null"\n'


def run(bench, arguments):
    from processes import cargo_bench
    build()
    walls = {1: [], 2: []}
    for _ in range(3):
        for row in cargo_bench("scaling"):
            walls[int(row["name"].split()[0])].append(row["measured"])
    one, two = statistics.median(walls[1]), statistics.median(walls[2])
    bench.figure("two workers against one", one / two, "x", at_least=1.5,
                 note=f"wall seconds {one:.2f} and {two:.2f}, medians of three alternating runs; needs two idle cores")
