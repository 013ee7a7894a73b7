"""The servers there are, by name."""

import kafka
import mariadb
import mysql56
import mysql97
import registry
import schema_tools

SERVERS = {
    "mysql97": mysql97.Mysql97,
    "mysql97-second": mysql97.Mysql97Second,
    "mysql56": mysql56.Mysql56,
    "mariadb": mariadb.MariaDb,
    "kafka": kafka.Kafka,
    "registry": registry.Registry,
    "gh-ost": schema_tools.GhOst,
    "pt-online-schema-change": schema_tools.PtOsc,
}
NAMES = list(SERVERS)


def server(name):
    return SERVERS[name]()
