"""Bodies of requests, made by chance of the shapes that the APIs themselves read, with a seed the same each time.

Which shape a route reads is learned by asking it: `shapes_read` sees what a body is decoded as.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import msgspec.inspect as shapes
import pytest
from hypothesis import HealthCheck, Phase, given, settings
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
ANYTHING = (shapes.AnyType, shapes.RawType)
LISTS = (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)

LETTERS = (
    *"abcxyzABCXYZ0123456789-_./:,;=&%?*+@#'\"\\<>()[]{}|~^$` ",
    *"\x00\t\n\r\x1b\x7f\x85\xa0\xad\xe9\u0130\xdf\u0663\u202e\u2028\ufeff\ufffd\U0001f600",
)
OFTEN = (0.1, 0.5, 0.9)
"""How many of the fields that need not be there are."""
TEXTS_OF_A_PATTERN = 20
KNOWN_MAX, VALUES_MAX = 500, 20
"""Of what there is, the newest: the tests are not to grow either."""

TAKEN: dict[type[shapes.Type], type[Any]] = {shapes.StrType: str, shapes.IntType: int}
"""Kinds of values that are kept for the next body when somebody took them."""

Wrap = Callable[[Any], Any]
Make = Callable[[Random], Any]


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


def one_of(words: str) -> str:
    """ "policy" of "policies"."""
    return re.sub(r"ies$", "y", words) if words.endswith("ies") else words.removesuffix("s")


def wraps_of(route: Route) -> list[Wrap]:
    """What a route's shape may be inside of."""
    words = words_of(route).replace("-", "_")
    word = one_of(words)
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


