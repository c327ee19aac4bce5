"""The commands that people give: a table of words, which imports none of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`module` has `add_to(parser)` and `run(args) -> int`."""

    module: str
    help: str
    example: str
    needs_root: bool = False


COMMANDS = {
    "up": Command(
        "kumoi.cli.up",
        "start the cloud, installing what is missing",
        "sudo ./kumoi up",
        needs_root=True,
    ),
    "status": Command(
        "kumoi.cli.status",
        "every process, host and server, and how it is",
        "sudo ./kumoi status --json",
        needs_root=True,
    ),
    "exposure": Command(
        "kumoi.cli.exposure",
        "every address and port that a tenant or the outside can reach",
        "sudo ./kumoi exposure --json",
        needs_root=True,
    ),
    "host": Command(
        "kumoi.cli.host",
        "the cloud's hosts, and which of them get new servers",
        "sudo ./kumoi host list",
        needs_root=True,
    ),
    "cluster": Command(
        "kumoi.cli.cluster",
        "more hosts for the cloud: tokens, joining, leaving",
        "sudo ./kumoi cluster token rack7-blade3",
        needs_root=True,
    ),
    "upgrade": Command(
        "kumoi.cli.upgrade",
        "go to this checkout's release, host by host, or back",
        "sudo ./kumoi upgrade plan",
        needs_root=True,
    ),
    "drill": Command(
        "kumoi.cli.drill",
        "break everything in turn under traffic, and say what that cost",
        "sudo ./kumoi drill --minutes 10 --only patroni",
        needs_root=True,
    ),
    "logs": Command(
        "kumoi.cli.logs",
        "what a process of the cloud logged",
        "sudo ./kumoi logs api --follow",
        needs_root=True,
    ),
    "audit": Command(
        "kumoi.cli.audit",
        "who changed what",
        "sudo ./kumoi audit --since 1h --outcome failure",
        needs_root=True,
    ),
    "down": Command(
        "kumoi.cli.down",
        "stop the cloud; with --purge nothing is left of it",
        "sudo ./kumoi down --purge",
        needs_root=True,
    ),
    "backup": Command(
        "kumoi.cli.backup",
        "all that the cloud keeps but servers' disks, in one file",
        "sudo ./kumoi backup /backup/monday.kumoi",
        needs_root=True,
    ),
    "restore": Command(
        "kumoi.cli.restore",
        "a cloud as a backup has it",
        "sudo ./kumoi restore /backup/monday.kumoi",
        needs_root=True,
    ),
    "demo": Command(
        "kumoi.cli.demo",
        "start the cloud, push an example, show the verified URL",
        "sudo ./kumoi demo",
        needs_root=True,
    ),
    "run": Command(
        "kumoi.cli.run",
        "what became of a push",
        "./kumoi run list",
    ),
    "env": Command(
        "kumoi.cli.env",
        "the environments that pushes make, and the file that says how",
        "./kumoi env list",
    ),
    "repository": Command(
        "kumoi.cli.repository",
        "what was pushed, and what a project may have of the pipeline",
        "./kumoi repository list",
    ),
    "secret": Command(
        "kumoi.cli.secret",
        "what steps need and nobody commits: passwords, tokens",
        "./kumoi secret set shop DB_PASSWORD",
    ),
    "webhook": Command(
        "kumoi.cli.webhook",
        "git hosts that feed a repository here",
        "./kumoi webhook list",
    ),
    "pipeline": Command(
        "kumoi.cli.pipeline",
        "the pipeline alone, for any OpenStack",
        "./kumoi pipeline serve --cloud mycloud",
    ),
    "token": Command(
        "kumoi.cli.token",
        "the keys that sign tokens, and their rotation",
        "sudo ./kumoi token rotate",
        needs_root=True,
    ),
    "bench": Command(
        "kumoi.cli.bench",
        "measure the cloud that is up",
        "sudo ./kumoi bench --only server",
        needs_root=True,
    ),
    "test": Command(
        "kumoi.cli.test",
        "run every check and test",
        "sudo ./kumoi test --only unit",
    ),
}
