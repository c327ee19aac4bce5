"""The user that people log in as, by an image's own /etc/passwd, which may be anything.

The program reads it as nobody (reader.py) and prints what it found; the agent, by `read`, believes it a
user and a directory within the image. image.py keeps that beside the image.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from kumoi.base import process
from kumoi.base.errors import Permanent, Transient
from kumoi.base.process import ProcessFailed
from kumoi.cloud.drivers.instance import kernel, reader

PROGRAM = "kumoi.cloud.drivers.instance.login"
NAME = "debian"
UID = 1_000
UID_MAX = 65_535
PASSWD_BYTES_MAX = 1 << 20
HOME_MAX = 4_096
NONE = 3  # How the program ends when there is no /etc/passwd.
_ID = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class LoginUser:
    """Ids as the image has them."""

    uid: int
    gid: int
    home: str


def read(root: Path, *, users: int) -> LoginUser:
    """Of an image whose files are shown at `root`, in a thread with mounts of its own (reader.py). Raises
    Permanent when it has no /etc/passwd.
    """
    confined = reader.rights(reads=(root,), capabilities=reader.READS)
    done = process.run(reader.command(PROGRAM, confined, users=users, root=str(root)), check=False)
    if done.status == NONE:
        raise Permanent("the image has no /etc/passwd that is a file")
    if done.status != 0:
        raise Transient("read an image's users") from ProcessFailed(
            f"status {done.status}", completed=done
        )
    return parse(done.out)


def parse(text: str) -> LoginUser:
    """What the program printed. Raises Permanent when it is no user of a server."""
    try:
        found = msgspec.json.decode(text, type=LoginUser)
    except msgspec.MsgspecError as cause:
        raise Permanent("the image's users cannot be read") from cause
    if not (0 <= found.uid <= UID_MAX and 0 <= found.gid <= UID_MAX and found.home[:1] == "/"):
        raise Permanent("the image's users cannot be read")
    return found


def find(root: int) -> LoginUser | None:
    """The user `debian`, else the first ordinary user, else root; None without a file that says so."""
    try:
        descriptor = kernel.open_inside(root, "etc/passwd", flags=os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # A pipe: nobody ever writes to it.
            return None
        text = file.read(PASSWD_BYTES_MAX).decode(errors="replace")
    known = [line.split(":") for line in text.splitlines() if line.count(":") == 6]  # noqa: PLR2004 - passwd(5)
    for chosen in (
        [user for user in known if user[0] == NAME],
        [user for user in known if user[2] == str(UID)],
    ):
        if chosen and _ID.fullmatch(chosen[0][2]) and _ID.fullmatch(chosen[0][3]):
            _, _, uid, gid, _, home, _ = chosen[0]
            if max(int(uid), int(gid)) <= UID_MAX and home.startswith("/"):
                return LoginUser(int(uid), int(gid), home[:HOME_MAX])
    return LoginUser(0, 0, "/root")


def main(argv: Sequence[str]) -> int:
    given = reader.begin(argv[0])
    found = find(os.open(given["root"], os.O_PATH | os.O_DIRECTORY))
    if found is None:
        return NONE
    sys.stdout.write(msgspec.json.encode(asdict(found)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
