"""A YAML text as values, with the line of each, and its conversion into shapes.

Called by environment.py. What is wrong is told in one line: file, line, path, what was expected, and the
nearest key there is. Untrusted texts come here, so every size has a bound.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec
import yaml

from kumoi.base.errors import Invalid

FILE_MAX_BYTES = 65_536
NODES_MAX = 5_000
DEPTH_MAX = 12
WORDS_MAX = 200  # Of a message, which the pusher's terminal shows.
KEYS_SHOWN_MAX = 12

Shape = TypeVar("Shape", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class YamlTree:
    """`origins` is where a value stands in the file, by the path of what it became: an override is
    read as what it overrides. `lines` are by the path in the file.
    """

    file: str
    value: Any
    lines: Mapping[str, int]
    origins: Mapping[str, str] = field(default_factory=dict)

    def convert(self, kind: type[Shape]) -> Shape:
        """The whole as that shape. Raises Invalid."""
        found: Shape = self._struct(self.value, kind, "")
        return found

    def overridden(self, over: Any, where: str) -> YamlTree:
        """This with a mapping of the file laid over it: mappings are merged, null removes, all else
        replaces.
        """
        origins = dict(self.origins)
        value = _merged(self.value, over, "", where, origins)
        return YamlTree(self.file, value, self.lines, origins)

    def fault(self, path: str, message: str, *, line_of: str = "") -> Invalid:
        """An error that names the field and its line, or that of `line_of`, or else of the nearest
        parent that has one. It is short, whatever the file holds.
        """
        whole = _shortened(self._origin(path))
        text = f"{self.place(path, line_of=line_of)}: {_shortened(message)}"
        return Invalid(text, field=whole)

    def place(self, path: str, *, line_of: str = "") -> str:
        """Where a field stands: "kumoi.yaml:3: servers.web.count"."""
        whole, line_whole = self._origin(path), self._origin(line_of or path)
        parts = line_whole.split(".")
        known = (".".join(parts[:n]) for n in range(len(parts), -1, -1))
        line = next((self.lines[each] for each in known if each in self.lines), 0)
        where = f"{self.file}:{line}" if line else self.file
        return f"{where}: {_shortened(whole)}" if whole else where

    def _origin(self, path: str) -> str:
        parts = path.split(".")
        for count in range(len(parts), 0, -1):
            found = self.origins.get(".".join(parts[:count]))
            if found is not None:
                return join(found, ".".join(parts[count:]))
        return path

    def _value(self, value: Any, kind: Any, path: str) -> Any:
        """By the kind's form: a shape, a mapping or a list of something, or a plain value."""
        inner = typing.get_args(kind)
        if isinstance(kind, types.UnionType):
            (inner_kind,) = [each for each in inner if each is not types.NoneType]
            return None if value is None else self._value(value, inner_kind, path)
        bare = inner[0] if typing.get_origin(kind) is typing.Annotated else kind
        form, args = typing.get_origin(bare) or bare, typing.get_args(bare)
        if isinstance(form, type) and issubclass(form, msgspec.Struct):
            return self._struct(value, form, path)
        if form is dict and isinstance(value, dict) and args[1] is not Any:
            for name in value:
                self._plain(name, args[0], join(path, name))
            value = {
                name: self._value(each, args[1], join(path, name)) for name, each in value.items()
            }
            return self._sized(value, kind, path)
        if form is tuple and isinstance(value, list):
            value = [
                self._value(each, args[0], join(path, str(index)))
                for index, each in enumerate(value)
            ]
            return tuple(self._sized(value, kind, path))
        return self._plain(value, kind, path)

    def _struct(self, value: Any, kind: type[msgspec.Struct], path: str) -> Any:
        if not isinstance(value, dict):
            raise self.fault(path, f"expected a mapping, got {_type_name(value)}")
        fields = _fields(kind)
        for name in value:
            if name not in fields:
                raise self.fault(path, _unknown(name, fields), line_of=join(path, name))
        found: dict[str, Any] = {}
        for name, item in fields.items():
            if name not in value or (value[name] is None and not item.required):
                if item.required:
                    raise self.fault(path, f"the key {name} is missing")
                continue
            found[item.name] = self._value(value[name], item.type, join(path, name))
        return kind(**found)

    def _plain(self, value: Any, kind: Any, path: str) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as cause:
            # The library's sentence is "Expected `int`, got `str` - at `$.count`".
            message, _, where = str(cause).partition(" - at ")
            inner = re.sub(r"\[(\d+)\]", r".\1", where.strip("`$")).strip(".")
            rule = _rule(kind, value)
            if rule and ("matching regex" in message or "=" in message):
                message = f"expected {rule}"
            message = message.replace("`", "")
            message = message[:1].lower() + message[1:]
            raise self.fault(join(path, inner), message) from cause

    def _sized(self, value: Any, kind: Any, path: str) -> Any:
        """Within the bounds that the kind's own annotation gives."""
        for meta in _metas(kind):
            if not (meta.min_length or 0) <= len(value) <= (meta.max_length or len(value)):
                raise self.fault(path, f"expected {_rule(kind, value)}")
        return value


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: Any
    required: bool


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, _Field]:
    """By the name in the file."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        item.encode_name: _Field(item.name, hints[item.name], item.required)
        for item in msgspec.structs.fields(kind)
    }


def read(file: str, text: str) -> YamlTree:
    """The text's values. Raises Invalid."""
    if len(text.encode()) > FILE_MAX_BYTES:
        raise Invalid(f"{file}: is larger than {FILE_MAX_BYTES} bytes", field="")
    reading = _Reading(file)
    try:
        # libyaml's parser: that in Python takes seconds for a text of brackets.
        value = reading.value(yaml.compose(text, Loader=yaml.CSafeLoader), "", DEPTH_MAX)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        last = len(text.splitlines())  # The parser is at the line after, at the text's end.
        where = f"{file}:{min(mark.line + 1, last)}" if mark else file
        raise Invalid(f"{where}: is not YAML", field="") from cause
    except RecursionError as cause:
        raise Invalid(f"{file}: is nested too deeply", field="") from cause
    return YamlTree(file, value, reading.lines)


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for whoever mistyped a name: ", did you mean …?", or what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f", did you mean {close[0]}?"
    shown = ", ".join(names[:KEYS_SHOWN_MAX])
    return f"; there is {shown}" if shown else ""


