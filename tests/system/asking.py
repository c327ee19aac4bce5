"""Requests by HTTP all the while, from the network of a process, on new connections and on kept ones."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

ASK = """
import http.client, json, sys, threading, time
address = sys.argv[1]
answered, lost, failures, stop = [0] * 4, [], [], threading.Event()
LOST = (OSError, http.client.HTTPException)
def request(kept):
    peer = kept or http.client.HTTPConnection(address, 80, timeout=30)
    peer.request("GET", "/")
    answer = peer.getresponse()
    answer.read()
    if answer.status != 200:
        failures.append(f"status {answer.status}")
    return None if answer.will_close else peer
def work(number):
    kept = None
    while not stop.is_set():
        try:
            kept = request(kept)
        except LOST as error:
            lost.append(repr(error))
            try:
                kept = request(None)
            except LOST as again:
                kept = None
                failures.append(f"{error!r}, then {again!r}")
        answered[number] += 1
        if kept is not None and number % 2:
            kept.close()
            kept = None
        time.sleep(0.002)
workers = [threading.Thread(target=work, args=[number]) for number in range(4)]
for one in workers: one.start()
for _ in sys.stdin:
    before = list(answered)
    while not all(now > then + 1 for now, then in zip(answered, before)):
        time.sleep(0.01)
    print("on", flush=True)
stop.set()
for one in workers: one.join()
print(json.dumps({"answered": sum(answered), "lost": lost, "failures": failures}))
"""


@dataclass
class Asking:
    """Four clients. Where a connection is `lost`, its request is sent once more, as HTTP allows; a
    `failure` is one that was lost twice, or answered otherwise than by 200.
    """

    process: subprocess.Popen[str]
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def go_on(self) -> None:
        """Until each has done with what it was at, and with one more."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "on\n"


@contextlib.contextmanager
def asking(pid: int, address: str) -> Iterator[Asking]:
    """What was answered is known at the end."""
    words = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", ASK, address]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        made = Asking(process)
        try:
            made.go_on()
            yield made
        finally:
            out, _ = process.communicate(timeout=90)
        said = json.loads(out)
        made.answered, made.lost, made.failures = said["answered"], said["lost"], said["failures"]
