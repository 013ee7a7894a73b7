"""The rows that a bench prints, and where they are kept."""

import contextlib
import json
import os
import sys
import time


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Bench:
    """Collects the figures of one bench; each is printed and written as soon as it is known."""

    def __init__(self, table, name, file):
        self.table, self.name, self.file = table, name, file

    def figure(self, name, measured, unit, yardstick=None, ratio=None, at_most=None, at_least=None, note=None):
        """`ratio` is what a target is held against; without one, `measured` is."""
        value = measured if ratio is None else ratio
        ok = not ((at_most is not None and value > at_most) or (at_least is not None and value < at_least))
        target = f"<= {at_most:g}" if at_most is not None else f">= {at_least:g}" if at_least is not None else "-"
        row = {"bench": self.name, "name": name, "measured": measured, "unit": unit, "yardstick": yardstick,
               "ratio": ratio, "target": target, "ok": ok, "note": note, "time": int(time.time())}
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        self.table.add(row)


class Table:
    """Every figure of the run; says at the end whether all targets were met."""

    WIDTHS = (44, 16, 16, 8, 10, 7)

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.directory, self.rows, self.failed = directory, [], []
        self.line("name", "measured", "yardstick", "ratio", "target", "")

    def line(self, *cells):
        print("  ".join(str(c).ljust(w) for c, w in zip(cells, self.WIDTHS)).rstrip(), flush=True)

    def add(self, row):
        self.rows.append(row)
        number = lambda v: "-" if v is None else f"{v:.3g}" if isinstance(v, float) else str(v)  # noqa: E731
        with_unit = lambda v: "-" if v is None else f"{number(v)} {row['unit']}"  # noqa: E731
        state = "ok" if row["ok"] else "MISSED"
        self.line(f"{row['bench']}: {row['name']}", with_unit(row["measured"]), with_unit(row["yardstick"]),
                  number(row["ratio"]), row["target"], state if row["target"] != "-" else "")
        if row["note"]:
            print(f"    {row['note']}", flush=True)

    @contextlib.contextmanager
    def bench(self, name):
        with open(os.path.join(self.directory, f"{name}.jsonl"), "w") as file:
            try:
                yield Bench(self, name, file)
            except Exception as error:  # one broken bench must not hide the figures of the others
                say(f"{name} FAILED: {error}")
                self.failed.append(name)

    def finish(self):
        missed = [row for row in self.rows if not row["ok"]]
        for row in missed:
            print(f"MISSED {row['bench']}: {row['name']}: {row['ratio'] if row['ratio'] is not None else row['measured']}, target {row['target']}")
        for name in self.failed:
            print(f"FAILED {name}: no figure; see above")
        return 1 if missed or self.failed else 0
