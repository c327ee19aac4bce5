"""The only place that starts programs. Argument lists only: no shell, no interpolation.

`run` waits and returns the output; `show` waits while people see the output; `start` leaves a
program running in a session of its own, so that it outlives us; `piped` talks with one through
pipes; `fork` does work of ours in a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kumoi.base.errors import Transient

OUTPUT_SHOWN_MAX = 2_000
DEFAULT_TIMEOUT_S = 30.0
GIVE_UP_POLL_S = 0.05
LEFT_ENDS_S = 5.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished program's status and output, as text with undecodable bytes replaced."""

    args: tuple[str, ...]
    status: int
    out: str
    err: str
    seconds: float


class ProcessFailed(Transient):
    """A program ended with a status other than 0, did not end in time, or could not start.

    `status` is its exit status, or None where there is none. The text a program prints is kept in
    `completed` for people; nothing is ever decided on it.
    """

    code = "process.failed"

    def __init__(self, message: str, *, completed: Completed | None = None) -> None:
        super().__init__(message)
        self.completed = completed
        self.status = completed.status if completed else None

    @property
    def is_killed(self) -> bool:
        """Somebody ended it from outside: that says nothing of what it worked on."""
        return self.status in (-signal.SIGKILL, -signal.SIGTERM)


def run(
    args: Sequence[str | Path],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    check: bool = True,
    stdin: str | bytes | IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
    namespace: str | None = None,
    ends_with_us: bool = False,
    give_up: Callable[[], bool] | None = None,
) -> Completed:
    """Run a program to its end.

    `env` is added to ours; `user` is the user that root runs it as, with that user's group and no
    other; `namespace` is the name of a network namespace to run in; with `stdout` the output goes
    to that file and `out` is empty; with `ends_with_us`, for a process without other threads, it is
    killed when we are; `give_up` is called repeatedly while the program runs, which is
    killed when it returns true. Raises ProcessFailed when it cannot start, times out, is given up,
    or (with `check`) ends with another status than 0.
    """
    argv = _argv(args, namespace)
    began = time.monotonic()
    content = stdin.encode() if isinstance(stdin, str) else stdin
    data = content if isinstance(content, bytes) else None
    file = None if isinstance(content, bytes) else content
    try:
        with subprocess.Popen(
            argv,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE if data is not None else file or subprocess.DEVNULL,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            **_credentials(user, ends_with_us=ends_with_us),
        ) as child:
            try:
                out, err = _communicate(child, data, timeout_s, give_up)
            except BaseException:
                child.kill()
                raise
    except subprocess.TimeoutExpired as cause:
        raise ProcessFailed(f"{argv[0]} did not end within {timeout_s:g} s") from cause
    except OSError as cause:
        raise ProcessFailed(f"{argv[0]} could not be started") from cause
    completed = Completed(
        tuple(argv),
        child.returncode,
        (out or b"").decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - began,
    )
    if check:
        _require_success(completed)
    return completed


def show(
    args: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    talks: bool = False,
) -> int:
    """Run a program with our standard output and error, and our input where it `talks`; its exit status.

    Raises ProcessFailed when it cannot start.
    """
    argv = _argv(args, None)
    try:
        done = subprocess.run(
            argv,
            stdin=None if talks else subprocess.DEVNULL,
            check=False,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
        )
    except OSError as cause:
        raise ProcessFailed(f"{argv[0]} could not be started") from cause
    return done.returncode


