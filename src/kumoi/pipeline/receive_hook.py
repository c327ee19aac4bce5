"""The program of git's two hooks on a push. `check` (pre-receive) refuses a branch whose new commit
has no readable kumoi.yaml; `started` (post-receive) asks the pipeline which runs began and prints
them.

A program of its own with few imports, so that a push is quick and untrusted YAML is read outside
the pipeline's process. It never touches the store.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

TIMEOUT_S = 20.0
ANSWER_MAX_BYTES = 65_536
HEADS = "refs/heads/"
HEADS_MAX = 20
BRANCH_MAX = 200


def main(argv: list[str], lines: list[str]) -> int:
    """`argv` is the action and the pipeline's socket; `lines` are git's "old new ref"."""
    action, about = argv
    updates = [line.split(" ", 2) for line in lines]
    heads = [(new, ref) for _, new, ref in updates if ref.startswith(HEADS)]
    if action == "check":
        return _check([(new, ref) for new, ref in heads if new.strip("0")])
    for line in _ask_for_runs(about, heads) if heads else []:
        print(line)  # noqa: T201 - git shows it to whoever pushed
    return 0


def _check(heads: list[tuple[str, str]]) -> int:
    from kumoi.base.errors import Invalid  # noqa: PLC0415 - `started` needs none of this
    from kumoi.pipeline.git import parse_file  # noqa: PLC0415

    for new, ref in heads:
        if len(ref) > len(HEADS) + BRANCH_MAX:
            print(f"a branch's name has {BRANCH_MAX} characters at most", file=sys.stderr)  # noqa: T201
            return 1
        try:
            parse_file(_repository(), new)
        except Invalid as refused:
            branch = ref.removeprefix(HEADS)
            print(f"push to {branch} refused: {refused.message}", file=sys.stderr)  # noqa: T201
            return 1
    return 0


def _repository() -> Path:
    return Path(os.environ.get("GIT_DIR", "."))


def _ask_for_runs(socket_path: str, heads: list[tuple[str, str]]) -> list[str]:
    """The pipeline's lines about the runs of these heads. The question also makes the pipeline look
    at the repository; where it is down, the runs begin when it next looks by itself.
    """
    path = _repository().resolve()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(socket_path)
            question = [f"{path.parent.name} {path.stem}"]
            question += [f"{new} {ref.removeprefix(HEADS)}" for new, ref in heads[:HEADS_MAX]]
            client.sendall("".join(f"{line}\n" for line in question).encode())
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < ANSWER_MAX_BYTES and (more := client.recv(4_096)):
                answer += more
    except OSError:
        return ["the push is kept; its run begins as soon as the pipeline is back"]
    return answer.decode().splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.read().splitlines()))
