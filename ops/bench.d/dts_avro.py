"""The DTS Avro writer, against apache-avro encoding the same records."""

import json
import os
import subprocess

from processes import ROOT, cargo_bench

READER = os.path.join(ROOT, "tests", "readers", "apache-avro")
SCHEMA = os.path.join(ROOT, "src", "format", "dts_avro", "record.avsc")


def yardstick(messages):
    """Microseconds of CPU in which apache-avro encodes one of these records; its values stand ready in memory."""
    target = os.path.join(ROOT, "target", "readers", "apache-avro")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", target], cwd=READER, check=True)
    with open(messages) as records:
        measured = subprocess.run([os.path.join(target, "release", "apache-avro-reader"), "measure", SCHEMA],
                                  stdin=records, check=True, capture_output=True, text=True)
    return json.loads(measured.stdout)


def run(bench, arguments):
    messages = os.path.join(ROOT, "target", "bench", "dts_avro.messages")
    rows = {row["name"]: row for row in cargo_bench("dts_avro", args=["--messages", messages])}
    ours, theirs = rows["dts avro"]["measured"], yardstick(messages)
    # Ours decodes the row as well. The yardstick as it comes checks values against the schema; told not to, it is shown only.
    bench.figure("dts avro", ours, "us/row", theirs["checked_us"], theirs["checked_us"] / ours, at_least=20)
    bench.figure("the yardstick without its checks", ours, "us/row", theirs["unchecked_us"], theirs["unchecked_us"] / ours)
    message = rows["dts avro message"]
    bench.figure(message["name"], message["measured"], message["unit"])
