"""Runs commands as whole processes and accounts for them as the operating system does."""

import os
import shlex
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


class Running:
    """A child whose CPU seconds and peak memory are read when it is reaped."""

    def __init__(self, argv, log, env=None):
        self.argv, self.started = argv, time.monotonic()
        self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        self.usage = None

    def alive(self):
        return self.usage is None and self.process.poll() is None

    def reap(self):
        _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.usage, self.wall = usage, time.monotonic() - self.started
        return self

    def stop(self, signal_number=15):
        os.kill(self.pid, signal_number)
        return self.reap()

    @property
    def cpu(self):
        return self.usage.ru_utime + self.usage.ru_stime

    @property
    def peak_mb(self):
        return self.usage.ru_maxrss / 1024

    def cpu_so_far(self):
        """User and system seconds until now, from /proc (10 ms ticks)."""
        fields = open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


def run(argv, log, env=None):
    """Runs a command to its end; fails when it does."""
    child = Running(argv, log, env).reap()
    if child.process.returncode != 0:
        raise RuntimeError(f"{shlex.join(argv)} exited with {child.process.returncode}; see {log.name}")
    return child


def output(argv, env=None):
    return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True,
                          env={**os.environ, **(env or {})}).stdout


def build():
    """The release binaries and benches, once."""
    subprocess.run(["cargo", "build", "--release", "--workspace", "--locked", "--quiet"], cwd=ROOT, check=True)


def cargo_bench(name, args=()):
    """Runs one of the benches in benches/ and yields the figures it prints as JSON lines."""
    import json
    text = output(["cargo", "bench", "--quiet", "--locked", "--workspace", "--bench", name, "--", *args])
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
