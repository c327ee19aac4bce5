"""What was pushed in a few KiB and means gigabytes, and what says it is another commit than it is: the git that
reads it, as the pipeline runs it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base import process
from kumoi.base.errors import Invalid, TooLarge
from kumoi.config import CloudSettings
from kumoi.hosts.units import launch
from kumoi.hosts.units.rights import of_unit
from kumoi.pipeline import git, receive_hook
from kumoi.pipeline.repositories import Repositories

MIB = 1 << 20
PROJECT, NAME = "0123456789abcdef0123456789abcdef", "hello"
FILE = b"servers:\n  web: {image: debian-12, flavor: small}\n"
WIDE = "$Format:%<(16000)%s%<(16000)%s%<(16000)%s%<(16000)%s$\n"
LEVELS = 1_500
DEEP = 60_000


@pytest.fixture
def found(tmp_path: Path) -> Repositories:
    made = Repositories(config.first_host(CloudSettings(name="k"), str(tmp_path)))
    made.prepare()
    made.ensure(PROJECT, NAME)
    return made


def path_of(found: Repositories) -> Path:
    return found.path_of(PROJECT, NAME)


def commit(found: Repositories, files: Mapping[str, bytes], message: str = "first") -> str:
    """The id of a commit with these files, of no branch."""
    lines = [f"100644 blob {_write(found, content)}\t{name}\n" for name, content in files.items()]
    tree = _git(found, "mktree", text="".join(lines))
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    return _git(found, *who, "commit-tree", tree, "-m", message)


def _write(found: Repositories, content: bytes) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return _git(found, "hash-object", "-w", file.name)


def _git(found: Repositories, *words: str, text: str = "") -> str:
    argv = ["git", "--git-dir", str(path_of(found)), *words]
    return process.run(argv, stdin=text).out.strip()


def test_a_large_file_is_told_by_its_size_and_not_compared_line_by_line(
    found: Repositories,
) -> None:
    """300 MiB of line ends, 2.7 MB in a push, took 5 GiB of memory in the 30 s that git had."""
    made = commit(found, {"kumoi.yaml": FILE, "large": b"\n" * (40 * MIB)})
    assert f"Bin 0 -> {40 * MIB} bytes" in found.changes(PROJECT, NAME, "", made).diffstat


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 99999999\n"


@pytest.mark.parametrize(
    ("entry", "content", "said"),
    [
        ("120000 blob", b"/etc/passwd", "kumoi.yaml:1: expected a mapping"),
        ("120000 blob", b"../../other/secret.git/config", "kumoi.yaml:1: expected a mapping"),
        ("040000 tree", None, "there is no kumoi.yaml"),
        ("160000 commit", None, "there is no kumoi.yaml"),
        ("100644 blob", None, "is not in the repository"),
        ("100644 blob", LFS, "kumoi.yaml:1: expected a mapping"),
        ("100644 blob", FILE.decode().encode("utf-16"), "kumoi.yaml: is not YAML"),
        ("100644 blob", FILE + b"\0", "kumoi.yaml: is not YAML"),
        ("100644 blob", FILE + b"\x1b]0;x\x07: 1\n", "kumoi.yaml: is not YAML"),
        ("100644 blob", FILE + b"#" * (64 << 10), "is larger than 65536 bytes"),
        ("100644 blob", b"", "expected a mapping, got nothing"),
        ("100644 blob", b"\xef\xbb\xbf" + FILE, ""),
        ("100644 blob", FILE.replace(b"\n", b"\r\n"), ""),
        ("100644 blob", FILE + b"# \xff\xfe\n", ""),
    ],
)
def test_what_stands_in_place_of_the_file_is_its_own_text_or_is_refused_in_one_line(
    found: Repositories, entry: str, content: bytes | None, said: str
) -> None:
    """A link is its own text: what it names is read by nobody."""
    named = _write(found, content) if content is not None else "1" * 40
    tree = _git(found, "mktree", "--missing", text=f"{entry} {named}\tkumoi.yaml\n")
    made = _git(found, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", tree, "-m", "x")
    if not said:
        assert list(found.read_file(PROJECT, NAME, made).base.servers) == ["web"]
        return
    with pytest.raises(Invalid) as refused:
        found.read_file(PROJECT, NAME, made)
    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_an_archive_whose_attributes_ask_for_more_than_memory_is_refused(
    found: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 13 MB, 67 KB in a push, took 6 GiB and more."""
    small = (git.PRLIMIT, f"--as={300 * MIB}", "--core=0")
    monkeypatch.setattr(git, "BOUNDED", small, raising=False)
    attributes = b"large export-subst\n"
    asked = WIDE.encode() * 8_000
    made = commit(found, {".gitattributes": attributes, "kumoi.yaml": FILE, "large": asked})
    with tempfile.TemporaryFile() as out, pytest.raises(TooLarge, match="of memory"):
        found.archive(PROJECT, NAME, made, out)


