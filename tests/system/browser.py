"""A real browser without a screen, which trusts a cloud's authority as somebody's does who imported it.

Spoken to by Chromium's own debugging protocol over a pipe: what a page says in the console, what it asks
for and what it shows is seen, and nothing is switched off for it but the sandbox, which root cannot have.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kumoi.base.process import run

PROGRAM = "chromium-headless-shell"
OPTIONS = ("--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars")
DOMAINS = ("Page", "Runtime", "Log", "Network")
HEARS, SAYS = 3, 4  # The descriptors of its end of the pipe.
WIDTH, HEIGHT = 1_000, 900
ANSWER_S = 60.0
PART = 1 << 16


@dataclass
class Page:
    """`asked` are the URLs of all that it wanted, `complaints` what the browser says of it in its
    console. `login` is given once, when it is asked for.
    """

    browser: Browser
    session: str
    login: tuple[str, str] | None
    status: int = 0
    is_loaded: bool = False
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def of_script(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.browser.call(
            "Runtime.evaluate", self.session, expression=script, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """What can be read of each element, as it is shown."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        texts: list[str] = self.of_script(f"{found}.map(each => each.innerText.trim())")
        return texts

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """As a PNG: the whole page, or what can be seen of it without scrolling."""
        answer = self.browser.call(
            "Page.captureScreenshot", self.session, format="png", captureBeyondViewport=whole
        )
        file.write_bytes(base64.b64decode(answer["data"]))

    def hear(self, event: str, about: dict[str, Any]) -> None:
        """Of what happens in it."""
        match event:
            case "Page.loadEventFired":
                self.is_loaded = True
            case "Fetch.requestPaused":
                self.browser.say(
                    "Fetch.continueRequest", self.session, requestId=about["requestId"]
                )
            case "Fetch.authRequired":
                self._log_in(about["requestId"])
            case "Network.requestWillBeSent":
                self.asked.append(about["request"]["url"])
            case "Network.responseReceived" if about["type"] == "Document":
                self.status = about["response"]["status"]
            case "Network.loadingFailed":
                self.complaints.append(about["errorText"])
            case "Log.entryAdded":
                self.complaints.append(about["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(about))

    def _log_in(self, request: str) -> None:
        answer = {"response": "CancelAuth"}
        if self.login is not None:
            user, password = self.login
            answer = {"response": "ProvideCredentials", "username": user, "password": password}
        self.login = None
        self.browser.say(
            "Fetch.continueWithAuth", self.session, requestId=request, authChallengeResponse=answer
        )


@dataclass
class Browser:
    """Our ends of the pipe to its process."""

    requests: int
    answers: int
    number: int = 0
    unread: bytes = b""
    pages: dict[str, Page] = field(default_factory=dict)

    def open(
        self, url: str, *, login: tuple[str, str] | None = None, size: tuple[int, int] | None = None
    ) -> Page:
        """Load a page as somebody does who types its address."""
        target = self.call("Target.createTarget", "", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", "", targetId=target, flatten=True)["sessionId"]
        width, height = size or (WIDTH, HEIGHT)
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", session, **shape)
        page = self.pages[session] = Page(self, session, login)
        for domain in DOMAINS:
            self.call(f"{domain}.enable", session)
        self.call("Fetch.enable", session, handleAuthRequests=True)
        page.is_loaded = False  # The blank one may have been.
        self.call("Page.navigate", session, url=url)
        while not page.is_loaded:
            self._hear()
        return page

    def call(self, method: str, session: str, **parameters: Any) -> dict[str, Any]:
        """What it answers."""
        number = self.say(method, session, **parameters)
        while (message := self._hear()).get("id") != number:
            pass
        assert "error" not in message, (method, message)
        result: dict[str, Any] = message["result"]
        return result

    def say(self, method: str, session: str, **parameters: Any) -> int:
        """Without waiting for the answer; the number that it will have."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self.requests, json.dumps(message).encode() + b"\0")
        return self.number

    def _hear(self) -> dict[str, Any]:
        """The next message, which ends with a zero byte; of what happens, its page hears."""
        until = time.monotonic() + ANSWER_S
        while b"\0" not in self.unread:
            left_s = max(0.0, until - time.monotonic())
            if not select.select([self.answers], [], [], left_s)[0]:
                raise TimeoutError(f"the browser says nothing within {ANSWER_S:g} s")
            part = os.read(self.answers, PART)
            assert part, "the browser has ended"
            self.unread += part
        text, _, self.unread = self.unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message and message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].hear(message["method"], message["params"])
        return message


@contextlib.contextmanager
def browser(home: Path, *, authority: Path | None) -> Iterator[Browser]:
    """One whose user imported the certificate of an authority. It ends with the context."""
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    where = ["-d", f"sql:{database}"]
    run(["certutil", *where, "-N", "--empty-password"])
    if authority is not None:
        run(["certutil", *where, "-A", "-t", "C,,", "-n", "cloud", "-i", authority])
    hears, requests = os.pipe()
    answers, says = os.pipe()
    pipe = ["bash", "-c", f'exec "$@" {HEARS}<&{hears} {SAYS}>&{says}', "bash"]
    process = subprocess.Popen(
        [*pipe, PROGRAM, *OPTIONS, f"--user-data-dir={home / 'profile'}"],
        pass_fds=[hears, says],
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for end in (hears, says):
        os.close(end)
    try:
        made = Browser(requests, answers)
        yield made
        made.call("Browser.close", "")
    finally:
        for end in (requests, answers):
            os.close(end)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ANSWER_S)
        process.kill()
        process.wait()
