"""`kumoi env check`: everything that can be known of a file before anything is built."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.table import Table

from kumoi.base.errors import KumoiError, NotFound
from kumoi.cli.output import cells, console, say, say_json
from kumoi.pipeline import build
from kumoi.pipeline.client import Client
from kumoi.pipeline.cloud import BALANCING, SERVICES, Cloud
from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.repository_secret import absences

LOOPBACK = ("127.", "localhost", "::1", "0.0.0.0")  # noqa: S104 - as a name of this machine
SIGNS = {True: "✓", False: "✗"}
HINTS = {
    "there is no image": "openstack image list",
    "there is no flavor": "openstack flavor list",
    "the quota": "openstack quota show",
}


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """`what` was looked at; where it is not good, `faults` say why."""

    what: str
    faults: tuple[str, ...] = ()


def of_folder(wanted: EnvironmentFile, folder: Path) -> CheckFinding:
    return CheckFinding(
        "what the steps and checks name is in the folder", tuple(file_faults(wanted, folder))
    )


def of_cloud(
    cloud: Cloud, wanted: EnvironmentFile, faults: Sequence[str], needed: Mapping[str, int]
) -> Iterator[CheckFinding]:
    """`faults` is what it lacks of what the file names; `needed`, what a push would add."""
    services = [*SERVICES, *([BALANCING] if wanted.load_balancers else [])]
    missing = tuple(build.not_offered(cloud, services))
    yield CheckFinding(f"services: {', '.join(services)}", missing)
    others = tuple(fault for fault in faults if fault not in missing)
    yield CheckFinding("images, flavors and the external network", others)
    yield CheckFinding("quota", tuple(build.short_of(cloud.room(), needed)))


def of_pipeline(client: Client) -> CheckFinding:
    return CheckFinding(f"the pipeline at {client.url}", tuple(pipeline_faults(client)))


def of_secrets(client: Client, wanted: EnvironmentFile, repository: str) -> Iterator[CheckFinding]:
    """Where the file names some."""
    if not wanted.secret_places:
        return
    try:
        found = client.get(f"repositories/{repository}/secrets")["secrets"]
    except NotFound:
        found = []
    except KumoiError:
        return  # The pipeline is looked at for itself.
    there = {each["name"] for each in found}
    yield CheckFinding("secrets", tuple(absences(wanted, there, repository)))


def file_faults(wanted: EnvironmentFile, folder: Path) -> Iterator[str]:
    """What steps and checks name and the folder does not have."""
    for index, step in enumerate(wanted.configure):
        if step.ansible and not (folder / step.ansible).is_file():
            yield f"there is no playbook {step.ansible} (configure.{index}.ansible)"
        yield from _script_faults(step.run, folder, f"configure.{index}.run")
    for index, check in enumerate(wanted.verify):
        for key in ("serverspec", "testinfra"):
            path = getattr(check, key)
            if path and not (folder / path).exists():
                yield f"there is no {path} (verify.{index}.{key})"
        yield from _script_faults(check.run, folder, f"verify.{index}.run")


def _script_faults(command: str, folder: Path, key: str) -> Iterator[str]:
    """Where a command is a script of the folder's own."""
    program = command.split(maxsplit=1)[0] if command.strip() else ""
    if not program.startswith("./") or any(sign in program for sign in "$`*?;|&<>(){}"):
        return
    if not (folder / program).is_file():
        yield f"there is no script {program} ({key})"
    elif not os.access(folder / program, os.X_OK):
        yield f"{program} is not executable: chmod +x {program} ({key})"


def pipeline_faults(client: Client) -> Iterator[str]:
    """Whether it answers this user, and whether runners can know it by that name."""
    host = urlsplit(client.url).hostname or ""
    if host.startswith(LOOPBACK):
        yield f"servers cannot reach {host}: the pipeline needs another address (pipeline serve --listen)"
    try:
        client.get("environments", all=0)
    except KumoiError as error:
        yield error.message


def show(
    found: list[CheckFinding], needed: Mapping[str, int], cloud: Cloud, *, as_json: bool
) -> int:
    """Print it; 1 where something is not good."""
    left = cloud.room().left
    good = not any(each.faults for each in found)
    if as_json:
        checked = [asdict(each) for each in found]
        say_json({"good": good, "checks": checked, "needed": needed, "left": dict(left)})
        return 0 if good else 1
    for each in found:
        say(f"{SIGNS[not each.faults]} {each.what}")
        for fault in each.faults:
            hint = next((hint for begin, hint in HINTS.items() if fault.startswith(begin)), "")
            say(f"    {fault}{f'; see: {hint}' if hint else ''}")
    table = Table("To be made", "Needed", "Quota left")
    for what, count in sorted(needed.items()):
        table.add_row(*cells(what, count, left.get(what, "the cloud does not tell")))
    if needed:
        console().print(table)
    return 0 if good else 1
