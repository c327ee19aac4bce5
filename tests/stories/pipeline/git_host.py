"""A git host on loopback: real git's http-backend, its webhooks, and the API of commit statuses."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from kumoi.base import process

TOKEN = "a-token-of-the-host"


class FakeGitHost:
    """Repositories are bare ones in `folder`. `statuses` are those that were posted, oldest first.
    `asked` are the paths that somebody asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.statuses: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.redirects_to = ""
        self.endless = False
        self.server = _Server(self)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def repository(self, name: str) -> str:
        """Its URL."""
        process.run(["git", "init", "--quiet", "--bare", self.folder / f"{name}.git"])
        return f"{self.url}/{name}.git"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, host: FakeGitHost) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = host


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    @property
    def host(self) -> FakeGitHost:
        return self.server.host

    def log_message(self, *_words: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        self.host.asked.append(self.path)
        if self.host.redirects_to:
            self.send_response(302)
            self.send_header("Location", self.host.redirects_to)
            self.end_headers()
        elif "/statuses/" in self.path:
            told = json.loads(body)
            self.host.statuses.append({**told, "path": self.path, "login": self._login()})
            self.send_response(201)
            self.end_headers()
        elif self.host.endless and body:
            self._send_for_ever()
        else:
            self._git(body)

    def _send_for_ever(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(b"0008NAK\nPACK")
            while True:
                self.wfile.write(b"\0" * 1_048_576)
        except OSError:
            pass

    def _login(self) -> str:
        return self.headers.get("Authorization", self.headers.get("PRIVATE-TOKEN", ""))

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self.host.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        out = self.host.folder / f"answer-{threading.get_ident()}"
        with out.open("wb") as file:
            process.run(["git", "http-backend"], stdin=body, stdout=file, env=variables)
        head, _, content = out.read_bytes().partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Deliverer:
    """The git host's side of a webhook."""

    def __init__(self, client: httpx.Client, hook: dict[str, Any]) -> None:
        self.client = client
        self.hook = hook
        self.number = 0

    def deliver(self, branch: str, commit: str, **overrides: str) -> httpx.Response:
        """A push event, as the hook's kind of host sends it."""
        self.number += 1
        delivery_id = overrides.get("id", f"{self.hook['id']}-{self.number}")
        secret = overrides.get("secret", self.hook["secret"])
        body = json.dumps({"ref": f"refs/heads/{branch}", "after": commit, "more": {}}).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "github": {
                "X-GitHub-Event": "push", "X-GitHub-Delivery": delivery_id,
                "X-Hub-Signature-256": f"sha256={digest}",
            },
            "gitlab": {
                "X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": delivery_id,
                "X-Gitlab-Token": secret,
            },
            "gitea": {
                "X-Gitea-Event": "push", "X-Gitea-Delivery": delivery_id,
                "X-Gitea-Signature": digest,
            },
        }[self.hook["host"]]  # fmt: skip
        headers["Content-Type"] = "application/json"
        path = f"/pipeline/v1/webhooks/{self.hook['id']}/deliver"
        return self.client.post(path, content=body, headers=headers)


def push_as(folder: Path, url: str, *refspecs: str) -> None:
    """As a developer, to the git host."""
    bare = url.rpartition("/")[2]
    where = folder.parent / "host" / bare
    process.run(
        ["git", "push", "--quiet", "--force", where, *refspecs], cwd=folder, env=dict(os.environ)
    )
