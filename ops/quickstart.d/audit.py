"""Compares what the source committed with what a destination holds.

Pure: no server, no clock. Every row carries a version that the load raises with
each change and never uses twice, so a change is known by table, key, operation and
version, whatever the relay says of it; its headers only tell which records it
calls the same.

Rules, per key:
* each committed change is there at least once, and nothing that was not committed;
* changes appear for the first time in the order of their versions;
* a record may repeat an earlier one; then what follows repeats the records behind
  that one, in order and without a hole, until something new comes.
"""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True)
class Change:
    """One row change. A DELETE carries the version of the row it removes."""

    table: str
    key: tuple
    version: int
    op: str  # INSERT, UPDATE, DELETE

    @property
    def rank(self):
        return self.version, self.op == "DELETE"

    def __str__(self):
        return f"{self.op} of {self.table} {'/'.join(map(str, self.key))} version {self.version}"


@dataclasses.dataclass(frozen=True)
class Record:
    """One record of a destination, in the order of its partition."""

    partition: str
    offset: int
    name: tuple | None  # what the relay calls it: equal for repeats of the same; None when the format has no headers
    changes: tuple  # of Change


@dataclasses.dataclass
class Report:
    committed: int = 0
    delivered: int = 0  # distinct committed changes that arrived
    duplicates: int = 0
    lost: list = dataclasses.field(default_factory=list)
    out_of_order: list = dataclasses.field(default_factory=list)
    unknown: list = dataclasses.field(default_factory=list)  # arrived, but never committed
    misnamed: list = dataclasses.field(default_factory=list)  # one name for two changes, or two for one

    @property
    def clean(self):
        return not (self.lost or self.out_of_order or self.unknown or self.misnamed)

    def line(self):
        return (f"{self.committed} changes committed, {self.delivered} delivered, {len(self.lost)} lost, "
                f"{len(self.out_of_order)} out of order, {self.duplicates} duplicates")

    def faults(self, most=5):
        """What is wrong, the first few of each kind."""
        kinds = [("lost", self.lost), ("out of order", self.out_of_order),
                 ("delivered but never committed", self.unknown), ("wrongly named", self.misnamed)]
        for kind, found in kinds:
            for fault in found[:most]:
                yield f"{kind}: {fault}"
            if len(found) > most:
                yield f"{kind}: and {len(found) - most} more"


class KeyHistory:
    """The changes of one key in the order they first appeared, and where in it the last record stood."""

    def __init__(self, partition):
        self.partition = partition
        self.index = {}  # change -> its place in first appearance
        self.top = None  # highest rank so far
        self.place = -1


def audit(committed, records):
    """Report over all records of a destination; records of one partition must be in its order."""
    committed = set(committed)
    report = Report(committed=len(committed))
    histories, name_of, changes_of = {}, {}, collections.OrderedDict()
    for record in records:
        where = f"{record.partition} offset {record.offset}"
        if record.name is not None and changes_of.setdefault(record.name, record.changes) != record.changes:
            report.misnamed.append(f"{where} is called {'/'.join(record.name)} like another that holds other changes")
        for change in record.changes:
            if change not in committed:
                report.unknown.append(f"{change} at {where}")
                continue
            history = histories.setdefault((change.table, change.key), KeyHistory(record.partition))
            if history.partition != record.partition:
                report.out_of_order.append(f"{change} at {where}: its key is in {history.partition} too")
            if change in history.index:
                report.duplicates += 1
                if name_of[change] != record.name:
                    report.misnamed.append(f"{change} at {where} repeats a record of another name")
                if history.index[change] > history.place + 1:
                    report.out_of_order.append(f"{change} at {where}: a repeat that leaves out what came before it")
            else:
                report.delivered += 1
                name_of[change] = record.name
                history.index[change] = len(history.index)
                if history.top is not None and change.rank < history.top:
                    report.out_of_order.append(f"{change} at {where}: after version {history.top[0]}")
                elif history.index[change] != history.place + 1:
                    report.out_of_order.append(f"{change} at {where}: new, before a repeat had caught up")
                history.top = max(history.top or change.rank, change.rank)
            history.place = history.index[change]
    report.lost = sorted(committed - name_of.keys(), key=lambda change: (change.table, change.key, change.rank))
    return report