def test_all_of_gits_programs_are_bounded() -> None:
    assert f"--as={2 << 30}" in git.BOUNDED
    assert int(git.ENVIRONMENT["GIT_CONFIG_COUNT"]) == len(git.SETTINGS)


def test_a_commit_is_the_one_that_it_says_whatever_was_pushed_as_its_replacement(
    found: Repositories,
) -> None:
    shown = commit(found, {"kumoi.yaml": FILE})
    hidden = commit(found, {"kumoi.yaml": FILE.replace(b"web", b"evil")}, "second")
    _git(found, "update-ref", f"refs/replace/{shown}", hidden)
    assert list(found.read_file(PROJECT, NAME, shown).base.servers) == ["web"]


@pytest.mark.parametrize("name", ["refs/tags/" + "a/" * 120 + "b", "refs/tags/a\u009b31m"])
def test_every_ref_that_is_pushed_has_a_name_that_can_be_shown_and_removed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert receive_hook.main(["check", "/nowhere"], [f"{'0' * 40} {'1' * 40} {name}"]) == 1
    assert "a tag's name has" in capsys.readouterr().err


def test_a_repository_with_deep_names_is_measured_and_removed(
    found: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tag of 1,500 levels, and each push to the repository was answered with a traceback."""
    made = commit(found, {"kumoi.yaml": FILE})
    before = path_of(found)
    monkeypatch.setenv("GIT_DIR", str(before))
    folder = f"{before}/refs/tags"
    for _ in range(LEVELS):
        folder += "/a"
        os.mkdir(folder)  # noqa: PTH102 - pathlib is not made for such depths
    line = f"{'0' * 40} {made} refs/heads/main"
    assert receive_hook.main(["check", str(before / "nobody")], [line]) == 0
    found.remove(PROJECT, NAME)
    assert not before.exists()


def test_what_reads_a_push_ends_before_anybodys_server_where_memory_runs_out() -> None:
    settings = CloudSettings(name="k")
    host = config.first_host(settings, "/var/lib/k")
    for unit in ("repositories", "inspector"):
        assert launch.score_of(of_unit(settings, host, unit)) == launch.OOM_OF_HELPERS
    for unit in ("api", "worker", "pipeline", "agent", "ovs-vswitchd"):
        assert launch.score_of(of_unit(settings, host, unit)) == launch.OOM_OF_UNITS


def test_an_archive_of_folders_deeper_than_gits_stack_is_refused(found: Repositories) -> None:
    """3 MB that were pushed. The runner was told to try again, as long as its stage had time."""
    blob, folders = _write(found, FILE), []
    inner, name = b"100644 f\0" + bytes.fromhex(blob), b""
    for _ in range(DEEP):
        folders.append(inner)
        name = hashlib.sha1(b"tree %d\0" % len(inner) + inner, usedforsecurity=False).digest()
        inner = b"40000 d\0" + name
    pack = found.root / "deep.pack"
    pack.write_bytes(_packed(folders))
    with pack.open("rb") as file:
        process.run(["git", "--git-dir", str(path_of(found)), "index-pack", "--stdin"], stdin=file)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    made = _git(found, *who, "commit-tree", name.hex(), "-m", "deep")
    with tempfile.TemporaryFile() as out, pytest.raises(TooLarge, match="too deep"):
        found.archive(PROJECT, NAME, made, out)


def _packed(trees: list[bytes]) -> bytes:
    """A pack of trees, none of which is longer than 2 KiB."""
    packed = bytearray(b"PACK" + (2).to_bytes(4, "big") + len(trees).to_bytes(4, "big"))
    for tree in trees:
        packed += bytes((0x80 | 2 << 4 | len(tree) & 15, len(tree) >> 4)) + zlib.compress(tree, 1)
    return bytes(packed + hashlib.sha1(packed, usedforsecurity=False).digest())


def test_what_a_killed_push_left_goes_and_a_push_that_goes_on_stays(found: Repositories) -> None:
    """Git that is killed at its time-out leaves all that was pushed, where no limit counts it."""
    left = path_of(found) / "objects/tmp_objdir-incoming-a1"
    left.mkdir()
    (left / "pack").write_bytes(b"x" * MIB)
    found.ensure(PROJECT, NAME)
    assert left.exists()
    os.utime(left, (1, 1))
    found.ensure(PROJECT, NAME)
    assert not left.exists()
    left.mkdir()
    found.sweep(PROJECT, NAME)
    assert not left.exists()
