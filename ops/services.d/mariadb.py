"""MariaDB, the other dialect: domain GTIDs, ed25519 accounts, TLS.

Only Debian's mariadb-server-core is installed, which has no system service that
could start by itself. The authentication plugins are in mariadb-server, which has
one; of that package we unpack the plugin folder and install nothing.

RELAY_MARIADB_ROW_METADATA=FULL (or MINIMAL) starts it with more than its default of
NO_LOG; a running one takes SET GLOBAL binlog_row_metadata.
"""

import os
import pathlib
import re
import shutil

import cache
from certificates import certificates
from machine import Failure, answer, need_programs, run, say
from mysql import CLIENT, RELAY_GRANTS, MysqlFamily

ROW_METADATA = "RELAY_MARIADB_ROW_METADATA"
ED25519 = "auth_ed25519.so"
ACCOUNTS = [
    "CREATE USER IF NOT EXISTS root@'%';",
    "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
    *(line for user, how in (
        ("relay", "BY 'relay'"), ("relay_native", "BY 'relay'"), ("relay_ed25519", "VIA ed25519 USING PASSWORD('relay')"),
    ) for line in (f"CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED {how};", f"GRANT {RELAY_GRANTS} TO {user}@'%';")),
]


class MariaDb(MysqlFamily):
    name = "mariadb"
    prefix = "MARIADB"

    def fetch(self):
        need_programs({"mariadbd": "mariadb-server-core", "mariadb-install-db": "mariadb-server-core", **CLIENT},
                      self.steps_log)
        self.plugins = built_in_plugins()
        if not (self.plugins / ED25519).exists():
            self.plugins = cache.fill("mariadb-plugins", fetch_plugins, without_epoch(debian_version())) / "usr/lib/mysql/plugin"

    def version(self):
        found = re.search(r"Ver (\S+?)-MariaDB", answer(["mariadbd", "--no-defaults", "--version"]) or "")
        return found.group(1) if found else "unknown"

    def prepare(self):
        options = ["--user=root"] if os.geteuid() == 0 else []
        run("mariadb: initialise the data folder", [
            "env", f"TMPDIR={self.temporary()}", "mariadb-install-db", "--no-defaults", f"--datadir={self.datadir}", "--skip-test-db",
            "--auth-root-authentication-method=normal", *options], self.log)

    def command(self):
        tls = certificates()
        metadata = os.environ.get(ROW_METADATA)
        return [
            "mariadbd", "--no-defaults", *self.common_options(), f"--init-file={self.init_file(ACCOUNTS)}",
            f"--plugin-dir={self.plugins}", "--plugin-load-add=auth_ed25519",
            "--server-id=10", "--log-slave-updates=ON",
            f"--ssl-ca={tls.ca}", f"--ssl-cert={tls.server}", f"--ssl-key={tls.server_key}",
            *([f"--binlog-row-metadata={metadata}"] if metadata else []),
        ], {}

    def addresses(self):
        return {**super().addresses(), "MARIADB_CA": certificates().ca}


def built_in_plugins():
    """The plugin folder the installed server was built with."""
    variables = answer(["mariadbd", "--no-defaults", "--verbose", "--help"]) or ""
    found = re.search(r"^plugin-dir\s+(\S+)", variables, re.M)
    return pathlib.Path(found.group(1) if found else "/usr/lib/mysql/plugin")


def debian_version():
    """Version of the installed server package: plugins must be of the same build."""
    version = answer(["dpkg-query", "--show", "--showformat=${Version}", "mariadb-server-core"])
    if not version:
        raise Failure(f"mariadb: the mariadbd on the PATH has no {ED25519} in its plugin folder",
                      remedy="install the server's authentication plugins")
    return version


def without_epoch(version):
    """As Debian names files: 1:10.11.19-0 is 10.11.19-0."""
    return version.rpartition(":")[2]


def fetch_plugins(part):
    version = debian_version()
    log = cache.cache_dir() / "mariadb-fetch.log"
    log.unlink(missing_ok=True)
    say(f"mariadb: fetching the plugins of {version} (apt), 4 MB")
    run("mariadb: fetch the plugins", ["apt-get", "-oAPT::Sandbox::User=root", "download", f"mariadb-server={version}"],
        log, "apt-get update, then again", cwd=part)
    package = next(part.glob("*.deb"))
    run("mariadb: unpack the plugins", ["dpkg", "-x", package, part / "all"], log)
    plugins = part / "usr/lib/mysql/plugin"
    plugins.parent.mkdir(parents=True)
    (part / "all/usr/lib/mysql/plugin").rename(plugins)
    shutil.rmtree(part / "all")
    package.unlink()
    return without_epoch(version)
