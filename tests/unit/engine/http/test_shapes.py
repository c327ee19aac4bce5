from __future__ import annotations

import typing

import msgspec
import msgspec._utils
import pytest

from kumoi.engine.http import shapes


def test_a_shape_that_was_prepared_is_learnt_no_more_at_its_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learnt: list[str] = []
    look = vars(msgspec._utils)["_eval_type"]  # From `typing`, or of msgspec itself since 0.23.

    def noting(annotation: typing.ForwardRef, *args: object, **named: object) -> object:
        learnt.append(annotation.__forward_arg__)
        return look(annotation, *args, **named)

    monkeypatch.setattr("msgspec._utils._eval_type", noting)
    outer = msgspec.defstruct("Outer", [("numbers", "list[int]")], module=__name__)
    shapes.prepare()
    assert "list[int]" in learnt
    learnt.clear()
    assert msgspec.structs.asdict(msgspec.json.decode(b'{"numbers": [1]}', type=outer)) == {
        "numbers": [1]
    }
    assert learnt == []
