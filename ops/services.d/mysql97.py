"""MySQL 9.7: GTIDs, FULL row metadata, caching_sha2_password, TLS; and a replica of it.

Debian carries it in its unstable suite only. Its packages are unpacked into the
cache and run with their own loader and C library, which are newer than the
system's; the system's package database never hears of them.
"""

import os
import pathlib
import re
import shutil
import stat

import cache
from certificates import certificates
from machine import Failure, Unavailable, answer, need_programs, run, say
from mysql import RELAY_GRANTS, MysqlFamily

PACKAGES = ["mysql-server-core", "mysql-client-core"]
NOT_NEEDED = re.compile(r"perl|libperl|debconf|libgdbm|libdb5")  # of scripts we do not run
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
WRAPPER = """\
#!/bin/sh
# Runs the program of this name with the loader and libraries it was unpacked with.
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
exec "$root/{loader}" --library-path "$root/{libraries}:$root/usr/lib/mysql/private" "$root/{program}" "$@"
"""
ACCOUNTS = [
    "CREATE USER IF NOT EXISTS root@'%' IDENTIFIED WITH caching_sha2_password BY '';",
    "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
    "CREATE USER IF NOT EXISTS relay@'%' IDENTIFIED WITH caching_sha2_password BY 'relay';",
    f"GRANT {RELAY_GRANTS} TO relay@'%';",
]


class Mysql97(MysqlFamily):
    name = "mysql97"
    prefix = "MYSQL97"
    server_id = 97

    def fetch(self):
        self.need_client()
        basedir = os.environ.get("MYSQL_BASEDIR")
        if basedir:
            self.bin = pathlib.Path(basedir) / "bin"
            if not (self.bin / "mysqld").exists():
                raise Failure(f"MYSQL_BASEDIR={basedir} holds no bin/mysqld", remedy="correct or unset it")
            self.base_options = [f"--basedir={basedir}"]
            return
        root = cache.fill("mysql97", lambda part: fetch_from_unstable(part, cache.cache_dir() / "mysql97-fetch.log"))
        self.bin = root / "bin"
        share = root / "usr/share/mysql"
        self.base_options = [f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}",
                             f"--plugin-dir={root / 'usr/lib/mysql/plugin'}"]

    def version(self):
        text = answer([self.bin / "mysqld", "--no-defaults", "--version"]) or ""
        found = re.search(r"Ver (\S+)", text)
        if not found:
            raise Failure(f"{self.bin / 'mysqld'} does not run", remedy=f"delete {self.bin.parent} and try again")
        return found.group(1)

    def prepare(self):
        options = ["--initialize-insecure", f"--datadir={self.datadir}", "--secure-file-priv=NULL", "--mysqlx=OFF"]
        options += ["--user=root"] if os.geteuid() == 0 else []
        run(f"{self.name}: initialise the data folder",
            [self.bin / "mysqld", "--no-defaults", *self.base_options, *options], self.log)

    def launch(self):
        self.state["mysqlbinlog"] = str(self.bin / "mysqlbinlog")  # exported also while the server is stopped
        super().launch()

    def command(self):
        tls = certificates()
        return [
            self.bin / "mysqld", "--no-defaults", *self.base_options, *self.common_options(),
            f"--init-file={self.init_file(ACCOUNTS)}", "--secure-file-priv=NULL", "--mysqlx=OFF",
            f"--server-id={self.server_id}", "--gtid-mode=ON", "--enforce-gtid-consistency=ON",
            "--binlog-row-metadata=FULL", "--log-replica-updates=ON",
            f"--ssl-ca={tls.ca}", f"--ssl-cert={tls.server}", f"--ssl-key={tls.server_key}",
            "--performance-schema=OFF",  # a third of its memory; SHOW does without
        ], {}

    def addresses(self):
        exports = super().addresses()
        exports["MYSQL97_CA"] = certificates().ca
        exports["MYSQLBINLOG"] = self.state["mysqlbinlog"]
        return exports

class Mysql97Second(Mysql97):
    """Follows mysql97 by GTID auto-position and logs what it applies: a place to fail over to."""

    name = "mysql97-second"
    prefix = "MYSQL97_SECOND"
    server_id = 98
    follows = "mysql97"

    def addresses(self):
        return MysqlFamily.addresses(self)

    def after_first_start(self):
        first = Mysql97()
        if not first.running():
            raise Failure("mysql97-second: mysql97 does not run", remedy="ops/services up mysql97 --second")
        self.execute("follow mysql97", f"""
            CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={first.port()}, SOURCE_USER='root',
                SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400, GET_SOURCE_PUBLIC_KEY=1;
            START REPLICA""")


