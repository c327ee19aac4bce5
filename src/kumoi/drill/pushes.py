"""Pipeline runs one after the other, as a user begins them: `kumoi env up` of a small folder."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kumoi.base import process
from kumoi.drill.tenant import NAME

FILE = """\
servers:
  web: {image: debian-12, flavor: tiny}
configure:
  - {on: web, run: "true"}
ttl: 1h
"""
RUN_S, DELETE_S, LIST_S, PAUSE_S = 300.0, 60.0, 30.0, 2.0
LAST_S = 90.0  # For the run that is under way at the end.
SHOWN_LINES = 3


@dataclass(slots=True)
class RepeatedPushes:
    """Of the user of that entry of clouds.yaml. `troubles` says how each failed run ended."""

    entry: Mapping[str, Any]
    pipeline_url: str
    directory: Path
    begun: int = 0
    done: int = 0
    slowest_s: float = 0.0
    troubles: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _given_up: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        config = self.directory / "clouds.yaml"
        config.touch(mode=0o600)
        config.write_text(yaml.safe_dump({"clouds": {NAME: dict(self.entry)}}))
        (self.directory / "kumoi.yaml").write_text(FILE)
        self._thread = threading.Thread(target=self._push, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Once the run that is under way has ended, or is given up. What was made is deleted."""
        self._over.set()
        if self._thread is None:
            return
        self._thread.join(LAST_S)
        self._given_up.set()
        self._thread.join()
        listed = self._env("list", "--json", timeout_s=LIST_S)
        for each in json.loads(listed.out or "[]") if listed.status == 0 else ():
            self._env("delete", each["id"], "--wait", timeout_s=DELETE_S)

    def _push(self) -> None:
        while not self._over.wait(PAUSE_S):
            began_s = time.monotonic()
            self.begun += 1
            ended = self._env("up", timeout_s=RUN_S)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            if ended.status == 0:
                self.done += 1
            elif not self._given_up.is_set():
                lines = (ended.out + ended.err).strip().splitlines()
                self.troubles.append(" / ".join(lines[-SHOWN_LINES:]))

    def _env(self, *words: str, timeout_s: float) -> process.Completed:
        told = [sys.executable, "-P", "-m", "kumoi.main", "env", *words]
        where = ["--os-cloud", NAME, "--pipeline-url", self.pipeline_url]
        env = {"OS_CLIENT_CONFIG_FILE": str(self.directory / "clouds.yaml")}
        try:
            return process.run(
                [*told, *where],
                cwd=self.directory,
                env=env,
                timeout_s=timeout_s,
                check=False,
                give_up=self._given_up.is_set if words == ("up",) else None,
            )
        except process.ProcessFailed as error:
            return process.Completed(tuple(told), 1, "", str(error), timeout_s)
