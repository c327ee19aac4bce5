"""Bodies of requests, made by hypothesis of the shapes that the APIs themselves read.

Which shape a route reads is learned by asking it: `shapes_read` sees what a body is decoded as.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import msgspec.inspect as shapes
import pytest
from hypothesis import strategies as st

from kumoi.cloud.api.compute import server_action
from kumoi.cloud.api.network import body as network_body
from kumoi.engine.http.routing import Route

TEXT_MAX = 300
FEW = 3
NOWHERE = "11111111-2222-4333-8444-555555555555"
AS_SENT: tuple[bytes, ...] = (
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"-0",
    b"-0.0",
    b"NaN",
    b"Infinity",
    b"9" * 5_000,
    b"1" + b"0" * 400 + b".5",
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\ud83d\\u0041"',
    b'"\x00"',
    b'"\x1f"',
    b'{"a": 1, "a": 2}',
    b'{"\\u0000": 1}',
    b'{"\\ud800": 1}',
)
"""What no JSON of Python's says: each stands for a text of JUNK until a body is sent."""
STAND_INS = {f"\ue000{number}": token for number, token in enumerate(AS_SENT)}
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**31,
    2**63,
    10**30,
    1.5,
    "",
    "x" * 300,
    "a\x00b",
    "\ud800",
    "\u202e<b>&\x1b[31m",
    "--5",
    "9" * 5_000,
    "\u0663",
    "fe80::1%x\ny",
    "0001-01-01T00:00:00+23:59",
    "2099-01-01T00:00:00",
    "%",
    "../..",
    [],
    {},
    [[None]],
    {"a": {"b": []}},
    *STAND_INS,
)
WORDS = (
    "10.0.0.0/24",
    "10.0.0.5",
    "fd00::/64",
    "fd00::5",
    "fa:16:3e:00:00:01",
    "http://a.example/",
    "tcp",
    "TCP",
    "HTTP",
    "ingress",
    "IPv6",
    "ROUND_ROBIN",
    "raw",
    "bare",
    "default",
    "2099-01-01T00:00:00",
    "eA==",
    "a.b",
    "^a(b|c)*$",
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(JUNK),
    lambda inner: (
        st.lists(inner, max_size=FEW) | st.dictionaries(st.text(max_size=9), inner, max_size=FEW)
    ),
    max_leaves=6,
)
ANYTHING = (shapes.AnyType, shapes.RawType)
LISTS = (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)

Wrap = Callable[[Any], Any]


