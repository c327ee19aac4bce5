"""The program of git's two hooks on a push. `check` (pre-receive) refuses a branch whose new commit
has no readable kumoi.yaml, and a push of what the project may not have, as the pipeline says; `started` (post-receive) asks the pipeline which runs began and prints
them.

What it prints is shown in a terminal, and is of what somebody pushed, who may not be whose terminal that is.

A program of its own with few imports, so that a push is quick and untrusted YAML is read outside
the pipeline's process. It never touches the store.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from pathlib import Path

from kumoi.base.text import printable

TIMEOUT_S = 20.0
ANSWER_MAX_BYTES = 65_536
HEADS, TAGS = "refs/heads/", "refs/tags/"
HEADS_MAX = 40  # That a push moves: the pipeline is asked about each.
REFS_MAX = 10_000  # Of a repository: each fetch and each look reads all of their names.
KEPT = "the push is kept; its run begins as soon as the pipeline can. Push again to be told its id"
BLOCK = 512  # Of st_blocks.
BRANCH_MAX = 200


def main(argv: list[str], lines: list[str]) -> int:
    """`argv` is the action and the pipeline's socket; `lines` are git's "old new ref"."""
    try:
        return _answer(argv[0], argv[1], lines)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say("push refused: the disk of this cloud is full")
        return 1


def _answer(action: str, about: str, lines: list[str]) -> int:
    updates = [line.split(" ", 2) for line in lines]
    heads = [(new, ref) for _, new, ref in updates if ref.startswith(HEADS)]
    if action == "check":
        brought = [ref for _, new, ref in updates if new.strip("0")]
        moved = [(new, ref) for new, ref in heads if new.strip("0")]
        if not brought:
            return 0
        new = [old for old, *_ in updates if not old.strip("0")]
        return _check_names(brought) or _check_counts(len(moved), len(new)) or _check(about, moved)
    for line in _ask_for_runs(about, heads) if heads else []:
        _say(line)
    return 0


def _check_names(refs: list[str]) -> int:
    """The status of the program. Each name is a path in the repository and a line in somebody's terminal,
    that of a tag as well.
    """
    for ref in refs:
        what = "branch" if ref.startswith(HEADS) else "tag" if ref.startswith(TAGS) else "ref"
        if len(ref) > len(HEADS) + BRANCH_MAX:
            _say(f"a {what}'s name has {BRANCH_MAX} characters at most")
            return 1
        if not ref.isprintable():
            _say(f"a {what}'s name has characters that can be shown, in UTF-8: {ref!a}")
            return 1
    return 0


def _check_counts(moved: int, new: int) -> int:
    """The status of the program. Refs are listed while all of the push's are yet to come."""
    from kumoi.pipeline.git import count_refs  # noqa: PLC0415 - `started` needs none of this

    if moved > HEADS_MAX:
        _say(
            f"push refused: it moves {moved} branches, and {HEADS_MAX} at most may be moved at once: "
            "push some of them, then the others"
        )
        return 1
    if new and count_refs(_repository(), REFS_MAX) + new > REFS_MAX:
        _say(f"push refused: a repository has {REFS_MAX} branches and tags at most: delete some")
        return 1
    return 0


def _check(socket_path: str, heads: list[tuple[str, str]]) -> int:
    """The status of the program. Each head's kumoi.yaml first, then what the project may have."""
    from kumoi.base.errors import Invalid  # noqa: PLC0415 - `started` needs none of this
    from kumoi.pipeline.git import parse_file  # noqa: PLC0415

    for new, ref in heads:
        try:
            parse_file(_repository(), new)
        except Invalid as refused:
            branch = ref.removeprefix(HEADS)
            _say(f"push to {branch} refused: {refused.message}")
            return 1
    path = _repository().resolve()
    try:
        refusals = _ask(
            socket_path, f"check {path.parent.name} {path.stem} {_size_bytes(path)}", heads
        )
    except OSError:  # The pipeline is away: what is over a limit ends the run.
        return 0
    for line in refusals:
        _say(f"push refused: {line}")
    return 1 if refusals else 0


def _say(line: str) -> None:
    """To whoever pushed: git shows both of a hook's outputs."""
    print(printable(line), file=sys.stderr)  # noqa: T201


def _size_bytes(path: Path) -> int:
    """On disk, with what is being pushed."""
    found, waiting = 0, [str(path)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found += entry.stat(follow_symlinks=False).st_blocks * BLOCK
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return found


def _repository() -> Path:
    return Path(os.environ.get("GIT_DIR", "."))


def _ask_for_runs(socket_path: str, heads: list[tuple[str, str]]) -> list[str]:
    """The pipeline's lines about the runs of these heads. The question also makes the pipeline look
    at the repository; where it is down, the runs begin when it next looks by itself.
    """
    path = _repository().resolve()
    said: list[str] = []
    heads = sorted(
        heads, key=lambda head: not head[0].strip("0")
    )  # Those that are gone begin no run.
    with contextlib.suppress(OSError):
        said = _ask(socket_path, f"{path.parent.name} {path.stem}", heads)
    brings = any(new.strip("0") for new, _ in heads)
    return said if said or not brings else [KEPT]


def _ask(socket_path: str, first: str, heads: list[tuple[str, str]]) -> list[str]:
    """The pipeline's answer to a question about these heads, in lines. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(socket_path)
        question = [first, *(f"{new} {ref.removeprefix(HEADS)}" for new, ref in heads[:HEADS_MAX])]
        client.sendall("".join(f"{line}\n" for line in question).encode())
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while len(answer) < ANSWER_MAX_BYTES and (more := client.recv(4_096)):
            answer += more
    return answer.decode().splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.read().splitlines()))
