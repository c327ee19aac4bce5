"""Serverspec, in one process that has loaded its libraries before it is needed.

It is started when a job is claimed, waits beside the configuring, and forks for each server; in a kept
environment it stays for the next job.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from kumoi.pipeline.runner.mask import MASK
from kumoi.pipeline.runner.programs import HOME, OUTPUT_MAX, TREE

READ_MAX = 1 << 20
LOOK_AGAIN_S = 0.05

DRIVER = """
require "json"
require "rspec/core"
require "serverspec"
require "net/ssh"
STDOUT.sync = true
while (line = STDIN.gets)
  children = JSON.parse(line).map do |target|
    fork do
      Dir.chdir(target["folder"])
      ENV.update(target["environment"])
      out = File.open(target["output"], "w")
      out.sync = true
      STDIN.reopen(File::NULL)
      STDOUT.reopen(out)
      STDERR.reopen(out)
      exit(RSpec::Core::Runner.run(target["words"]))
    end
  end
  STDOUT.puts(JSON.generate(children.map { |child| Process.wait2(child)[1].exitstatus || 255 }))
end
"""


class SpecTarget:
    """One run of RSpec. `name` is its server's."""

    def __init__(self, name: str, words: Sequence[str], environment: dict[str, str]) -> None:
        self.name = name
        self.output = ""
        self._file = HOME / f"rspec-{name}.out"
        self._file.write_bytes(b"")
        self._read_to = 0
        self.order = {
            "folder": str(TREE),
            "environment": environment,
            "output": str(self._file),
            "words": list(words),
        }

    def new_lines(self, *, at_end: bool) -> list[str]:
        """The lines that were written since the last look; one that goes on only at the end."""
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            new = file.read(READ_MAX)
        whole = new if at_end else new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        lines = map(MASK.line, whole.decode(errors="replace").splitlines())
        shown = [line for line in lines if line is not None]
        self.output = (self.output + "".join(f"{line}\n" for line in shown))[-OUTPUT_MAX:]
        return shown


class SpecDriver:
    """`run` is called by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Where it does not run yet."""
        if self._process is None or self._process.poll() is not None:
            file = HOME / "spec_driver.rb"
            file.write_text(DRIVER)
            self._process = subprocess.Popen(
                ["ruby", file],  # noqa: S607 - the image's
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=HOME,
                start_new_session=True,
            )
        return self._process

    def run(
        self, targets: Sequence[SpecTarget], line: Callable[[str, str], None], *, timeout_s: float
    ) -> list[int]:
        """Each one's status. Lines of output go to `line` with the server's name, and their end into the
        target. When the time is over all are ended.
        """
        process = self.start()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("Serverspec's process has no pipes")
        deadline_s = time.monotonic() + timeout_s
        told = b""
        with contextlib.suppress(OSError):  # It has died; then it told nothing.
            process.stdin.write(json.dumps([each.order for each in targets]).encode() + b"\n")
            process.stdin.flush()
            while not select.select([process.stdout], [], [], LOOK_AGAIN_S)[0]:
                _pass_on(targets, line, at_end=False)
                if time.monotonic() > deadline_s:
                    self.end()
                    for each in targets:
                        each.output += f"took longer than {timeout_s:g} s and was ended\n"
            told = process.stdout.readline()
        _pass_on(targets, line, at_end=True)
        found: list[int] = json.loads(told) if told else [1] * len(targets)
        return found

    def end(self) -> None:
        """With all that it forked."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _pass_on(
    targets: Sequence[SpecTarget], line: Callable[[str, str], None], *, at_end: bool
) -> None:
    for each in targets:
        for text in each.new_lines(at_end=at_end):
            line(text, each.name)
