"""The shop: a page of products and orders, from a database server that it asks by HTTP."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
PRODUCTS = ("tea", "coffee", "water")
ORDERS = f"http://{os.environ['DATABASE']}:9000/orders"


class Shop(BaseHTTPRequestHandler):
    """GET / is the page, GET /health says that this server works, POST /orders orders a product."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, "well\n")
            return
        with urllib.request.urlopen(ORDERS, timeout=5) as answer:
            orders = json.load(answer)
        lines = [f"{product}: {orders.count(product)} ordered" for product in PRODUCTS]
        lines.append(f"from {socket.gethostname()} at {os.environ.get('COMMIT', 'no commit')}")
        self.answer(200, "\n".join(lines) + "\n")

    def do_POST(self) -> None:
        product = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if product not in PRODUCTS:
            self.answer(400, f"there is no {product}\n")
            return
        urllib.request.urlopen(ORDERS, product.encode(), timeout=5).close()
        self.answer(201, f"{product} is on its way\n")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Shop).serve_forever()
