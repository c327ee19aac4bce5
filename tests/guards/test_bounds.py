"""Every text, list and object that a body may hold has a bound in its shape."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as shapes

import kumoi.cloud.api
import kumoi.pipeline.api
from kumoi.pipeline.webhook import PushPayload

BODIES = (kumoi.cloud.api, kumoi.pipeline.api)
ELSEWHERE = (PushPayload,)
"""Shapes of bodies that are not in a package of an API."""
# What a host sends is not among them: it answers for its own things only, with its certificate.

READ_BY_OTHERS = {
    "Disk.no_device": "only whether it is there",
    "ServerCreate.os:scheduler_hints": "one hint is read, as a text",
    "ServerCreate.OS-SCH-HNT:scheduler_hints": "one hint is read, as a text",
    "ServerNew.OS-SCH-HNT:scheduler_hints": "one hint is read, as a text",
    "ServerNew.block_device_mapping[]": "refused",
    "DomainChanges.options": "nothing: they are kept as they are",
    "DomainNew.options": "nothing: they are kept as they are",
    "ProjectChanges.options": "nothing: they are kept as they are",
    "ProjectNew.options": "nothing: they are kept as they are",
    "RoleChanges.options": "nothing: they are kept as they are",
    "RoleNew.options": "nothing: they are kept as they are",
    "UserChanges.options": "nothing: they are kept as they are",
    "UserNew.options": "nothing: they are kept as they are",
    "DomainConfig.config": "the option's own type",
    "DomainConfigPart.config": "the option's own type",
    "Ec2Login.auth": "nothing",
    "ElementType.enum[]": "nothing: they are kept as they are",
    "PropertyBody.enum[]": "nothing: they are kept as they are",
    "PropertyBody.default": "nothing: it is kept as it is",
    "OldOperation.value": "the attribute's own shape",
    "Operation.value": "the attribute's own shape",
    "L7PolicyWithin.redirect_pool": "PoolByName or PoolWithin",
    "ListenerWithin.default_pool": "PoolByName or PoolWithin",
    "LoadBalancerNew.additional_vips[]": "refused",
    "PortChanges.binding:profile": "nothing: it is kept as it is",
    "PortNew.binding:profile": "nothing: it is kept as it is",
}
"""Fields whose values are of any shape, and what reads them."""


def bodies() -> list[type[msgspec.Struct]]:
    """The shapes of the bodies of both halves."""
    for package in BODIES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    prefixes = tuple(package.__name__ for package in BODIES)
    found = [each for each in _below(msgspec.Struct) if each.__module__.startswith(prefixes)]
    return sorted({*found, *ELSEWHERE}, key=lambda shape: (shape.__module__, shape.__name__))


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


WORDS: dict[type[shapes.Type], str] = {
    shapes.StrType: "a text",
    shapes.BytesType: "bytes",
    shapes.DictType: "an object",
    shapes.ListType: "a list",
    shapes.VarTupleType: "a list",
    shapes.SetType: "a list",
    shapes.FrozenSetType: "a list",
}
ANYTHING = (shapes.AnyType, shapes.RawType)


def inside(kind: shapes.Type, where: str) -> Iterator[tuple[shapes.Type, str]]:
    """The types that a type is made of; of another shape nothing, since it is looked at by itself."""
    for name, place in (
        ("type", where),
        ("key_type", f"{where}, its keys"),
        ("value_type", where),
        ("item_type", f"{where}[]"),
    ):
        inner = getattr(kind, name, None)
        if isinstance(inner, shapes.Type):
            yield inner, place
    for inner in (*getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
        yield inner, where


def unbounded(kind: shapes.Type, where: str) -> Iterator[str]:
    """The places in a type that hold as much as one likes."""
    most = getattr(kind, "max_length", None)
    if type(kind) in WORDS and most is None:
        yield f"{where}: {WORDS[type(kind)]}"
    if isinstance(kind, ANYTHING) and where not in READ_BY_OTHERS:
        yield f"{where}: anything"
    if most != 0:
        for inner, place in inside(kind, where):
            yield from unbounded(inner, place)


def anything(kind: shapes.Type, where: str) -> Iterator[str]:
    """The places in a type that hold anything."""
    if isinstance(kind, ANYTHING):
        yield where
    for inner, place in inside(kind, where):
        yield from anything(inner, place)


def fields(shape: type[msgspec.Struct]) -> Iterator[tuple[str, shapes.Type]]:
    described = shapes.type_info(shape)
    assert isinstance(described, shapes.StructType)
    for field in described.fields:
        yield f"{shape.__name__}.{field.encode_name}", field.type


def test_every_text_list_and_object_of_a_body_has_a_bound() -> None:
    found = [
        place
        for shape in bodies()
        for where, kind in fields(shape)
        for place in unbounded(kind, where)
    ]
    assert found == []


def ends_before_a_newline(kind: shapes.Type, where: str) -> Iterator[str]:
    """The places in a type whose pattern ends in `$`, which a trailing newline passes."""
    if str(getattr(kind, "pattern", None) or "").endswith("$"):
        yield where
    for inner, place in inside(kind, where):
        yield from ends_before_a_newline(inner, place)


def test_no_pattern_lets_a_trailing_newline_through() -> None:
    found = [
        place
        for shape in bodies()
        for where, kind in fields(shape)
        for place in ends_before_a_newline(kind, where)
    ]
    assert found == []


def test_what_other_shapes_read_is_in_a_body() -> None:
    there = {
        place
        for shape in bodies()
        for where, kind in fields(shape)
        for place in anything(kind, where)
    }
    assert set(READ_BY_OTHERS) <= there


UNNAMED = {
    "compute/server_action.py": "the action's name, and its own shape's body",
    "compute/server_query.py": "a text of the query, of a few names",
    "load_balancer/body.py": "the noun's name, and its own shape's body",
    "network/body.py": "the noun's name, and its own shape's body",
    "image/body.py": "Name and Value of one property",
}
"""Files that read a part of a body into a type without a name, and what it is."""


def test_a_body_is_read_into_a_shape_with_a_name() -> None:
    root = Path(__file__).parents[2] / "src/kumoi/cloud/api"
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _reads_unnamed(node)
    }
    assert found == set(UNNAMED)


def _reads_unnamed(call: ast.Call) -> bool:
    """Whether a call reads JSON into `dict[…]` and the like, which no guard finds."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name not in {"parse", "decode", "_decoded", "convert"}:
        return False
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "type")]
    return any(
        isinstance(each, ast.Subscript) and getattr(each.value, "id", "") in {"dict", "list"}
        for each in given
    )


def test_a_field_without_a_bound_is_named() -> None:
    class Careless(msgspec.Struct):
        names: list[str]
        options: dict[str, msgspec.Raw]

    found = [place for where, kind in fields(Careless) for place in unbounded(kind, where)]
    assert found == [
        "Careless.names: a list",
        "Careless.names[]: a text",
        "Careless.options: an object",
        "Careless.options, its keys: a text",
        "Careless.options: anything",
    ]
