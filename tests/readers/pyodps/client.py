#!/usr/bin/env python3
"""pyodps, unmodified, against a service of MaxCompute: does what it is told on standard input, one JSON object a line,
and answers each with a line.

arguments: endpoint, project, access id, secret, and a region (or "")

  {"do": "tables"}                                        names of all tables
  {"do": "exists", "table": t}                            whether there is such a table
  {"do": "create", "table": t, "columns": [[name, type]], "partitions": [[name, type]]}
  {"do": "add", "table": t, "columns": [[name, type]]}    adds columns
  {"do": "schema", "table": t}                            columns and partition columns with their types
  {"do": "partitions", "table": t}                        all partitions
  {"do": "partition", "table": t, "partition": p}         makes one
  {"do": "write", "table": t, "partition": p, "rows": [...], "compress": c, "how": "batch" | "stream"}
  {"do": "upsert", "table": t, "rows": [...], "delete": [...]}   in a session of its own
  {"do": "read", "table": t, "partition": p, "compress": c, "columns": [...]}
  {"do": "session", "table": t, "partition": p, "id": u}  status and blocks of an upload session
  {"do": "sql", "statement": s}                           runs it; what it prints

Values: integers as they are; DOUBLE and FLOAT as their repr; DECIMAL and JSON as text; BINARY as hex; DATE as ISO text;
DATETIME as milliseconds and TIMESTAMP as [seconds, nanoseconds] since the epoch, TIMESTAMP_NTZ as if it were UTC; MAP as
a list of pairs; STRUCT as a list.
"""

import datetime
import decimal
import json
import sys