def start(
    args: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    namespace: str | None = None,
    descriptors: Sequence[int] = (),
    ends_with_us: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to `log`. It inherits
    `descriptors` under their numbers; with `ends_with_us`, for a process without other threads, it is
    killed when we are.

    Raises ProcessFailed when it cannot start.
    """
    argv = _argv(args, namespace)
    with log.open("ab") as out:
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **env} if env else None,
                cwd=cwd,
                pass_fds=descriptors,
                **_credentials(None, ends_with_us=ends_with_us),
            )
        except OSError as cause:
            raise ProcessFailed(f"{argv[0]} could not be started") from cause


@dataclass(frozen=True, slots=True)
class Piped:
    """A program whose `input` we write and whose `output` we read."""

    pid: int
    input: IO[bytes]
    output: IO[bytes]


@contextlib.contextmanager
def piped(args: Sequence[str | Path]) -> Iterator[Piped]:
    """A program that runs inside the `with` block and is killed at its end.

    Raises ProcessFailed when it cannot start.
    """
    argv = _argv(args, None)
    try:
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    except OSError as cause:
        raise ProcessFailed(f"{argv[0]} could not be started") from cause
    with child:
        if child.stdin is None or child.stdout is None:
            raise ProcessFailed(f"{argv[0]} has no pipes")
        try:
            yield Piped(child.pid, child.stdin, child.stdout)
        finally:
            child.kill()


@contextlib.contextmanager
def printed(args: Sequence[str | Path], *, stdin: IO[bytes]) -> Iterator[IO[bytes]]:
    """What a program prints, read while it runs; from a process without other threads, with which the
    program is killed. Its errors are not kept.

    Raises ProcessFailed when it cannot start, and when it failed; not when nobody read on.
    """
    argv = _argv(args, None)
    try:
        child = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **_credentials(None, ends_with_us=True),
        )
    except OSError as cause:
        raise ProcessFailed(f"{argv[0]} could not be started") from cause
    if child.stdout is None:
        raise ProcessFailed(f"{argv[0]} has no pipe")
    try:
        yield child.stdout
    except Exception as cause:
        if (killed := _left(argv, child)).is_killed:  # By somebody: there is nothing more to read.
            raise killed from cause
        raise
    if (failed := _left(argv, child)).status not in (0, -signal.SIGPIPE):
        raise failed


def _left(argv: list[str], child: subprocess.Popen[bytes]) -> ProcessFailed:
    """How a program ended whose output nobody reads any more."""
    if child.stdout is not None:
        child.stdout.close()
    try:
        status = child.wait(LEFT_ENDS_S)
    except subprocess.TimeoutExpired:
        child.kill()
        status = child.wait()
    return ProcessFailed(
        f"{argv[0]} ended with status {status}", completed=Completed(tuple(argv), status, "", "", 0)
    )


def fork(work: Callable[[], None]) -> int:
    """Do `work` in a process forked from this one, which must have no other thread; its pid. It leads a
    group of its own, and what it started ends with it. Signals that this process handles end it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setpgid(0, 0)
        work()
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _communicate(
    child: subprocess.Popen[bytes],
    data: bytes | None,
    timeout_s: float,
    give_up: Callable[[], bool] | None,
) -> tuple[bytes, bytes]:
    """Its output and error output, once it has ended."""
    if give_up is None:
        return child.communicate(data, timeout=timeout_s)
    deadline = time.monotonic() + timeout_s
    while not give_up():
        left_s = deadline - time.monotonic()
        try:
            return child.communicate(data, timeout=min(GIVE_UP_POLL_S, left_s))
        except subprocess.TimeoutExpired:
            if left_s <= GIVE_UP_POLL_S:
                raise
            data = None  # Later calls go on writing what the first was given.
    raise ProcessFailed("the caller gave the program up")


def _require_success(completed: Completed) -> None:
    if completed.status == 0:
        return
    output = (completed.err.strip() or completed.out.strip())[-OUTPUT_SHOWN_MAX:]
    raise ProcessFailed(
        f"`{' '.join(completed.args)}` ended with status {completed.status}: {output}",
        completed=completed,
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _credentials(user: int | None, *, ends_with_us: bool = False) -> dict[str, Any]:
    """Popen's parameters for a program that runs as that user, with its own group and no other."""
    found: dict[str, Any] = {"preexec_fn": _end_with_parent} if ends_with_us else {}
    if user is not None:
        found |= {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": ()}
    return found


def _argv(args: Sequence[str | Path], namespace: str | None) -> list[str]:
    argv = [str(arg) for arg in args]
    return ["ip", "netns", "exec", namespace, *argv] if namespace else argv
