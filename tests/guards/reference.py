"""docs/reference, made from the code: `python -m tests.guards.reference` writes what has changed.

test_reference.py refuses a reference that is not current.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import msgspec

import kumoi
from kumoi.base import errors as base_errors
from kumoi.base.errors import KumoiError
from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.serve import SERVICES
from kumoi.config import CLOUD_FILE, HOST_FILE, CloudSettings, HostSettings
from kumoi.engine.http import errors as http_errors
from kumoi.engine.http.routing import KNOWN, OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.pipeline.api.routes import SERVICES as PIPELINE_SERVICES
from kumoi.pipeline.environment import FileShape
from kumoi.policy.row import Row
from kumoi.policy.table import SERVICES as TABLES
from tests.guards import units

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
Said = tuple[str, str]  # The name of the error's class, and what is said of it.


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    return {
        "settings.md": settings(),
        "errors.md": errors(),
        "routes.md": routes(),
        "policies.md": policies(),
        "units.md": units.page(),
        "kumoi.schema.json": environment_schema(),
    }


def environment_schema() -> str:
    """The JSON Schema of kumoi.yaml, for editors, made of its shapes."""
    schema = msgspec.json.schema(FileShape)
    for shape in schema["$defs"].values():  # msgspec before 0.23 leaves its lines indented.
        if "description" in shape:
            shape["description"] = inspect.cleandoc(shape["description"])
    schema["title"] = "kumoi.yaml"
    for shape in schema["$defs"].values():  # As msgspec 0.23 says them, and 0.22 does not.
        if "description" in shape:
            shape["description"] = inspect.cleandoc(shape["description"])
    # The end of a text is `\Z` in Python, and `$` in the patterns of JSON Schema.
    return json.dumps(schema, indent=1).replace("\\\\Z", "$") + "\n"


def settings() -> str:
    rows = [
        f"| {file} | `{item.name}` | {type(item.default).__name__} | {_literal(item.default)} "
        f"| {item.metadata['meaning']} |"
        for file, kind in ((CLOUD_FILE, CloudSettings), (HOST_FILE, HostSettings))
        for item in fields(kind)
    ]
    return _page(
        "Settings",
        f"`kumoi up` writes them to `{CLOUD_FILE}`, what the cloud is, and `{HOST_FILE}`, what this "
        "host is, both in the host's state directory. Change them there and call `up` again: what "
        "reads them is started anew. A key that `up` does not know is refused, unless the `up` of "
        "another release wrote it: then it stays, and the roles say in their logs that they do not "
        "know it.",
        ["file", "setting", "type", "default", "meaning"],
        rows,
    )


def errors() -> str:
    rows = [f"| `{code}` | {status} | {meaning} |" for code, status, meaning in sorted(_codes())]
    return _page(
        "Error codes",
        "A code is stable and never used for something else. The status is that of the HTTP APIs; "
        "codes without one are of background work: in logs, and in a server's fault.",
        ["code", "status", "meaning"],
        rows,
    )


def routes() -> str:
    rows = [
        f"| {route.method} | `{_path(service, route)}` | `{route.policy}` | {_caller(route)} "
        f"| {'.'.join(map(str, route.since)) if route.since else ''} |"
        for service in (*SERVICES, HOST, *PIPELINE_SERVICES)
        for route in service.routes
    ]
    return _page(
        "Routes",
        f"Those of the OpenStack services, of the host API (`/host`, with a host's certificate), and "
        f"of the pipeline on its own port. `{OPEN}` asks nobody who calls; `{KNOWN}` is for whoever "
        f"is known by what the column names.",
        ["method", "path", "policy", "caller by", "since"],
        rows,
    )


def _path(service: Service, route: Route) -> str:
    return f"/{service.prefix}{route.path}".replace("//", "/")


def _caller(route: Route) -> str:
    return "" if route.policy == OPEN else route.scheme


def policies() -> str:
    columns = [field.name for field in fields(Row) if field.name != "scopes"]
    rows = [
        f"| `{name}` | {', '.join(sorted(row.scopes))} | "
        f"{' | '.join(str(getattr(row, column)) for column in columns)} |"
        for rows in TABLES.values()
        for name, row in rows.items()
    ]
    return _page(
        "Policies",
        "What each role may do, with a token for which `scopes`, and with whose things: `any`, its "
        "`own`, or `no`. `admin` has the role on a project or on the system, `system_admin` and "
        "`system_reader` on the system alone; `domain_manager` (role manager or admin) and "
        "`domain_reader` have one on a domain, and their own is what is in it. `owner` is whoever "
        "has the thing, as a user or by its project, with whatever role; for a rule about an "
        "attribute (`create_port:fixed_ips:ip_address`) it is the owner of what the attribute is of. "
        "`admin` implies `manager` implies `member` implies `reader`. What is another's answers 404 "
        "where it may not be seen, at the identity API 403. `host` is a host of the cloud, by its "
        "certificate. Which routes name a row stands in [routes.md](routes.md).",
        ["policy", "scopes", *columns],
        rows,
    )


def services() -> tuple[Service, ...]:
    return (*SERVICES, *PIPELINE_SERVICES)


def codes_in_source() -> dict[str, Said]:
    """Every code that the source names, with what is said where it stands."""
    found: dict[str, Said] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found |= dict(_class_codes(node))
            elif isinstance(node, ast.Call):
                found |= dict(_call_codes(node))
    return found


def _class_codes(node: ast.ClassDef) -> Iterator[tuple[str, Said]]:
    for item in node.body:
        if (
            isinstance(item, ast.Assign)
            and isinstance(item.targets[0], ast.Name)
            and item.targets[0].id == "code"
            and isinstance(item.value, ast.Constant)
            and isinstance(item.value.value, str)
        ):
            yield item.value.value, (node.name, ast.get_docstring(node) or "")


def _call_codes(node: ast.Call) -> Iterator[tuple[str, Said]]:
    for keyword in node.keywords:
        value = keyword.value
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if keyword.arg == "code" and is_text and "." in ast.literal_eval(value):
            said = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
            yield ast.literal_eval(value), (ast.unparse(node.func), str(said))


def _codes() -> Iterator[tuple[str, str, str]]:
    _load_all()
    by_name = {kind.__name__: kind for kind in _kinds(KumoiError)}
    drawn = _drawn()
    for code, (name, said) in codes_in_source().items():
        kind = by_name.get(name)
        is_own = kind is not None and kind.code == code
        meaning = (drawn.get(name) or said) if is_own else said
        first = meaning.split("\n\n")[0].replace("\n", " ").strip().rstrip(".") or name
        yield code, _status(kind) if kind else "", first[:1].upper() + first[1:]


def _load_all() -> None:
    """A class is known once its module is; what a test loaded before must not count."""
    for module in pkgutil.walk_packages(kumoi.__path__, "kumoi."):
        if ".migrations." not in module.name:  # Alembic's scripts, which it alone can load.
            importlib.import_module(module.name)


def _kinds(top: type[KumoiError]) -> Iterator[type[KumoiError]]:
    for kind in top.__subclasses__():
        if kind.__module__.startswith("kumoi."):  # Tests have kinds of their own.
            yield from _kinds(kind)
    yield top


def _status(kind: type[KumoiError]) -> str:
    near = [base for base in inspect.getmro(kind) if base in http_errors.STATUS]
    return str(http_errors.STATUS[near[0]]) if near and kind is not KumoiError else ""


def _drawn() -> dict[str, str]:
    """What the tree in errors.py says of each kind."""
    lines = (base_errors.__doc__ or "").splitlines()
    words = [line.strip(" │├└─").split(maxsplit=1) for line in lines if "  " in line]
    return {pair[0]: pair[1] for pair in words if len(pair) > 1 and pair[0][0].isupper()}


def _literal(value: object) -> str:
    return f"`{value}`" if value != "" else "empty"


def _page(title: str, about: str, columns: list[str], rows: list[str]) -> str:
    head = f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
    return f"# {title}\n\n{units.WRITTEN_BY}\n{about}\n\n{head}" + "\n".join(rows) + "\n"


def main() -> None:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)


if __name__ == "__main__":
    main()
