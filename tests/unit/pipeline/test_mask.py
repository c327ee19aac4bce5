"""No secret in any log: as it is, line by line, in base64, and in two parts."""

from __future__ import annotations

import base64
import sys

import pytest

from kumoi.pipeline.runner import programs
from kumoi.pipeline.runner.mask import MASK, Mask
from kumoi.pipeline.runner.programs import LINE_MAX, run_logged

SECRET = "s3cr3t/+value?"
KEY = "-----BEGIN KEY-----\nAAAAB3NzaC1yc2EAAAADAQ\n  5kcm9wIG1lIGEgbGluZQ\n-----END KEY-----\n"


@pytest.fixture
def mask() -> Mask:
    found = Mask()
    found.add(SECRET)
    found.add(KEY)
    return found


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "\n", "@host/path"])
def test_a_secret_is_masked_in_base64_whatever_is_beside_it(
    mask: Mask, before: str, after: str
) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        coded = encode(f"{before}{SECRET}{after}".encode()).decode()
        shown = mask.text(f"Authorization: Basic {coded}")
        assert "***" in shown
        left = shown.removeprefix("Authorization: Basic ").replace("***", "")
        assert len(left) <= len(encode(f"{before}{after}".encode())) + 4
        assert coded not in shown


def test_each_line_of_a_secret_with_several_is_masked(mask: Mask) -> None:
    for line in KEY.splitlines():
        assert line.strip() not in mask.text(f"here: {line}")
    wrapped = base64.encodebytes(KEY.encode()).decode().splitlines()
    assert len(wrapped) > 1
    assert {mask.text(line) for line in wrapped} == {"***", "***="}.intersection(
        mask.text(line) for line in wrapped
    )


def test_ordinary_words_stay(mask: Mask) -> None:
    text = "the quick brown fox jumps over the lazy dog, s3cr3t"
    assert mask.text(text) == text
    mask.add("ok")
    assert mask.text("all is ok") == "all is ok"


@pytest.mark.parametrize("shift", range(len(SECRET) + 2))
def test_a_secret_in_two_chunks_is_masked(mask: Mask, shift: int) -> None:
    text = "x" * 200 + SECRET + "y" * 200
    cut = 199 + shift
    first, held = mask.split(text[:cut])
    second, held = mask.split(held + text[cut:])
    whole = first + second + mask.text(held)
    assert whole == "x" * 200 + "***" + "y" * 200


def test_a_program_shows_no_secret_also_in_a_line_without_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = Mask()
    mask.add(SECRET)
    monkeypatch.setattr(programs, "MASK", mask)
    program = (
        f"import sys; s={SECRET!r}; w=sys.stdout.write; w('a'*({LINE_MAX}-5)+s+'b'*9+'\\n');"
        "w('plain\\n'); w('::add-mask::fetched-one\\n'); w('now fetched-one\\n'); w(s)"
    )
    lines: list[str] = []
    status, output = run_logged([sys.executable, "-c", program], lines.append, timeout_s=60)
    assert status == 0
    whole = "".join(lines)
    assert SECRET not in whole
    assert SECRET not in output
    assert "".join(lines[: lines.index("plain")]) == "a" * (LINE_MAX - 5) + "***" + "b" * 9
    assert lines[lines.index("plain") :] == ["plain", "now ***", "***"]
    assert output.endswith("plain\nnow ***\n***")


def test_every_text_of_a_result_is_masked(mask: Mask) -> None:
    result = {"checks": [{"name": f"login {SECRET}", "seconds": 1.5, "output": SECRET}]}
    assert mask.deep(result) == {"checks": [{"name": "login ***", "seconds": 1.5, "output": "***"}]}
    assert MASK is not mask
