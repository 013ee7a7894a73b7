"""Reads back all that a destination holds: Kafka topics by kcat, which knows nothing of the relay, or the file sink's file."""

import json
import subprocess

from audit import Change, Record
from machine import Failure
from shop import KEYS


def parse_changes(text):
    """The row changes of one Canal JSON message; none for DDL or a tombstone."""
    if not text:
        return ()
    message = json.loads(text)
    if message["isDdl"]:
        return ()
    table = message["table"]
    return tuple(Change(table, tuple(int(row[column]) for column in KEYS[table]), int(row["version"]), message["type"])
                 for row in message["data"])


def parse_headers(flat):
    """kcat's [name, value, name, value, ...] to what the relay calls the record."""
    headers = dict(zip(flat[::2], flat[1::2]))
    return headers["relay.source"], headers["relay.seq"], headers["relay.op"]


PARTITIONS = 2  # of each topic


class Topics:
    """Kafka topics, one a table."""

    def __init__(self, brokers, topics):
        self.brokers, self.topics = brokers, topics

    def kcat(self, topic, *arguments):
        done = subprocess.run(["kcat", "-q", "-b", self.brokers, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=120)
        if done.returncode != 0:
            raise Failure(f"kcat cannot read {topic}: {done.stderr.strip()}")
        return done.stdout

    def ends(self, topic):
        """How many records each partition holds now. Reading to wherever the end is would be endless under a load."""
        asked = [argument for partition in range(PARTITIONS) for argument in ("-t", f"{topic}:{partition}:-1")]
        for line in self.kcat(topic, "-Q", *asked).splitlines():
            _, partition, _, offset = line.split()
            yield int(partition.strip("[]")), int(offset)

    def lines(self):
        for topic in self.topics:
            for partition, count in self.ends(topic):
                if count:
                    text = self.kcat(topic, "-C", "-t", topic, "-p", str(partition), "-o", "beginning", "-c", str(count), "-J")
                    # Not splitlines(): a row's text may hold other line separators.
                    yield from (json.loads(line) for line in text.split("\n") if line)

    def records(self):
        """Every record, each partition in its order."""
        found = []
        for line in self.lines():
            place = f"{line['topic']}[{line['partition']}]"
            try:
                changes = parse_changes(line["payload"])
                name = parse_headers(line.get("headers") or []) if changes else None
            except (KeyError, ValueError, TypeError) as error:
                raise Failure(f"{place} offset {line['offset']} is no message of the relay's: {error!r}: {line}")
            found.append(Record(place, line["offset"], name, changes))
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def samples(self, count):
        """The newest few messages as kcat shows them."""
        for topic in self.topics:
            shown = subprocess.run(
                ["kcat", "-C", "-q", "-b", self.brokers, "-t", topic, "-o", f"-{count}", "-c", str(count), "-e",
                 "-f", "%t partition %p offset %o\n  headers %h\n  %s\n"],
                stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60)
            yield shown.stdout.rstrip("\n")


class File:
    """The file sink's JSON lines: no headers, so repeats are told by their versions alone."""

    def __init__(self, path):
        self.path = path

    def records(self):
        found = []
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return found
        for number, line in enumerate(text.split("\n")[:-1]):  # behind the last line end a line may still be growing
            try:
                found.append(Record(self.path.name, number, None, parse_changes(line)))
            except (KeyError, ValueError, TypeError) as error:
                raise Failure(f"line {number + 1} of {self.path} is no message of the relay's: {error!r}: {line[:300]}")
        return found

    def samples(self, count):
        try:
            yield "\n".join(self.path.read_text(encoding="utf-8").split("\n")[:-1][-count:])
        except FileNotFoundError:
            yield "(nothing yet)"
