"""The environment file `kumoi.yaml`: the servers, steps and checks that a push asks for.

`parse` alone validates it. The receive hook calls it through git.py and refuses a push whose file
it cannot read; the run begins with the parsed file. `environment.example.yaml` beside this file is
the reference, with a word on every key; a test reads it. Unknown keys are refused, so that a key of
a later version is never silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import yaml

from kumoi.base.errors import Invalid

FILE_NAME = "kumoi.yaml"
FILE_MAX_BYTES = 65_536
NODES_MAX = 5_000
DEPTH_MAX = 12
WORDS_MAX = 200  # Of a message, which the pusher's terminal shows.
GROUPS_MAX = 10
SERVERS_MAX = 50
STEPS_MAX = 50
RESERVED = frozenset({"runner"})
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
NAME_RULE = "a name is 1 to 31 of a-z, 0-9 and -, and begins with a letter"
TTL = re.compile(r"([1-9][0-9]{0,4})([mhd])")
TTL_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
TTL_MAX_S = 30 * 86_400

T = TypeVar("T", bound=msgspec.Struct)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of the file."""


class ServersSection(Section, frozen=True):
    """A group of alike servers. `ports` are open to the world; the group then has a floating IP."""

    image: str
    flavor: str
    count: int = 1
    ports: tuple[int, ...] = ()


class RunnerSection(Section, frozen=True):
    """The server that configures and verifies the others from inside the tenant."""

    image: str = "debian-12-runner"
    flavor: str = "small"


class Configure(Section, frozen=True):
    """A shell command, run in a copy of the sources on each server of the group."""

    on: str
    run: str


class Http(Section, frozen=True):
    """The answer that a group's servers must give. `port` 0 stands for the group's first port."""

    on: str
    path: str = "/"
    port: int = 0
    status: int = 200
    contains: str = ""


class Verify(Section, frozen=True):
    """One of: Serverspec files (a path, with `on`), or an HTTP expectation."""

    serverspec: str = ""
    on: str = ""
    http: Http | None = None


class EnvironmentFile(Section, frozen=True):
    """The whole file, checked. `ttl_s` is 0 where the file leaves it to the installation."""

    servers: dict[str, ServersSection]
    runner: RunnerSection = RunnerSection()
    configure: tuple[Configure, ...] = ()
    verify: tuple[Verify, ...] = ()
    ttl_s: int = 0


class _Top(Section, frozen=True):
    servers: dict[str, Any]
    runner: Any = None
    configure: tuple[Any, ...] = ()
    verify: tuple[Any, ...] = ()
    ttl: str = ""


def parse(text: str) -> EnvironmentFile:
    """The parsed and checked file. Raises Invalid with one line that names the field, and its line
    where known: "kumoi.yaml:3: servers.web.count: expected int, got str".
    """
    tree = _Tree(text)
    top = tree.convert(tree.value, _Top, "")
    environment = EnvironmentFile(
        servers={
            name: tree.convert(value, ServersSection, f"servers.{name}")
            for name, value in top.servers.items()
        },
        runner=tree.convert({} if top.runner is None else top.runner, RunnerSection, "runner"),
        configure=tuple(
            tree.convert(value, Configure, f"configure.{index}")
            for index, value in enumerate(top.configure)
        ),
        verify=tuple(
            tree.convert(value, Verify, f"verify.{index}") for index, value in enumerate(top.verify)
        ),
        ttl_s=_ttl_s(tree, top.ttl),
    )
    for where, message in _faults(environment):
        raise tree.fault(where, message)
    return environment


def _faults(environment: EnvironmentFile) -> Iterator[tuple[str, str]]:
    """The violations of rules that the types do not express, as path and message, in the order in
    which they are to be reported.
    """
    groups = environment.servers
    if not 1 <= len(groups) <= GROUPS_MAX:
        yield "servers", f"expected 1 to {GROUPS_MAX} groups, got {len(groups)}"
    for name, group in groups.items():
        yield from _group_faults(name, group)
    if sum(group.count for group in groups.values()) > SERVERS_MAX:
        yield "servers", f"more than {SERVERS_MAX} servers in all"
    for name, steps in (("configure", environment.configure), ("verify", environment.verify)):
        if len(steps) > STEPS_MAX:
            yield name, f"more than {STEPS_MAX} steps"
    for index, step in enumerate(environment.configure):
        if step.on not in groups:
            yield f"configure.{index}.on", f"there is no group of servers {step.on!r}"
        if not step.run.strip():
            yield f"configure.{index}.run", "is empty"
    for index, check in enumerate(environment.verify):
        yield from _verify_faults(f"verify.{index}", check, groups)


def _group_faults(name: str, group: ServersSection) -> Iterator[tuple[str, str]]:
    where = f"servers.{name}"
    if not NAME.fullmatch(name):
        yield where, NAME_RULE
    if name in RESERVED:
        yield where, "this name is the pipeline's own"
    if not 1 <= group.count <= SERVERS_MAX:
        yield f"{where}.count", f"expected 1 to {SERVERS_MAX}, got {group.count}"
    for key, value in (("image", group.image), ("flavor", group.flavor)):
        if not value.strip():
            yield f"{where}.{key}", "is empty"
    for port in group.ports:
        if not 1 <= port <= 65_535:  # noqa: PLR2004 - what a port is
            yield f"{where}.ports", f"expected ports from 1 to 65535, got {port}"


