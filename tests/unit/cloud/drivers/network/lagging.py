"""A way to a server of which what the server says can be held back, as when it is slow to tell."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

CHUNK = 1 << 16


class Lagging:
    """Between one client and the server's socket."""

    def __init__(self, server: Path, folder: Path) -> None:
        self.remote = f"unix:{folder / 'lagging'}"
        self._server = server
        self._told = threading.Event()
        self._told.set()
        self.asked = threading.Event()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / "lagging"))
        self._listening.listen()
        self._ends: list[socket.socket] = [self._listening]
        threading.Thread(target=self._serve, daemon=True).start()

    def hold_back(self) -> None:
        """Until the client has asked for something: then it hears all that it was not told."""
        self._told.clear()
        self.asked.clear()

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listening.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._ends += [client, server]
            threading.Thread(target=self._carry, args=[client, server], daemon=True).start()
            self._carry_back(server, client)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                server.sendall(data)
                self.asked.set()
                self._told.set()

    def _carry_back(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(CHUNK):
            self._told.wait()
            client.sendall(data)
