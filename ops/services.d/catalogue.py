"""The servers there are, by name."""

import kafka
import mariadb
import mysql56
import mysql97
import registry

SERVERS = {
    "mysql97": mysql97.Mysql97,
    "mysql97-second": mysql97.Mysql97Second,
    "mysql56": mysql56.Mysql56,
    "mariadb": mariadb.MariaDb,
    "kafka": kafka.Kafka,
    "registry": registry.Registry,
}
NAMES = list(SERVERS)


def server(name):
    return SERVERS[name]()
