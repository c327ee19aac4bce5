"""`kumoi env`: the environments that pushes and `env up` make, and the file that they are made from."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table
from rich.text import Text

from kumoi.base import process
from kumoi.base.errors import Invalid, KumoiError, NotFound, Permanent
from kumoi.cli import env_check, work_tree
from kumoi.cli.output import cells, console, say, say_json
from kumoi.cli.run import add_cloud, client_of, follow_run, when
from kumoi.pipeline import build, environment
from kumoi.pipeline.client import Client
from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.plan import Action, lines, plan
from kumoi.pipeline.resources import CloudIds, RunnerInputs, prefix, resources
from kumoi.pipeline.runner.script import this_release

if TYPE_CHECKING:
    from kumoi.pipeline.openstack_cloud import OpenStack

WAIT_MAX_S = 900.0
LOOK_AGAIN_S = 0.5
COMMIT_SHOWN = 10
STATUS = {"live": "green", "deleting": "yellow", "deleted": "dim"}
SIGNS = {"+": "green", "-": "red", "~": "yellow", "±": "yellow", "=": "dim"}
NONE_YET = "new"
EXIT_TROUBLE = 2
SSH_OPTIONS = (
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "IdentitiesOnly=yes",
)  # fmt: skip


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about, example) in ACTIONS.items():
        epilog = f"example: ./kumoi env {example}"
        action = actions.add_parser(name, help=about, description=about, epilog=epilog)
        add_cloud(action)
        _add_file(action, name)
        for words, options in ARGUMENTS.get(name, ()):
            action.add_argument(*words, **options)


def _add_file(action: argparse.ArgumentParser, name: str) -> None:
    if name in ("up", "check"):
        action.add_argument(
            "-f", "--file", type=Path, default=Path(environment.FILE_NAME),
            help="the file (default: kumoi.yaml)",
        )  # fmt: skip
        action.add_argument("--branch", help="as if it were pushed there (default: yours)")
    if name in ("list", "show", "check", "diff", "extend", "delete"):
        action.add_argument("--json", action="store_true", help="for programs")
    if name == "diff":
        action.add_argument("-f", "--file", type=Path, help="compare in this file")


def run(args: argparse.Namespace) -> int:
    act = ACTIONS[args.action][0]
    return act(client_of(args), args)


def list_(client: Client, args: argparse.Namespace) -> int:
    found: list[dict[str, Any]] = client.get("environments", all=int(args.all))["environments"]
    if args.json:
        say_json(found)
        return 0
    table = Table(
        "Environment", "Repository", "Branch", "Name", "Commit", "Run", "Status", "URL", "Expires"
    )
    for each in found:
        status = each["status"] if not each["reason"] else f"{each['status']}: {each['reason']}"
        row = cells(
            each["id"], each["repository"], each["branch"], each["name"],
            each["commit"][:COMMIT_SHOWN], each["run_id"],
            Text(status, STATUS.get(each["status"], "")), each["url"], when(each["expires_at"]),
        )  # fmt: skip
        table.add_row(*row)
    console().print(table)
    return 0


def show(client: Client, args: argparse.Namespace) -> int:
    found = find(client, args.id)
    if args.json:
        say_json(found)
        return 0
    wanted = found.pop("wanted", None)
    for name, value in found.items():
        shown = when(value) if value and name.endswith("_at") else value
        say(f"{name:<12}{shown if shown is not None else ''}")
    for name, group in sorted((wanted or {}).get("servers", {}).items()):
        say(f"{'servers':<12}{group['count']} {name}: {group['image']}, {group['flavor']}")
    return 0


def diff(client: Client, args: argparse.Namespace) -> int:
    """What two environments do not share. It ends as diff does: with 1 when there is something, with 2
    when one of the two is neither there nor in the file.
    """
    try:
        sides = [_side(client, name, args.file) for name in (args.a, args.b)]
    except KumoiError as error:
        say(f"kumoi: {error.message}", file=sys.stderr)
        return EXIT_TROUBLE
    found = dict(_differences(sides[0], sides[1], ""))
    found.pop("name", None)
    if args.json:
        say_json({path: list(values) for path, values in found.items()})
    else:
        table = Table("Key", args.a, args.b)
        for path, values in found.items():
            table.add_row(*cells(path, *("" if each is None else str(each) for each in values)))
        console().print(table if found else "they are the same")
    return 1 if found else 0


def ssh(client: Client, args: argparse.Namespace) -> int:
    """A shell on a server, by the environment's key. Where the world does not reach its SSH, it gets a
    floating IP and a rule for as long as the shell lasts.
    """
    found = find(client, args.id)
    key = client.post(f"environments/{found['id']}/key")["key"]
    with (
        tempfile.NamedTemporaryFile("w", prefix="kumoi-key-") as file,
        _reached(client, found["id"], args.server) as address,
    ):
        file.write(key["private_key"])
        file.flush()
        where = ["-i", file.name, *SSH_OPTIONS, f"{key['user']}@{address}"]
        words = [word for word in args.words if word != "--"]
        return process.show(["ssh", *where, *words], talks=True)


def extend(client: Client, args: argparse.Namespace) -> int:
    found = find(client, args.id)
    longer_s = _seconds(args.time)
    extended = client.post(f"environments/{found['id']}/extend", seconds=longer_s)["environment"]
    if args.json:
        say_json(extended)
        return 0
    say(f"environment {found['id']} lives until {when(extended['expires_at'])}")
    return 0


def delete(client: Client, args: argparse.Namespace) -> int:
    key = find(client, args.id)["id"]
    found = client.delete(f"environments/{key}")["environment"]
    deadline_s = time.monotonic() + WAIT_MAX_S
    while args.wait and found["status"] != "deleted":
        if time.monotonic() > deadline_s:
            raise Permanent(f"environment {key} is still there: {found['reason']}")
        time.sleep(LOOK_AGAIN_S)
        found = client.get(f"environments/{key}")["environment"]
    if args.json:
        say_json(found)
        return 0
    say(f"environment {key} is {'deleted' if args.wait else 'being deleted'}")
    return 0


def up(client: Client, args: argparse.Namespace) -> int:
    """Push the folder as it is, without a commit of yours, and follow the run."""
    folder = args.file.absolute().parent
    branch = args.branch or work_tree.branch(folder)
    wanted = environment.parse(_text(args.file)).of_branch(branch)
    name = work_tree.repository_name(folder)
    if args.plan:
        cloud, key = client.cloud(), _kept(client, wanted, name, branch)
        actions = _planned(cloud, wanted, build.look_up(cloud, wanted), key)
        for line in lines(actions, prefix(key)):
            console().print(Text(line, SIGNS[line[0]]))
        return 0
    commit = work_tree.push(client, folder, args.file.name, name, branch)
    return follow_run(client, work_tree.run_of(client, commit), console())


def check(client: Client, args: argparse.Namespace) -> int:
    """Everything that can be known before building; 1 where something is not good."""
    folder = args.file.absolute().parent
    branch = args.branch or work_tree.branch(folder)
    wanted = environment.parse(_text(args.file)).of_branch(branch)
    cloud = client.cloud()
    ids, faults = build.survey(cloud, wanted)
    actions: list[Action] = []
    if not faults:
        key = NONE_YET
        with contextlib.suppress(KumoiError):  # The pipeline is looked at for itself.
            key = _kept(client, wanted, work_tree.repository_name(folder), branch)
        actions = _planned(cloud, wanted, ids, key)
    needed = build.needed(wanted, ids, actions)
    if not args.json:
        say(f"{args.file}, for branch {branch}" + (f", {wanted.name}" if wanted.name else ""))
    found = [
        env_check.of_folder(wanted, folder),
        *env_check.of_cloud(cloud, wanted, faults, needed),
        *env_check.of_secrets(client, wanted, work_tree.repository_name(folder)),
        env_check.of_pipeline(client),
    ]
    return env_check.show(found, needed, cloud, as_json=args.json)


def find(client: Client, key: str) -> dict[str, Any]:
    """An environment by its id, or the newest live one of that name or branch. Raises NotFound."""
    with contextlib.suppress(NotFound):
        by_id: dict[str, Any] = client.get(f"environments/{key}")["environment"]
        return by_id
    for each in client.get("environments", all=0)["environments"]:
        if key in (each["name"], each["branch"]):
            found: dict[str, Any] = each
            return found
    raise NotFound("environment", key)


def _kept(client: Client, wanted: EnvironmentFile, repository: str, branch: str) -> str:
    """The id of the environment that a push would change."""
    for each in client.get("environments", all=0)["environments"]:
        there = (each["repository"], each["branch"], each["name"])
        is_same = there == (repository, branch, wanted.name)
        if wanted.keep and is_same and (each["wanted"] or {}).get("keep"):
            return str(each["id"])
    return NONE_YET


def _planned(cloud: OpenStack, wanted: EnvironmentFile, ids: CloudIds, key: str) -> list[Action]:
    """What a push would do there."""
    runner = RunnerInputs("", hashlib.sha256(this_release().encode()).hexdigest(), "")
    parts = resources(key, wanted, ids, runner, {})
    there = [] if key == NONE_YET else build.list_existing(cloud, key)
    return plan(parts, there)


@contextlib.contextmanager
def _reached(client: Client, environment_id: str, server: str) -> Iterator[str]:
    """The server's address, as long as it is needed."""
    network = client.connection.network
    name = f"{prefix(environment_id)}-{server}"
    ports = [
        each for each in network.ports() if each.name == name or each.name.startswith(f"{name}.")
    ]
    if not ports:
        raise NotFound("server", server)
    port, groups = ports[0], list(ports[0].security_group_ids)
    group = network.create_security_group(name=f"{name}-ssh")
    own = next(iter(network.ips(port_id=port.id)), None)
    made: Any = None
    try:
        network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ether_type="IPv4", protocol="tcp",
            port_range_min=22, port_range_max=22,
        )  # fmt: skip
        network.update_port(port.id, security_groups=[*groups, group.id])
        if own is None:
            outside = next(iter(network.networks(**{"router:external": True})))
            made = network.create_ip(
                floating_network_id=outside.id, port_id=port.id, description=f"{name}-ssh"
            )
        yield str((own or made).floating_ip_address)
    finally:
        if made is not None:
            network.delete_ip(made)
        network.update_port(port.id, security_groups=groups)
        network.delete_security_group(group)


