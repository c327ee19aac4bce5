from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kumoi.hosts.units import releases


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with a package, and a checkout of ours; what would be compiled of both."""
    prefix, package = tmp_path / "env", tmp_path / "src/kumoi"
    folder = releases._site_packages(prefix) / "other"
    for file in (folder / "a.py", folder / "b.py", package / "main.py"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(releases, "_PACKAGE", package)
    return prefix


def compiled(kept: Path, *files: Path) -> None:
    """As Python does below a prefix."""
    for file in files:
        command = [sys.executable, "-X", f"pycache_prefix={kept}", "-m", "py_compile", str(file)]
        subprocess.run(command, check=True)


def test_what_is_kept_for_this_code_comes_with_each_release_of_it(
    environment: Path, tmp_path: Path
) -> None:
    kept, package = environment / "compiled", tmp_path / "src/kumoi"
    compiled(kept, releases._site_packages(environment) / "other/a.py", package / "main.py")
    compiled(kept, releases._site_packages(environment) / "other/b.py")
    (kept / package.relative_to("/") / "release").write_text(releases.release_id())
    for name in ("first", "second"):
        packages = releases._site_packages(tmp_path / name)
        for file in ("other/a.py", "kumoi/main.py"):  # Of what was compiled, one is gone.
            (packages / file).parent.mkdir(parents=True)
            (packages / file).touch()
        assert releases._compiled(environment) == kept
        releases._place_compiled(kept, packages)
        found = {str(path.relative_to(packages)) for path in packages.rglob("*.pyc")}
        tag = sys.implementation.cache_tag
        assert found == {f"other/__pycache__/a.{tag}.pyc", f"kumoi/__pycache__/main.{tag}.pyc"}


def test_of_another_checkout_nothing_is_kept(environment: Path) -> None:
    assert releases._compiled(environment) is None
    assert not (environment / "compiled").exists()