@contextlib.contextmanager
def shapes_read() -> Iterator[list[type[msgspec.Struct]]]:
    """The shapes that bodies are read as meanwhile. What is spied upon does what it did."""
    found: list[type[msgspec.Struct]] = []
    decode, convert, of_network = msgspec.json.decode, msgspec.convert, network_body.decode

    def note(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            found.append(kind)

    def decoded(*args: Any, **words: Any) -> Any:
        note(words.get("type"))
        return decode(*args, **words)

    def converted(value: Any, kind: Any, **words: Any) -> Any:
        note(kind)
        return convert(value, kind, **words)

    def read(raw: Any, shape: Any, **words: Any) -> Any:
        note(shape)
        return of_network(raw, shape, **words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgspec.json, "decode", decoded)
        patch.setattr(msgspec, "convert", converted)
        patch.setattr(network_body, "decode", read)
        yield found


def words_of(route: Route) -> str:
    """The last word of a path that is no placeholder: "ports"."""
    return next((word for word in reversed(route.path.split("/")) if word and word[0] != "{"), "")


def wraps_of(route: Route) -> list[Wrap]:
    """What a route's shape may be inside of."""
    words = words_of(route).replace("-", "_")
    word = re.sub(r"ies$", "y", words) if words.endswith("ies") else words.removesuffix("s")
    found: list[Wrap] = [lambda inner: inner, lambda inner: [inner]]
    found += [
        lambda inner, word=word: {word: inner},  # type: ignore[misc]
        lambda inner, words=words: {words: [inner]},  # type: ignore[misc]
    ]
    if words == "action":
        found += [
            lambda inner, name=name: {name: inner}  # type: ignore[misc]
            for name in server_action.ACTIONS
        ]
    return found


def of_shape(shape: type[msgspec.Struct], ids: Sequence[str]) -> st.SearchStrategy[Any]:
    """Bodies that mostly fit. `ids` are of things that exist, and may grow meanwhile."""
    return _values(shapes.type_info(shape), "", ids, depth=0)


def _values(
    kind: shapes.Type, name: str, ids: Sequence[str], *, depth: int, full: bool = True
) -> st.SearchStrategy[Any]:
    """`full`: with lists and texts as long as they may be, but for those inside of such a list: together
    they would be larger than any body that is read.
    """
    if isinstance(kind, shapes.StructType):
        return st.deferred(lambda: _struct(kind, ids, depth=depth, full=full))
    if isinstance(kind, shapes.UnionType):
        return st.one_of([_values(each, name, ids, depth=depth, full=full) for each in kind.types])
    if isinstance(kind, LISTS):
        return _list(kind, name, ids, depth=depth, full=full)
    if isinstance(kind, shapes.DictType):
        keys = st.sampled_from(("a", "b", "x" * 255, "\u202e", "")) | st.text(max_size=9)
        inner = _values(kind.value_type, name, ids, depth=depth, full=full)
        return st.dictionaries(keys, inner, max_size=FEW)
    if isinstance(kind, shapes.StrType):
        return _text(kind, name, ids, full=full)
    return _plain(kind)


def _plain(kind: shapes.Type) -> st.SearchStrategy[Any]:
    if isinstance(kind, shapes.BoolType):
        return st.booleans()
    if isinstance(kind, shapes.IntType):
        least = kind.ge if kind.ge is not None else -(2**31)
        most = kind.le if kind.le is not None else 2**63
        return st.integers(least, most) | st.sampled_from((least, most))
    if isinstance(kind, shapes.FloatType):
        return st.floats(allow_nan=False, allow_infinity=False, width=32)
    if isinstance(kind, shapes.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, shapes.EnumType):
        return st.sampled_from([each.value for each in kind.cls])
    return ANY_JSON


def _struct(
    kind: shapes.StructType, ids: Sequence[str], *, depth: int, full: bool
) -> st.SearchStrategy[dict[str, Any]]:
    made = {
        field.encode_name: _values(field.type, field.encode_name, ids, depth=depth + 1, full=full)
        for field in kind.fields
    }
    # In the order of the fields: a set's is another in each process, and so would be the bodies.
    required = {
        field.encode_name: made.pop(field.encode_name) for field in kind.fields if field.required
    }
    return st.fixed_dictionaries(required, optional=made if depth < FEW + 1 else {})


def _list(
    kind: Any, name: str, ids: Sequence[str], *, depth: int, full: bool
) -> st.SearchStrategy[list[Any]]:
    item = _values(kind.item_type, name, ids, depth=depth, full=full)
    most = min(kind.max_length if kind.max_length is not None else FEW, 2_000)
    least = min(kind.min_length or 0, most)
    few = st.lists(item, min_size=least, max_size=max(least, min(most, FEW)))
    if not full:
        return few
    plain = _values(kind.item_type, name, ids, depth=depth, full=False)
    return few | few | few | plain.map(lambda one: [one] * most)


def _text(
    kind: shapes.StrType, name: str, ids: Sequence[str], *, full: bool
) -> st.SearchStrategy[str]:
    longest = 70_000 if full else TEXT_MAX
    most = min(kind.max_length if kind.max_length is not None else TEXT_MAX, longest)
    least = kind.min_length or 0
    texts = st.text(min_size=min(least, 20), max_size=max(least, min(most, 20)))
    made = [texts, st.sampled_from(WORDS), st.just("x" * most)]
    if kind.pattern:
        made = [st.from_regex(kind.pattern), *made]
    if any(word in name.lower() for word in ("id", "ref", "uuid", "group", "project")):
        made = [st.integers(0, 10**6).map(lambda number: _one_of(ids, number)), *made]
    return st.one_of(made)


def _one_of(ids: Sequence[str], number: int) -> str:
    return ids[number % len(ids)] if ids else NOWHERE


def spoilt(body: Any, at: int, junk: Any) -> Any:
    """The body with one of its values replaced."""
    places = list(_places(body, ()))
    if not places:
        return junk
    path = places[at % len(places)]
    changed = json.loads(json.dumps(body))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return changed


def encoded(body: Any) -> bytes:
    """As it is sent."""
    content = json.dumps(body).encode()
    if b"\\ue000" in content:
        for text, token in STAND_INS.items():
            content = content.replace(json.dumps(text).encode(), token)
    return content


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    keys: Any = ()
    if isinstance(value, dict):
        keys = value.keys()
    elif isinstance(value, list):
        keys = range(min(len(value), FEW))
    for key in keys:
        yield (*path, key)
        yield from _places(value[key], (*path, key))


def has_entries(shape: type[msgspec.Struct]) -> bool:
    """Whether a body of the shape has as many of something as its caller likes, up to a bound."""
    seen: set[object] = set()

    def found(kind: shapes.Type) -> bool:
        if isinstance(kind, shapes.StructType):
            if kind.cls in seen:
                return False
            seen.add(kind.cls)
            return any(found(field.type) for field in kind.fields)
        if isinstance(kind, shapes.UnionType):
            return any(found(each) for each in kind.types)
        return isinstance(kind, (*LISTS, shapes.DictType))

    return found(shapes.type_info(shape))