def _verify_faults(
    where: str, check: Verify, groups: dict[str, ServersSection]
) -> Iterator[tuple[str, str]]:
    if bool(check.serverspec) == (check.http is not None):
        yield where, "expected either serverspec or http"
    elif check.http is not None:
        yield from _http_faults(f"{where}.http", check.http, groups)
        if check.on:
            yield f"{where}.on", "belongs inside http"
    else:
        parts = check.serverspec.strip("/").split("/")
        if check.serverspec.startswith("/") or ".." in parts:
            yield f"{where}.serverspec", "expected a path inside the repository"
        if check.on not in groups:
            yield f"{where}.on", f"there is no group of servers {check.on!r}"


def _http_faults(
    where: str, http: Http, groups: dict[str, ServersSection]
) -> Iterator[tuple[str, str]]:
    if http.on not in groups:
        yield f"{where}.on", f"there is no group of servers {http.on!r}"
    elif not (http.port or groups[http.on].ports):
        yield f"{where}.port", f"is needed, since {http.on} has no ports"
    if not http.path.startswith("/"):
        yield f"{where}.path", "expected a path that begins with /"


def _ttl_s(tree: _Tree, text: str) -> int:
    if not text:
        return 0
    found = TTL.fullmatch(text)
    ttl_s = int(found[1]) * TTL_UNITS_S[found[2]] if found else 0
    if not 0 < ttl_s <= TTL_MAX_S:
        raise tree.fault("ttl", f"expected a time such as 90m, 24h or 7d up to 30d, got {text!r}")
    return ttl_s


class _Tree:
    """The YAML text as values, with the line of each."""

    def __init__(self, text: str) -> None:
        if len(text.encode()) > FILE_MAX_BYTES:
            raise Invalid(f"{FILE_NAME}: is larger than {FILE_MAX_BYTES} bytes", field="")
        self._lines: dict[str, int] = {}
        self._nodes = 0
        try:
            # libyaml's parser: that in Python takes seconds for a text of brackets.
            self.value = self._value(yaml.compose(text, Loader=yaml.CSafeLoader), "", DEPTH_MAX)
        except yaml.YAMLError as cause:
            mark = getattr(cause, "problem_mark", None)
            last = len(text.splitlines())  # The parser is at the line after, at the text's end.
            where = f"{FILE_NAME}:{min(mark.line + 1, last)}" if mark else FILE_NAME
            raise Invalid(f"{where}: is not YAML", field="") from cause
        except RecursionError as cause:
            raise Invalid(f"{FILE_NAME}: is nested too deeply", field="") from cause

    def _value(self, node: yaml.Node | None, path: str, depth: int) -> Any:
        """Built node by node, so that a repeated key and an exploding reference are refused."""
        if depth == 0:
            raise Invalid(f"{FILE_NAME}: is nested too deeply", field="")
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise Invalid(f"{FILE_NAME}: has more than {NODES_MAX} values", field="")
        if node is None:
            return None
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth - 1)
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value(item, _join(path, str(index)), depth - 1)
                for index, item in enumerate(node.value)
            ]
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as cause:
            raise self.fault(path, "is not a value that this file can hold") from cause

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise Invalid(f"{FILE_NAME}:{line}: a key is not a text", field=path)
            name = str(key.value)
            where = _join(path, name)
            if name in values:
                self._lines[where] = key.start_mark.line + 1
                raise self.fault(where, "is given twice")
            values[name] = self._value(value, where, depth)
            self._lines[where] = key.start_mark.line + 1
        return values

    def convert(self, value: Any, kind: type[T], path: str) -> T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as cause:
            # The library's sentence is "Expected `int`, got `str` - at `$.count`".
            message, _, where = str(cause).partition(" - at ")
            inner = re.sub(r"\[(\d+)\]", r".\1", where.strip("`$")).strip(".")
            unknown = re.match(r"Object contains unknown field `(.*)`", message, re.DOTALL)
            if unknown:
                parent = _join(path, inner)
                reason = f"there is no key {unknown[1]}"
                raise self.fault(parent, reason, line_of=_join(parent, unknown[1])) from cause
            message = message.replace("`", "")
            message = re.sub(
                r"^Object missing required field (.*)", r"the key \1 is missing", message
            )
            message = message[:1].lower() + message[1:]
            raise self.fault(_join(path, inner), message) from cause

    def fault(self, path: str, message: str, *, line_of: str = "") -> Invalid:
        """An error that names the field and its line, or that of `line_of`, or else of the nearest
        parent that has one. It is short, whatever the file holds.
        """
        parts = (line_of or path).split(".")
        known = (".".join(parts[:n]) for n in range(len(parts), -1, -1))
        line = next((self._lines[each] for each in known if each in self._lines), 0)
        where = f"{FILE_NAME}:{line}" if line else FILE_NAME
        path, message = _shortened(path), _shortened(message)
        return Invalid(f"{where}: {path}: {message}" if path else f"{where}: {message}", field=path)


def _shortened(text: str) -> str:
    return text if len(text) <= WORDS_MAX else f"{text[:WORDS_MAX]}…"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
