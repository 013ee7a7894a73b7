"""One delivery with two workers against one, into a file that discards (/dev/null)."""

import statistics

from processes import cargo_bench

TURNS = 3


def run(bench, arguments):
    walls = {"1 worker": [], "2 workers": []}
    for _ in range(TURNS):
        for row in cargo_bench("scaling"):
            walls[row["name"]].append(row["measured"])
    one, two = (statistics.median(seconds) for seconds in walls.values())
    bench.figure("two workers against one", one / two, "x", at_least=1.5,
                 note=f"wall seconds {one:.2f} and {two:.2f}, medians of {TURNS} alternating runs; both cores must be idle")
