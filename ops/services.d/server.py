"""One private server: its folder, its state file, its process.

The state file outlives the process: a stopped server keeps its port and data.
A process is ours when pid and start time both match, so a pid that the kernel
gave to somebody else after a crash is never signalled.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from machine import Failure, free_ports, say, wait_until

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
STOP_SECONDS = 60  # InnoDB may flush long after a heavy test; MySQL 9.7 waits 10 s for an attached dump client


def services_dir():
    return pathlib.Path(os.environ.get("RELAY_SERVICES_DIR") or CHECKOUT / "target" / "services").absolute()


def start_time(pid):
    """Start of a live process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # proc(5): state is field 3, starttime field 22


class Server:
    """Base of all servers. A subclass says how to fetch, prepare, command and probe its own."""

    name = None  # also the folder
    ports = 1  # how many it listens on
    start_seconds = 60
    follows = None  # server that must run first

    def __init__(self):
        self.dir = services_dir() / self.name
        self.datadir = self.dir / "data"
        self.log = self.dir / "server.log"
        self.steps_log = self.dir / "steps.log"
        self.state_file = self.dir / "state.json"
        try:
            self.state = json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            self.state = {}

    # What a subclass gives.
    def fetch(self):
        """Makes the software available; quick when it is."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def prepare(self):
        """Creates the data folder's first content, once."""
        raise NotImplementedError

    def command(self):
        """The process to start: list of arguments, and what it needs of the environment."""
        raise NotImplementedError

    def ready(self):
        """True when it answers a client."""
        raise NotImplementedError

    def start_remedy(self):
        """What to do when it does not start."""
        return f"ops/services down --wipe {self.name}, then up again, if its data may go"

    def after_first_start(self):
        """What needs the running server, once."""

    def addresses(self):
        """Exports for tests, without the prefix-pid line."""
        raise NotImplementedError

    # What is the same for all.
    def known(self):
        return "ports" in self.state

    def port(self, index=0):
        return self.state["ports"][index]

    def running(self):
        # No start time: it ended before it could be recorded.
        recorded = self.state.get("start_time")
        return recorded is not None and start_time(self.state["pid"]) == recorded

    def save(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        beside = self.state_file.with_suffix(".new")
        beside.write_text(json.dumps(self.state, indent=2) + "\n")
        beside.replace(self.state_file)

    def up(self):
        if self.running():
            return
        began = time.monotonic()
        self.fetch()
        if not self.state.get("prepared"):
            # An earlier attempt may have ended half-way: begin from nothing.
            self.wipe()
            self.state = {"ports": free_ports(self.ports)}
            self.save()
            say(f"{self.name}: preparing {self.datadir}")
            self.prepare()
            self.state["prepared"] = True
            self.save()
        self.state["version"] = self.version()
        self.launch()
        if not self.state.get("settled"):
            self.after_first_start()
            self.state["settled"] = True
            self.save()
        say(f"{self.name}: up on 127.0.0.1:{self.port()}, pid {self.state['pid']}, {time.monotonic() - began:.1f} s")

    def launch(self):
        command, environment = self.command()
        with open(self.log, "ab") as output:
            # A session of its own: it survives the shell, its terminal and its process group.
            process = subprocess.Popen(
                [str(part) for part in command], cwd=self.dir, env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )
        self.state.update(pid=process.pid, start_time=start_time(process.pid))
        self.save()
        ended = lambda: process.poll() is not None  # noqa: E731
        up = wait_until(lambda: ended() or self.ready(), self.start_seconds)
        if ended():
            raise Failure(f"{self.name}: the server ended at its start (exit code {process.returncode})", self.log,
                          self.start_remedy())
        if not up:
            raise Failure(f"{self.name}: not ready after {self.start_seconds} s (pid {process.pid} left running)",
                          self.log, f"ops/services stop {self.name}")

    def stop(self, how=signal.SIGTERM):
        if not self.running():
            return
        pid = self.state["pid"]
        with contextlib.suppress(ProcessLookupError):  # it may end by itself just now
            os.kill(pid, how)
        if not wait_until(lambda: not self.running(), STOP_SECONDS):
            say(f"{self.name}: pid {pid} still there after {STOP_SECONDS} s, SIGKILL")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not self.running(), 10)
        say(f"{self.name}: {'killed' if how == signal.SIGKILL else 'stopped'} (pid {pid})")

    def wipe(self):
        if self.running():
            raise Failure(f"{self.name} runs, its data stays", remedy=f"ops/services stop {self.name}")
        shutil.rmtree(self.dir, ignore_errors=True)
        self.state = {}

    def status(self):
        state = "running" if self.running() else "stopped" if self.known() else "absent"
        return {
            "name": self.name,
            "state": state,
            "pid": self.state.get("pid") if state == "running" else None,
            "port": self.port() if self.known() else None,
            "version": self.state.get("version"),
            "datadir": str(self.datadir) if self.known() else None,
        }

    def exports(self):
        """All exports of a known server; a stopped one keeps its addresses but has no pid."""
        if not self.known():
            return {}
        prefix = self.name.upper().replace("-", "_")
        exports = self.addresses()
        exports[f"{prefix}_VERSION"] = self.state.get("version", "")
        if self.running():
            exports[f"{prefix}_PID"] = self.state["pid"]
        return exports
