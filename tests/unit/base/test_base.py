from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

from kumoi.base import log
from kumoi.base.errors import Permanent, Transient, chain
from kumoi.base.secret import Secret


def test_a_secret_prints_as_stars() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {[secret]}"
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_an_errors_chain_lists_every_cause_outermost_first() -> None:
    try:
        try:
            raise OSError("disk is gone")
        except OSError as cause:
            raise Permanent("start server") from cause
    except Permanent as error:
        assert chain(error) == ["Permanent: start server", "OSError: disk is gone"]


def test_a_transient_error_says_when_to_try_again() -> None:
    assert Transient("later", retry_after_s=5).retry_after_s == 5


def test_an_event_is_one_json_line_with_what_is_bound() -> None:
    stream = io.StringIO()
    with log.captured():  # Ends what is set up with the block: other tests are of this process.
        log.set_up("api", stream=stream)
        with log.bound(request="req-1"):
            log.event("server.created", server="s1", password=Secret("x"))
    line = json.loads(stream.getvalue())
    assert line["event"] == "server.created"
    assert (line["role"], line["request"], line["server"]) == ("api", "req-1", "s1")
    assert line["password"] == "****"


def test_an_event_that_the_disk_has_no_room_for_is_lost_and_ends_nothing() -> None:
    code = (
        "import sys; from kumoi.base import log; log.set_up('api')\n"
        "for _ in range(1_000): log.event('server.created', server='s' * 100)\n"
        "print('goes on')"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout == "goes on\n"


def test_a_commands_standard_output_holds_no_event() -> None:
    code = "from kumoi.base import log; log.warning('store.write_long', ms=52)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "store.write_long" in done.stderr
