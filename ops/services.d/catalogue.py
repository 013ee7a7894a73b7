"""The servers there are, by name."""

import kafka
import mysql97

SERVERS = {
    "mysql97": mysql97.Mysql97,
    "mysql97-second": mysql97.Mysql97Second,
    "kafka": kafka.Kafka,
}
NAMES = list(SERVERS)


def server(name):
    return SERVERS[name]()
