"""The relay as one more private server: built here, with a config of its own, ended by pid."""

import json
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request

from machine import Failure, need_programs, say
from server import CHECKOUT, Server

# What the Kafka client's C library is built with.
BUILD_NEEDS = {"cc": "build-essential", "make": "build-essential", "pkg-config": "pkg-config",
               "/usr/include/openssl/ssl.h": "libssl-dev", "/usr/include/zlib.h": "zlib1g-dev"}
PASSWORD = "relay"
DELIVERY = "shop"

CONFIG = """\
name = "quickstart"

[source]
url = "mysql://relay@127.0.0.1:{source_port}"   # password from RELAY_SOURCE_PASSWORD
server_id = 77001
tls = "verify_identity"
ca_file = "{ca}"
start = "gtid:{start}"                          # behind the transactions that made the schema
tables = ["shop.*"]

[log]
dir = "{log_dir}"

[admin]
listen = "127.0.0.1:{admin_port}"

[[delivery]]
name = "{delivery}"
start = "earliest"
"""
KAFKA = """\
[delivery.kafka]
brokers = "{brokers}"
topic = "shop-{{table}}"
ddl_topic = "shop-ddl"                          # readers of rows need not know statements
format = "canal-json"
"""
FILE = """\
[delivery.file]
path = "{path}"
format = "canal-json"
"""


def build():
    """Folder of the release binaries. RELAY_BIN_DIR names one that is built already."""
    ready = os.environ.get("RELAY_BIN_DIR")
    if ready:
        return pathlib.Path(ready).absolute()
    if not shutil.which("cargo"):
        raise Failure("cargo is not installed", remedy="install Rust: https://rustup.rs")
    need_programs(BUILD_NEEDS, CHECKOUT / "target" / "quickstart" / "apt.log")
    command = ["cargo", "build", "--release", "--locked", "--workspace", "--bins"]
    if subprocess.run(command, cwd=CHECKOUT).returncode != 0:
        raise Failure("the build failed", remedy="see the compiler's message above")
    metadata = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
                              cwd=CHECKOUT, capture_output=True, check=True)
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "release"


class Relay(Server):
    """`relay run` with one delivery. `settings` fill CONFIG; only prepare() needs them."""

    name = "relay"
    start_seconds = 30

    def __init__(self, binaries=None, **settings):
        super().__init__()
        self.binaries, self.settings = binaries, settings
        self.config = self.dir / "relay.toml"

    def fetch(self):
        for name in ("relay", "relay-cursor", "relay-dump"):
            if not (self.binaries / name).exists():
                raise Failure(f"{self.binaries / name} was not built")

    def version(self):
        return ""

    def prepare(self):
        sink = KAFKA if "brokers" in self.settings else FILE
        self.config.write_text((CONFIG + sink).format(
            log_dir=self.datadir, admin_port=self.port(), delivery=DELIVERY, **self.settings))

    def command(self):
        return [self.binaries / "relay", "run", "--config", self.config], {"RELAY_SOURCE_PASSWORD": PASSWORD}

    def start_remedy(self):
        return "its own message above says what it wants; ops/quickstart --keep leaves config and servers for another try"

    @property
    def admin(self):
        return f"http://127.0.0.1:{self.port()}"

    def ready(self):
        try:
            with urllib.request.urlopen(f"{self.admin}/readyz", timeout=2) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def reset_to_earliest(self):
        done = subprocess.run([self.binaries / "relay-cursor", "reset", DELIVERY, "--to", "earliest", "--yes",
                               "--admin", self.admin], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            say(f"relay-cursor: {line}")
        if done.returncode != 0:
            raise Failure(f"relay-cursor reset: {done.stderr.strip()}", self.log)
