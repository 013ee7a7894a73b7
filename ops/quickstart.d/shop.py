"""The shop: its schema, and a steady load that remembers every change it committed.

One client session sends a transaction and waits until the server says that it is
committed; only then its changes enter the ledger. Some transactions are rolled
back on purpose: nothing of them may ever arrive anywhere.
"""

import random
import subprocess
import threading
import time

from audit import Change
from machine import Failure

SCHEMA = """
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE TABLE shop.customers (
    id INT UNSIGNED PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(120), joined DATETIME(3) NOT NULL,
    version INT UNSIGNED NOT NULL);
CREATE TABLE shop.orders (
    id INT UNSIGNED PRIMARY KEY, customer_id INT UNSIGNED NOT NULL,
    status ENUM('new','paid','packed','sent') NOT NULL, total DECIMAL(12,2) NOT NULL, note JSON,
    placed TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), version INT UNSIGNED NOT NULL);
CREATE TABLE shop.order_items (
    order_id INT UNSIGNED, line SMALLINT UNSIGNED, product VARCHAR(60) NOT NULL, quantity INT NOT NULL,
    price DECIMAL(10,2) NOT NULL, version INT UNSIGNED NOT NULL, PRIMARY KEY (order_id, line));
"""
KEYS = {"customers": ("id",), "orders": ("id",), "order_items": ("order_id", "line")}
TABLES = list(KEYS)
NAMES = ["Ada", "Zoë", "Œuvre", "O''Hara", "李雷", "Ньютон", "Αλίκη", "بسمة", "ポン太", "🦉 Owl"]
PRODUCTS = ["tea", "coffee, ground", "bread \"rye\"", "crème brûlée", "back\\\\slash", "kettle"]
STATUSES = ["new", "paid", "packed", "sent"]
ORDERS_MAX = 400  # open orders; beyond it more are closed than placed


