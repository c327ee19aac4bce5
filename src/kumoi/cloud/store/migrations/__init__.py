"""What brings an older store to the tables of this release."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
