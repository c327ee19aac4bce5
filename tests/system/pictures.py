"""Takes the guide's pictures of reports: of the newest run of each repository that is named, in a cloud
that is up. CONTRIBUTING.md says when.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.system.browser import browser

from kumoi.pipeline.client import Client

GUIDE = Path(__file__).parents[2] / "docs/guide"
SIZE_MAX = 150_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--os-cloud", default="kumoi", help="entry of clouds.yaml")
    parser.add_argument("repositories", nargs="+", metavar="repository")
    args = parser.parse_args()
    client = Client(args.os_cloud)
    user, _, password = client.login().partition(":")
    runs = client.get("runs")["runs"]  # Newest first.
    with (
        tempfile.TemporaryDirectory() as home,
        browser(Path(home), authority=Path(client.ca)) as opened,
    ):
        for name in args.repositories:
            newest = next(each["id"] for each in runs if each["repository"] == name)
            url = f"{client.url}/reports/{client.project}/{newest}"
            page = opened.open(url, login=(user, password))
            if page.status != 200:
                raise SystemExit(f"{url} answers {page.status}")
            file = GUIDE / f"report-{name}.png"
            page.picture(file, whole=False)
            size = file.stat().st_size
            if size > SIZE_MAX:
                raise SystemExit(f"{file} has {size} bytes: more than {SIZE_MAX}")
            sys.stdout.write(f"{file}: {size} bytes, {' '.join(page.texts('h1, .pill'))}\n")


if __name__ == "__main__":
    main()
