"""Tools for online schema changes, which tests run against the servers: no servers themselves, so they have no
process, no port and no data; `up` fetches them and `env` says where they are.

pt-online-schema-change is a Perl program of Debian's percona-toolkit; it and the modules it needs are unpacked into
the cache and installed nowhere. gh-ost is built by the Go toolchain from its module.
"""

import json
import os
import pathlib
import shutil

import cache
from machine import Unavailable, answer, need_programs, run, say
from server import Server

GH_OST_MODULE = "github.com/github/gh-ost"
GH_OST_VERSION = "v1.1.8"
PT_PACKAGES = ["percona-toolkit", "libdbd-mysql-perl", "libterm-readkey-perl"]
LAUNCHER = """\
#!/bin/sh
# Runs pt-online-schema-change with the modules it was unpacked with.
root=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
export PERL5LIB="{modules}"
exec perl "$root/all/usr/bin/pt-online-schema-change" "$@"
"""


class Tool(Server):
    """A program in the cache."""

    export = None  # name of the variable that holds its path
    pattern = None  # of its folder in the cache: prefix and version

    def folder(self):
        return cache.cached(*self.pattern)

    def program(self):
        return self.folder() / self.name

    def known(self):
        return self.folder() is not None

    def running(self):
        return False

    def up(self):
        self.fetch()

    def stop(self, how=None):
        pass

    def wipe(self):
        """What is in the cache belongs to all checkouts."""

    def status(self):
        state = "fetched" if self.known() else "absent"
        return {"name": self.name, "state": state, "pid": None, "port": None,
                "version": self.folder().name[len(self.pattern[0]) + 1:] if self.known() else None, "datadir": None}

    def exports(self):
        return {self.export: self.program()} if self.known() else {}


class PtOsc(Tool):
    name = "pt-online-schema-change"
    export = "PT_OSC"
    pattern = ("percona-toolkit", "*")

    def fetch(self):
        need_programs({"perl": "perl", "/usr/share/doc/libdbi-perl": "libdbi-perl",
                       "/usr/lib/x86_64-linux-gnu/libmariadb.so.3": "libmariadb3"}, self.steps_log)
        cache.fill("percona-toolkit", self.fetch_from_debian)

    def fetch_from_debian(self, part):
        log = cache.cache_dir() / "percona-toolkit-fetch.log"
        log.unlink(missing_ok=True)
        need_programs({"apt-get": "apt"}, log)
        say("pt-online-schema-change: fetching percona-toolkit (apt), 1 MB")
        run("percona-toolkit: fetch", ["apt-get", "-oAPT::Sandbox::User=root", "download", *PT_PACKAGES], log,
            "apt-get update, then again", cwd=part)
        for package in part.glob("*.deb"):
            run(f"unpack {package.name}", ["dpkg", "-x", package, part / "all"], log)
        version = next(part.glob("percona-toolkit_*.deb")).name.split("_")[1]
        modules = [path.relative_to(part) for path in (part / "all/usr/lib").glob("*/perl5/*")]
        modules.append(pathlib.Path("all/usr/share/perl5"))
        launcher = part / self.name
        launcher.write_text(LAUNCHER.format(modules=":".join(f"$root/{path}" for path in modules)))
        launcher.chmod(0o755)
        for package in part.glob("*.deb"):
            package.unlink()
        if answer([launcher, "--version"]) is None:
            raise Unavailable("pt-online-schema-change: it does not run here", log, "see what its --version says")
        return version


class GhOst(Tool):
    name = "gh-ost"
    export = "GH_OST"
    pattern = ("gh-ost", GH_OST_VERSION)

    def fetch(self):
        cache.fill("gh-ost", self.build, GH_OST_VERSION)

    def build(self, part):
        log = cache.cache_dir() / "gh-ost-build.log"
        log.unlink(missing_ok=True)
        if not shutil.which("go"):
            raise Unavailable("gh-ost: there is no Go toolchain to build it", remedy="install Go")
        say(f"gh-ost: building {GH_OST_VERSION} (go)")
        go = {**os.environ, "GOPATH": str(part / "go"), "GOCACHE": str(part / "objects"),
              "GOFLAGS": "-modcacherw -mod=mod -buildvcs=false"}
        found = answer(["go", "mod", "download", "-json", f"{GH_OST_MODULE}@{GH_OST_VERSION}"], cwd=part, env=go)
        if not found:
            raise Unavailable(f"gh-ost: the module proxy gives no {GH_OST_MODULE} {GH_OST_VERSION}",
                              remedy="check GOPROXY")
        run("gh-ost: build", ["go", "build", "-o", part / self.name, "./go/cmd/gh-ost"], log, "see the log",
            timeout=1800, cwd=json.loads(found)["Dir"], env=go)
        shutil.rmtree(part / "go")
        shutil.rmtree(part / "objects")
        return GH_OST_VERSION
