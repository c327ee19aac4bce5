"""A web server that says hello, and from which server and commit."""

from __future__ import annotations

import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 80
TEXT = f"hello from {socket.gethostname()} at {os.environ.get('COMMIT', 'an unknown commit')}\n"


class Hello(BaseHTTPRequestHandler):
    """Answers every GET alike."""

    def do_GET(self) -> None:
        body = TEXT.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Hello).serve_forever()