import pandas
from odps import ODPS, options, types
from odps.models import TableSchema
from odps.tunnel import CompressOption, TableTunnel

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def shown(kind, value):
    """A value as this program prints it."""
    if value is None:
        return None
    if isinstance(kind, types.Array):
        return [shown(kind.value_type, item) for item in value]
    if isinstance(kind, types.Map):
        return [[shown(kind.key_type, k), shown(kind.value_type, v)] for k, v in value.items()]
    if isinstance(kind, types.Struct):
        items = value if isinstance(value, tuple) else [value[name] for name in kind.field_types]
        return [shown(k, v) for k, v in zip(kind.field_types.values(), items)]
    name = kind.name.lower()
    if name in ("double", "float"):
        return repr(float(value))
    if name == "binary":
        return bytes(value).hex()
    if name == "decimal" or isinstance(kind, types.Decimal):
        return format(decimal.Decimal(value), "f")
    if name == "json":
        return json.dumps(value, sort_keys=True)
    if name == "date":
        return value.isoformat()
    if name == "datetime":
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        delta = moment - EPOCH
        return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
    if name in ("timestamp", "timestamp_ntz"):
        stamp = pandas.Timestamp(value)
        stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
        nanos = stamp.value
        return [nanos // 10**9, nanos % 10**9]
    return value


def given(kind, value):
    """A value for pyodps, from what this program is told."""
    if value is None:
        return None
    if isinstance(kind, types.Array):
        return [given(kind.value_type, item) for item in value]
    if isinstance(kind, types.Map):
        return {given(kind.key_type, k): given(kind.value_type, v) for k, v in value}
    if isinstance(kind, types.Struct):
        return tuple(given(k, v) for k, v in zip(kind.field_types.values(), value))
    name = kind.name.lower()
    if name in ("double", "float"):
        return float(value)
    if name == "binary":
        return bytes.fromhex(value)
    if isinstance(kind, types.Decimal):
        return decimal.Decimal(value)
    if name == "json":
        return json.loads(value)
    if name == "date":
        return datetime.date.fromisoformat(value)
    if name == "datetime":
        return (EPOCH + datetime.timedelta(milliseconds=value)).replace(tzinfo=None)
    if name in ("timestamp", "timestamp_ntz"):
        return pandas.Timestamp(value[0] * 10**9 + value[1], unit="ns")
    return value


COMPRESS = {
    "raw": None,
    "deflate": CompressOption.CompressAlgorithm.ODPS_ZLIB,
    "zstd": CompressOption.CompressAlgorithm.ODPS_ZSTD,
    "lz4": CompressOption.CompressAlgorithm.ODPS_LZ4,
    "snappy": CompressOption.CompressAlgorithm.ODPS_SNAPPY,
}


def compress_of(job):
    algorithm = COMPRESS[job.get("compress", "raw")]
    return None if algorithm is None else CompressOption(algorithm)


class Client:
    def __init__(self, endpoint, project, access_id, secret, region):
        self.odps = ODPS(access_id, secret, project=project, endpoint=endpoint, region_name=region or None)
        self.tunnel = TableTunnel(self.odps)

    def tables(self, _):
        return sorted(table.name for table in self.odps.list_tables())

    def exists(self, job):
        return self.odps.exist_table(job["table"])

    def create(self, job):
        columns = [types.Column(name=name, type=kind) for name, kind in job["columns"]]
        partitions = [types.Partition(name=name, type=kind) for name, kind in job.get("partitions", [])]
        schema = TableSchema(columns=columns, partitions=partitions)
        self.odps.create_table(job["table"], schema, if_not_exists=True)

    def add(self, job):
        columns = [types.Column(name=name, type=kind) for name, kind in job["columns"]]
        self.odps.get_table(job["table"]).add_columns(columns)

    def schema(self, job):
        schema = self.odps.get_table(job["table"]).table_schema
        pairs = lambda columns: [[column.name, str(column.type).lower().replace("`", "")] for column in columns]
        return {"columns": pairs(schema.simple_columns), "partitions": pairs(schema.partitions)}

    def partitions(self, job):
        return sorted(str(partition.partition_spec) for partition in self.odps.get_table(job["table"]).partitions)

    def partition(self, job):
        self.odps.get_table(job["table"]).create_partition(job["partition"], if_not_exists=True)

    def write(self, job):
        arguments = {"partition_spec": job.get("partition"), "compress_option": compress_of(job)}
        if job.get("how") == "stream":
            session = self.tunnel.create_stream_upload_session(job["table"], **arguments)
            with session.open_record_writer() as writer:
                self.put(session, writer, job)
            return None
        session = self.tunnel.create_upload_session(job["table"], **arguments)
        with session.open_record_writer(0, compress=arguments["compress_option"] is not None) as writer:
            self.put(session, writer, job)
        session.commit([0])
        return session.id

    def upsert(self, job):
        session = self.tunnel.create_upsert_session(job["table"])
        kinds = [column.type for column in session.schema.simple_columns]
        stream = session.open_upsert_stream()
        record = lambda row: session.new_record([given(kind, value) for kind, value in zip(kinds, row)])
        for row in job["rows"]:
            stream.upsert(record(row))
        for row in job.get("delete", []):
            stream.delete(record(row))
        stream.close()
        session.commit()

    def put(self, session, writer, job):
        kinds = [column.type for column in session.schema.simple_columns]
        for row in job["rows"]:
            writer.write(session.new_record([given(kind, value) for kind, value in zip(kinds, row)]))

    def read(self, job):
        session = self.tunnel.create_download_session(
            job["table"], partition_spec=job.get("partition"), compress_option=compress_of(job))
        columns = job.get("columns")
        kinds = {column.name: column.type for column in session.schema.simple_columns}
        names = columns or list(kinds)
        compressed = job.get("compress", "raw") != "raw"
        with session.open_record_reader(0, session.count, compress=compressed, columns=columns) as reader:
            return [[shown(kinds[name], record[name]) for name in names] for record in reader]

    def session(self, job):
        session = self.tunnel.create_upload_session(
            job["table"], partition_spec=job.get("partition"), upload_id=job["id"])
        return {"status": session.status.value, "blocks": session.get_block_list()}

    def sql(self, job):
        instance = self.odps.execute_sql(job["statement"])
        return next(iter(instance.get_task_results().values()))


def main():
    client = Client(*sys.argv[1:6])
    # Values without a zone are UTC.
    options.local_timezone = False
    options.retry_times = 0
    # Dates before 1928 are refused else, for what zones were then.
    options.allow_antique_date = True
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = {"done": getattr(client, job["do"])(job)}
        except Exception as error:  # what it says is for the test to judge
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