@dataclass
class Known:
    """Ids of what there is, and which values of a field somebody took. Both may grow meanwhile."""

    ids: deque[str] = field(default_factory=lambda: deque(maxlen=KNOWN_MAX))
    by_name: dict[str, deque[Any]] = field(default_factory=dict)

    def learn(self, value: Any, name: str = "") -> None:
        """All that a body or an answer has."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.learn(inner, key)
        elif isinstance(value, list):
            for each in value[:FEW]:
                self.learn(each, name)
        elif name and isinstance(value, (str, int)) and len(str(value)) <= TEXT_MAX:
            there = self.by_name.setdefault(name, deque(maxlen=VALUES_MAX))
            if value not in there:
                there.append(value)

    def value(self, name: str, kind: type[Any], chance: Random) -> Any:
        """One that the field took, or None."""
        if name not in self.by_name or chance.randrange(2):
            return None
        found = chance.choice(self.by_name[name])
        return found if isinstance(found, kind) else None


def of_shape(shape: type[msgspec.Struct], known: Known) -> Make:
    """Bodies that mostly fit."""
    return _values(shapes.type_info(shape), "", known, depth=0)


def any_json(chance: Random, depth: int = 0) -> Any:
    """Of no shape."""
    what = chance.randrange(7 if depth < FEW else 5)
    if what == 0:
        return chance.choice((None, True, False))
    if what == 1:
        return chance.randint(-(2**70), 2**70)
    if what == 2:
        return text(chance, 20)
    if what in {3, 4}:
        return chance.choice(JUNK)
    inner = [any_json(chance, depth + 1) for _ in range(chance.randint(0, FEW))]
    return inner if what == 5 else {text(chance, 9): each for each in inner}


def text(chance: Random, most: int, least: int = 0) -> str:
    """Of letters that somebody may trip over, and others."""
    return "".join(chance.choices(LETTERS, k=chance.randint(least, max(least, most))))


@functools.cache
def matching(pattern: str) -> Sequence[str]:
    """Texts that a pattern lets pass."""
    found: list[str] = []

    @settings(
        max_examples=TEXTS_OF_A_PATTERN,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.from_regex(pattern))
    def passes(one: str) -> None:
        found.append(one)

    passes()
    return found


def _values(kind: shapes.Type, name: str, known: Known, *, depth: int, full: bool = True) -> Make:
    """`full`: with lists and texts as long as they may be, but for those inside of such a list: together
    they would be larger than any body that is read.
    """
    if isinstance(kind, shapes.StructType):
        return _struct(kind, known, depth=depth, full=full)
    if isinstance(kind, shapes.UnionType):
        made = [_values(each, name, known, depth=depth, full=full) for each in kind.types]
        return lambda chance: chance.choice(made)(chance)
    if isinstance(kind, LISTS):
        return _list(kind, name, known, depth=depth, full=full)
    if isinstance(kind, shapes.DictType):
        inner = _values(kind.value_type, name, known, depth=depth, full=full)
        return lambda chance: {_key(chance): inner(chance) for _ in range(chance.randint(0, FEW))}
    make = _text(kind, name, known, full=full) if isinstance(kind, shapes.StrType) else _plain(kind)
    taken = TAKEN.get(type(kind))
    return make if taken is None else _known(make, name, known, taken)


def _known(make: Make, name: str, known: Known, kind: type[Any]) -> Make:
    def made(chance: Random) -> Any:
        found = known.value(name, kind, chance)
        return make(chance) if found is None else found

    return made


def _key(chance: Random) -> str:
    return chance.choice(("a", "b", "x" * 255, "\u202e", "", text(chance, 9)))


def _plain(kind: shapes.Type) -> Make:
    if isinstance(kind, shapes.IntType):
        return _integer(kind)
    if isinstance(kind, shapes.FloatType):
        return lambda chance: chance.choice((0.0, -1.5, 1e300, 5e-324, chance.uniform(-1e6, 1e6)))
    members: Sequence[Any] = ()
    if isinstance(kind, shapes.NoneType):
        members = (None,)
    elif isinstance(kind, shapes.BoolType):
        members = (False, True)
    elif isinstance(kind, shapes.LiteralType):
        members = kind.values
    elif isinstance(kind, shapes.EnumType):
        members = [each.value for each in kind.cls]
    return (lambda chance: chance.choice(members)) if members else any_json


def _integer(kind: shapes.IntType) -> Make:
    least = kind.ge if kind.ge is not None else -(2**31)
    most = kind.le if kind.le is not None else 2**63
    small = max(least, min(most, 2)), min(most, max(least, 100))
    return lambda chance: chance.choice(
        (least, most, chance.randint(least, most), chance.randint(*small))
    )


def _struct(kind: shapes.StructType, known: Known, *, depth: int, full: bool) -> Make:
    """Each optional field is there or not. Made at first use: a shape may be inside of itself."""

    @functools.cache
    def fields() -> list[tuple[str, Make, bool]]:
        return [
            (
                each.encode_name,
                _values(each.type, each.encode_name, known, depth=depth + 1, full=full),
                each.required,
            )
            for each in kind.fields
            if each.required or depth <= FEW
        ]

    def make(chance: Random) -> dict[str, Any]:
        often = chance.choice(OFTEN)
        return {
            name: inner(chance)
            for name, inner, is_required in fields()
            if is_required or chance.random() < often
        }

    return make


def _list(kind: Any, name: str, known: Known, *, depth: int, full: bool) -> Make:
    item = _values(kind.item_type, name, known, depth=depth, full=full)
    plain = _values(kind.item_type, name, known, depth=depth, full=False)
    most = min(kind.max_length if kind.max_length is not None else FEW, 2_000)
    least = min(kind.min_length or 0, most)

    def make(chance: Random) -> list[Any]:
        if full and chance.randrange(4) == 0:
            return [plain(chance)] * most
        return [item(chance) for _ in range(chance.randint(least, max(least, min(most, FEW))))]

    return make


def _text(kind: shapes.StrType, name: str, known: Known, *, full: bool) -> Make:
    longest = 70_000 if full else TEXT_MAX
    most = min(kind.max_length if kind.max_length is not None else TEXT_MAX, longest)
    least = min(kind.min_length or 0, 20)
    made: list[Make] = [
        lambda chance: text(chance, min(most, 20), least),
        lambda chance: chance.choice(WORDS),
        lambda _: "x" * most,
    ]
    if kind.pattern:
        passing = matching(kind.pattern)
        made.append(lambda chance: chance.choice(passing))
    if any(word in name.lower() for word in ("id", "ref", "uuid", "group", "project")):
        made.append(lambda chance: chance.choice(known.ids) if known.ids else NOWHERE)
    return lambda chance: chance.choice(made)(chance)


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
            return any(found(each.type) for each in kind.fields)
        if isinstance(kind, shapes.UnionType):
            return any(found(each) for each in kind.types)
        return isinstance(kind, (*LISTS, shapes.DictType))

    return found(shapes.type_info(shape))
