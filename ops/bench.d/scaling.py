"""One delivery with two workers against one, into a file that discards (/dev/null)."""

import statistics
import time

import capture
import workload
from processes import build
from relay import PAUSED, Relay

TURNS = 3


def run(bench, arguments):
    build()
    env = workload.servers("mysql97")
    place = workload.generate(env, arguments.rows)
    relay = Relay("scaling", env, f"file:{place['file']}:4", PAUSED)
    relay.start()
    relay.wait_for("the end of the workload", lambda status: capture.past(status["capture"], place))
    relay.child.stop()
    walls = {1: [], 2: []}
    for turn in range(TURNS):
        for workers in walls:
            walls[workers].append(replay(relay, f"discard-{workers}-{turn}", workers))
    relay.remove()
    one, two = statistics.median(walls[1]), statistics.median(walls[2])
    bench.figure("two workers against one", one / two, "x", at_least=1.5,
                 note=f"wall seconds {one:.2f} and {two:.2f}, medians of {TURNS} alternating runs; both cores must be idle")


def replay(relay, name, workers):
    """Seconds from the start of the delivery's first record to its last ack."""
    text = open(relay.config).read().split("[[delivery]]")[0]
    with open(relay.config, "w") as file:
        file.write(text + f'[[delivery]]\nname = "{name}"\nstart = "earliest"\nworkers = {workers}\n'
                          '[delivery.file]\npath = "/dev/null"\n')
    relay.start()
    mine = lambda status: next((d for d in status["cursors"] if d["name"] == name), {})  # noqa: E731
    relay.wait_for("the delivery", lambda status: mine(status).get("state") == "running", pause=0.01)
    started = time.monotonic()
    relay.wait_for("its end", lambda status: mine(status).get("lag_entries") == 0, pause=0.02)
    wall = time.monotonic() - started
    relay.child.stop()
    return wall