def _differences(a: Any, b: Any, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Each value that differs, by its path in the file."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            inner = f"{path}.{key}" if path else key
            yield from _differences(a.get(key), b.get(key), inner)
    elif a != b:
        yield path, (a, b)


def _side(client: Client, name: str, file: Path | None) -> Any:
    """What is wanted of an environment: as it is there, or else as the file here says."""
    if file is None:
        with contextlib.suppress(NotFound):
            there = find(client, name)["wanted"]  # Maybe of a release with fewer keys.
            return _comparable(msgspec.convert(there, EnvironmentFile))
        file = Path(environment.FILE_NAME)
        if not file.exists():
            raise NotFound("environment", name)
        say(f"{name} is not there, so this is what {file} says of it", file=sys.stderr)
    named = environment.parse(_text(file)).named
    if name not in named:
        known = ", ".join(named) or "none"
        message = f"environment {name} is neither there nor in {file}, which has {known}"
        raise NotFound("environment", name, message=message)
    return _comparable(named[name].wanted)


def _comparable(wanted: EnvironmentFile) -> Any:
    """Without the lines, which differ and mean nothing."""
    return {**msgspec.to_builtins(wanted), "secrets": sorted(wanted.secret_places)}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as cause:
        raise Invalid(f"{file} cannot be read") from cause


def _seconds(text: str) -> int:
    with contextlib.suppress(ValueError, KeyError, IndexError):
        found = environment.seconds(text)
        if environment.EXTENSION_MIN_S <= found <= environment.TTL_MAX_S:
            return found
    raise Invalid(
        f"expected a time such as 90m, 2h or 7d, from 1m to 30d, got {text!r}", field="time"
    )


ID: tuple[tuple[str, ...], dict[str, Any]] = (
    ("id",),
    {"help": "its id, or the name or branch of a live one"},
)
ARGUMENTS: dict[str, tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = {
    "list": ((("--all",), {"action": "store_true", "help": "the deleted ones too"}),),
    "show": (ID,),
    "diff": (
        (("a",), {"help": "an environment, by id, name or branch"}),
        (("b",), {"help": "the other one"}),
    ),
    "ssh": (
        ID,
        (("server",), {"help": "such as web-1"}),
        (("words",), {"nargs": argparse.REMAINDER, "help": "a command to run there"}),
    ),
    "extend": (ID, (("time",), {"help": "such as 90m, 2h or 7d"})),
    "delete": (ID, (("--wait",), {"action": "store_true", "help": "until nothing of it is left"})),
    "up": ((("--plan",), {"action": "store_true", "help": "show what it would do, only"}),),
}
Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str, str]] = {
    "list": (list_, "the environments that are there", "list --json"),
    "show": (show, "one, with the commit that it was built of", "show production"),
    "diff": (diff, "what two do not share", "diff staging production"),
    "ssh": (ssh, "a shell on a server, or a command", "ssh staging web-1 -- uptime"),
    "extend": (extend, "let one live for longer", "extend staging 2h --json"),
    "delete": (delete, "delete one, with everything in it", "delete staging --wait"),
    "up": (up, "build one of this folder, without a commit", "up -f kumoi.yaml --plan"),
    "check": (check, "all that can be known before building", "check"),
}
