#!/bin/sh
# A migration: the table of orders. It runs once on a database server.
set -eu
sudo -u www-data python3 - <<'END'
import sqlite3

with sqlite3.connect("/var/lib/shop/orders.db") as connection:
    connection.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, product TEXT NOT NULL)")
END
