"""The shop's database server: SQLite behind HTTP, so that the example needs nothing from outside.
Yours is PostgreSQL, from an image of your own.
"""

from __future__ import annotations

import json
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT = 9000
FILE = "/var/lib/shop/orders.db"


class Database(BaseHTTPRequestHandler):
    """GET /orders lists the products that were ordered, POST /orders adds one."""

    def do_GET(self) -> None:
        rows = self.ask("SELECT product FROM orders ORDER BY number")
        self.answer(json.dumps([product for (product,) in rows]).encode())

    def do_POST(self) -> None:
        product = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.ask("INSERT INTO orders (product) VALUES (?)", product)
        self.answer(b"")

    def ask(self, query: str, *values: str) -> list[tuple[str]]:
        with sqlite3.connect(FILE) as connection:
            return connection.execute(query, values).fetchall()

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("", PORT), Database).serve_forever()
