"""Open after SIGKILL with a 5 GB log."""

from processes import cargo_bench


def run(bench, arguments):
    figures = {f["name"]: f for f in cargo_bench("open")}
    bench.figure("CPU to open", figures["cpu"]["measured"], "s", at_most=1.0)
    bench.figure("RSS after open", figures["rss"]["measured"], "MB", at_most=100)
    bench.figure("log", figures["log"]["measured"], "GB")
