"""What the machine gives: messages, steps with a log, locks, free ports, system packages.

Knows nothing of any server.
"""

import contextlib
import fcntl
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

PORTS = range(20000, 30000)  # below Linux's ephemeral range, so no outgoing connection takes a stopped server's port

# Where Debian puts servers; not on every user's PATH.
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


class Failure(Exception):
    """A step that failed: which, where its log is, what to do next."""

    def __init__(self, step, log=None, remedy=None):
        super().__init__(step)
        self.step, self.log, self.remedy = step, log, remedy

    def __str__(self):
        text = f"failed: {self.step}"
        if self.log:
            text += f"\n  log:  {self.log}"
            text += "".join(f"\n    {line}" for line in last_lines(self.log, 6))
        if self.remedy:
            text += f"\n  next: {self.remedy}"
        return text


class Unavailable(Failure):
    """The server cannot be had on this machine at all (tests of it are skipped, by name)."""


def say(text):
    print(f"services: {text}", file=sys.stderr, flush=True)


def last_lines(path, count):
    try:
        with open(path, errors="replace") as file:
            return [line.rstrip()[:300] for line in file.readlines()[-count:]]
    except OSError:
        return []


def run(step, command, log, remedy=None, timeout=600, **options):
    """Runs one step to its end with its output in `log`; raises Failure naming the step."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        try:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=timeout, **options,
            )
        except FileNotFoundError:
            raise Failure(f"{step}: {command[0]} is not installed", remedy=remedy)
        except subprocess.TimeoutExpired:
            raise Failure(f"{step}: not done after {timeout} s", log, remedy)
    if done.returncode != 0:
        raise Failure(f"{step} (exit code {done.returncode})", log, remedy)


def answer(command, **options):
    """Standard output of a command, or None when it fails or is not there."""
    try:
        done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, **options)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def java_version():
    """The major version of the Java on the PATH; 0 when it does not say."""
    done = subprocess.run(["java", "-version"], capture_output=True, text=True)
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found.group(1)) if found else 0


def wait_until(ready, seconds, interval=0.05):
    """True as soon as ready() is; False when it was not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


@contextlib.contextmanager
def exclusive(path, awaited):
    """Holds a lock file; other processes wait. The kernel frees it when we end in any way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for {awaited} ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_ports(count):
    """Ports of 127.0.0.1 nobody listens on, for keeps: a server holds its port over stop and start."""
    found = []
    while len(found) < count:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


PACKAGES = threading.Lock()  # apt takes one install at a time


def present(what):
    return os.path.exists(what) if what.startswith("/") else bool(shutil.which(what))


def need_programs(programs, log):
    """Installs the Debian packages of missing programs, or files of an absolute path: {program: package}."""
    with PACKAGES:
        missing = sorted({package for program, package in programs.items() if not present(program)})
        if not missing:
            return
        if not shutil.which("apt-get"):
            raise Unavailable(f"missing programs of the packages {' '.join(missing)}",
                              remedy="install them; ops/services can do it on Debian only")
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        install = as_root + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "--no-install-recommends",
                             "-oDPkg::Lock::Timeout=300", "install", *missing]
        remedy = f"apt-get install {' '.join(missing)}"
        say(f"installing {' '.join(missing)} (apt)")
        try:
            run(f"install {' '.join(missing)}", install, log, remedy)
        except Failure:
            say("apt's package lists may be old: apt-get update, then once more")
            run("apt-get update", as_root + ["apt-get", "-q", "update"], log, remedy)
            run(f"install {' '.join(missing)}", install, log, remedy)