class _Reading:
    """Builds the values node by node, so that a repeated key and an exploding reference are refused."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self._nodes = 0

    def value(self, node: yaml.Node | None, path: str, depth: int) -> Any:
        if depth == 0:
            raise Invalid(f"{self.file}: is nested too deeply", field="")
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise Invalid(f"{self.file}: has more than {NODES_MAX} values", field="")
        if node is None:
            return None
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth - 1)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, join(path, str(index)), depth - 1)
                for index, item in enumerate(node.value)
            ]
        try:
            found = yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as cause:
            raise self._fault(path, "is not a value that this file can hold") from cause
        if isinstance(found, str) and "\0" in found:  # Which no program is told.
            raise self._fault(path, "holds a NUL character")
        return found

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise Invalid(f"{self.file}:{line}: a key is not a text", field=path)
            name = str(key.value)
            where = join(path, name)
            if name in values:
                self.lines[where] = line
                raise self._fault(where, "is given twice")
            values[name] = self.value(value, where, depth)
            self.lines[where] = line
        return values

    def _fault(self, path: str, message: str) -> Invalid:
        return YamlTree(self.file, None, self.lines).fault(path, message)


def _merged(value: Any, over: Any, path: str, where: str, origins: dict[str, str]) -> Any:
    if not isinstance(value, dict) or not isinstance(over, dict):
        if path:
            origins[path] = where
        return over
    found = dict(value)
    for name, each in over.items():
        inner = join(path, name)
        if each is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), each, inner, join(where, name), origins)
    return found


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"there is no key {name}{nearest(name, known)}"


def _rule(kind: Any, value: Any) -> str:
    """What an annotated kind asks for, in words, and what it got."""
    for meta in _metas(kind):
        if isinstance(value, str) and meta.pattern is not None:
            return f"{meta.title or meta.pattern}, got {value!r}"
        if isinstance(value, int) and meta.le is not None:
            return f"{meta.ge} to {meta.le}, got {value}"
        if isinstance(value, str | list | dict) and meta.max_length is not None:
            what = "characters" if isinstance(value, str) else "entries"
            return f"{meta.min_length or 0} to {meta.max_length} {what}, got {len(value)}"
    return ""


def _metas(kind: Any) -> Iterator[msgspec.Meta]:
    for each in typing.get_args(kind)[1:]:
        if isinstance(each, msgspec.Meta):
            yield each


def _type_name(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(
        type(value), type(value).__name__
    )


def _shortened(text: str) -> str:
    return text if len(text) <= WORDS_MAX else f"{text[:WORDS_MAX]}…"
