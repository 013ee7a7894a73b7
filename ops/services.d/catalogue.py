"""The servers there are, by name."""

import mysql97

SERVERS = {
    "mysql97": mysql97.Mysql97,
    "mysql97-second": mysql97.Mysql97Second,
}
NAMES = list(SERVERS)


def server(name):
    return SERVERS[name]()
