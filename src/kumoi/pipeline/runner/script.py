"""The runner's user data: runner.py with the three facts that it cannot know. Called by the build."""

from __future__ import annotations

import json
from pathlib import Path

from kumoi.base.errors import Bug
from kumoi.config import Settings

SOURCE = Path(__file__).parent / "runner.py"
MARK = "CONFIG: dict[str, str] = {}"


def user_data(settings: Settings, token: str) -> str:
    """A script that cloud-init runs once, as root, when the server has started."""
    ca = (settings.pki_dir / "ca.crt").read_text()
    facts = {"url": settings.pipeline_url, "ca": ca, "token": token}
    source = SOURCE.read_text()
    if source.count(MARK) != 1:
        raise Bug("runner.py has no place for its configuration")
    return source.replace(MARK, f"CONFIG: dict[str, str] = {json.dumps(facts)}")
