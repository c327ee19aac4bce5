"""The launcher makes the Python environment: by uv, and without it by pip. On an index of its own."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = '[project]\ndependencies = ["kumoi-probe>=1"]\noptional-dependencies = {dev = []}\n'
UV = """#!/bin/sh
{ for word in "$@"; do echo "$word"; done; env | grep -E "^(UV_|SSL_)"; } > "$HOME/uv-was-told"
"""


def wheel(
    folder: Path, name: str, version: str, files: dict[str, str], mode: int = 0o100755
) -> None:
    """A package as an index holds it, of these files and no others."""
    label = f"{name.replace('-', '_')}-{version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tag = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    meta = {"METADATA": about, "WHEEL": tag, "RECORD": ""}
    files = {**files, **{f"{label}.dist-info/{path}": text for path, text in meta.items()}}
    with zipfile.ZipFile(folder / f"{label}-py3-none-any.whl", "w") as packed:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = mode << 16
            packed.writestr(entry, text)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """One package is there, which the checkout needs."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "kumoi-probe", "1.0", {"kumoi_probe.py": "SAYS = 'here'\n"})
    return folder


def add_uv(index: Path, script: str) -> None:
    wheel(index, "uv", "0.13.0", {"uv-0.13.0.data/scripts/uv": script})


def make(tmp_path: Path, index: Path) -> subprocess.CompletedProcess[str]:
    """Have the launcher make the environment of a checkout; what it then starts is nothing."""
    checkout = tmp_path / "checkout"
    (checkout / "src/kumoi").mkdir(parents=True)
    (checkout / "src/kumoi/__init__.py").touch()
    (checkout / "src/kumoi/main.py").write_text("COMMANDS, INNER = {'run'}, set()\n")
    (checkout / "pyproject.toml").write_text(PROJECT)
    (checkout / "kumoi").write_bytes((ROOT / "kumoi").read_bytes())
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
    }
    return subprocess.run(
        ["/usr/bin/python3", str(checkout / "kumoi"), "run"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=tmp_path,
    )


def installed(tmp_path: Path) -> bool:
    return bool(list((tmp_path / "checkout/.venv").rglob("kumoi_probe.py")))


def test_uv_is_told_where_pip_finds_packages(tmp_path: Path, index: Path) -> None:
    add_uv(index, UV)
    done = make(tmp_path, index)
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "uv-was-told").read_text().splitlines()
    assert words[:2] == ["pip", "install"]
    assert "kumoi-probe>=1" in words
    assert {f"UV_FIND_LINKS={index}", "UV_NO_INDEX=1"} <= set(words)
    assert not installed(tmp_path), "this uv installs nothing, so pip was asked as well"


@pytest.mark.parametrize("uv", [None, "#!/bin/sh\nexit 1\n", "#!/nowhere/sh\n"])
def test_pip_installs_where_uv_does_not(tmp_path: Path, index: Path, uv: str | None) -> None:
    if uv is not None:
        add_uv(index, uv)
    done = make(tmp_path, index)
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path)
    left = {path.name for path in (tmp_path / "checkout/.venv").iterdir()}
    assert left <= {"bin", "include", "lib", "lib64", "pyvenv.cfg", "share", "kumoi.stamp"}


def test_packages_that_are_nowhere_are_told_and_nothing_counts_as_made(tmp_path: Path) -> None:
    done = make(tmp_path, tmp_path)
    assert done.returncode == 1
    assert "kumoi: Python packages could not be installed; is there a network?" in done.stderr
    assert "kumoi-probe" in done.stderr
    assert not list((tmp_path / "checkout/.venv").glob("*.stamp"))


def test_nothing_that_lies_where_it_is_called_is_run(tmp_path: Path, index: Path) -> None:
    """Root calls it in a directory of somebody else's."""
    add_uv(index, UV)
    for name in ("kumoi/main", "venv/__main__", "argparse", "hashlib"):
        trap = tmp_path / f"{name}.py"
        trap.parent.mkdir(exist_ok=True)
        trap.write_text(f"open({str(tmp_path / 'trapped')!r}, 'w').close()\n")
        (trap.parent / "__init__.py").touch()
    done = make(tmp_path, index)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "trapped").exists()