class Load:
    """A load of about `rate` transactions a second in a thread of its own, from start() to stop()."""

    def __init__(self, client, rate, seed):
        self.client = client  # command line of a client that reads SQL and answers in plain lines
        self.rate = rate
        self.random = random.Random(seed)
        self.ledger = []  # Change, in commit order
        self.transactions = 0
        self.rolled_back = 0
        self.rows = {table: {} for table in TABLES}  # key -> version of the rows that exist
        self.failure = None
        self.next_customer = self.next_order = 1
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.session = subprocess.Popen(self.client, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, encoding="utf-8")
        self.thread.start()

    def stop(self):
        """Ends behind a whole transaction; raises what the load ran into."""
        self.stopping.set()
        self.thread.join()
        self.session.stdin.close()
        self.session.wait()
        self.check()

    def check(self):
        if self.failure:
            raise Failure(f"the load: {self.failure}")

    def run(self):
        began = time.monotonic()
        try:
            while not self.stopping.is_set():
                self.one_transaction()
                ahead = began + (self.transactions + self.rolled_back) / self.rate - time.monotonic()
                if ahead > 0:
                    self.stopping.wait(ahead)
        except (OSError, RuntimeError) as error:
            self.failure = error

    def commit(self, statements, changes):
        self.send(["BEGIN", *statements, "COMMIT"])
        self.transactions += 1
        self.ledger += changes
        for change in changes:
            if change.op == "DELETE":
                del self.rows[change.table][change.key]
            else:
                self.rows[change.table][change.key] = change.version

    def send(self, statements):
        """Returns when the server has done all of them."""
        mark = f"done {self.transactions} {self.rolled_back}"
        self.session.stdin.write("".join(f"{statement};\n" for statement in [*statements, f"SELECT '{mark}'"]))
        self.session.stdin.flush()
        answer = self.session.stdout.readline().strip()
        if answer != mark:
            self.session.kill()  # it ends by itself at an error; this is for an answer out of step
            raise RuntimeError(f"the server answered: {answer} {self.session.stdout.read(500).strip()}")

    def one_transaction(self):
        orders = self.rows["orders"]
        kind = self.random.random()
        if kind < 0.10 or not self.rows["customers"]:
            self.new_customer()
        elif kind < 0.40 and len(orders) < ORDERS_MAX or not orders:
            self.place_order()
        elif kind < 0.45:
            self.send(["BEGIN", *self.order()[0], "ROLLBACK"])
            self.rolled_back += 1
        elif kind < 0.75:
            self.advance_orders()
        elif kind < 0.85:
            self.change_items()
        else:
            self.close_order()

    def new_customer(self):
        key = (self.next_customer,)
        self.next_customer += 1
        name = f"{self.random.choice(NAMES)} {key[0]}"
        email = "NULL" if key[0] % 7 == 0 else f"'customer{key[0]}@example.com'"
        self.commit([f"INSERT INTO shop.customers VALUES ({key[0]}, '{name}', {email}, NOW(3), 1)"],
                    [Change("customers", key, 1, "INSERT")])

    def order(self):
        """Statements and changes of a new order with one to three items."""
        order = self.next_order
        self.next_order += 1
        customer = self.random.choice(list(self.rows["customers"]))[0]
        statements = [f"INSERT INTO shop.orders (id, customer_id, status, total, note, version) VALUES ({order}, "
                      f"{customer}, 'new', {self.random.randint(100, 99999)}/100, "
                      f"JSON_OBJECT('gift', {self.random.choice(['true', 'false'])}, 'n', {order}), 1)"]
        changes = [Change("orders", (order,), 1, "INSERT")]
        values = []
        for line in range(1, self.random.randint(1, 3) + 1):
            values.append(f"({order}, {line}, '{self.random.choice(PRODUCTS)}', {self.random.randint(1, 9)}, 1.25, 1)")
            changes.append(Change("order_items", (order, line), 1, "INSERT"))
        statements.append(f"INSERT INTO shop.order_items VALUES {', '.join(values)}")
        return statements, changes

    def place_order(self):
        self.commit(*self.order())

    def update(self, table, key_column, chosen, setting):
        """One statement that raises the version of several rows: several changes in one binlog event."""
        rows = sorted(key for key in self.rows[table] if key[0] in chosen)
        numbers = ", ".join(map(str, sorted(chosen)))
        self.commit([f"UPDATE shop.{table} SET {setting}, version = version + 1 WHERE {key_column} IN ({numbers})"],
                    [Change(table, key, self.rows[table][key] + 1, "UPDATE") for key in rows])

    def some_orders(self):
        orders = list(self.rows["orders"])
        return {key[0] for key in self.random.sample(orders, min(len(orders), self.random.randint(1, 4)))}

    def advance_orders(self):
        self.update("orders", "id", self.some_orders(), f"status = '{self.random.choice(STATUSES)}'")

    def change_items(self):
        self.update("order_items", "order_id", self.some_orders(), f"quantity = {self.random.randint(1, 9)}")

    def close_order(self):
        key = self.random.choice(list(self.rows["orders"]))
        items = sorted(item for item in self.rows["order_items"] if item[0] == key[0])
        changes = [Change("order_items", item, self.rows["order_items"][item], "DELETE") for item in items]
        changes.append(Change("orders", key, self.rows["orders"][key], "DELETE"))
        self.commit([f"DELETE FROM shop.order_items WHERE order_id = {key[0]}",
                     f"DELETE FROM shop.orders WHERE id = {key[0]}"], changes)

    def disagreement(self, query):
        """None when the server's tables hold exactly what the ledger says; query(sql) gives lines of columns."""
        for table, keys in KEYS.items():
            text = query(f"SELECT {', '.join(keys)}, version FROM shop.{table}")
            if text is None:
                return f"shop.{table} cannot be read"
            found = {}
            for line in text.splitlines():
                *key, version = map(int, line.split("\t"))
                found[tuple(key)] = version
            if found != self.rows[table]:
                return f"shop.{table} holds {len(found)} rows, the ledger {len(self.rows[table])}, or other versions"
        return None
