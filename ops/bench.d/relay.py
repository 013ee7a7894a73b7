"""A relay under measurement: its config, its process and what its API says."""

import json
import os
import shutil
import socket
import time
import urllib.error
import urllib.request

from processes import ROOT, Running

RELAY = os.path.join(ROOT, "target/release/relay")
DUMP = os.path.join(ROOT, "target/release/relay-dump")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Relay:
    """One log directory and one config; `deliveries` is TOML."""

    def __init__(self, name, env, start, deliveries, codec="lz4", tables='["bench.*"]', log=""):
        self.dir = os.path.join(ROOT, "target", "bench", f"relay-{name}")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.port = free_port()
        self.config = os.path.join(self.dir, "relay.toml")
        self.store = os.path.join(self.dir, "log")
        with open(self.config, "w") as file:
            file.write(f"""
name = "bench-{name}"
[source]
url = "mysql://relay@127.0.0.1:{env['MYSQL97_PORT']}"
server_id = {77000 + self.port % 900}
tls = "disabled"
start = "{start}"
tables = {tables}
[log]
dir = "{self.store}"
codec = "{codec}"
{log}
[admin]
listen = "127.0.0.1:{self.port}"
{deliveries}
""")
        self.output = open(os.path.join(self.dir, "output"), "ab")
        self.child = None

    def start(self):
        self.child = Running([RELAY, "run", "--accept-warnings", "--config", self.config], self.output,
                             {"RELAY_SOURCE_PASSWORD": "relay"})
        return self.child

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, what, ready, patience=600, pause=0.2):
        """Polls the status until `ready(status)`; seldom enough to cost next to nothing."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not self.child.alive():
                raise RuntimeError(f"the relay ended while waiting for {what}; see {self.output.name}")
            try:
                if ready(self.get("/api/v1/status")):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(pause)
        raise RuntimeError(f"{what}: not within {patience} s; see {self.output.name}")

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


PAUSED = '[[delivery]]\nname = "idle"\npaused = true\n[delivery.file]\npath = "/dev/null"\n'
