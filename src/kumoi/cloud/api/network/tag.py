"""The tags of networks, ports and so on: /v2.0/<nouns>/{id}/tags and …/tags/{tag}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kumoi.cloud.api.network import body, shapes
from kumoi.cloud.api.network.body import TAG_MAX, TAGS_MAX, Tags
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import tag as domain
from kumoi.engine.http.request import Body, Reply


class NetworkTagsReplace(Body):
    tags: Tags


@dataclass(frozen=True, slots=True)
class TagHandlers:
    """`kind` is the plural of the noun in the path."""

    kind: str

    @property
    def rule(self) -> str:
        """The plural in the names of the rules."""
        return self.kind.replace("-", "_")

    def index(self, request: Request) -> Reply:
        with request.read() as connection:
            words = domain.of(connection, request.caller, self.kind, request.path["id"])
        return Reply(200, {"tags": words})

    def show(self, request: Request) -> Reply:
        with request.read() as connection:
            domain.has(
                connection, request.caller, self.kind, request.path["id"], request.path["tag"]
            )
        return Reply(204)

    def replace(self, request: Request) -> Reply:
        words = _words(request)
        with request.write() as connection:
            tags = domain.replace(connection, request.caller, self.kind, request.path["id"], words)
        return Reply(200, {"tags": tags})

    def add_many(self, request: Request) -> Reply:
        words = _words(request)
        with request.write() as connection:
            tags = domain.add(connection, request.caller, self.kind, request.path["id"], words)
            _require_few(tags)
        return Reply(201, {"tags": tags})

    def add(self, request: Request) -> Reply:
        word = request.path["tag"]
        if len(word) > TAG_MAX:
            raise shapes.invalid("tag", f"'{word}' exceeds maximum length of {TAG_MAX}")
        with request.write() as connection:
            tags = domain.add(connection, request.caller, self.kind, request.path["id"], [word])
            _require_few(tags)
        return Reply(201)

    def remove(self, request: Request) -> Reply:
        with request.write() as connection:
            domain.remove(
                connection, request.caller, self.kind, request.path["id"], request.path["tag"]
            )
        return Reply(204)

    def clear(self, request: Request) -> Reply:
        with request.write() as connection:
            domain.replace(connection, request.caller, self.kind, request.path["id"], ())
        return Reply(204)


def _require_few(words: Sequence[str]) -> None:
    """Raises Invalid for too many; that rolls the transaction back."""
    if len(words) > TAGS_MAX:
        raise shapes.invalid("tags", f"The number of tags exceeds the maximum {TAGS_MAX}")


def _words(request: Request) -> list[str]:
    words = body.plain(request, NetworkTagsReplace).tags
    if len(set(words)) < len(words):
        raise shapes.invalid("tags", "Duplicate items in the list")
    return words
