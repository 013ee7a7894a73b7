"""What the MySQL-family servers share: the socket, the accounts, the client."""

import os
import pathlib
import tempfile

from machine import Failure, answer, need_programs
from server import Server

CLIENT = {"mariadb": "mariadb-client"}
RELAY_GRANTS = "SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.*"  # the least a relay needs
SOCKET_LENGTH_MAX = 100  # sockaddr_un holds 108 bytes


class MysqlFamily(Server):
    """A server reached with the mariadb client over TCP as root, without a password."""

    prefix = None  # of the exports

    def query(self, sql, **options):
        """Rows as text lines, tab-separated; None when the server does not answer."""
        return answer(["mariadb", "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", f"--port={self.port()}",
                       "--user=root", "--batch", "--skip-column-names", "--connect-timeout=5", "-e", sql], **options)

    def execute(self, step, sql):
        if self.query(sql) is None:
            raise Failure(f"{self.name}: {step}", self.log)

    def need_client(self):
        need_programs(CLIENT, self.steps_log)

    def ready(self):
        return self.query("SELECT 1") is not None

    def socket(self):
        path = str(self.dir / "sock")
        if len(path) > SOCKET_LENGTH_MAX:
            path = os.path.join(tempfile.gettempdir(), f"relay-{self.name}-{self.port()}.sock")
        return path

    def launch(self):
        # A killed server leaves its socket's lock behind, and refuses to start while that names any live pid
        # or a zombie; ours is known to be gone here.
        for leftover in (self.socket(), self.socket() + ".lock", self.dir / "pid"):
            pathlib.Path(leftover).unlink(missing_ok=True)
        super().launch()

    def init_file(self, statements):
        """Statements run at every start before the first client, one a line, kept out of the binlog."""
        path = self.dir / "accounts.sql"
        path.write_text("\n".join(["SET sql_log_bin=0;", *statements]) + "\n")
        return path

    def temporary(self):
        """A folder for temporary tables: in a shared one, two servers have removed each other's."""
        folder = self.dir / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def common_options(self):
        options = [
            f"--datadir={self.datadir}", f"--socket={self.socket()}", f"--pid-file={self.dir / 'pid'}",
            f"--tmpdir={self.temporary()}",
            "--bind-address=127.0.0.1", f"--port={self.port()}", "--skip-name-resolve",
            "--log-bin=mysql-bin", "--binlog-format=ROW", "--binlog-row-image=FULL", "--binlog-checksum=CRC32",
            "--innodb-buffer-pool-size=64M", "--max-allowed-packet=1G", "--local-infile=1", "--max-connections=500",
            "--character-set-server=utf8mb4", "--log-bin-trust-function-creators=1",
            # A killed server loses nothing by these two: what is not yet on the disk is in the kernel.
            "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0",
        ]
        return options + (["--user=root"] if os.geteuid() == 0 else [])

    def addresses(self):
        return {
            f"{self.prefix}_URL": f"mysql://root@127.0.0.1:{self.port()}",
            f"{self.prefix}_PORT": self.port(),
            f"{self.prefix}_DATADIR": self.datadir,
        }
