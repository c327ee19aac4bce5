"""The runner's user data: boot.py with the runner's modules, the pipeline's URL, its CA and a token
filled in.

The script of this release is stored when a run begins (store/script.py); `user_data` is made of the
stored one. Called by run.py and serve.py.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

from kumoi import addresses
from kumoi.base.errors import Bug
from kumoi.config import CloudSettings, HostSettings

FOLDER = Path(__file__).parent
MARK = "CONFIG: dict[str, str] = {}"
ARCHIVE_MARK = 'ARCHIVE = ""'
# Run at cloud-init's first stage with a network, seconds before plain scripts are.
EARLY = "#cloud-boothook\n"
NOT_THERE = {"boot.py", "script.py"}
PACKAGES = ("kumoi", "kumoi/pipeline", "kumoi/pipeline/runner")


def this_release() -> str:
    """The script's text, read once when the pipeline starts: its files may be replaced meanwhile."""
    archive = base64.b64encode(_archive()).decode()
    return (FOLDER / "boot.py").read_text().replace(ARCHIVE_MARK, f'ARCHIVE = "{archive}"')


def user_data(cloud: CloudSettings, host: HostSettings, source: str, token: str) -> str:
    """A script that cloud-init runs as root while the server starts."""
    ca = (host.pki_dir / "ca.crt").read_text()
    first, *others = addresses.pipeline_urls(cloud)
    facts = {"url": first, "ca": ca, "token": token}
    if others:
        facts["others"] = " ".join(others)
    if source.count(MARK) != 1:
        raise Bug("the runner's script has no place for its configuration")
    return EARLY + source.replace(MARK, f"CONFIG: dict[str, str] = {json.dumps(facts)}")


def _archive() -> bytes:
    """A zip of the modules; the same bytes for the same texts."""
    texts = {f"{package}/__init__.py": "" for package in PACKAGES}
    for path in sorted(FOLDER.glob("*.py")):
        if path.name not in NOT_THERE and path.name != "__init__.py":
            texts[f"{PACKAGES[-1]}/{path.name}"] = path.read_text()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(name)  # Of 1980, whenever it is made.
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return whole.getvalue()