def archives():
    """(address, keyring) of the Debian archives in the machine's own apt sources."""
    found = []
    for path in sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            field = lambda name: (re.search(rf"^{name}:\s*(.+)$", stanza, re.M | re.I) or [None, ""])[1].split()  # noqa: E731
            if "security" not in " ".join(field("Suites")):
                keyring = (field("Signed-By") or [KEYRING])[0]
                found += [(address, keyring) for address in field("URIs")]
    lists = [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.list"))]
    for path in (path for path in lists if path.exists()):
        for line in path.read_text().splitlines():
            match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)", line)
            if match and "security" not in match[3]:
                keyring = re.search(r"signed-by=(\S+)", match[1] or "")
                found.append((match[2], keyring[1] if keyring else KEYRING))
    found = [(address, keyring if keyring.startswith("/") else KEYRING) for address, keyring in found]
    # The Debian archive proper first; others (vendors' repositories) have no `sid main` or not our packages.
    return sorted(dict.fromkeys(found), key=lambda item: not item[0].rstrip("/").endswith("debian"))


def fetch_from_unstable(part, log):
    if not shutil.which("apt-get"):
        raise Unavailable("mysql97: this is not a Debian machine", remedy="set MYSQL_BASEDIR to a MySQL 9 you have")
    log.unlink(missing_ok=True)
    private = part / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (private / folder).mkdir(parents=True)
    options = [f"-oDir::Etc::sourcelist={private / 'unstable.list'}", "-oDir::Etc::sourceparts=/dev/null",
               f"-oDir::State::lists={private / 'lists'}", f"-oDir::Cache={private / 'cache'}",
               "-oAPT::Sandbox::User=root", "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
               "-oAcquire::Languages=none"]
    say("mysql97: fetching the package list of Debian unstable (apt, private)")
    for address, keyring in archives():
        (private / "unstable.list").write_text(f"deb [signed-by={keyring}] {address} sid main\n")
        try:
            run("apt-get update", ["apt-get", *options, "update"], log)
        except Failure:
            continue
        policy = answer(["apt-cache", *options, "policy", PACKAGES[0]]) or ""
        candidate = re.search(r"Candidate: (\d\S*)", policy)
        if candidate:
            version = candidate.group(1)
            break
    else:
        raise Unavailable("mysql97: no archive of this machine's apt sources carries Debian unstable with MySQL", log,
                          "set MYSQL_BASEDIR to a MySQL 9 you have")
    if not version.startswith("9."):
        say(f"mysql97: note that Debian unstable now has {version}")
    tree = answer(["apt-cache", *options, "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
                   "--no-breaks", "--no-replaces", "--no-enhances", *PACKAGES]) or ""
    names = {line for line in tree.splitlines() if re.match(r"[a-z0-9]", line)}
    names = sorted(name for name in names if not NOT_NEEDED.match(name))
    say(f"mysql97: fetching {version}, {len(names)} packages, about 50 MB")
    run("mysql97: download the packages", ["apt-get", *options, "download", *names], log, cwd=private / "debs")
    say("mysql97: unpacking, about 250 MB")
    for package in sorted((private / "debs").glob("*.deb")):
        run(f"mysql97: unpack {package.name}", ["dpkg", "-x", package, part], log)
    shutil.rmtree(private)
    for surplus in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/bash-completion"):
        shutil.rmtree(part / surplus, ignore_errors=True)
    write_wrappers(part)
    return version


def write_wrappers(root):
    """bin/NAME for each program: found by their own place, so the folder may move."""
    loader = next(iter(sorted(root.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*")) or sorted(root.glob("usr/lib*/ld-linux*.so.*"))), None)
    if loader is None:
        raise Failure("mysql97: the unpacked packages hold no loader", remedy="set MYSQL_BASEDIR to a MySQL 9 you have")
    libraries = next(root.glob("usr/lib/*-linux-gnu*"))
    (root / "bin").mkdir()
    for program in ["usr/sbin/mysqld", *(f"usr/bin/{name}" for name in ("mysql", "mysqladmin", "mysqlbinlog", "mysqldump"))]:
        wrapper = root / "bin" / pathlib.Path(program).name
        wrapper.write_text(WRAPPER.format(
            loader=loader.relative_to(root), libraries=libraries.relative_to(root), program=program))
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
